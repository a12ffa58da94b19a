"""Super-resolution: exact sizes at any scale, and truly better than bicubic."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image as PillowImage
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio

from enhancer.stages.resize import resize, scaled_size
from enhancer.stages.super_resolution import SuperResolution

STAGE = SuperResolution()


def pillow(pixels, height, width):
    """Pillow's own bicubic resize in 8 bits."""
    eight = PillowImage.fromarray(np.rint(pixels * 255).astype(np.uint8).squeeze())
    resized = np.asarray(eight.resize((width, height), PillowImage.Resampling.BICUBIC))
    return np.atleast_3d(resized).astype(np.float32) / 255


def luma_psnr(truth, result, border):
    inner = np.s_[border:-border, border:-border]
    return peak_signal_noise_ratio(
        rgb2ycbcr(truth)[..., 0][inner], rgb2ycbcr(np.clip(result, 0, 1))[..., 0][inner], data_range=255
    )


@pytest.mark.parametrize(("scale", "side", "gain"), [(4, 192, 1.0), (1.5, 96, 0.5)])
def test_beats_bicubic_on_luma(photo, context, scale, side, gain):
    truth = photo("astronaut")[20 : 20 + side, 150 : 150 + side]
    small = pillow(truth, round(side / scale), round(side / scale))
    decision = STAGE.measure(small, context(scale=scale))
    result = STAGE.apply(small, decision, context(scale=scale))
    assert result.shape == truth.shape
    assert luma_psnr(truth, result, 4) > luma_psnr(truth, pillow(small, side, side), 4) + gain


@pytest.mark.parametrize(("scale", "net_scale", "size"), [(3, 3, (63, 51)), (5, 4, (105, 85)), (1.7, 2, (36, 29))])
def test_sizes_are_exact_and_grey_stays_grey(photo, context, scale, net_scale, size):
    small = photo("camera")[:21, :17]
    decision = STAGE.measure(small, context(scale=scale))
    result = STAGE.apply(small, decision, context(scale=scale))
    assert decision.numbers["net_scale"] == net_scale
    assert (decision.numbers["height"], decision.numbers["width"]) == size
    assert result.shape == (*size, 1)
    assert result.dtype == np.float32
    # Nothing shifts: the result agrees with a plain enlargement but for its sharper edges.
    assert np.abs(np.clip(result, 0, 1) - pillow(small, *size)).mean() < 0.02


def test_scale_1_is_not_its_business(photo, context):
    assert not STAGE.measure(photo("camera"), context(scale=1)).applied


@pytest.mark.parametrize("scale", [1, 1.1, 1.5, 2.5, 3, 7.3, 8])
def test_sides_are_rounded_to_the_nearest(scale):
    for side in (1, 10, 99, 333):
        height, width = scaled_size(side, 2 * side, scale)
        assert abs(height - scale * side) <= 0.5
        assert abs(width - scale * 2 * side) <= 0.5


def test_a_reduction_is_antialiased():
    stripes = np.zeros((64, 64, 1), np.float32)
    stripes[:, ::2] = 1
    assert resize(stripes, 16, 16)[2:-2, 2:-2] == pytest.approx(0.5, abs=0.03)


def test_a_resize_to_the_same_size_changes_nothing(photo):
    pixels = photo("camera")
    assert resize(pixels, *pixels.shape[:2]) is pixels
