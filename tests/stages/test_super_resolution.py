"""Super-resolution: exact sizes at any scale, and truly better than bicubic."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image as PillowImage
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio

from enhancer.backends.base import NetSpec
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


@pytest.mark.parametrize(("scale", "net_scale", "size"), [(3, 4, (63, 51)), (5, 4, (105, 85)), (1.7, 2, (36, 29))])
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


class Repeating:
    """A net in whose result every pixel is a square of its own colour, so that its share shows."""

    def __init__(self, scale):
        self.spec = NetSpec("repeating", scale, 3, 3, halo=0)
        self.sides = []

    def run(self, batch):
        self.sides.append(batch.shape[2:])
        return batch.repeat(self.spec.scale, 2).repeat(self.spec.scale, 3)


@pytest.fixture
def repeating(context, monkeypatch):
    """Gives a context whose nets of scale 2 and 4 only repeat pixels."""
    by_scale = {2: Repeating(2), 4: Repeating(4)}

    def make(**overrides):
        made = context(**overrides)
        choose = lambda scale, name=None, precision="auto": by_scale[2 if scale <= 2 else 4]  # noqa: E731
        monkeypatch.setattr(made.nets, "super_resolution", choose)
        return made, by_scale

    return make


def test_stages_enlarge_by_the_root_and_blend(photo, repeating):
    small = photo("astronaut")[100:120, 100:117]
    around, nets = repeating(scale=4, progressive={"stages": 2})
    decision = STAGE.measure(small, around)
    assert (decision.numbers["stages"], decision.numbers["blend"], decision.numbers["net_scale"]) == (2, 0.7, 2)
    found = STAGE.apply(small, decision, around)
    assert nets[2].sides == [(20, 17), (40, 34)]
    expected = small
    for size in ((40, 34), (80, 68)):
        plain = np.stack(
            [
                np.asarray(PillowImage.fromarray(expected[..., c]).resize(size[::-1], PillowImage.Resampling.BICUBIC))
                for c in range(3)
            ],
            axis=2,
        )
        expected = np.clip(0.7 * expected.repeat(2, 0).repeat(2, 1) + 0.3 * plain, 0, 1).astype(np.float32)
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(("scale", "stages"), [(8, 3), (5, 2), (2.5, 3), (1.3, 2), (7.3, 6)])
def test_stages_end_at_the_exact_size(photo, repeating, scale, stages):
    small = photo("camera")[:21, :17]
    around, _ = repeating(scale=scale, progressive={"stages": stages, "blend": 0.5})
    result = STAGE.apply(small, STAGE.measure(small, around), around)
    assert result.shape == (*scaled_size(21, 17, scale), 1)


def test_one_stage_is_the_net_alone(photo, repeating):
    small = photo("astronaut")[:9, :8]
    around, _ = repeating(scale=2, progressive={"stages": 1, "blend": 0.1})
    decision = STAGE.measure(small, around)
    assert "blend" not in decision.numbers
    np.testing.assert_array_equal(STAGE.apply(small, decision, around), small.repeat(2, 0).repeat(2, 1))
