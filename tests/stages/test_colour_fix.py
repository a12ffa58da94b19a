"""Colour fix: low frequencies come back to the input's, details stay, and what agrees is not touched."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image as PillowImage
from scipy.ndimage import gaussian_filter
from skimage.measure import block_reduce
from skimage.metrics import peak_signal_noise_ratio

from enhancer.stages.colour_fix import ColourFix, low_frequency_difference
from enhancer.stages.resize import resize

STAGE = ColourFix()
BICUBIC = PillowImage.Resampling.BICUBIC


@pytest.fixture
def pair(photo):
    """A photograph with room for changes, and its bicubic quarter, of which it is a perfect enlargement."""
    large = photo("astronaut")[:256, 100:356] * np.float32(0.8) + np.float32(0.1)
    return large, resize(large, 64, 64, BICUBIC)


@pytest.fixture
def around(context):
    """Gives a context in which `source` was enlarged."""

    def make(source, **overrides):
        made = context(**overrides)
        made.source = source
        return made

    return make


def test_a_perfect_enlargement_is_left_alone(pair, around):
    large, small = pair
    decision = STAGE.measure(large, around(small))
    assert not decision.applied
    assert decision.numbers["largest"] < 0.5 / 255


def test_without_an_enlargement_and_without_leave_nothing_is_done(pair, around, context):
    large, small = pair
    assert not STAGE.measure(large, context()).applied
    decision = STAGE.measure(large + np.float32(0.1), around(small, colour_fix={"mode": "off"}))
    assert (decision.applied, decision.reason) == (False, "the recipe leaves the result's colours alone")


def shifted(large):
    """Warmer and darker, more so towards the right: what a net that pleases might do."""
    ramp = np.linspace(0, 1, large.shape[1], dtype=np.float32)[None, :, None]
    return large * (1 - 0.1 * ramp) + ramp * np.array([0.06, 0.0, -0.05], np.float32)


def test_shifted_colours_come_back(pair, around):
    large, small = pair
    result = shifted(large)
    decision = STAGE.measure(result, around(small))
    fixed = STAGE.apply(result, decision, around(small))
    assert decision.applied
    assert peak_signal_noise_ratio(large, result) < 28
    assert peak_signal_noise_ratio(large, np.clip(fixed, 0, 1)) > 40
    # Means of large blocks, which know nothing of the filters used, are those of the input.
    means = block_reduce(fixed, (64, 64, 1), np.mean) - block_reduce(small, (16, 16, 1), np.mean)
    assert np.abs(means).max() < 1 / 255


def test_details_are_left_alone(pair, around):
    """A pattern finer than the input can show is no business of the input's."""
    large, small = pair
    pattern = np.indices(large.shape[:2]).sum(axis=0)[..., None] % 2 * np.float32(0.1) - np.float32(0.05)
    result = shifted(large) + pattern
    fixed = STAGE.apply(result, STAGE.measure(result, around(small)), around(small))
    plain = STAGE.apply(shifted(large), STAGE.measure(shifted(large), around(small)), around(small))
    assert np.abs(fixed - plain - pattern)[16:-16, 16:-16].mean() < 2e-3


def test_where_all_agrees_the_values_are_the_same(pair, around):
    large, small = pair
    result = large.copy()
    result[:, :64, 0] += 0.05
    fixed = STAGE.apply(result, STAGE.measure(result, around(small)), around(small))
    assert not np.array_equal(fixed[:, :64], result[:, :64])
    np.testing.assert_array_equal(fixed[:, 128:], result[:, 128:])


@pytest.mark.parametrize(("depth", "applied"), [(1, False), (8, False), (16, True)])
def test_rounding_is_that_of_the_pictures_own_depth(pair, around, depth, applied):
    large, small = pair
    made = around(small)
    made.metadata = replace(made.metadata, bit_depth=depth)
    assert STAGE.measure(large * np.float32(0.99) + np.float32(0.005), made).applied
    assert STAGE.measure(large * np.float32(0.9999) + np.float32(0.00005), made).applied == applied


def test_sizes_that_are_no_multiples_and_grey(photo, around):
    small = photo("camera")[:21, :17]
    result = resize(small, 52, 43, BICUBIC) * np.float32(0.9)
    fixed = STAGE.apply(result, STAGE.measure(result, around(small)), around(small))
    assert fixed.shape == (52, 43, 1)
    assert fixed.dtype == np.float32
    assert abs(float(fixed.mean() - small.mean())) < abs(float(result.mean() - small.mean())) / 10


@pytest.mark.parametrize("side", [(64, 64), (9, 40), (3, 5), (1, 1)])
def test_the_low_frequencies_are_those_of_pillow_and_scipy(photo, side):
    """Also where the blur's kernel is longer than the picture, which is then reflected more than once."""
    small = photo("coffee")[100 : 100 + side[0], 100 : 100 + side[1]]
    large = resize(small, 4 * side[0], 4 * side[1], BICUBIC) * np.float32(1.2) - np.float32(0.1)
    plain = small - resize(np.clip(large, 0, 1), *side, BICUBIC)
    expected = gaussian_filter(plain, (2, 2, 0), mode="reflect")
    np.testing.assert_allclose(low_frequency_difference(large, small), expected, atol=2e-6)
