"""Dynamic resolution scaling: pictures beyond a limit are reduced before any net has to pay for their pixels."""

from __future__ import annotations

import math

import numpy as np

from enhancer.image import FloatPixels
from enhancer.options import SizeLimitOptions
from enhancer.stages.base import WHOLE_PICTURE, Context, Decision, Stage
from enhancer.stages.resize import resize


class SizeLimit(Stage):
    """Reduces a picture to the recipe's ``size_limit.max_pixels`` and ``size_limit.max_side``; never enlarges.

    The kernel is Lanczos with three lobes, widened with the reduction so that nothing aliases, on the values as they
    are encoded, which is how the pictures that nets learn from were reduced.
    """

    name = "size-limit"
    options = SizeLimitOptions
    off = "the recipe sets no limit"
    corrects = True

    def measure(self, pixels: FloatPixels, context: Context) -> Decision:
        """Compare the size with the limits.

        Args:
            pixels: H x W x C; only its shape matters.
            context: its recipe.

        Returns:
            A decision whose numbers are the new ``height`` and ``width`` and the ``scale`` of the longer side.
        """
        if (idle := self.idle(context)) is not None:
            return Decision(False, idle)
        options = context.recipe.size_limit
        height, width = pixels.shape[:2]
        new_height, new_width = limited_size(height, width, options.max_pixels, options.max_side)
        numbers = {
            "height": new_height,
            "width": new_width,
            "scale": round(max(new_height, new_width) / max(height, width), 6),
        }
        if (new_height, new_width) == (height, width):
            return Decision(False, "within the limits", numbers)
        return Decision(True, f"{width} x {height} is over the limit", numbers)

    def apply(self, block: FloatPixels, decision: Decision, context: Context) -> FloatPixels:
        """Reduce the whole picture.

        Args:
            block: H x W x C, float32 in [0, 1].
            decision: from :meth:`measure`.
            context: not used.

        Returns:
            height x width x C as decided, float32 in [0, 1].
        """
        reduced = resize(block, decision.numbers["height"], decision.numbers["width"])
        return np.clip(reduced, 0, 1)

    def halo(self, context: Context) -> int:
        """Not bounded: the kernel is as wide as the reduction makes it."""
        return WHOLE_PICTURE

    def scale(self, context: Context) -> float:
        """What was decided for the context's picture: at most 1, and 1 before :meth:`measure` or where not applied."""
        decision = context.decisions.get(self.name)
        return float(decision.numbers["scale"]) if decision is not None and decision.applied else 1.0


def limited_size(height: int, width: int, max_pixels: int | None, max_side: int | None) -> tuple[int, int]:
    """The largest height and width within the limits, aspect kept to the nearest pixel, each at least 1."""
    long, short = max(height, width), min(height, width)
    new_long = min(long, max_side or long)
    if max_pixels is not None and long * short > max_pixels:
        new_long = max(1, min(new_long, math.isqrt(max_pixels * long // short), max_pixels))
    new_short = max(1, round(short * new_long / long))
    if max_pixels is not None:
        new_short = max(1, min(new_short, max_pixels // new_long))
    return (new_short, new_long) if width > height else (new_long, new_short)
