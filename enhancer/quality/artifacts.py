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

PARTS: Final = ("non_finite", "blockiness", "clipping", "variance", "grain", "overshoot")

BLOCK: Final = 8
_STRIP_ROWS: Final = 256


@dataclass(frozen=True, slots=True)
class _Mapping:
    """From a raw measure to [0, 1): 0 up to `slack`, then 1 - 2^-((raw - slack) / half), so 0.5 at slack + half."""

    slack: float
    half: float

    def __call__(self, raw: float) -> float:
        return 1.0 - math.exp2(-max(0.0, raw - self.slack) / self.half)


# Measured on 42 pictures (scikit-image, Set5, Set14, every fifth of CBSD68), which were reduced, enlarged by bicubic
# interpolation, replaced by their truth, cleaned of noise, or damaged. Each comment: the most that a harmless change
# showed (bicubic x2, x4, perfect denoising; "truth": a perfect x4), then the median of the damage it is there to find.
_MAPPINGS: Final = {
    "blockiness": _Mapping(slack=0.25, half=1.0),  # harmless 0.24; JPEG quality 10: 2.1 at 1x, 3.6 at 4x
    "clipping": _Mapping(slack=0.02, half=0.2),  # harmless 0.004, truth 0.027; contrast x2.2: 0.46
    "variance": _Mapping(slack=0.0, half=0.01),  # harmless 0; noise of sigma 0.1: 0.018, checkerboard of 0.06: 0.004
    "grain": _Mapping(slack=0.0, half=0.008),  # harmless 0, truth 0.004; at 4x noise 0.009, checkerboard 0.0014
    "overshoot": _Mapping(
        slack=0.0, half=0.005
    ),  # harmless 0.0002; oversharpened 0.033, blotches 0.01, 1 % impulses 0.008
}


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
      blocking effect of PSNR-B), beyond the source's own. Borders are compared with the *strongest* other column or
      row, because interpolation has a period too.
    * ``clipping``: share of samples at black or white, beyond the source's.
    * ``variance``: local contrast (7 x 7 cells) that has exploded beyond 1.5 times the source's (the idea of DeSRA,
      Xie et al., arXiv 2307.02457).
    * ``grain``: contrast inside cells that the source's local range does not account for; 0 at 1x.
    * ``overshoot``: cells darker or brighter than all their source's neighbours (3 x 3): ringing, halos, blotches.

    Works channel by channel: needs about twice the memory of one channel of `result` beside the pictures themselves.

    Args:
        result: H' x W' x C float32, meant to lie in [0, 1], no smaller than the source.
        source: H x W x C float32 in [0, 1].

    Raises:
        TypeError, ValueError: a source that is not a picture in [0, 1]; channel counts that differ; a smaller result.
    """
    check_pixels(source)
    if result.ndim != 3 or result.shape[2] != source.shape[2]:
        raise ValueError(f"result {result.shape} and source {source.shape} must have the same channels")
    if result.shape[0] < source.shape[0] or result.shape[1] < source.shape[1]:
        raise ValueError(f"result {result.shape[:2]} is smaller than its source {source.shape[:2]}")
    if not np.isfinite(result).all():
        return ArtifactReport(1.0, {name: float(name == "non_finite") for name in PARTS})
    raw = {
        "blockiness": max(0.0, _blockiness(result) - _blockiness(source)),
        "clipping": _clipped_share(result) - _clipped_share(source),
    }
    planes = [_local_measures(result[:, :, c], source[:, :, c]) for c in range(source.shape[2])]
    raw |= {name: float(np.mean([plane[name] for plane in planes])) for name in planes[0]}
    parts = {"non_finite": 0.0} | {name: _MAPPINGS[name](raw[name]) for name in PARTS if name in raw}
    return ArtifactReport(float(1 - np.prod([1 - part for part in parts.values()])), parts)


def _local_measures(result: FloatPixels, source: FloatPixels) -> dict[str, float]:
    """Raw variance, grain and overshoot of one plane, as means over the source's pixels."""
    result, source = np.ascontiguousarray(result), np.ascontiguousarray(source)
    size = (source.shape[1], source.shape[0])
    if result.shape == source.shape:
        mean, inner = result, np.zeros_like(result)
    else:
        mean = cv2.resize(result, size, interpolation=cv2.INTER_AREA)
        square = cv2.resize(result * result, size, interpolation=cv2.INTER_AREA)
        inner = np.sqrt(np.maximum(_box(square - mean * mean, 3), 0))
    around = np.ones((3, 3), np.uint8)
    highest, lowest = cv2.dilate(source, around), cv2.erode(source, around)
    span = highest - lowest
    # 0.02, five steps of 255: below it nothing is visible, and the rounding of an 8-bit result hides in it.
    contrast_excess = _contrast(mean) - 1.5 * cv2.dilate(_contrast(source), around) - 0.02
    inner_excess = inner - 0.6 * cv2.dilate(span, around) - 0.02
    beyond = np.maximum(mean - highest, lowest - mean) - 0.1 * span - 0.02
    excesses = {"variance": contrast_excess, "grain": inner_excess, "overshoot": beyond}
    return {name: float(np.maximum(values, 0).mean()) for name, values in excesses.items()}


def _contrast(plane: FloatPixels) -> FloatPixels:
    """Standard deviation in 7 x 7 windows."""
    variance = _box(plane * plane, 7) - _box(plane, 7) ** 2
    return np.asarray(np.sqrt(np.maximum(variance, 0)), dtype=np.float32)


def _box(plane: FloatPixels, side: int) -> FloatPixels:
    return np.asarray(cv2.blur(plane, (side, side), borderType=cv2.BORDER_REFLECT), dtype=np.float32)


def _clipped_share(pixels: FloatPixels) -> float:
    return float(np.count_nonzero(pixels <= 0) + np.count_nonzero(pixels >= 1)) / pixels.size


def _blockiness(pixels: FloatPixels) -> float:
    """How far squared steps across block borders exceed the strongest other phase, relative to it; 0 or more.

    Three steps of 255 keep an invisible grid in a flat picture from counting.
    """
    excess = 0.0
    for energy in (_phase_energy(pixels), _phase_energy(pixels.swapaxes(0, 1))):
        if energy is not None:
            elsewhere = float(energy[:-1].max())
            excess = max(excess, (float(energy[-1]) - elsewhere) / (elsewhere + (3 / 255) ** 2))
    return excess


def _phase_energy(pixels: FloatPixels) -> NDArray[np.float64] | None:
    """Mean squared horizontal step by column modulo 8; the last crosses the grid. None below two blocks."""
    height, width, channels = pixels.shape
    count = (width - 1) // BLOCK * BLOCK
    if count < 2 * BLOCK:
        return None
    energy = np.zeros(count)
    for top in range(0, height, _STRIP_ROWS):
        steps = np.diff(pixels[top : top + _STRIP_ROWS, : count + 1], axis=1)
        energy += np.square(steps).sum(axis=(0, 2), dtype=np.float64)
    return np.asarray(energy.reshape(-1, BLOCK).mean(axis=0) / (height * channels))
