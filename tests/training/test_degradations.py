"""Damage done on purpose, against what it is said to be: moments by NumPy, files by Pillow."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from skimage import data

from enhancer.training.degradations import as_bytes, noise_map, through_jpeg, with_gaussian_noise, with_impulses

GREY = np.full((256, 256, 3), 0.02, np.float32)


def test_gaussian_noise_has_its_strength_and_no_bias_even_near_black():
    noise = with_gaussian_noise(GREY, 0.1, np.random.default_rng(1)) - GREY
    assert noise.dtype == np.float32
    assert noise.std() == pytest.approx(0.1, rel=0.01)
    assert noise.mean() == pytest.approx(0, abs=0.001)
    assert noise.min() < -0.02  # below black: clipping would lift the mean


def test_gaussian_noise_follows_a_map():
    strength = np.linspace(0, 0.2, 256, dtype=np.float32)[:, None, None]
    noise = with_gaussian_noise(GREY, strength, np.random.default_rng(1)) - GREY
    assert not noise[0].any()
    assert noise[-32:].std() == pytest.approx(0.1875, rel=0.02)


def test_impulses_strike_their_share_half_black_half_white():
    struck = with_impulses(np.full((256, 256, 3), 0.5, np.float32), 0.1, np.random.default_rng(1))
    assert (struck == 0).mean() == pytest.approx(0.05, rel=0.05)
    assert (struck == 1).mean() == pytest.approx(0.05, rel=0.05)
    assert set(np.unique(struck)) == {0, 0.5, 1}


def test_bytes_are_rounded_and_clipped():
    assert as_bytes(np.array([-0.1, 0.4 / 255, 0.6 / 255, 0.5, 1.2], np.float32)).tolist() == [0, 0, 1, 128, 255]


def test_noise_maps_are_of_three_kinds_within_their_bounds():
    maps = [noise_map(32, 0.2, np.random.default_rng(seed)) for seed in range(400)]
    still = [one for one in maps if not one.any()]
    varying = [one for one in maps if np.ptp(one) > 0]
    assert len(still) == pytest.approx(50, abs=20)
    assert len(varying) == pytest.approx(100, abs=30)
    assert all(one.min() >= 0 and one.max() <= 0.2 for one in maps)
    ramp = varying[0]
    assert np.allclose(np.diff(ramp, n=2, axis=0), 0, atol=1e-5)  # bilinear: straight along rows and columns
    assert np.allclose(np.diff(ramp, n=2, axis=1), 0, atol=1e-5)


@pytest.mark.parametrize(("subsampling", "factors"), [("4:2:0", (2, 2)), ("4:4:4", (1, 1))])
def test_jpeg_is_what_an_encoder_gives(subsampling, factors):
    pixels = data.astronaut()[:64, :96]
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=30, subsampling=subsampling)
    with Image.open(file) as image:
        assert image.layer[0][1:3] == factors
        assert np.array_equal(through_jpeg(pixels, 30, subsampling), np.asarray(image))
