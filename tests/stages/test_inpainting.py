"""Filling holes: what is no hole keeps its bits, and what is filled goes with its surroundings."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from scipy import ndimage

from enhancer.stages.inpainting import THIN, by_telea, inpaint, wide_holes


def holes_of(shape: tuple[int, int], widths: tuple[int, ...]) -> np.ndarray:
    """Upright bars of the given widths, 12 pixels apart, clear of the edges."""
    holes = np.zeros(shape, bool)
    left = 12
    for width in widths:
        holes[10:-10, left : left + width] = True
        left += width + 12
    return holes


@pytest.mark.parametrize("channels", [1, 3])
def test_only_holes_change(channels: int) -> None:
    pixels = np.random.default_rng(0).random((80, 90, channels), dtype=np.float32)
    holes = holes_of((80, 90), (1, 3, 10))
    before = pixels.copy()
    result = inpaint(pixels, holes)
    assert (result.dtype, result.shape) == (np.float32, pixels.shape)
    np.testing.assert_array_equal(result[~holes], before[~holes])
    np.testing.assert_array_equal(pixels, before)
    assert (result[holes] != before[holes]).mean() > 0.99


def test_what_lies_in_a_hole_does_not_matter(photo) -> None:
    pixels = photo("coffee")[:100, :120]
    holes = holes_of((100, 120), (2, 4, 12))
    white, black = pixels.copy(), pixels.copy()
    white[holes], black[holes] = 1, 0
    np.testing.assert_array_equal(inpaint(white, holes), inpaint(black, holes))


def test_flat_surroundings_are_continued() -> None:
    pixels = np.broadcast_to(np.float32([0.2, 0.5, 0.8]), (60, 80, 3)).copy()
    holes = holes_of((60, 80), (1, 4, 12))
    spoilt = pixels.copy()
    spoilt[holes] = 1
    assert np.abs(inpaint(spoilt, holes) - pixels).max() < 1e-4


def test_smooth_shading_is_continued() -> None:
    rows, columns = np.mgrid[:80, :90] / 100
    pixels = np.stack([rows, columns, (rows + columns) / 2], axis=-1).astype(np.float32)
    holes = holes_of((80, 90), (1, 3, 5))
    spoilt = np.where(holes[..., None], np.float32(1), pixels)
    assert np.abs(inpaint(spoilt, holes) - pixels)[holes].max() < 0.03


def test_telea_is_opencvs_on_bytes(photo) -> None:
    pixels = photo("chelsea")[:96, :96]
    holes = holes_of((96, 96), (2, 3))
    expected = cv2.inpaint(np.rint(255 * pixels).astype(np.uint8), holes.astype(np.uint8), 3, cv2.INPAINT_TELEA)
    assert np.abs(255 * by_telea(pixels, holes) - expected)[holes].mean() < 1


def test_holes_are_told_apart_by_their_widest_place() -> None:
    holes = holes_of((80, 140), (1, THIN, THIN + 2, 20))
    wide = wide_holes(holes)
    labels, count = ndimage.label(holes)
    assert count == 4
    assert [bool(wide[labels == number].all()) for number in range(1, 5)] == [False, False, True, True]
    assert [bool(wide[labels == number].any()) for number in range(1, 5)] == [False, False, True, True]


def test_nothing_to_fill_and_nothing_to_fill_from() -> None:
    pixels = np.random.default_rng(0).random((20, 20, 3), dtype=np.float32)
    for holes in (np.zeros((20, 20), bool), np.ones((20, 20), bool)):
        np.testing.assert_array_equal(inpaint(pixels, holes), pixels)
