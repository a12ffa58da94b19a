"""Artefacts of an enhanced picture, judged against its source: no truth needed.

Each part measures by how much the result does what its source gives no reason for; every part is 0 for an untouched
picture. All comparisons happen on the source's grid: a result pixel belongs to the source pixel (the *cell*) that it
came from, so no enlarged copy of the source is made and scale may be any number from 1.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from enhancer.image import FloatPixels
from enhancer.quality.metrics import check_pixels

PARTS: Final = ("non_finite", "blockiness", "clipping", "checkerboard", "variance", "grain", "overshoot")

BLOCK: Final = 8
_STRIP_ROWS: Final = 32
"""So few that a strip stays in the processor's cache."""
_STRONGEST_STEP: Final = 0.04
"""Steps across block borders count no more than this: a picture's own edges, which lie anywhere, would drown them."""


@dataclass(frozen=True, slots=True)
class _Mapping:
    """From a raw measure to [0, 1): 0 up to `slack`, then 1 - 2^-((raw - slack) / half), so 0.5 at slack + half."""

    slack: float
    half: float

    def __call__(self, raw: float) -> float:
        return 1.0 - math.exp2(-max(0.0, raw - self.slack) / self.half)


# Chosen on pictures of BSDS500's training part (benchmarks/bench_artifacts.py reports on others). The slack is the most
# that a harmless change showed: perfect enlargement by 2 and 4, bicubic, a fidelity net, perfect denoising.
_MAPPINGS: Final = {
    "blockiness": _Mapping(slack=0.17, half=1.0),
    "clipping": _Mapping(slack=0.006, half=0.2),
    "checkerboard": _Mapping(slack=0.0002, half=0.01),
    "variance": _Mapping(slack=0.0, half=0.006),
    "grain": _Mapping(slack=0.0008, half=0.006),
    "overshoot": _Mapping(slack=0.0001, half=0.005),
}

_HIDDEN_LEVEL: Final = 0.02
"""Five steps of 255: single pixels below it are not seen, and the rounding of an 8-bit result hides in it."""
_HIDDEN_CONTRAST: Final = 0.006
"""The same for a standard deviation over a window, which is seen sooner and measured more surely."""
_HIDDEN_PATTERN: Final = 0.008
"""The same for a regular pattern."""
_NEAR_CLIPPING: Final = 0.1
"""Where a source is as near to black or white as this, its result may well be cut off."""


@dataclass(frozen=True, slots=True)
class ArtifactReport:
    """What was found.

    Attributes:
        score: 1 - product of (1 - part), in [0, 1]: never below its largest part, and rising with each of them.
        parts: by name (:data:`PARTS`), each in [0, 1].
    """

    score: float
    parts: dict[str, float]


def artifact_score(result: FloatPixels, source: FloatPixels) -> ArtifactReport:
    """How damaged `result` looks beside the picture that it was made from.

    * ``non_finite``: 1 where a value is NaN or infinite; nothing else is then measured.
    * ``blockiness``: squared steps across the borders of the 8 x 8 grid over those elsewhere (Yim and Bovik 2011, the
      blocking effect of PSNR-B), each step counted up to a bound, beyond the source's own. Borders are compared with
      the *strongest* other column or row, because interpolation has a period too.
    * ``clipping``: share of samples at black or white where the source is far from it all around.
    * ``checkerboard``: every other pixel brighter, in step over 8 x 8 pixels, beyond the source's own.
    * ``variance``: local contrast (7 x 7 cells) that has exploded beyond 1.25 times the source's (the idea of DeSRA,
      Xie et al., arXiv 2307.02457).
    * ``grain``: contrast inside cells that the source's local range does not account for; 0 at 1x.
    * ``overshoot``: cells darker or brighter than all their source's neighbours (3 x 3): ringing, halos, blotches.

    Works channel by channel: needs about twice the memory of one channel of `result` beside the pictures themselves.

    Args:
        result: H' x W' x C float32, meant to lie in [0, 1], no smaller than the source.
        source: H x W x C float32 in [0, 1].

    Raises:
        TypeError, ValueError: a source that is not a picture in [0, 1]; channel counts that differ; a smaller result.

    >>> ramp = np.linspace(0, 1, 16 * 16 * 3, dtype=np.float32).reshape(16, 16, 3)
    >>> artifact_score(ramp, ramp).score
    0.0
    """
    check_pixels(source)
    if result.ndim != 3 or result.shape[2] != source.shape[2]:
        raise ValueError(f"result {result.shape} and source {source.shape} must have the same channels")
    if result.shape[0] < source.shape[0] or result.shape[1] < source.shape[1]:
        raise ValueError(f"result {result.shape[:2]} is smaller than its source {source.shape[:2]}")
    if not np.isfinite(result).all():
        return ArtifactReport(1.0, {name: float(name == "non_finite") for name in PARTS})
    raw = {"blockiness": max(0.0, blockiness(result) - blockiness(source))}
    planes = [excesses(_channel(result, c), _channel(source, c)) for c in range(source.shape[2])]
    raw |= {name: float(np.mean([plane[name].mean() for plane in planes])) for name in planes[0]}
    parts = {"non_finite": 0.0} | {name: _MAPPINGS[name](raw[name]) for name in PARTS if name in raw}
    return ArtifactReport(float(1 - np.prod([1 - part for part in parts.values()])), parts)


