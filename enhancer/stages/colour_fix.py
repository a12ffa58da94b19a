"""Colour fix: the low frequencies of an enlarged picture are brought back to those of the picture it was made from.

Nets, above all those trained to please, shift colours and brightness a little. What an enlargement must keep can be
said without knowing the truth: reduced to the old size, it is the old picture. The difference is added back, as in
iterative back-projection (M. Irani and S. Peleg, "Improving resolution by image registration", CVGIP 1991), but of it
only the low frequencies, since the high ones hold the input's noise and aliasing too:

    result + up(blur(source - down(result)))
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from enhancer.image import FloatPixels
from enhancer.options import ColourFixOptions
from enhancer.reduction import reduced
from enhancer.stages.base import WHOLE_PICTURE, Context, Decision, Stage
from enhancer.stages.drawn_edges import edges_drawn

SIGMA: Final = 2.0
"""Of the Gaussian blur, in pixels of the source."""
REACH: Final = 11
"""Pixels of the source around a place that its correction depends on: two of the reduction's kernel, eight of the
blur's, one of the bilinear enlargement."""
CUT_AT: Final = 4
"""Sigmas beyond which the blur's kernel is cut, as SciPy does."""
HELD_ALREADY: Final = "edges as drawn are held to the input already"
DEPTHS: Final = (8, 16)
"""Least and most bits whose half level counts as rounding: two-level pictures are enlarged in 8 bits, and beyond 16
the nets themselves are no finer."""


class ColourFix(Stage):
    """Gives the low frequencies of what super-resolution was given back to its result."""

    name = "colour-fix"
    options = ColourFixOptions
    off = "the recipe leaves the result's colours alone"

    def measure(self, pixels: FloatPixels, context: Context) -> Decision:
        """Reduce the result and compare it with the source.

        Args:
            pixels: H x W x C, float32, about in [0, 1].
            context: the recipe's ``colour_fix.mode``; its source.

        Returns:
            A decision whose numbers are the largest and the mean difference of low frequencies, ``largest`` and
            ``mean``, on [0, 1] values; applied where the largest is at least half a level of the picture's bit depth.
            Where edges were made as drawn, plain colours are exact, and nothing is measured.
        """
        if (idle := self.idle(context)) is not None:
            return Decision(False, idle)
        if context.source is None:
            return Decision(False, "there is no enlarged picture to hold against its input")
        if edges_drawn(context):
            return Decision(False, HELD_ALREADY)
        difference = low_frequency_difference(pixels, context.source)
        size = np.abs(difference)
        largest = size.max()
        numbers = {"largest": round(float(largest), 6), "mean": round(float(size.mean()), 6)}
        applied = bool(worth_fixing(largest, context))
        if applied:
            context.keep(self.name, pixels, difference)
        return self.decided(context, applied=applied, numbers=numbers)

    @classmethod
    def decided(cls, context: Context, *, applied: bool, numbers: dict[str, float]) -> Decision:
        """The decision where the difference is known, measured over the whole picture or added up over its tiles."""
        if not context.recipe.colour_fix.wanted():
            return Decision(False, cls.off)
        if edges_drawn(context):
            return Decision(False, HELD_ALREADY)
        if not applied:
            return Decision(False, "low frequencies agree with the input's within rounding", numbers)
        return Decision(True, "low frequencies differ from the input's", numbers)

    def apply(self, block: FloatPixels, decision: Decision, context: Context) -> FloatPixels:
        """Correct the whole picture.

        Args:
            block: H x W x C, float32, about in [0, 1].
            decision: from :meth:`measure`.
            context: its source.

        Returns:
            H x W x C, float32; where the difference is less than half a level, exactly `block`.
        """
        assert context.source is not None
        difference = context.take(self.name, block)
        if difference is None:
            difference = low_frequency_difference(block, context.source)
        kept = np.where(worth_fixing(difference, context), difference, np.float32(0))
        return with_low_frequencies(block, kept)

    def halo(self, context: Context) -> int:
        """It needs the place of a block in the source."""
        return WHOLE_PICTURE


def low_frequency_difference(enlarged: FloatPixels, source: FloatPixels, sigma: float = SIGMA) -> FloatPixels:
    """What the low frequencies of `enlarged` lack of those of `source`.

    Args:
        enlarged: H' x W' x C, float32; what is beyond [0, 1] will be clipped, so it is here.
        source: H x W x C, float32.
        sigma: of the Gaussian blur, in pixels of the source; edges are continued by reflection.

    Returns:
        H x W x C, float32.
    """
    difference = np.subtract(source, reduced(enlarged, *source.shape[:2], clip=True))
    side = 2 * round(CUT_AT * sigma) + 1
    blurred = cv2.GaussianBlur(difference, (side, side), sigma, borderType=cv2.BORDER_REFLECT)
    return np.asarray(blurred, np.float32).reshape(source.shape)


def with_low_frequencies(enlarged: FloatPixels, difference: FloatPixels) -> FloatPixels:
    """`enlarged` and `difference`, which is of the source's size, spread bilinearly over it."""
    spread = cv2.resize(difference, enlarged.shape[1::-1], interpolation=cv2.INTER_LINEAR).reshape(enlarged.shape)
    result: FloatPixels = np.add(enlarged, spread, out=spread, casting="same_kind")
    return result


def worth_fixing(difference: FloatPixels | np.float32, context: Context) -> NDArray[np.bool]:
    """Where the difference is at least half a level of the picture as it came."""
    least, most = DEPTHS
    levels = 2 ** min(max(context.metadata.bit_depth, least), most) - 1
    return np.asarray(np.abs(difference) >= 0.5 / levels)
