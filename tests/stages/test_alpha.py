"""Alpha: colours bled under it, and its own enlargement."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image as PillowImage

from enhancer.stages.alpha import bleed, resize_alpha


def test_transparent_pixels_take_the_colour_of_the_nearest_visible_one():
    rng = np.random.default_rng(2)
    pixels = rng.random((12, 15, 3), dtype=np.float32)
    visible = rng.random((12, 15)) < 0.15
    bled = bleed(pixels, visible)
    places = np.argwhere(visible)
    for y, x in np.argwhere(~visible):
        distances = np.hypot(*(places - (y, x)).T)
        nearest = [pixels[tuple(place)] for place in places[distances == distances.min()]]
        assert any(np.array_equal(bled[y, x], colour) for colour in nearest)
    assert np.array_equal(bled[visible], pixels[visible])


def test_all_or_nothing_visible_is_left_as_it_is():
    pixels = np.zeros((4, 4, 3), np.float32)
    assert bleed(pixels, np.ones((4, 4), bool)) is pixels
    assert bleed(pixels, np.zeros((4, 4), bool)) is pixels


@pytest.mark.parametrize(("dtype", "value"), [(np.uint8, 255), (np.uint8, 77), (np.uint16, 65535), (np.float32, 0.3)])
def test_constant_alpha_stays_constant(dtype, value):
    resized = resize_alpha(np.full((5, 7), value, dtype), 13, 18)
    assert resized.dtype == dtype
    assert resized.shape == (13, 18)
    assert (resized == np.asarray(value, dtype)).all()


def test_alpha_is_enlarged_as_pillow_enlarges_8_bits():
    alpha = np.random.default_rng(3).integers(0, 256, (20, 24), dtype=np.uint8)
    expected = np.asarray(PillowImage.fromarray(alpha).resize((60, 50), PillowImage.Resampling.BICUBIC))
    assert np.abs(resize_alpha(alpha, 50, 60).astype(int) - expected).max() <= 1


def test_the_inside_of_a_cut_out_stays_opaque():
    alpha = np.zeros((20, 20), np.uint16)
    alpha[5:15, 5:15] = 65535
    resized = resize_alpha(alpha, 80, 80)
    assert (resized[25:55, 25:55] == 65535).all()
    assert (resized[:15] == 0).all()
