"""Drawn damage: only the marks change the print, the truth says where, and the same chance gives the same damage."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from skimage import data
from skimage.restoration import estimate_sigma

from enhancer.training.damage import FAINT, HELD_OUT, KINDS, TRAINED, VISIBLE, damaged, printed, scanned
from enhancer.training.detection import Agreement, agreement

PHOTO = data.astronaut()[:256, :320].astype(np.float32) / 255


def drawn(kind: str, seed: int = 0, pixels: np.ndarray = PHOTO):
    return damaged(pixels, np.random.default_rng(seed), (kind,))


def test_every_kind_is_either_trained_or_held_out() -> None:
    assert sorted(TRAINED + HELD_OUT) == sorted(KINDS)


@pytest.mark.parametrize("kind", KINDS)
def test_marks_are_where_the_truth_says_and_nowhere_else(kind: str) -> None:
    seen = 0
    for seed in range(6):
        result = drawn(kind, seed)
        moved = np.abs(result.pixels - PHOTO).max(axis=2)
        assert result.pixels.min() >= 0
        assert result.pixels.max() <= 1
        if kind != "folds":  # whose shading is no mark
            np.testing.assert_allclose(moved, result.change, atol=1e-5)
        np.testing.assert_array_equal(result.mask, result.change > VISIBLE)
        np.testing.assert_array_equal(result.traces, result.change > FAINT)
        assert result.mask.mean() < 0.3
        seen += result.mask.sum()
    assert seen > 200


def test_a_fold_shades_its_sides_without_counting_as_a_mark() -> None:
    shaded = [
        np.abs(drawn("folds", seed).pixels - PHOTO).max(axis=2) - drawn("folds", seed).change for seed in range(6)
    ]
    assert max(difference.max() for difference in shaded) > 0.02


@pytest.mark.parametrize("kind", ["scratches", "film-lines", "hairs", "cracks"])
def test_lines_are_thin(kind: str) -> None:
    flat = np.full((256, 320, 3), 0.4, np.float32)
    for seed in range(4):
        mask = drawn(kind, seed, flat).mask
        _, count = ndimage.label(mask)
        thickness = 2 * ndimage.distance_transform_edt(mask).max() if count else 0
        assert thickness <= 16  # where several cross or run side by side
        assert mask.mean() < 0.15


def test_a_bright_mark_brightens_and_a_dark_one_darkens() -> None:
    flat = np.full((128, 128, 3), 0.4, np.float32)
    signs = set()
    for seed in range(20):
        result = drawn("hairs", seed, flat)
        signs |= set(np.sign((result.pixels - flat).mean(axis=2)[result.mask]).tolist())
    assert signs == {-1.0, 1.0}


def test_chance_alone_decides() -> None:
    first, again, other = drawn("cracks", 3), drawn("cracks", 3), drawn("cracks", 4)
    np.testing.assert_array_equal(first.pixels, again.pixels)
    assert not np.array_equal(first.pixels, other.pixels)


def test_without_damage_the_print_stays_whole() -> None:
    whole = damaged(PHOTO, np.random.default_rng(0), ())
    np.testing.assert_array_equal(whole.pixels, PHOTO)
    assert not whole.traces.any()
    with pytest.raises(KeyError, match="coffee"):
        damaged(PHOTO, np.random.default_rng(0), ("coffee",))


def test_prints_are_coloured_grey_or_sepia_and_keep_what_they_show() -> None:
    tints = []
    for seed in range(30):
        result = printed(PHOTO, np.random.default_rng(seed))
        grey, before = result.mean(axis=2).ravel(), PHOTO.mean(axis=2).ravel()
        assert np.corrcoef(grey, before)[0, 1] > 0.95
        chroma = (result - result.mean(axis=2, keepdims=True)).std(axis=(0, 1)).max()
        tints.append((chroma < 1e-6, bool(result[..., 0].mean() > result[..., 2].mean() + 0.02)))
    assert any(grey for grey, _ in tints)
    assert any(warm and not grey for grey, warm in tints)


def test_scans_are_whole_levels_and_sometimes_grainy() -> None:
    sigmas = []
    for seed in range(12):
        scan = scanned(np.full((64, 64, 3), 0.5, np.float32), np.random.default_rng(seed))
        np.testing.assert_allclose(scan * 255, np.rint(scan * 255), atol=1e-4)
        sigmas.append(255 * estimate_sigma(scan, channel_axis=-1, average_sigmas=True))
    assert min(sigmas) < 0.1
    assert 2 < max(sigmas) < 20


def naive(found: np.ndarray, true: np.ndarray, tolerance: int) -> int:
    """How many found pixels have a true one within the tolerance."""
    places = np.argwhere(true)
    return sum(bool((((places - place) ** 2).sum(axis=1) <= tolerance**2).any()) for place in np.argwhere(found))


def test_agreement_is_what_counting_gives() -> None:
    draw = np.random.default_rng(0)
    for tolerance in (0, 1, 2):
        found, true = draw.random((2, 24, 30)) > 0.97
        traces = true | (draw.random((24, 30)) > 0.98)
        counts = agreement(found, true, traces, tolerance)
        assert counts == Agreement(
            int(found.sum()), naive(found, traces, tolerance), int(true.sum()), naive(true, found, tolerance)
        )


def test_scores_of_known_counts() -> None:
    total = Agreement(found=10, right=8, true=20, met=10) + Agreement(found=10, right=4, true=0, met=0)
    assert (total.precision, total.recall) == (0.6, 0.5)
    assert total.f1 == pytest.approx(2 * 0.3 / 1.1)
    assert (Agreement().precision, Agreement().recall, Agreement(found=3).f1) == (1, 1, 0)
