"""PSNR and SSIM as scikit-image has them, with the protocol spelled out: colour space, border crop, data range.

The formulas are written out on OpenCV's filters, since scikit-image's module of metrics takes a second to import and
its filters several times as long: a quarter of what scoring a small picture took. tests/quality holds them against
scikit-image and against loops over pixels.

A wrong range does not fail, it flatters: pictures in [0, 1] scored with a data range of 255 gain 48 dB. So range, shape
and type are checked here, and a figure is worth nothing without its protocol.
"""

from __future__ import annotations

import math
from typing import Any, Final, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from enhancer.image import FloatPixels

Space = Literal["rgb", "y"]

SSIM_WINDOW: Final = 11
SSIM_SIGMA: Final = 1.5

_LUMA_WEIGHTS: Final = np.array([65.481, 128.553, 24.966]) / 255
_LUMA_OFFSET: Final = 16 / 255
# Relative to the data range: more than float32 rounding, less than a quarter of a 10-bit step.
_RANGE_TOLERANCE: Final = 2e-4
# Rows of a strip hold about this many samples, so that SSIM of a large picture needs tens of megabytes, not gigabytes.
_STRIP_SAMPLES: Final = 1 << 20


def luma(pixels: FloatPixels) -> FloatPixels:
    """BT.601 luma with studio swing, as MATLAB's ``rgb2ycbcr`` computes it: the "Y" of super-resolution papers.

    Y = (16 + 65.481 R + 128.553 G + 24.966 B) / 255, unrounded. Grey counts as R = G = B.

    Args:
        pixels: H x W x 3 or H x W x 1, in [0, 1].

    Returns:
        H x W x 1 float32 in [16/255, 235/255].

    >>> round(float(luma(np.ones((1, 1, 3), np.float32))[0, 0, 0] * 255))
    235
    """
    if pixels.shape[2] == 1:
        scaled = pixels * np.float32(_LUMA_WEIGHTS.sum())
    else:
        scaled = (pixels @ _LUMA_WEIGHTS.astype(np.float32))[:, :, np.newaxis]
    return np.asarray(scaled + np.float32(_LUMA_OFFSET), dtype=np.float32)


def psnr(a: FloatPixels, b: FloatPixels, *, space: Space = "rgb", crop: int = 0, data_range: float = 1.0) -> float:
    """Peak signal-to-noise ratio in dB, 10 log10(data_range^2 / MSE); ``inf`` for equal pictures.

    Args:
        a: H x W x C (C = 1 or 3), floating point, in [0, data_range].
        b: the same shape.
        space: ``rgb`` averages the squared error over all channels as they are (also of a grey picture); ``y`` takes
            :func:`luma` first.
        crop: pixels cut from each side; by convention the scale, for super-resolution.
        data_range: the value of white. The peak stays this value in ``y`` too, as in the papers.

    Raises:
        TypeError: a picture that is not floating point.
        ValueError: shapes that differ, values outside the range or not finite, a crop that leaves nothing.

    >>> round(psnr(np.full((8, 8, 3), 0.5, np.float32), np.full((8, 8, 3), 0.6, np.float32)), 2)
    20.0
    """
    first, second = _prepare(a, b, space, crop, data_range)
    error = np.mean((first - second) ** 2, dtype=np.float64)
    return float(-10 * np.log10(error)) if error else math.inf


