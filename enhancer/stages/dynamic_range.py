"""Dynamic range analysis: the numbers of a picture's histogram that tonal stages and ``enhancer inspect`` read.

All light is linear (:mod:`enhancer.stages.light`). A regular grid of single pixels stands for large pictures: unlike a
reduced picture it averages nothing, so that clipped values stay clipped.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from functools import reduce
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from enhancer.image import FloatPixels
from enhancer.stages.light import from_linear, luminance, to_linear

SAMPLES_PER_SIDE: Final = 1024
CLIPPED_HIGH: Final = 253.5 / 255
"""From here a value counts as clipped: JPEG leaves blown areas a level below the top."""
CLIPPED_LOW: Final = 1.5 / 255
DARKEST_STEP: Final = 1 / 255 / 12.92
"""Linear light of the first of 8 bits' levels above black: tones below it cannot be distinguished."""
PERCENTILES: Final = (0.1, 1.0, 5.0, 10.0, 25.0, 50.0, 75.0, 95.0, 99.0, 99.9)


@dataclass(frozen=True, slots=True)
class RangeNumbers:
    """What :func:`analyse` finds; shares are in [0, 1], light is linear with white at 1.

    Attributes:
        shadows_clipped: of each channel, the share of values that are black or a level above.
        highlights_clipped: of each channel, the share of values at the top or a level below.
        any_highlight_clipped: share of pixels with at least one channel at the top.
        white: share of pixels with all channels at the top.
        luminance_percentiles: relative luminance below which lie 0.1, 1, 5, 10, 25, 50, 75, 95, 99 and 99.9 % of
            the pixels, by the percentile's name (``"50"``).
        brightest: 99.9th percentile of the largest channel.
        stops: usable range, log2 of the luminance at 99.9 % over that at 0.1 %, or over 8 bits' first step above black
            where that is more.
        contrast: RMS contrast, the standard deviation of the sRGB-encoded luminance (E. Peli, "Contrast in complex
            images", J. Opt. Soc. Am. A 7(10), 1990); 0.5 at most.
    """

    shadows_clipped: tuple[float, ...]
    highlights_clipped: tuple[float, ...]
    any_highlight_clipped: float
    white: float
    luminance_percentiles: dict[str, float]
    brightest: float
    stops: float
    contrast: float

    @property
    def headroom(self) -> float:
        """Stops between the picture's brightest values and the top of the scale, at least 0."""
        return max(0.0, -math.log2(max(self.brightest, DARKEST_STEP)))

    @property
    def median(self) -> float:
        """Median relative luminance, linear."""
        return self.luminance_percentiles["50"]

    def as_numbers(self) -> dict[str, Any]:
        """The same as JSON, rounded, with ``headroom``; for decisions and reports."""
        numbers = {**asdict(self), "headroom": self.headroom}
        return {name: _rounded(value) for name, value in numbers.items()}


def analyse(pixels: FloatPixels, visible: NDArray[np.bool_] | None = None) -> RangeNumbers:
    """Measure a picture's dynamic range.

    Args:
        pixels: H x W x C (C = 1 or 3), float32 in [0, 1], sRGB-encoded.
        visible: H x W, False where values mean nothing; None, or none visible: all count.

    Returns:
        The numbers; they cost the same for 1 and for 400 megapixels.
    """
    values = sample(pixels, visible)
    light = to_linear(values)
    relative = luminance(light)
    # Channel by channel: NumPy is slow at reducing an axis of three.
    channels = range(values.shape[1])
    high = [values[:, channel] >= CLIPPED_HIGH for channel in channels]
    low = [values[:, channel] <= CLIPPED_LOW for channel in channels]
    percentiles = np.percentile(relative, PERCENTILES)
    return RangeNumbers(
        shadows_clipped=tuple(_share(one) for one in low),
        highlights_clipped=tuple(_share(one) for one in high),
        any_highlight_clipped=_share(reduce(np.logical_or, high)),
        white=_share(reduce(np.logical_and, high)),
        luminance_percentiles={f"{p:g}": float(y) for p, y in zip(PERCENTILES, percentiles, strict=True)},
        brightest=float(np.percentile(reduce(np.maximum, (light[:, channel] for channel in channels)), 99.9)),
        stops=math.log2(max(percentiles[-1], DARKEST_STEP) / max(percentiles[0], DARKEST_STEP)),
        contrast=float(from_linear(relative).std(dtype=np.float64)),
    )


def sample(pixels: FloatPixels, visible: NDArray[np.bool_] | None = None) -> FloatPixels:
    """At most about a million of the picture's pixels, evenly spread.

    Args:
        pixels: H x W x C, float32.
        visible: H x W, False where values mean nothing; None, or none visible: all count.

    Returns:
        N x C, float32, N at least 1.
    """
    rows, columns = (max(1, math.ceil(side / SAMPLES_PER_SIDE)) for side in pixels.shape[:2])
    grid = pixels[rows // 2 :: rows, columns // 2 :: columns]
    if visible is not None:
        shown = visible[rows // 2 :: rows, columns // 2 :: columns]
        if shown.any():
            return grid[shown]
    return grid.reshape(-1, pixels.shape[2])


def _share(chosen: NDArray[np.bool_]) -> float:
    return np.count_nonzero(chosen) / chosen.size


def _rounded(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _rounded(item) for name, item in value.items()}
    if isinstance(value, tuple):
        return [_rounded(item) for item in value]
    return round(value, 5)
