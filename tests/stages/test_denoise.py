"""Denoising against the truth and against scikit-image's non-local means, which is told the true sigma."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio as psnr
from skimage.restoration import denoise_nl_means

from enhancer.stages.denoise import Denoising

STAGE = Denoising()


def denoised(pixels, context):
    decision = STAGE.measure(pixels, context)
    assert decision.applied, decision.reason
    return np.clip(STAGE.apply(pixels, decision, context), 0, 1)


@pytest.mark.parametrize("name", ["astronaut", "chelsea", "camera"])
@pytest.mark.parametrize(("sigma", "gain"), [(10, 6), (25, 9)])
def test_gains_db_and_beats_non_local_means(photo, context, with_noise, name, sigma, gain):
    truth = photo(name)[60:316, 60:316]
    noisy = with_noise(truth, sigma)
    means = denoise_nl_means(
        noisy, patch_size=5, patch_distance=6, h=0.8 * sigma / 255, sigma=sigma / 255, channel_axis=-1
    ).reshape(truth.shape)
    result = denoised(noisy, context())
    assert result.shape == truth.shape
    assert psnr(truth, result, data_range=1) > psnr(truth, noisy, data_range=1) + gain
    assert psnr(truth, result, data_range=1) > psnr(truth, means, data_range=1) + 1


def test_a_black_and_white_scan_stored_as_rgb_is_denoised_like_a_grey_one(photo, context, with_noise):
    truth = photo("moon")[60:316, 60:316]
    noisy = with_noise(truth, 25)
    grey = denoised(noisy, context())
    colour = denoised(np.repeat(noisy, 3, axis=2), context())
    assert psnr(truth, grey, data_range=1) > 35.5
    assert psnr(np.repeat(truth, 3, axis=2), colour, data_range=1) > 35.5
    assert np.ptp(colour, axis=2).max() < 0.05


def test_strength_scales_what_the_net_is_told(photo, context, with_noise):
    noisy = with_noise(photo("coffee")[:128, :128], 10)
    told = {s: STAGE.measure(noisy, context(denoise_strength=s)).numbers["sigma_removed"] for s in (0.25, 0.5, 1)}
    assert told[0.5] == pytest.approx(10, rel=0.15)
    assert told[0.25] == pytest.approx(told[0.5] / 2, abs=0.02)
    assert told[1] == pytest.approx(2 * told[0.5], abs=0.02)


def test_the_specified_strength_is_the_best_of_the_three(photo, context, with_noise):
    truth = photo("chelsea")[60:188, 60:188]
    noisy = with_noise(truth, 15)
    quality = {s: psnr(truth, denoised(noisy, context(denoise_strength=s)), data_range=1) for s in (0.25, 0.5, 1)}
    assert quality[0.5] > max(quality[0.25], quality[1])


def test_what_it_does_not_touch(photo, context, with_noise):
    noisy = with_noise(photo("coffee")[:128, :128], 25)
    assert not STAGE.measure(noisy, context(denoise_strength=0)).applied
    assert not STAGE.measure(noisy[:12, :12], context()).applied
    assert not STAGE.measure(np.zeros((256, 256, 3), np.float32), context()).applied
    clean = STAGE.measure(photo("coffee"), context())
    assert not clean.applied
    assert max(clean.numbers["sigma"]) < 2.5


def test_the_brightness_stays(photo, context, with_noise):
    noisy = with_noise(photo("astronaut")[:128, :128], 20)
    assert denoised(noisy, context()).mean(axis=(0, 1)) == pytest.approx(noisy.mean(axis=(0, 1)), abs=1 / 255)