def ssim(a: FloatPixels, b: FloatPixels, *, space: Space = "rgb", crop: int = 0, data_range: float = 1.0) -> float:
    """Mean structural similarity (Wang et al. 2004), in [-1, 1]; 1 for equal pictures.

    Gaussian window of 11 x 11 with sigma 1.5, K = (0.01, 0.03), population covariance, only windows that lie inside.
    With ``rgb`` it is the mean of the channels' SSIM. Where a side is shorter than 11 pixels, window and sigma shrink
    together to the largest odd size that fits; below 3 pixels the whole picture is the one window, unweighted.
    Strips of rows are scored one by one (exactly: a window sees only its own rows), so memory stays bounded.

    Args and Raises: as for :func:`psnr`.

    >>> ssim(np.full((16, 16, 1), 0.5, np.float32), np.full((16, 16, 1), 0.5, np.float32))
    1.0
    """
    first, second = _prepare(a, b, space, crop, data_range)
    window = ssim_window(first.shape[0], first.shape[1])
    if window < 3:
        return _one_window_ssim(first, second)
    step = max(_STRIP_SAMPLES // (first.shape[1] * first.shape[2]), window)
    valid_rows: int = first.shape[0] - window + 1
    total = 0.0
    for top in range(0, valid_rows, step):
        rows = min(step, valid_rows - top)
        strip = slice(top, top + rows + window - 1)
        total += _ssim(first[strip], second[strip], window) * rows
    return total / valid_rows


def ssim_window(height: int, width: int) -> int:
    """Side of SSIM's window for a picture of this size: 11, or the largest odd number that fits.

    >>> ssim_window(480, 640), ssim_window(8, 640)
    (11, 7)
    """
    side = min(height, width, SSIM_WINDOW)
    return side if side % 2 == 1 else side - 1


def check_pixels(pixels: NDArray[Any], *, data_range: float = 1.0) -> None:
    """Refuse what a metric cannot be trusted with.

    Raises:
        TypeError: not floating point (integers belong through :func:`enhancer.image.to_unit` first).
        ValueError: not H x W x 1 or H x W x 3, empty, not finite, or outside [0, data_range].
    """
    if not np.issubdtype(pixels.dtype, np.floating):
        raise TypeError(f"metrics take floating-point pixels in [0, {data_range:g}], not {pixels.dtype}: use to_unit")
    if pixels.ndim != 3 or pixels.shape[2] not in (1, 3) or 0 in pixels.shape:
        raise ValueError(f"metrics take H x W x 1 or H x W x 3, got shape {pixels.shape}")
    low, high = float(pixels.min()), float(pixels.max())
    if not (math.isfinite(low) and math.isfinite(high)):
        raise ValueError("the picture holds non-finite values")
    slack = _RANGE_TOLERANCE * data_range
    if low < -slack or high > data_range + slack:
        raise ValueError(f"values lie in [{low:.6g}, {high:.6g}], outside the data range [0, {data_range:g}]")


def _prepare(
    a: FloatPixels, b: FloatPixels, space: Space, crop: int, data_range: float
) -> tuple[FloatPixels, FloatPixels]:
    """Both pictures checked, cropped, scaled to a data range of 1 and brought to `space`."""
    if space not in ("rgb", "y"):
        raise ValueError(f"space is 'rgb' or 'y', not {space!r}")
    if not data_range > 0:
        raise ValueError(f"data_range must be positive, not {data_range}")
    check_pixels(a, data_range=data_range)
    check_pixels(b, data_range=data_range)
    if a.shape != b.shape:
        raise ValueError(f"pictures of shapes {a.shape} and {b.shape} cannot be compared")
    if data_range > 1 and max(float(a.max()), float(b.max())) <= 1 and (_has_fractions(a) or _has_fractions(b)):
        raise ValueError(f"values lie in [0, 1] but data_range is {data_range:g}: that would flatter the score")
    if crop < 0 or 2 * crop >= min(a.shape[:2]):
        raise ValueError(f"a border crop of {crop} leaves nothing of {a.shape[1]} x {a.shape[0]} pixels")
    inner = slice(crop, a.shape[0] - crop), slice(crop, a.shape[1] - crop)
    first, second = a[inner], b[inner]
    if data_range != 1:
        first, second = first / a.dtype.type(data_range), second / b.dtype.type(data_range)
    return (luma(first), luma(second)) if space == "y" else (first, second)


def _has_fractions(pixels: FloatPixels) -> bool:
    return bool(np.any(pixels != np.rint(pixels)))


def _ssim(a: FloatPixels, b: FloatPixels, window: int) -> float:
    """Mean over the channels and over the windows that lie inside, in float64."""
    c1, c2 = 0.01**2, 0.03**2
    kernel = cv2.getGaussianKernel(window, SSIM_SIGMA * window / SSIM_WINDOW, cv2.CV_64F)
    radius = window // 2
    inner = slice(radius, a.shape[0] - radius), slice(radius, a.shape[1] - radius)

    def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
        filtered = cv2.sepFilter2D(values, -1, kernel, kernel).reshape(values.shape)
        return np.asarray(filtered[inner])

    x, y = a.astype(np.float64), b.astype(np.float64)
    mean_x, mean_y = mean(x), mean(y)
    product = mean_x * mean_y
    covariance = mean(x * y) - product
    squares = mean_x * mean_x + mean_y * mean_y
    # Only the sum of the two variances is needed.
    variances = mean(x * x + y * y) - squares
    similarity = (2 * product + c1) * (2 * covariance + c2)
    return float(np.mean(similarity / ((squares + c1) * (variances + c2))))


def _one_window_ssim(a: FloatPixels, b: FloatPixels) -> float:
    """SSIM of pictures too small for any window: their global moments, averaged over channels."""
    c1, c2 = 0.01**2, 0.03**2
    x, y = a.reshape(-1, a.shape[2]).astype(np.float64), b.reshape(-1, b.shape[2]).astype(np.float64)
    mean_x, mean_y = x.mean(axis=0), y.mean(axis=0)
    covariance = ((x - mean_x) * (y - mean_y)).mean(axis=0)
    similarity = (2 * mean_x * mean_y + c1) * (2 * covariance + c2)
    energy = (mean_x**2 + mean_y**2 + c1) * (x.var(axis=0) + y.var(axis=0) + c2)
    return float(np.mean(similarity / energy))