def excesses(result: FloatPixels, source: FloatPixels) -> dict[str, FloatPixels]:
    """By how much one plane of a result passes what its source accounts for, where: 0 where it does not.

    Args:
        result: H' x W' float32, finite.
        source: H x W float32, no larger than the result.

    Returns:
        H x W maps, one for each local part of the score.
    """
    around = np.ones((3, 3), np.uint8)
    highest, lowest = cv2.dilate(source, around), cv2.erode(source, around)
    span = highest - lowest
    pattern = np.abs(_checkerboard(result)) - np.float32(_HIDDEN_PATTERN)
    if result.shape == source.shape:
        mean, inner = result, np.zeros_like(result)
        pattern -= np.abs(_checkerboard(source))
    else:
        mean = _cells(result, source.shape)
        square = _cells(result * result, source.shape)
        inner = np.sqrt(np.maximum(_box(square - mean * mean, 3), 0))
        pattern = _cells(pattern, source.shape)
    white = _share(result >= 1, source.shape) * (highest < 1 - _NEAR_CLIPPING)
    black = _share(result <= 0, source.shape) * (lowest > _NEAR_CLIPPING)
    found = {
        "clipping": white + black,
        "checkerboard": pattern,
        "variance": _contrast(mean) - 1.25 * cv2.dilate(_contrast(source), around) - _HIDDEN_CONTRAST,
        "grain": inner - 0.6 * cv2.dilate(span, around) - _HIDDEN_LEVEL,
        "overshoot": np.maximum(mean - highest, lowest - mean) - 0.1 * span - _HIDDEN_LEVEL,
    }
    return {name: np.maximum(values, 0, dtype=np.float32) for name, values in found.items()}


def _cells(plane: FloatPixels, shape: tuple[int, ...]) -> FloatPixels:
    """Means over the cells of a grid of this shape."""
    if plane.shape == shape:
        return plane
    return np.asarray(cv2.resize(plane, (shape[1], shape[0]), interpolation=cv2.INTER_AREA), dtype=np.float32)


def _share(chosen: NDArray[np.bool_], shape: tuple[int, ...]) -> FloatPixels:
    """What part of each cell is True; most often nothing is."""
    return _cells(chosen.astype(np.float32), shape) if chosen.any() else np.zeros(shape, np.float32)


def _channel(pixels: FloatPixels, channel: int) -> FloatPixels:
    return np.asarray(cv2.extractChannel(pixels, channel), np.float32) if pixels.shape[2] > 1 else pixels[:, :, 0]


def _checkerboard(plane: FloatPixels) -> FloatPixels:
    """Amplitude, with its sign, of the pattern in which every other pixel is brighter; mean of 8 x 8 pixels.

    The mixed second difference answers to this pattern and to corners, not to edges or slopes; its sign turns from
    pixel to pixel, so that in the mean only what is in step remains. With every other pixel's sign turned first, that
    difference is a mean of four.
    """
    row, column = (np.where(np.arange(side) % 2, np.float32(-1), np.float32(1)) for side in plane.shape)
    turned = plane * row[:, None]
    turned *= column
    mixed = np.asarray(cv2.boxFilter(turned, -1, (2, 2), anchor=(1, 1)), np.float32)
    mixed[0], mixed[:, 0] = 0, 0
    return _box(mixed, BLOCK)


def _contrast(plane: FloatPixels) -> FloatPixels:
    """Standard deviation in 7 x 7 windows."""
    variance = _box(plane * plane, 7) - _box(plane, 7) ** 2
    return np.asarray(np.sqrt(np.maximum(variance, 0)), dtype=np.float32)


def _box(plane: FloatPixels, side: int) -> FloatPixels:
    return np.asarray(cv2.blur(plane, (side, side), borderType=cv2.BORDER_REFLECT), dtype=np.float32)


def blockiness(pixels: FloatPixels) -> float:
    """How far squared steps across block borders exceed the strongest other phase, relative to it; 0 or more.

    Three steps of 255 keep an invisible grid in a flat picture from counting.

    >>> blockiness(np.full((16, 16, 3), 0.5, np.float32))
    0.0
    """
    excess = 0.0
    for energy in _phase_energies(pixels):
        if energy is not None:
            elsewhere = float(energy[:-1].max())
            excess = max(excess, (float(energy[-1]) - elsewhere) / (elsewhere + (3 / 255) ** 2))
    return excess


def _phase_energies(pixels: FloatPixels) -> list[NDArray[np.float64] | None]:
    """Mean squared steps along columns and along rows, by their place modulo 8; the last crosses the grid.

    None for a side below two blocks.
    """
    height, width, channels = pixels.shape
    rows = np.ascontiguousarray(pixels).reshape(height, -1)
    down, across = np.zeros(height - 1), np.zeros((width - 1) * channels)
    for top in range(0, height, _STRIP_ROWS):
        strip = rows[top : top + _STRIP_ROWS + 1]
        if len(strip) > 1:
            down[top : top + _STRIP_ROWS] = cv2.reduce(
                _counted(strip[1:] - strip[:-1]), 1, cv2.REDUCE_SUM, dtype=cv2.CV_64F
            )[:, 0]
        if width > 1:
            steps = _counted(strip[:_STRIP_ROWS, channels:] - strip[:_STRIP_ROWS, :-channels])
            across += cv2.reduce(steps, 0, cv2.REDUCE_SUM, dtype=cv2.CV_64F)[0]
    return [
        _by_phase(down / (width * channels)),
        _by_phase(across.reshape(-1, channels).sum(axis=1) / (height * channels)),
    ]


def _counted(steps: FloatPixels) -> FloatPixels:
    """Squared, up to the bound; in place."""
    np.multiply(steps, steps, out=steps)
    return np.minimum(steps, np.float32(_STRONGEST_STEP**2), out=steps)


def _by_phase(energy: NDArray[np.float64]) -> NDArray[np.float64] | None:
    count = len(energy) // BLOCK * BLOCK
    return energy[:count].reshape(-1, BLOCK).mean(axis=0) if count >= 2 * BLOCK else None
