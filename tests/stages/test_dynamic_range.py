"""The range's numbers against hand-made pictures whose clipping, percentiles and stops are known."""

from __future__ import annotations

import json

import numpy as np
import pytest
from skimage import data
from skimage.color import rgb2xyz

from enhancer.stages.dynamic_range import analyse, sample
from enhancer.stages.light import from_linear, to_linear


def test_clipping_is_counted_per_channel() -> None:
    pixels = np.full((10, 10, 3), 0.5, dtype=np.float32)
    pixels[0, :, 0] = 1  # a tenth red at the top
    pixels[1:3, :, 2] = 0  # a fifth without blue
    pixels[9, :] = 254 / 255  # a tenth white, as a JPEG leaves it
    numbers = analyse(pixels)
    assert numbers.highlights_clipped == pytest.approx((0.2, 0.1, 0.1))
    assert numbers.shadows_clipped == pytest.approx((0, 0, 0.2))
    assert numbers.any_highlight_clipped == pytest.approx(0.2)
    assert numbers.white == pytest.approx(0.1)


def test_luminance_percentiles_are_those_of_xyz() -> None:
    photo = (data.coffee() / 255).astype(np.float32)
    expected = np.percentile(rgb2xyz(photo)[..., 1], [1, 50, 99])
    measured = analyse(photo).luminance_percentiles
    np.testing.assert_allclose([measured["1"], measured["50"], measured["99"]], expected, atol=5e-4)


def test_stops_and_headroom_of_a_grey_ramp_of_light() -> None:
    light = np.linspace(1 / 64, 1 / 4, 10_001, dtype=np.float32)
    numbers = analyse(from_linear(light).reshape(73, 137, 1))
    assert numbers.stops == pytest.approx(4, abs=0.05)
    assert numbers.headroom == pytest.approx(2, abs=0.01)


def test_contrast_of_a_chessboard_is_the_largest_there_is() -> None:
    board = np.indices((8, 8)).sum(axis=0) % 2
    assert analyse(board[..., None].astype(np.float32)).contrast == pytest.approx(0.5)


def test_a_black_picture_has_finite_numbers() -> None:
    numbers = analyse(np.zeros((4, 4, 3), dtype=np.float32)).as_numbers()
    assert numbers["stops"] == 0
    assert json.loads(json.dumps(numbers, allow_nan=False)) == numbers


def test_large_pictures_are_sampled_without_averaging() -> None:
    stripes = np.tile(np.array([0, 1, 1], dtype=np.float32), (2050, 1000))[..., None]
    sampled = sample(stripes)
    assert len(sampled) <= 1024**2
    assert set(np.unique(sampled)) <= {0, 1}


def test_only_visible_pixels_count() -> None:
    pixels = np.zeros((6, 6, 1), dtype=np.float32)
    pixels[:2] = 0.5
    visible = pixels[..., 0] > 0
    assert analyse(pixels, visible).shadows_clipped == (0,)
    assert analyse(pixels, np.zeros_like(visible)).shadows_clipped == pytest.approx((2 / 3,))


@pytest.mark.parametrize("channels", [1, 3])
def test_shares_and_the_brightest_are_those_of_whole_arrays(channels) -> None:
    pixels = (np.clip(data.rocket()[:300, :401, :channels].astype(np.float32) * 1.6, 0, 255) / 255).astype(np.float32)
    numbers, values = analyse(pixels), pixels.reshape(-1, channels)
    high = values >= 253.5 / 255
    assert numbers.highlights_clipped == tuple(high.mean(axis=0))
    assert numbers.any_highlight_clipped == high.any(axis=1).mean() > 0
    assert numbers.white == high.all(axis=1).mean() > 0
    assert numbers.brightest == np.percentile(to_linear(values).max(axis=1), 99.9)
