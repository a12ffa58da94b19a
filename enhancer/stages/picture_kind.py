"""What kind of picture it is, measured first: stages that were made for photographs leave the others alone.

A net of one hidden layer looks at :mod:`enhancer.stages.kind_features`; its weights are picture_kind.json, fitted by
``python -m benchmarks.choose_kind``. ``make bench-kinds`` prints what it takes pictures for that nothing was chosen on.

A photograph that is not taken for one misses what it could have gained; a drawing that is taken for a photograph may be
spoiled. Both are unlikely where the net is sure, and where it is not, what is no photograph for it is left alone.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from enhancer.image import FloatPixels
from enhancer.stages.base import Context, Decision, Stage
from enhancer.stages.kind_features import CELL, FEATURES, kind_features
from enhancer.stages.kinds import KINDS, NAME, WORDS
from enhancer.stages.noise import measure_noise
from enhancer.stages.sampling import evenly_spread_crops

WEIGHTS: Final = Path(__file__).with_suffix(".json")
SMALLEST_SIDE: Final = 16
"""Smaller pictures say nothing; they are taken for photographs."""
PHOTOGRAPHS: Final = 2.0
"""How much more frequent photographs are than either other kind; the weights were fitted with all three alike."""
MAY_BE_A_PHOTOGRAPH: Final = 0.33
"""Odds from which a sensor's noise decides for a photograph: it hides the smooth places that the net goes by."""
SENSOR_NOISE: Final = 3 / 255
"""Standard deviation of noise that differs from channel to channel, which nothing drawn or rendered has."""
LEAST_NOISE_SIDE: Final = 32
LEAST_CELLS: Final = 32
NOT_CLIPPED: Final = 0.04
GROUND: Final = (3, 10)
"""Percentiles of the cells' deviations that are compared: some of a page is paper."""
VISIBLE: Final = 1.8 / 255
MODERATE: Final = 20 / 255
ALIKE: Final = 1.5


@dataclass(frozen=True, slots=True)
class Kind:
    """What a picture is taken for.

    Attributes:
        name: one of :data:`KINDS`.
        confidence: the net's probability of it, 0 to 1.
        odds: of each kind.
        repeats: how much its finest detail repeats itself at a distance, 0 to 1.
    """

    name: str
    confidence: float
    odds: dict[str, float]
    repeats: float


class PictureKind(Stage):
    """Changes nothing: measures what later stages need."""

    name = NAME

    def measure(self, pixels: FloatPixels, context: Context) -> Decision:
        """Classify the picture.

        Args:
            pixels: H x W x C, float32 in [0, 1].
            context: its recipe's ``input.kind``, which holds unmeasured unless it is ``auto``; its mask of visible
                pixels.

        Returns:
            A decision that is never applied, whose numbers are ``kind``, ``confidence`` (0 to 1) and, where measured,
            ``odds`` of each kind and ``repeats`` (see :class:`Kind`).
        """
        asked = context.recipe.input.kind
        if asked != "auto":
            return Decision(False, f"the recipe says {WORDS[asked]}", {"kind": asked, "confidence": 1.0})
        if min(pixels.shape[:2]) < SMALLEST_SIDE:
            return Decision(False, "too small to tell", {"kind": KINDS[0], "confidence": 0.0})
        kind = measure_kind(pixels, context.visible)
        numbers: dict[str, Any] = {"kind": kind.name, "confidence": kind.confidence, "odds": kind.odds}
        numbers["repeats"] = kind.repeats
        photograph = kind.odds[KINDS[0]]
        if kind.name != KINDS[0] and photograph >= MAY_BE_A_PHOTOGRAPH and has_sensor_noise(pixels, context.visible):
            numbers |= {"kind": KINDS[0], "confidence": photograph}
            return Decision(False, f"{WORDS[KINDS[0]]}, by its noise (confidence {photograph:.2f})", numbers)
        return Decision(False, f"{WORDS[kind.name]} (confidence {kind.confidence:.2f})", numbers)

    def apply(self, block: FloatPixels, decision: Decision, context: Context) -> FloatPixels:
        """The block itself."""
        return block

    def halo(self, context: Context) -> int:
        """None."""
        return 0


def measure_kind(pixels: FloatPixels, visible: NDArray[np.bool_] | None = None) -> Kind:
    """The kind of a picture, H x W x C float32 in [0, 1]; `visible` as in :class:`enhancer.stages.base.Context`."""
    weights = _weights()
    features = kind_features(pixels, visible)
    scaled = (features - weights["mean"]) / weights["deviation"]
    hidden = np.tanh(weights["hidden"] @ scaled + weights["hidden_bias"])
    logits = weights["out"] @ hidden + weights["out_bias"]
    odds = np.exp(logits - logits.max())
    odds[0] *= PHOTOGRAPHS
    odds /= odds.sum()
    best = int(odds.argmax())
    rounded = {name: round(float(value), 3) for name, value in zip(KINDS, odds, strict=True)}
    return Kind(KINDS[best], rounded[KINDS[best]], rounded, round(float(features[FEATURES.index("repeats")]), 3))


def has_sensor_noise(pixels: FloatPixels, visible: NDArray[np.bool_] | None = None) -> bool:
    """Whether there is noise as a camera's sensor makes it: visible, and in each channel another.

    Args:
        pixels: H x W x C, float32 in [0, 1]; grey pictures have one channel and are never sure.
        visible: as in :class:`enhancer.stages.base.Context`.
    """
    if pixels.shape[2] < 3 or min(pixels.shape[:2]) < LEAST_NOISE_SIDE:
        return False
    noise = measure_noise(pixels, visible)
    return noise is not None and noise.independent and noise.strength >= SENSOR_NOISE


def noisy_ground(pixels: FloatPixels) -> bool:
    """Whether the paper is noisy, evenly so: the noise of a scanner, and no texture of what is drawn.

    Args:
        pixels: H x W x C, float32 in [0, 1].

    Returns:
        True where the quietest cells that are not clipped deviate visibly, moderately, and alike.
    """
    deviations = []
    for crop in evenly_spread_crops(pixels):
        height, width = (side // CELL * CELL for side in crop.shape[:2])
        if height and width:
            cells = crop[:height, :width].mean(axis=2).reshape(height // CELL, CELL, width // CELL, CELL)
            mean, deviation = cells.mean(axis=(1, 3)), cells.std(axis=(1, 3))
            deviations.append(deviation[(mean > NOT_CLIPPED) & (mean < 1 - NOT_CLIPPED)])
    found = np.concatenate(deviations) if deviations else np.zeros(0)
    if found.size < LEAST_CELLS:
        return False
    low, middle = np.percentile(found, GROUND)
    return bool(VISIBLE <= low <= MODERATE and middle <= ALIKE * low)


@cache
def _weights() -> dict[str, NDArray[np.float64]]:
    stored = json.loads(WEIGHTS.read_text(encoding="utf-8"))
    if tuple(stored.pop("features")) != FEATURES:
        raise ValueError(f"{WEIGHTS.name} was fitted to other features: run `python -m benchmarks.choose_kind`")
    return {name: np.array(values) for name, values in stored.items()}
