"""Scores against hand-computed values; what they record; what they refuse."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from pydantic import ValidationError

from enhancer.errors import PictureError
from enhancer.image import Image, Metadata
from enhancer.quality.scoring import (
    NOISE_FLOOR,
    PSNR_CAP_DB,
    Scores,
    composite_of,
    low_frequency_shift,
    reduce_to,
    residual_ratio,
    score_fidelity,
    score_of,
    score_reference,
)


def picture(unit, dtype=np.uint8, **metadata):
    top = np.iinfo(dtype).max
    return Image(np.rint(unit * top).astype(dtype), metadata=Metadata(**metadata))


@pytest.fixture
def coffee(photos):
    return photos["coffee"]


@pytest.mark.parametrize(
    ("psnr", "ssim", "lpips", "composite", "score"),
    [
        (30, 0.9, 0.1, 12.54, 0.74),
        (20, 0.0, 1.0, 8.0, 0.0),
        (10, 0.5, 0.5, 4.3, 0.3),
        (40, 1.0, 0.0, 16.6, 1.0),
        (100, 1.0, 0.0, 40.6, 1.0),
    ],
)
def test_composite_and_score_by_hand(psnr, ssim, lpips, composite, score):
    assert composite_of(psnr, ssim, lpips) == pytest.approx(composite)
    assert score_of(psnr, ssim, lpips) == pytest.approx(score)


class TestReference:
    def test_equal_pictures(self, scorer, coffee):
        scores = score_reference(picture(coffee), picture(coffee), scorer)
        assert (scores.psnr, scores.lpips) == (PSNR_CAP_DB, 0)
        assert scores.ssim == pytest.approx(1, abs=1e-9)
        assert scores.composite == pytest.approx(40.6)
        assert scores.score == pytest.approx(1)

    def test_a_known_error(self, scorer, coffee):
        truth = np.rint(coffee * 205).astype(np.uint8)
        scores = score_reference(Image(truth + np.uint8(20)), Image(truth), scorer)
        assert scores.psnr == pytest.approx(20 * math.log10(255 / 20), abs=1e-3)
        assert scores.composite == pytest.approx(0.4 * scores.psnr + 0.3 * scores.ssim + 0.3 * (1 - scores.lpips))
        clamped = (scores.psnr - 20) / 20
        assert scores.score == pytest.approx(0.4 * clamped + 0.3 * scores.ssim + 0.3 * (1 - scores.lpips))
        assert scores.artifact_score is scores.low_frequency_shift is scores.residual_ratio is None

    def test_protocol(self, scorer, coffee):
        scores = score_reference(picture(coffee), picture(coffee), scorer, crop=4, space="y")
        assert scores.protocol == {
            "space": "y", "channels": 3, "crop": 4, "data_range": 1.0, "width": 320, "height": 256, "psnr_cap": 100.0,
            "ssim_window": 11, "ssim_weights": "gaussian 1.5", "finite": True,
            "lpips": {"net": "alex", "version": "0.1", "crops": 4, "crop_size": 256},
        }  # fmt: skip

    def test_crop_leaves_the_border_out(self, scorer, coffee):
        damaged = coffee.copy()
        damaged[:4] = 0
        assert score_reference(picture(damaged), picture(coffee), scorer, crop=4).psnr == PSNR_CAP_DB
        assert score_reference(picture(damaged), picture(coffee), scorer, crop=3).psnr < 40

    def test_a_crop_larger_than_the_picture_is_lessened_and_recorded(self, scorer):
        tiny = Image(np.full((3, 5, 1), 7, np.uint8))
        scores = score_reference(tiny, tiny, scorer, crop=4)
        assert scores.psnr == PSNR_CAP_DB
        assert scores.protocol["crop"] == 1
        assert scores.protocol["ssim_window"] is None

    def test_other_size_is_a_mismatch(self, scorer, coffee):
        with pytest.raises(PictureError, match=r"320 x 256.*319 x 256") as caught:
            score_reference(picture(coffee), picture(coffee[:, :-1]), scorer)
        assert caught.value.reason == "reference-mismatch"

    def test_grey_is_compared_as_rgb(self, scorer, photos):
        grey = picture(photos["camera"])
        rgb = Image(np.repeat(grey.pixels, 3, axis=2))
        for pair in ((grey, rgb), (rgb, grey)):
            scores = score_reference(*pair, scorer)
            assert scores.psnr == PSNR_CAP_DB
            assert scores.protocol["channels"] == 3

    def test_depths_may_differ(self, scorer, coffee):
        eight = picture(coffee)
        sixteen = Image(eight.pixels.astype(np.uint16) * 257)
        assert score_reference(eight, sixteen, scorer).psnr > 99

    def test_alpha_of_one_alone_is_ignored(self, scorer, coffee):
        opaque = picture(coffee)
        clear = Image(opaque.pixels, alpha=np.zeros(opaque.pixels.shape[:2], np.uint8))
        assert score_reference(clear, opaque, scorer).psnr == PSNR_CAP_DB

    def test_hidden_colours_do_not_count(self, scorer, coffee):
        pixels = picture(coffee).pixels
        alpha = np.full(pixels.shape[:2], 255, np.uint8)
        alpha[:20] = 0
        other = pixels.copy()
        other[:20] = 255 - other[:20]
        assert score_reference(Image(other, alpha=alpha), Image(pixels, alpha=alpha), scorer).psnr == PSNR_CAP_DB
        other[20:40] = 255 - other[20:40]
        assert score_reference(Image(other, alpha=alpha), Image(pixels, alpha=alpha), scorer).psnr < 30

    def test_float_pictures_share_one_range(self, scorer, coffee):
        # The same values in [0, 2000]; the truth happens to span only a part of them.
        wide = Image(coffee * np.float32(2000), metadata=Metadata(float_range=(0.0, 2000.0)))
        span = (float(wide.pixels.min()), float(wide.pixels.max()))
        narrow = Image(wide.pixels, metadata=Metadata(float_range=span))
        assert score_reference(wide, narrow, scorer).psnr == PSNR_CAP_DB

    def test_a_float_picture_out_of_its_range_is_refused(self, scorer, coffee):
        with pytest.raises(ValueError, match="outside the data range"):
            score_reference(Image(coffee * np.float32(255)), Image(coffee), scorer)

    def test_values_that_are_no_numbers(self, scorer, coffee):
        broken = coffee.copy()
        broken[0, 0, 0] = np.nan
        scores = score_reference(Image(broken), Image(coffee), scorer)
        assert scores.protocol["finite"] is False
        assert scores.psnr is scores.score is None
        with pytest.raises(PictureError) as caught:
            score_reference(Image(coffee), Image(broken), scorer)
        assert caught.value.reason == "reference-mismatch"


class TestFidelity:
    def test_doing_nothing(self, scorer, coffee):
        scores = score_fidelity(picture(coffee), picture(coffee), scorer, sigma=0.05)
        assert scores.kind == "fidelity"
        assert (scores.psnr, scores.lpips, scores.artifact_score) == (PSNR_CAP_DB, 0, 0)
        assert (scores.low_frequency_shift, scores.residual_ratio) == (0, 0)
        assert scores.protocol["reduction"] is None
        assert scores.protocol["sigma"] == 0.05
        assert set(scores.protocol["artifact_parts"]) >= {"blockiness", "clipping", "overshoot"}

    def test_a_perfect_enlargement_reduces_to_its_source(self, scorer, coffee):
        truth = picture(coffee)
        source = picture(reduce_to(coffee, 64, 80))
        scores = score_fidelity(truth, source, scorer, sigma=0.01)
        assert scores.psnr > 55
        assert scores.residual_ratio < 0.3
        assert scores.protocol["reduction"] == "bicubic, antialiased"
        assert (scores.protocol["width"], scores.protocol["height"]) == (80, 64)

    def test_a_noisy_source_cleaned(self, scorer, coffee):
        rng = np.random.default_rng(0)
        middle = 0.25 + coffee / 2
        noisy = middle + rng.normal(0, 0.05, coffee.shape)
        scores = score_fidelity(picture(middle), picture(noisy), scorer, sigma=0.05)
        assert scores.residual_ratio == pytest.approx(1, abs=0.02)
        assert scores.low_frequency_shift < 0.003

    @pytest.mark.parametrize("shape", [(256, 330), (255, 320), (128, 160), (512, 320)])
    def test_what_is_no_enlargement_is_refused(self, scorer, coffee, shape):
        with pytest.raises(PictureError) as caught:
            score_fidelity(Image(np.zeros((*shape, 3), np.uint8)), picture(coffee), scorer)
        assert caught.value.reason == "size-mismatch"

    @pytest.mark.parametrize(("height", "width", "scale"), [(7, 13, 2.5), (1, 9, 1.3), (31, 5, 3.7), (1, 1, 8)])
    def test_rounded_sides_are_accepted(self, scorer, height, width, scale):
        source = Image(np.full((height, width, 3), 90, np.uint8))
        result = Image(np.full((round(height * scale), round(width * scale), 3), 90, np.uint8))
        scores = score_fidelity(result, source, scorer)
        assert scores.psnr > 70
        assert scores.residual_ratio is None

    def test_values_that_are_no_numbers(self, scorer, coffee):
        broken = coffee.copy()
        broken[3, 3] = np.inf
        scores = score_fidelity(Image(broken), Image(coffee), scorer)
        assert scores.artifact_score == 1
        assert scores.protocol["finite"] is False
        assert scores.psnr is None


class TestLowFrequencies:
    def test_a_constant_shift_is_itself(self, coffee):
        assert low_frequency_shift(coffee * 0.5, coffee * 0.5 + np.float32(0.2)) == pytest.approx(0.2, abs=1e-6)

    def test_noise_averages_out(self, coffee):
        noisy = coffee + np.random.default_rng(0).normal(0, 0.1, coffee.shape).astype(np.float32)
        # 20 x 20 pixels a cell: 0.1 / 20 standard deviation, of which the mean absolute value is sqrt(2 / pi).
        assert low_frequency_shift(coffee, noisy) == pytest.approx(0.1 / 20 * math.sqrt(2 / math.pi), rel=0.15)

    def test_means_of_uneven_cells(self):
        a = np.zeros((1, 35, 1), np.float32)
        b = np.zeros((1, 35, 1), np.float32)
        b[0, :2] = 1
        # 35 columns in 16 cells; the first holds columns 0 and 1 alone and shifts by 1.
        assert low_frequency_shift(a, b) == pytest.approx(1 / 16)


class TestResidual:
    def test_black_and_white_samples_do_not_count(self):
        source = np.full((64, 64, 1), 0.5, np.float32)
        result = source.copy()
        source[::7] = 1
        source[::9] = 0
        assert residual_ratio(result, source, 0.1) == 0

    def test_a_pixel_that_was_struck_in_one_channel_does_not_count_in_the_others(self):
        source = np.full((8, 8, 3), 0.5, np.float32)
        source[::2, :, 1] = 1
        result = np.full_like(source, 0.5)
        result[::2] = 0.4
        assert residual_ratio(result, source, 0.1) == 0

    def test_ratio_of_standard_deviations(self):
        removed = np.random.default_rng(0).normal(0, 0.06, (200, 200, 1)).astype(np.float32)
        source = np.full_like(removed, 0.5) + removed
        assert residual_ratio(source - removed, source, 0.03) == pytest.approx(2, abs=0.03)

    def test_the_floor_of_noise(self):
        removed = np.random.default_rng(0).normal(0, 0.02, (200, 200, 1)).astype(np.float32)
        source = np.full_like(removed, 0.5) + removed
        assert residual_ratio(source - removed, source, 0.0) == pytest.approx(0.02 / NOISE_FLOOR, rel=0.02)

    def test_nothing_to_hold_it_against(self):
        grey = np.full((4, 4, 1), 0.5, np.float32)
        assert residual_ratio(grey, grey, None) is None
        assert residual_ratio(grey, np.ones_like(grey), 0.1) is None


def test_scores_are_finite_json(scorer, coffee):
    for scores in (
        score_reference(picture(coffee), picture(coffee), scorer),
        score_fidelity(picture(coffee), picture(coffee), scorer, sigma=0.0),
    ):
        text = json.dumps(scores.model_dump(), allow_nan=False)
        assert Scores.model_validate_json(text) == scores
    with pytest.raises(ValidationError):
        Scores(kind="reference", psnr=math.inf)
    with pytest.raises(ValidationError):
        Scores(kind="fidelity", artifact_score=1.2)
