"""PSNR and SSIM against hand-written loops and published figures."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from enhancer.image import to_unit
from enhancer.quality import metrics
from enhancer.quality.metrics import luma, psnr, ssim, ssim_window


def random_pair(height, width, channels, seed=0):
    rng = np.random.default_rng(seed)
    a = rng.random((height, width, channels), dtype=np.float32)
    b = np.clip(a + rng.normal(0, 0.1, a.shape), 0, 1).astype(np.float32)
    return a, b


def naive_psnr(a, b, data_range=1.0):
    total = 0.0
    for x, y in zip(a.ravel().tolist(), b.ravel().tolist(), strict=True):
        total += (x - y) ** 2
    return 10 * math.log10(data_range**2 / (total / a.size))


def naive_ssim(a, b, window, sigma):
    """Wang et al. 2004, window by window."""
    radius = window // 2
    weights = np.array(
        [
            [math.exp(-(i * i + j * j) / (2 * sigma * sigma)) for j in range(-radius, radius + 1)]
            for i in range(-radius, radius + 1)
        ]
    )
    weights /= weights.sum()
    values = []
    for c in range(a.shape[2]):
        for y in range(a.shape[0] - window + 1):
            for x in range(a.shape[1] - window + 1):
                p = a[y : y + window, x : x + window, c].astype(np.float64)
                q = b[y : y + window, x : x + window, c].astype(np.float64)
                mp, mq = (weights * p).sum(), (weights * q).sum()
                vp, vq = (weights * (p - mp) ** 2).sum(), (weights * (q - mq) ** 2).sum()
                cov = (weights * (p - mp) * (q - mq)).sum()
                values.append((2 * mp * mq + 1e-4) * (2 * cov + 9e-4) / ((mp**2 + mq**2 + 1e-4) * (vp + vq + 9e-4)))
    return float(np.mean(values))


@pytest.mark.parametrize("channels", [1, 3])
def test_psnr_is_the_textbook_formula(channels):
    a, b = random_pair(13, 17, channels)
    assert psnr(a, b) == pytest.approx(naive_psnr(a, b), abs=1e-4)
    assert psnr(a, b, crop=3) == pytest.approx(naive_psnr(a[3:-3, 3:-3], b[3:-3, 3:-3]), abs=1e-4)


def test_psnr_of_a_known_error():
    black = np.zeros((8, 8, 3), np.float32)
    assert psnr(black, np.full_like(black, 0.1)) == pytest.approx(20, abs=1e-5)
    assert psnr(black, black) == math.inf


def test_data_range_only_rescales():
    a, b = random_pair(16, 16, 3)
    assert psnr(a * 255, b * 255, data_range=255) == pytest.approx(psnr(a, b), abs=1e-4)
    assert ssim(a * 255, b * 255, data_range=255) == pytest.approx(ssim(a, b), abs=1e-5)


@pytest.mark.parametrize(
    ("rgb", "y"),
    # MATLAB: rgb2ycbcr of these colours, times 255. White, black, red, green, blue.
    [((1, 1, 1), 235), ((0, 0, 0), 16), ((1, 0, 0), 81.481), ((0, 1, 0), 144.553), ((0, 0, 1), 40.966)],
)
def test_luma_is_matlab_rgb2ycbcr(rgb, y):
    pixel = np.array(rgb, np.float32).reshape(1, 1, 3)
    assert luma(pixel)[0, 0, 0] * 255 == pytest.approx(y, abs=1e-4)


def test_luma_of_grey_is_that_of_equal_channels():
    grey = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4, 1)
    np.testing.assert_allclose(luma(grey), luma(np.repeat(grey, 3, axis=2)), atol=1e-6)


def test_y_space_scores_luma_alone():
    a, b = random_pair(12, 12, 3)
    ya = (16 + 65.481 * a[..., 0] + 128.553 * a[..., 1] + 24.966 * a[..., 2]) / 255
    yb = (16 + 65.481 * b[..., 0] + 128.553 * b[..., 1] + 24.966 * b[..., 2]) / 255
    assert psnr(a, b, space="y") == pytest.approx(naive_psnr(ya, yb), abs=1e-4)
    assert psnr(a, b, space="y") != pytest.approx(psnr(a, b), abs=0.1)


@pytest.mark.parametrize(
    ("height", "width", "window"), [(15, 18, 11), (11, 11, 11), (10, 14, 9), (8, 30, 7), (5, 6, 5), (3, 9, 3)]
)
@pytest.mark.parametrize("channels", [1, 3])
def test_ssim_is_the_naive_one(height, width, window, channels):
    a, b = random_pair(height, width, channels)
    assert ssim_window(height, width) == window
    assert ssim(a, b) == pytest.approx(naive_ssim(a, b, window, 1.5 * window / 11), abs=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("side", [(200, 150), (11, 40), (7, 9)])
def test_both_are_scikit_images(photos, side, channels):
    a = photos["coffee"][: side[0], : side[1], :channels]
    b = np.clip(a + np.random.default_rng(3).normal(0, 0.05, a.shape), 0, 1).astype(np.float32)
    window = ssim_window(*side)
    expected = structural_similarity(
        a.astype(np.float64), b.astype(np.float64), data_range=1.0, channel_axis=2, gaussian_weights=True,
        sigma=1.5 * window / 11, win_size=window, use_sample_covariance=False,
    )  # fmt: skip
    assert ssim(a, b) == pytest.approx(expected, abs=1e-12)
    assert psnr(a, b) == pytest.approx(peak_signal_noise_ratio(a, b, data_range=1.0), abs=1e-12)


@pytest.mark.parametrize("shape", [(1, 1, 3), (2, 2, 1), (1, 40, 3), (2, 7, 1)])
def test_ssim_below_three_pixels_is_one_window(shape):
    a, b = random_pair(*shape)
    values = []
    for c in range(shape[2]):
        p, q = a[..., c].ravel().tolist(), b[..., c].ravel().tolist()
        mp, mq = sum(p) / len(p), sum(q) / len(q)
        vp, vq = sum((x - mp) ** 2 for x in p) / len(p), sum((x - mq) ** 2 for x in q) / len(q)
        cov = sum((x - mp) * (y - mq) for x, y in zip(p, q, strict=True)) / len(p)
        values.append((2 * mp * mq + 1e-4) * (2 * cov + 9e-4) / ((mp * mp + mq * mq + 1e-4) * (vp + vq + 9e-4)))
    assert ssim(a, b) == pytest.approx(np.mean(values), abs=1e-6)
    assert ssim(a, a) == pytest.approx(1, abs=1e-9)


def test_ssim_by_strips_is_exact(monkeypatch):
    a, b = random_pair(97, 40, 3)
    whole = ssim(a, b)
    monkeypatch.setattr(metrics, "_STRIP_SAMPLES", 1)
    assert ssim(a, b) == pytest.approx(whole, abs=1e-9)


@pytest.mark.parametrize("metric", [psnr, ssim])
class TestRefusals:
    def refused(self, metric, a, b, error=ValueError, match="", **options):
        with pytest.raises(error, match=match):
            metric(a, b, **options)

    def test_integers(self, metric):
        a = np.zeros((12, 12, 3), np.uint8)
        self.refused(metric, a, a, TypeError, "to_unit")

    def test_values_above_the_range(self, metric):
        a, b = random_pair(12, 12, 3)
        self.refused(metric, a * 255, b * 255, match="outside the data range")
        self.refused(metric, a, b + np.float32(0.01) + b.max(), match="outside the data range")

    def test_values_below_the_range(self, metric):
        a, b = random_pair(12, 12, 3)
        self.refused(metric, a * 2 - 1, b, match="outside the data range")

    def test_a_range_that_flatters(self, metric):
        a, b = random_pair(12, 12, 3)
        self.refused(metric, a, b, match="flatter", data_range=255)

    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_values_that_are_no_numbers(self, metric, value):
        a, b = random_pair(12, 12, 3)
        b[5, 5, 1] = value
        self.refused(metric, a, b, match="non-finite")

    def test_shapes(self, metric):
        a, b = random_pair(12, 12, 3)
        self.refused(metric, a, b[:, :-1], match="cannot be compared")
        self.refused(metric, a, b[:, :, :1], match="cannot be compared")
        self.refused(metric, a[..., 0], b[..., 0], match="H x W")

    def test_a_crop_that_leaves_nothing(self, metric):
        a, b = random_pair(12, 12, 3)
        self.refused(metric, a, b, match="crop", crop=6)
        self.refused(metric, a, b, match="crop", crop=-1)

    def test_an_unknown_space(self, metric):
        a, b = random_pair(12, 12, 3)
        self.refused(metric, a, b, match="space", space="ycbcr")


def test_bicubic_on_set5_has_the_published_figures(pictures_folder: Path):
    figures = []
    for path in sorted((pictures_folder / "set5").glob("*.png")):
        truth = np.asarray(PIL.Image.open(path).convert("RGB"))
        small = PIL.Image.open(pictures_folder / "set5_lrx4" / f"{path.stem}x4.png").convert("RGB")
        large = np.asarray(small.resize((small.width * 4, small.height * 4), PIL.Image.Resampling.BICUBIC))
        truth = truth[: large.shape[0], : large.shape[1]]
        pair = to_unit(large), to_unit(truth)
        figures.append((psnr(*pair, space="y", crop=4), ssim(*pair, space="y", crop=4)))
    assert len(figures) == 5
    mean_psnr, mean_ssim = np.mean(figures, axis=0)
    assert mean_psnr == pytest.approx(28.43, abs=0.05)
    assert mean_ssim == pytest.approx(0.8113, abs=0.003)
