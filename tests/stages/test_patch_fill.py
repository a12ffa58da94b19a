"""Filling from patches: texture goes on, the rest keeps its bits, and chance has no say in the result."""

from __future__ import annotations

import numpy as np
import pytest

from enhancer.stages.inpainting import by_navier_stokes
from enhancer.stages.patch_fill import fill_from_patches


def stripes(height: int = 96, width: int = 96) -> np.ndarray:
    """Waves that only a method which knows texture can continue."""
    rows, columns = np.mgrid[:height, :width]
    wave = 0.5 + 0.4 * np.sin(2 * np.pi * (columns + 0.5 * rows) / 6)
    return np.stack([wave, 1 - wave, wave], axis=-1).astype(np.float32)


def hole(shape: tuple[int, int], top: int = 40, left: int = 40, side: int = 14) -> np.ndarray:
    mask = np.zeros(shape, bool)
    mask[top : top + side, left : left + side] = True
    return mask


def error(result: np.ndarray, truth: np.ndarray, mask: np.ndarray) -> float:
    return float(np.sqrt(np.mean((result - truth)[mask] ** 2)))


def test_texture_is_continued() -> None:
    truth, mask = stripes(), hole((96, 96))
    guess = by_navier_stokes(truth, mask)
    filled = fill_from_patches(guess, mask, mask)
    assert error(guess, truth, mask) > 0.2
    assert error(filled, truth, mask) < 0.05
    np.testing.assert_array_equal(filled[~mask], truth[~mask])


@pytest.mark.parametrize(("top", "left"), [(0, 0), (0, 50), (82, 82), (50, 0)])
def test_at_the_pictures_edge(top: int, left: int) -> None:
    truth, mask = stripes(), hole((96, 96), top, left)
    filled = fill_from_patches(by_navier_stokes(truth, mask), mask, mask)
    np.testing.assert_array_equal(filled[~mask], truth[~mask])
    assert error(filled, truth, mask) < error(by_navier_stokes(truth, mask), truth, mask)


def test_nothing_is_taken_from_what_is_unknown() -> None:
    truth, mask = np.full((80, 80, 1), 0.3, np.float32), hole((80, 80))
    other = hole((80, 80), 60, 10, 12)
    spoilt = np.where(other[..., None], np.float32(1), truth)
    filled = fill_from_patches(spoilt, mask, mask | other)
    assert np.abs(filled - truth)[mask].max() < 1e-5
    np.testing.assert_array_equal(filled[other], spoilt[other])


def test_the_same_picture_gives_the_same_result(photo) -> None:
    pixels, mask = photo("coffee")[:128, :128], hole((128, 128))
    np.testing.assert_array_equal(fill_from_patches(pixels, mask, mask), fill_from_patches(pixels, mask, mask))


def test_where_no_whole_patch_is_near_the_guess_stays() -> None:
    pixels = np.random.default_rng(0).random((12, 12, 3), dtype=np.float32)
    mask = hole((12, 12), 3, 3, 6)
    np.testing.assert_array_equal(fill_from_patches(pixels, mask, mask), pixels)
