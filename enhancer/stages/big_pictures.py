"""Large results: enlarged tile by tile into integers, so that no float copy of all of it is ever there.

400 megapixels are 1.2 GB in bytes and 4.8 GB in float32. What a tile becomes depends on a bounded surrounding only: the
net's halo, and beyond it what the colour fix looks at. So each tile is enlarged with that much around it, corrected,
rounded, and put into its place; the result is that of the whole picture (to the bit for int8 nets, else to the net's
own seams).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from enhancer.backends.rect import Rect
from enhancer.errors import PictureError
from enhancer.image import Pixels, from_unit, to_unit
from enhancer.stages.base import Context, Decision, Stage
from enhancer.stages.colour_fix import REACH, ColourFix, low_frequency_difference, with_low_frequencies, worth_fixing
from enhancer.stages.drawn_edges import edges_drawn
from enhancer.stages.super_resolution import SuperResolution, fidelity_beside, net_of

LARGE: Final = 48_000_000
"""Pixels of a result that are still computed as one float picture: 0.6 GB."""
TILE: Final = 384
"""Side of a tile, in pixels of the source. What surrounds it costs a quarter more work."""

_ENLARGE: Final = SuperResolution()


def in_tiles(decision: Decision, pixels: Pixels, context: Context, later: Sequence[Stage]) -> bool:
    """Whether a result is large, and no stage after super-resolution but the colour fix has to see it.

    Args:
        decision: super-resolution's.
        pixels: H x W x C as they came, or as the working space has them.
        context: its recipe and nets.
        later: the stages after super-resolution.
    """
    recipe, numbers = context.recipe, decision.numbers
    return (
        decision.applied
        and numbers["height"] * numbers["width"] > LARGE
        and pixels.dtype != np.float32
        and recipe.progressive.stages == 1
        and numbers["net_scale"] == recipe.scale
        and fidelity_beside(context) is None
        and all(isinstance(stage, ColourFix) or stage.idle(context) is not None for stage in later)
    )


def enlarge_in_tiles(
    source: NDArray[Any], decision: Decision, context: Context, dtype: np.dtype[Any]
) -> tuple[Pixels, Decision]:
    """Super-resolution and colour fix.

    Args:
        source: H x W x C, as stages before left it: float32 in [0, 1], or the integers that came.
        decision: super-resolution's.
        context: its recipe and nets.
        dtype: of the result, uint8 or uint16.

    Returns:
        The result, and the colour fix's decision.

    Raises:
        PictureError: the net gave values that are not finite (reason ``not-finite``).
    """
    scale = round(decision.numbers["net_scale"])
    height, width, channels = source.shape
    result: Pixels = np.empty((height * scale, width * scale, channels), dtype)
    fixing = context.recipe.colour_fix.mode != "off" and not edges_drawn(context)
    largest, total, applied = 0.0, 0.0, False
    halo = _ENLARGE.halo(context)
    step = net_of(context).spec.multiple_of
    for core in _tiles(height, width, step):
        near = _grown(core, REACH if fixing else 0, height, width)
        wide = _grown(near, halo, height, width, step)
        block = to_unit(source[wide.slices])
        large = _ENLARGE.apply(block, decision, context)[near.inside(wide, scale)]
        if not np.isfinite(large).all():
            raise PictureError("super-resolution gave values that are not finite", reason="not-finite")
        if fixing:
            difference = low_frequency_difference(large, block[near.inside(wide)])
            own = difference[core.inside(near)]
            largest, total = max(largest, float(np.abs(own).max())), total + float(np.abs(own).sum())
            kept = np.where(worth_fixing(difference, context), difference, np.float32(0))
            applied |= bool(kept[core.inside(near)].any())
            if kept.any():
                large = with_low_frequencies(large, kept)
        result[core.times(scale).slices] = from_unit(large[core.inside(near, scale)], dtype)
    numbers = {"largest": round(largest, 6), "mean": round(total / source.size, 6)}
    return result, ColourFix.decided(context, applied=applied, numbers=numbers)


def _grown(rect: Rect, by: int, height: int, width: int, step: int = 1) -> Rect:
    """With so much around it, as far as the picture goes; it starts on a multiple of `step`."""
    large = Rect(rect.top - by, rect.bottom + by, rect.left - by, rect.right + by).within(height, width)
    return replace(large, top=large.top // step * step, left=large.left // step * step)


def _tiles(height: int, width: int, step: int) -> Iterator[Rect]:
    side = max(step, TILE // step * step)
    for top in range(0, height, side):
        for left in range(0, width, side):
            yield Rect(top, top + side, left, left + side).within(height, width)
