"""Denoising against the truth and against scikit-image's non-local means, which is told the true sigma."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.metrics import peak_signal_noise_ratio as psnr
from skimage.restoration import denoise_nl_means

from enhancer.stages.base import WHOLE_PICTURE
from enhancer.stages.denoising import Denoising
from enhancer.stages.impulse_repair import ImpulseRepair
from enhancer.training.degradations import as_bytes, through_jpeg, with_gaussian_noise

STAGE = Denoising()


def denoised(pixels, context):
    decision = STAGE.measure(pixels, context)
    assert decision.applied, decision.reason
    return np.clip(STAGE.apply(pixels, decision, context), 0, 1)


@pytest.mark.parametrize("name", ["astronaut", "chelsea", "camera"])
@pytest.mark.parametrize(("sigma", "gain"), [(10, 6), (25, 9)])
@pytest.mark.parametrize(("model", "margin"), [("ffdnet-color", 1), ("denoise", 0)])
def test_gains_db_and_beats_non_local_means(photo, context, with_noise, name, sigma, gain, model, margin):
    truth = photo(name)[60:316, 60:316]
    noisy = with_noise(truth, sigma)
    means = denoise_nl_means(
        noisy, patch_size=5, patch_distance=6, h=0.8 * sigma / 255, sigma=sigma / 255, channel_axis=-1
    ).reshape(truth.shape)
    result = denoised(noisy, context(denoise_model=model))
    assert result.shape == truth.shape
    assert psnr(truth, result, data_range=1) > psnr(truth, noisy, data_range=1) + gain
    assert psnr(truth, result, data_range=1) > psnr(truth, means, data_range=1) + margin


@pytest.mark.parametrize(("model", "least"), [("ffdnet-color", 35.5), ("denoise", 33.5)])
def test_a_black_and_white_scan_stored_as_rgb_is_denoised_like_a_grey_one(photo, context, with_noise, model, least):
    truth = photo("moon")[60:316, 60:316]
    noisy = with_noise(truth, 25)
    grey = denoised(noisy, context(denoise_model=model))
    colour = denoised(np.repeat(noisy, 3, axis=2), context(denoise_model=model))
    assert psnr(truth, grey, data_range=1) > least
    assert psnr(np.repeat(truth, 3, axis=2), colour, data_range=1) > least
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


@pytest.fixture
def growing(photo):
    """A picture with noise of 4 levels on the left and 44 on the right, as bytes hold it, and the picture."""
    truth = photo("astronaut")[:384]
    strength = np.linspace(4, 44, truth.shape[1], dtype=np.float32)[None, :, None] / 255
    noisy = with_gaussian_noise(truth, strength, np.random.default_rng(8))
    return truth, as_bytes(noisy).astype(np.float32) / 255


def test_noise_that_varies_is_measured_by_region_and_removed_where_it_is(growing, context):
    truth, noisy = growing
    made = context()
    decision = made.decisions["denoising"] = STAGE.measure(noisy, made)
    regions = np.array(decision.numbers["sigma_regions"])
    middles = 4 + 40 * (np.arange(regions.shape[1]) + 0.5) / regions.shape[1]
    assert np.median(regions, axis=0) == pytest.approx(middles, rel=0.25)
    overall = np.sqrt(np.mean(np.square(decision.numbers["sigma"])))
    assert overall == pytest.approx(26.6, rel=0.15)  # the root mean square of 4 to 44
    assert STAGE.halo(made) == WHOLE_PICTURE
    mapped = np.clip(STAGE.apply(noisy, decision, made), 0, 1)
    decision.numbers.pop("sigma_regions")
    one_number = np.clip(STAGE.apply(noisy, decision, made), 0, 1)
    assert psnr(truth, mapped, data_range=1) > psnr(truth, one_number, data_range=1) + 1


def test_a_quiet_half_of_the_picture_is_hardly_touched(photo, context, with_noise):
    truth = photo("astronaut")
    pasted = with_noise(truth, 25)
    pasted[:, :256] = truth[:, :256]
    decision = STAGE.measure(pasted, context())
    result = np.clip(STAGE.apply(pasted, decision, context()), 0, 1)
    assert psnr(truth[:, :160], result[:, :160], data_range=1) > 45
    assert psnr(truth[:, 352:], result[:, 352:], data_range=1) > psnr(truth[:, 352:], pasted[:, 352:], data_range=1) + 7


def test_the_same_noise_everywhere_needs_no_map(photo, context, with_noise):
    for name, sigma in (("coffee", 8), ("camera", 25), ("gravel", 15)):
        assert "sigma_regions" not in STAGE.measure(with_noise(photo(name), sigma), context()).numbers


def test_the_kind_of_noise_is_told(photo, context, with_noise):
    truth = photo("coffee")[:256, :256]
    random = np.random.default_rng(2)
    struck = random.random(truth.shape) < 0.04
    black_or_white = (random.random(truth.shape) < 0.5).astype(np.float32)
    kinds = {}
    for name, pixels in {"none": truth, "gaussian": with_noise(truth, 15)}.items():
        for damaged in (False, True):
            made, given = context(), np.where(struck, black_or_white, pixels) if damaged else pixels
            repair = ImpulseRepair()
            decision = made.decisions[repair.name] = repair.measure(given, made)
            if decision.applied:
                given = repair.apply(given, decision, made)
            kinds[name, damaged] = STAGE.measure(given, made).numbers["kind"]
    assert kinds == {
        ("none", False): "none",
        ("none", True): "impulse",
        ("gaussian", False): "gaussian",
        ("gaussian", True): "mixed",
    }


@pytest.mark.parametrize(("sigma", "share"), [(4.2, 0.3), (10, 0.6), (25, 0.9)])
def test_the_specified_table_makes_a_share_of_the_change(photo, context, with_noise, sigma, share):
    noisy = with_noise(photo("camera")[:256, :256], sigma)
    plain, table = context(), context(denoise_table="specified")
    decision = STAGE.measure(noisy, table)
    assert decision.numbers["share"] == share
    assert STAGE.measure(noisy, context(denoise_table="specified", denoise_strength=0.25)).numbers["share"] == share / 2
    whole = STAGE.apply(noisy, STAGE.measure(noisy, plain), plain) - noisy
    assert STAGE.apply(noisy, decision, table) - noisy == pytest.approx(share * whole, abs=1e-6)


def test_noise_under_a_good_jpeg_is_still_found_and_removed(photo, context, with_noise):
    truth = photo("coffee")[:256, :256]
    file = through_jpeg(as_bytes(with_noise(truth, 20)), 92, "4:4:4").astype(np.float32) / 255
    assert psnr(truth, denoised(file, context()), data_range=1) > psnr(truth, file, data_range=1) + 4
