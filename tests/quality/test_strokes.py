"""Lost strokes and shifted plain colours against drawings whose strokes are known, and good results that must pass."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter, median_filter
from skimage.filters import unsharp_mask

from enhancer.quality.strokes import compare_strokes, objections
from tests.cases.drawn import DRAWINGS, graph_paper, music, table, text, wiring

STROKES = [graph_paper, music, table, wiring, text]


def unit(pixels):
    return pixels.astype(np.float32) / np.float32(255)


@pytest.mark.parametrize("draw", STROKES)
@pytest.mark.parametrize("light_on_dark", [False, True])
def test_erased_strokes_are_refused(draw, light_on_dark):
    source = unit(255 - draw() if light_on_dark else draw())
    erased = median_filter(source, size=(3, 3, 1))
    ink = (source != source[1, 1]).any(axis=2)
    assert (erased[ink] != source[ink]).mean() > 0.1
    assert "strokes are lost" in objections(compare_strokes(erased, source))[0]


@pytest.mark.parametrize("draw", STROKES)
def test_a_drawing_taken_for_noise_is_refused_too(draw):
    source = unit(draw())
    assert objections(compare_strokes(median_filter(source, size=(5, 5, 1)), source, sigma=0.3))


@pytest.mark.parametrize("name", DRAWINGS)
def test_what_is_kept_or_sharpened_passes(name):
    source = unit(DRAWINGS[name]())
    sharpened = unsharp_mask(source, 1, 1, channel_axis=2).astype(np.float32)
    for result in (source, np.clip(source + np.float32(0.02), 0, 1), sharpened, 0.85 * source + np.float32(0.02)):
        assert compare_strokes(result, source).lost in (None, pytest.approx(0, abs=0.02))


def test_the_share_is_that_of_the_lines_taken_away():
    source = np.ones((200, 200, 1), np.float32)
    source[10:200:20] = 0
    result = source.copy()
    result[10], result[30] = 1, 1
    assert compare_strokes(result, source).lost == pytest.approx(0.2)


def test_shifted_plain_colours_are_refused():
    source = np.full((120, 160, 3), (0, 0.2, 0.4), np.float32)
    source[40:80, 40:120] = (0.1, 0.3, 0.5)
    shifted = source * np.array([1, 1.4, 1.4], np.float32)
    assert "plain colours" in objections(compare_strokes(shifted, source))[0]
    assert not objections(compare_strokes(source + np.float32(0.02), source))


@pytest.mark.parametrize("name", ["coffee", "camera"])
@pytest.mark.parametrize("level", [0, 10, 40])
def test_denoised_photographs_pass(photos, name, level):
    truth = photos[name][:256, :256].astype(np.float32)
    noisy = np.clip(truth + np.random.default_rng(1).normal(0, level / 255, truth.shape), 0, 1).astype(np.float32)
    assert not objections(compare_strokes(truth, noisy, level / 255))
    assert not objections(compare_strokes(gaussian_filter(truth, (0.6, 0.6, 0)), noisy, level / 255))


@pytest.mark.parametrize("share", [0.02, 0.1])
def test_repaired_impulses_pass(photos, share):
    truth = photos["coffee"][:256, :256].astype(np.float32)
    chance = np.random.default_rng(0).random((256, 256, 1))
    struck = np.where(chance < share / 2, 0, np.where(chance > 1 - share / 2, 1, truth)).astype(np.float32)
    assert not objections(compare_strokes(truth, struck))
