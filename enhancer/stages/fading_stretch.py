"""Restoration of faded prints: each channel's own black and white point back to the ends of the scale.

Dyes fade each at its own pace and paper yellows, so that an old print has neither black nor white, and both ends of its
range are tinted. Linear stretching of each channel between its extreme percentiles undoes that to first order (R. C.
Gonzalez, R. E. Woods, "Digital Image Processing", 4th ed., 2018, 3.2, contrast stretching; per channel as in A. Rizzi,
C. Gatti, C. Slanzi, G. Ciocca, R. Schettini, "Unsupervised digital movie restoration for faded dye", 2002):

    v' = (v - b_c) / (w_c - b_c),  b_c and w_c the 0.1 and 99.9 % percentiles of channel c.

It works on the encoded values: a print's density, of which fading is a loss, is about linear in them and not in light.

``auto`` acts only where *every* channel is empty at *both* ends, by :data:`EMPTY_LOW` and :data:`EMPTY_HIGH`, and the
ends are tinted (:data:`LEAST_TINT`). A dark scene reaches black, a light one white; mist and plain walls reach neither
but are no prints: grey ones have no tint, for coloured ones only the preset for old prints turns this on.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from enhancer.image import FloatPixels
from enhancer.options import FadingOptions
from enhancer.stages.base import Context, Decision, Stage
from enhancer.stages.dynamic_range import sample

EMPTY_LOW: Final = 0.09
EMPTY_HIGH: Final = 0.09
"""Least empty part of the encoded scale below and above each channel."""
LEAST_TINT: Final = 0.04
"""Least difference between the channels' black points, or between their white points."""
LEAST_SPAN: Final = 0.2
"""Range of a channel below which stretching would bring out nothing but grain."""
PERCENTILES: Final = (0.1, 99.9)
SMALLEST_AREA: Final = 1024


class FadingStretch(Stage):
    """Stretches each channel of a faded print over the whole scale."""

    name = "fading"
    options = FadingOptions
    off = "the recipe has the restoration of fading off"
    corrects = True

    def measure(self, pixels: FloatPixels, context: Context) -> Decision:
        """Measure where each channel begins and ends.

        Args:
            pixels: H x W x C, float32 in [0, 1].
            context: its recipe and the mask of visible pixels.

        Returns:
            A decision whose numbers are ``black`` and ``white``, one per channel, encoded in [0, 1].
        """
        if (idle := self.idle(context)) is not None:
            return Decision(False, idle)
        if pixels.shape[0] * pixels.shape[1] < SMALLEST_AREA:
            return Decision(False, "too small to tell whether it has faded")
        black, white = np.percentile(sample(pixels, context.visible), PERCENTILES, axis=0)
        numbers = ends_of(black, white)
        because = objection(black, white)
        if because is not None:
            return Decision(False, because, numbers)
        return Decision(True, f"faded: nothing below {black.min():.2f} and nothing above {white.max():.2f}", numbers)

    def apply(self, block: FloatPixels, decision: Decision, context: Context) -> FloatPixels:
        """Stretch a block.

        Args:
            block: H x W x C, float32 in [0, 1].
            decision: from :meth:`measure`.
            context: not used.

        Returns:
            H x W x C, float32 in [0, 1].
        """
        black, white = (np.asarray(decision.numbers[end], dtype=np.float32) for end in ("black", "white"))
        return np.clip((block - black) / (white - black), 0, 1)

    def halo(self, context: Context) -> int:
        """Each pixel on its own."""
        return 0


def ends_of(black: NDArray[np.float64], white: NDArray[np.float64]) -> dict[str, list[float]]:
    """The numbers of a decision that the stretch follows."""
    return {"black": [round(float(v), 4) for v in black], "white": [round(float(v), 4) for v in white]}


def objection(black: NDArray[np.float64], white: NDArray[np.float64]) -> str | None:
    """Why these ends are not those of a faded print; None: they are."""
    if black.min() < EMPTY_LOW:
        return "not faded: there is black"
    if white.max() > 1 - EMPTY_HIGH:
        return "not faded: there is white"
    if max(np.ptp(black), np.ptp(white)) < LEAST_TINT:
        return "low contrast, but without the tint of faded dyes"
    if (white - black).min() < LEAST_SPAN:
        return "too little contrast is left to restore"
    return None
