"""Automatic exposure compensation in linear light.

Where a picture is mis-exposed, exposure is one factor on all light: 2^EV. Whether it is cannot be known from the
picture alone, for dark scenes and light scenes exist. So ``auto`` acts on evidence that a well-exposed picture hardly
ever gives, and leaves the others alone:

* *under-exposed*: nothing reaches the upper part of the scale. The 99.9th percentile of the brightest channel lies at
  least :data:`LEAST_HEADROOM` stops below the top **and** the median luminance is at most middle grey. The correction
  is that headroom: it brings the brightest to the top and no further.
* *over-exposed*: light reaches the top, and what lies there and how light the darkest tenth is indicate too much light:
  ``5.3 sqrt(clipped) + 10.4 sqrt(white) + 0.42 log2(Y10) - 0.2 >= 0.8``, with the shares of pixels that have one
  channel or all at the top and the luminance below which a tenth of them lies. These are the log-odds of a logistic
  regression that separates photographs from the same ones 1 and 1.5 EV lighter. Excluded are pictures whose middle is
  dark (a bright window in a dark room), and those where more than :data:`WHITE_GROUND` is pure white (paper, a studio's
  background) or more than :data:`BLACK_TOO` is black. The correction is one stop: the evidence shows that there is too
  much light, hardly how much.

What the second rule was fitted to stands in docs/quality.md, what it does in docs/recipes.md (``make bench-tone``).

It fails where evidence is missing: under-exposed pictures with a lamp or a highlight in them, and over-exposed ones
that hold no bright areas, stay as they are; a dusk scene without any light is brightened, and a light scene whose sky
is blown out is darkened.

Nor is a picture judged that is restored from damage (enhancer/stages/restoration.py), or shows so little of it, or of
such a kind, that other stages are left to it: blur and compression take the brightest values down by tenths of a stop,
and clipping smears, which made dark scenes brighter by a stop and more.

Where the recipe asks for visibility (``lift``), a dark scene with lamps in it is brightened too, as far as its middle
needs (:mod:`enhancer.stages.low_light`).

The curve is highlight-safe both ways (:mod:`enhancer.stages.lift_curve`): what was below the top stays below it.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np

from enhancer.image import FloatPixels
from enhancer.options import ExposureOptions
from enhancer.stages.base import Context, Decision, Stage
from enhancer.stages.dynamic_range import DARKEST_STEP, RangeNumbers, analyse
from enhancer.stages.lift_curve import compensate
from enhancer.stages.light import from_linear, to_linear
from enhancer.stages.low_light import stops_dark
from enhancer.stages.restored import shows_damage

LEAST_HEADROOM: Final = 0.9
MIDDLE_GREY: Final = 0.18
EVIDENCE: Final = (5.3, 10.4, 0.42, -0.2)
"""Of over-exposure: of the square roots of the clipped and the white share, of log2(Y10), and the constant."""
LEAST_EVIDENCE: Final = 0.8
TOO_MUCH: Final = 1.0
"""Stops taken from an over-exposed picture."""
REACHES_TOP: Final = 0.93
"""Luminance at 99.9 % from which the light, and not only a colour, is at the top."""
DARK_MEDIAN: Final = 0.08
BLACK_TOO: Final = 0.04
"""Share of black from which a picture with clipped highlights is one of hard contrast, such as a slide or a drawing:
too much light would have lifted its shadows."""
WHITE_GROUND: Final = 0.35
SMALLEST_AREA: Final = 1024
"""Pixels below which percentiles say little."""


class Exposure(Stage):
    """Multiplies the light where it is measurably too little or too much."""

    name = "exposure"
    options = ExposureOptions
    off = "the recipe's exposure mode is off"
    for_photographs = True
    corrects = True

    def idle(self, context: Context) -> str | None:
        """As every stage, and where the picture shows damage, unless the recipe has an explicit value."""
        judged = self.insists(context) or not shows_damage(context)
        damaged = None if judged else "the picture is damaged: what its brightest values say is not believed"
        return super().idle(context) or damaged

    def measure(self, pixels: FloatPixels, context: Context) -> Decision:
        """Judge the exposure.

        Args:
            pixels: H x W x C, float32 in [0, 1].
            context: the recipe's ``exposure`` (an explicit ``ev`` holds whatever the mode) and its mask of visible
                pixels.

        Returns:
            A decision whose numbers are those of :class:`enhancer.stages.dynamic_range.RangeNumbers` and, where
            applied, ``ev`` (stops; above 0 brightens) and ``peak`` (the largest linear value, which the curve keeps
            from clipping).
        """
        if (idle := self.idle(context)) is not None:
            return Decision(False, idle)
        options = context.recipe.exposure
        if options.ev == 0:
            return Decision(False, "the recipe's exposure value is 0")
        numbers = analyse(pixels, context.visible)
        if options.ev is not None:
            ev, reason = options.ev, f"the recipe asks for {options.ev:+.2f} EV"
        elif pixels.shape[0] * pixels.shape[1] < SMALLEST_AREA:
            return Decision(False, "too small to judge the exposure", numbers.as_numbers())
        else:
            measured, reason = mis_exposure(numbers)
            if options.lift == "visibility" and (stops := stops_dark(numbers)) > measured >= 0:
                measured, reason = stops, f"dark: its middle lacks {stops:.1f} stops of what can be made out"
            ev = math.copysign(min(abs(measured), options.max_ev), measured)
        if ev == 0:
            return Decision(False, reason, numbers.as_numbers())
        figures: dict[str, Any] = {
            **numbers.as_numbers(),
            "ev": round(ev, 3),
            "peak": float(to_linear(np.asarray(pixels.max(), dtype=np.float32))),
        }
        return Decision(True, reason, figures)

    def apply(self, block: FloatPixels, decision: Decision, context: Context) -> FloatPixels:
        """Compensate a block.

        Args:
            block: H x W x C, float32 in [0, 1].
            decision: from :meth:`measure`.
            context: unused.

        Returns:
            H x W x C, float32 in [0, 1].
        """
        light = compensate(to_linear(block), decision.numbers["ev"], decision.numbers["peak"])
        return np.clip(from_linear(light), 0, 1)

    def halo(self, context: Context) -> int:
        """Each pixel on its own."""
        return 0


def mis_exposure(numbers: RangeNumbers) -> tuple[float, str]:
    """The correction that a picture's range calls for (see the module).

    Returns:
        Stops, above 0 to brighten, 0 to leave alone; and why.
    """
    if numbers.headroom >= LEAST_HEADROOM:
        if numbers.median > MIDDLE_GREY:
            return 0.0, "the brightest values are low, but the middle is not dark: low contrast"
        return numbers.headroom, f"under-exposed: the top {numbers.headroom:.1f} stops are empty and the middle is dark"
    if numbers.luminance_percentiles["99.9"] < REACHES_TOP or over_exposure(numbers) < LEAST_EVIDENCE:
        return 0.0, "the exposure shows no fault"
    white = f"{numbers.white:.0%} is pure white: a background, or past mending"
    objections = (
        (numbers.median < DARK_MEDIAN, "highlights are clipped, but the middle is dark"),
        (min(numbers.shadows_clipped) > BLACK_TOO, "both ends are clipped: hard contrast, not too much light"),
        (numbers.white > WHITE_GROUND, white),
    )
    for holds, why in objections:
        if holds:
            return 0.0, why
    return -TOO_MUCH, f"over-exposed: {numbers.any_highlight_clipped:.0%} of the pixels are clipped and little is dark"


def over_exposure(numbers: RangeNumbers) -> float:
    """Log-odds that a picture whose light reaches the top is over-exposed (see the module)."""
    clipped, white, dark, constant = EVIDENCE
    darkest_tenth = math.log2(max(numbers.luminance_percentiles["10"], DARKEST_STEP))
    return (
        clipped * math.sqrt(numbers.any_highlight_clipped)
        + white * math.sqrt(numbers.white)
        + dark * darkest_tenth
        + constant
    )
