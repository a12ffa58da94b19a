"""What is measured of blocks, and the shortcuts of measuring, against plain formulas."""

from __future__ import annotations

import numpy as np
import pytest
import pywt
from scipy.stats import kurtosis
from skimage.restoration import estimate_sigma

from enhancer.stages.noise import measure_noise
from enhancer.stages.noise_blocks import BLOCK, MAD_TO_SIGMA, measure_blocks, measure_differences
from enhancer.stages.noise_map import _at_most, _regions_of, noise_regions


def plainly(plane, hidden):
    """Strengths, kurtosis and hidden shares of the blocks of a plane, by names, block by block in float64."""
    _, details = pywt.dwt2(plane, "db2", mode="symmetric")
    half = BLOCK // 2
    found = {"horizontal": [], "vertical": [], "diagonal": [], "kurtosis": [], "hidden": []}
    for row in range(plane.shape[0] // BLOCK):
        for column in range(plane.shape[1] // BLOCK):
            at = np.s_[row * half : (row + 1) * half, column * half : (column + 1) * half]
            for name, values in zip(("horizontal", "vertical", "diagonal"), details, strict=True):
                found[name].append(MAD_TO_SIGMA * np.median(np.abs(values[at].astype(np.float64))))
            fine = details[2][at].astype(np.float64)
            found["kurtosis"].append(kurtosis(np.concatenate([fine, -fine], axis=None)))  # about 0, not about the mean
            block = np.s_[row * BLOCK : (row + 1) * BLOCK, column * BLOCK : (column + 1) * BLOCK]
            found["hidden"].append(hidden[block].mean())
    return {name: np.array(values) for name, values in found.items()}


def clipped(values):
    return (values <= np.float32(2 / 255)) | (values >= 1 - np.float32(2 / 255))


def compare(blocks, plane, hidden):
    expected = plainly(plane, hidden)
    seen = expected["hidden"] < 0.1
    for name, values in expected.items():
        tolerance = {"rtol": 1e-9, "atol": 1e-9} if name == "kurtosis" else {"rtol": 0, "atol": 0}
        np.testing.assert_allclose(getattr(blocks, name), values[seen], **tolerance, err_msg=name)


def test_blocks_are_those_of_the_plain_formulas_to_the_bit(photo, with_noise):
    pixels = with_noise(photo("coffee"), 6)[:390, :500]
    for channel, blocks in enumerate(measure_blocks(pixels)):
        compare(blocks, pixels[..., channel], clipped(pixels[..., channel]))
    pairs = ((0, 1), (1, 2), (0, 2))
    for (one, other), blocks in zip(pairs, measure_differences(pixels), strict=True):
        difference = (pixels[..., one] - pixels[..., other]) / np.float32(np.sqrt(2))
        compare(blocks, difference, clipped(pixels).any(axis=2))


@pytest.mark.parametrize("side", [(301, 300), (300, 301), (64, 90)])
def test_the_wavelet_estimate_is_scikit_images(photo, with_noise, side):
    pixels = with_noise(photo("chelsea"), 4)[: side[0], : side[1]]
    expected = estimate_sigma(pixels, channel_axis=-1, average_sigmas=False)
    np.testing.assert_allclose(measure_noise(pixels).estimates, expected, rtol=1e-6)


def test_an_even_picture_has_an_estimate_of_nothing():
    assert measure_noise(np.full((128, 128, 1), 0.5, np.float32)).estimates == pytest.approx([0], abs=1e-12)


@pytest.mark.parametrize("sigma", [0, 3, 10])
def test_no_region_has_more_than_the_bound_that_spares_looking_at_them(photo, with_noise, sigma):
    for name in ("chelsea", "gravel"):
        pixels = with_noise(photo(name), sigma)
        height, width = pixels.shape[:2]
        for blocks in measure_blocks(pixels):
            bound = _at_most(blocks, height, width, 3, 4).reshape(3, 4)
            found = _regions_of(blocks, height, width, 3, 4)
            assert np.isfinite(found).any()
            assert np.all((found <= bound * (1 + 1e-12)) | np.isnan(found))


def test_noise_that_varies_passes_the_bound(photo):
    ramp = np.linspace(2, 25, 512)[None, :, None] / 255
    noisy = photo("astronaut") + np.random.default_rng(4).normal(0, 1, (512, 512, 3)) * ramp
    noise = measure_noise(np.clip(noisy, 0, 1).astype(np.float32))
    regions = noise_regions(noise.blocks, 512, 512)
    assert regions is not None
    assert regions[:, -1].mean() > 3 * regions[:, 0].mean()
