"""Traces that damage left in a picture: how noisy it is, and how it was compressed, estimated from its pixels alone.

What files say is little use: a re-saved JPEG is a PNG today, its noise was smoothed by a first compression, its blocks
lie anywhere. So the traces are looked for together: differences across every phase of a grid of 8, the high
frequencies of blocks on and off that grid (a JPEG has zeroed them), and the noise of the quietest places in luma and
colour differences, at full and at half resolution, where coarse noise shows. A net of one hidden layer, fitted on
photographs with drawn damage (enhancer/training/traces.py), reads noise, quality and the odds of damage off them.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file
from scipy.fft import dctn

from enhancer.image import FloatPixels
from enhancer.stages.restored import SURE

Features = NDArray[np.float32]
Plane = NDArray[np.float32]

WEIGHTS: Final = Path(__file__).with_name("damage-traces.safetensors")
SMALLEST_SIDE: Final = 64
LARGEST_SIDE: Final = 768
"""Of the middle that is measured: more would add no information."""
BLOCK: Final = 8
BOUND: Final = 16.0
"""Levels at which a difference counts as an edge and no more."""
NOISE_CELL: Final = 8
PERCENTILES: Final = (5, 20, 50)
LEAST_NOISE: Final = 3.0
"""Levels of noise from which damage is worth repairing."""
GOOD_QUALITY: Final = 80.0
"""JPEG quality below which damage is worth repairing, however little noise there is."""
NEVER_A_JPEG: Final = 85.0
"""Quality from which there may have been no JPEG; then at least :data:`LEAST_RAW_NOISE` is required."""
LEAST_RAW_NOISE: Final = 10.5
"""Levels of noise required there: more than the grain of old scans such as Set14's ``barbara`` (10).
The card, damage-traces.md, has what these bounds find."""
VERY_SURE: Final = 0.98
ENLARGED_QUALITY: Final = 92.0
"""Odds and JPEG quality that suffice where the picture is enlarged."""
MOST_NOISE: Final = 18.0
"""Levels of noise beyond those that the restoring nets were trained for: what only denoises does it better."""
NO_JPEG: Final = 100.0


@dataclass(frozen=True, slots=True)
class Traces:
    """What a picture's pixels show of its damage.

    Attributes:
        damage: odds, 0 to 1, that it is damaged as the restoring nets are trained for.
        noise: standard deviation in levels of 255, before compression smoothed it.
        quality: libjpeg's of the worst JPEG that it was, 100 for none.
    """

    damage: float
    noise: float
    quality: float

    @property
    def restore(self) -> bool:
        """Whether the restoring net is the better choice."""
        if self.quality >= NEVER_A_JPEG:
            worth = self.noise >= LEAST_RAW_NOISE
        else:
            worth = self.noise >= LEAST_NOISE or self.quality < GOOD_QUALITY
        return self.damage >= SURE and worth and self.noise <= MOST_NOISE

    @property
    def enlarge(self) -> bool:
        """Whether it is the better choice at least where the picture is enlarged: a net for clean pictures would make
        weak damage large.
        """
        return self.damage >= VERY_SURE and self.quality < ENLARGED_QUALITY and self.noise <= MOST_NOISE

    def as_numbers(self) -> dict[str, Any]:
        """For a decision's record."""
        return {"damage": round(self.damage, 3), "noise": round(self.noise, 1), "quality": round(self.quality)}


def damage_traces(pixels: FloatPixels) -> Traces:
    """Look for damage.

    Args:
        pixels: H x W x 3, float32 in [0, 1]; sides of :data:`SMALLEST_SIDE` or more.

    Raises:
        ValueError: it is too small.
    """
    weights = _weights()
    scaled = (features(pixels) - weights["mean"]) / weights["deviation"]
    hidden = np.maximum(0, weights["first.weight"] @ scaled + weights["first.bias"])
    odds, noise, loss = (weights["second.weight"] @ hidden + weights["second.bias"]).tolist()
    return Traces(
        damage=float(1 / (1 + np.exp(-odds))),
        noise=max(0.0, noise * NOISE_UNIT),
        quality=float(np.clip(NO_JPEG - loss * LOSS_UNIT, 1, NO_JPEG)),
    )


NOISE_UNIT: Final = 5.0
"""Levels of noise that one unit of the net's second output means."""
LOSS_UNIT: Final = 25.0
"""Points below a quality of 100 that one unit of its third output means."""


def features(pixels: FloatPixels) -> Features:
    """What the net is given: :func:`damage_traces`' argument as a vector."""
    if min(pixels.shape[:2]) < SMALLEST_SIDE:
        raise ValueError(f"a picture of {pixels.shape[1]} x {pixels.shape[0]} is too small to tell damage from detail")
    planes = cv2.cvtColor(_middle(pixels), cv2.COLOR_RGB2YCrCb) * np.float32(255)
    luma, red, blue = (np.ascontiguousarray(planes[..., channel]) for channel in range(3))
    found = [*_grid(luma), *_grid(red), *_zeroed(luma)]
    for plane in (luma, red, blue):
        found += _quiet(plane)
        half = cv2.resize(plane, (plane.shape[1] // 2, plane.shape[0] // 2), interpolation=cv2.INTER_AREA)
        found += _quiet(half)
    found += _slope(luma)
    return np.array(found, np.float32)


def _middle(pixels: FloatPixels) -> FloatPixels:
    height, width = (min(side, LARGEST_SIDE) for side in pixels.shape[:2])
    top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
    return np.ascontiguousarray(pixels[top : top + height, left : left + width], np.float32)


def _grid(plane: Plane) -> list[float]:
    """How much differences across two phases of a grid of 8 stand out, along both axes: blocks, and those of before."""
    found = np.zeros(3)
    for values in (plane, plane.T):
        contrast, usual = _phases(values)
        ordered = np.sort(contrast - np.median(contrast))
        spread = ordered[:-2].std() + 0.01
        found += (ordered[-1] / usual, ordered[-2] / usual, np.log1p(max(0.0, ordered[-1]) / spread))
    return [float(value) for value in found / 2]


def _phases(values: Plane) -> tuple[NDArray[np.float64], float]:
    """By how much the steps between columns exceed their neighbours, for each phase of 8; and what steps there are."""
    steps = np.minimum(np.abs(np.diff(values, axis=1)), BOUND).mean(axis=0, dtype=np.float64)
    excess = np.zeros(steps.size)
    excess[1:-1] = steps[1:-1] - (steps[:-2] + steps[2:]) / 2
    return excess[: steps.size // BLOCK * BLOCK].reshape(-1, BLOCK).mean(axis=0), float(steps.mean()) + 0.5


def _zeroed(luma: Plane) -> list[float]:
    """High frequencies of blocks on the strongest grid and off it: the medians' logarithms, and shares near zero."""
    down, across = (int(_phases(values)[0].argmax() + 1) % BLOCK for values in (luma.T, luma))
    found = []
    for shift in (0, BLOCK // 2):
        high = _high_frequencies(luma[(down + shift) % BLOCK :, (across + shift) % BLOCK :])
        found += [float(np.log(np.median(high) + 0.05)), float((high < 0.3).mean()), float((high < 0.8).mean())]
    return [*found, found[3] - found[0], found[1] - found[4], found[2] - found[5]]


def _high_frequencies(luma: Plane) -> Plane:
    """Root mean square of the coefficients in the last half of each block's frequencies."""
    height, width = (side // BLOCK * BLOCK for side in luma.shape)
    blocks = luma[:height, :width].reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK).swapaxes(1, 2)
    coefficients = dctn(blocks, axes=(2, 3), norm="ortho")
    row, column = np.indices((BLOCK, BLOCK))
    return np.asarray(np.sqrt(np.square(coefficients[..., row + column >= BLOCK - 1]).mean(axis=-1)), np.float32)


def _quiet(plane: Plane) -> list[float]:
    """Logarithms of the noise in the quietest cells: percentiles of the deviations of diagonal differences."""
    height, width = (side // 2 * 2 for side in plane.shape)
    cut = plane[:height, :width]
    difference = (cut[::2, ::2] - cut[1::2, ::2] - cut[::2, 1::2] + cut[1::2, 1::2]) / 2
    cells = cv2.blur(np.square(difference), (NOISE_CELL, NOISE_CELL))[:: NOISE_CELL // 2, :: NOISE_CELL // 2]
    # A running sum of flat values may end a rounding error below zero.
    variances = np.maximum(0, np.percentile(cells, PERCENTILES))
    return [float(value) for value in np.log(np.sqrt(variances) + 0.1)]


def _slope(luma: Plane) -> list[float]:
    """How much of the differences between neighbours is left at twice the distance: blur and noise bend this."""
    near = float(np.minimum(np.abs(np.diff(luma, axis=1)), BOUND).mean()) + 0.1
    far = float(np.minimum(np.abs(luma[:, 2:] - luma[:, :-2]), BOUND).mean()) + 0.1
    return [float(np.log(near)), float(np.log(far / near))]


@cache
def _weights() -> dict[str, NDArray[np.float32]]:
    return load_file(WEIGHTS)
