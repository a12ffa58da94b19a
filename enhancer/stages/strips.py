"""Stages that look no further than a halo, applied to a large picture strip by strip, over the picture itself.

A float picture of 100 megapixels is 1.2 GB, and what a stage computes on the way to its result may be several of them.
In strips it is a few tens of megabytes, and the result takes the picture's own place.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from enhancer.image import FloatPixels
from enhancer.stages.base import WHOLE_PICTURE, Context, Decision, Stage

LARGE: Final = 16_000_000
"""Pixels of a picture up to which a stage is given all of it: 0.2 GB."""
STRIP: Final = 1_000_000
"""Pixels of a strip, about: what is computed on the way takes some multiple of its 12 MB."""
HALOS: Final = 8
"""Rows of a strip at least, in halos: what lies around it costs a quarter more work."""
ALIGNED: Final = 8
"""Rows that strips and halos are multiples of, so that nets which fold pixels have the whole picture's grid."""


def in_strips(stage: Stage, pixels: FloatPixels, context: Context) -> bool:
    """Whether the picture is large, and the stage can be applied to parts of it."""
    return (
        pixels.shape[0] * pixels.shape[1] > LARGE and stage.scale(context) == 1 and stage.halo(context) < WHOLE_PICTURE
    )


def apply_in_strips(
    stage: Stage, pixels: FloatPixels, decision: Decision, context: Context, *, into: FloatPixels
) -> FloatPixels:
    """What ``stage.apply`` makes of the whole picture (of nets: to their own seams).

    Args:
        stage: one that :func:`in_strips` names.
        pixels: H x W x C, float32.
        decision: the stage's.
        context: its.
        into: where the result goes, of the same shape; may be `pixels` itself.

    Returns:
        `into`.
    """
    height, width = pixels.shape[:2]
    halo = _up(stage.halo(context))
    rows = max(_up(STRIP // width), HALOS * halo, ALIGNED)
    above = pixels[:0]
    for top in range(0, height, rows):
        bottom = min(height, top + rows)
        # The rows above may hold the result by now: they were kept.
        block = np.concatenate([above, pixels[top : bottom + halo]]) if halo else pixels[top:bottom]
        start = len(above)
        above = pixels[bottom - halo : bottom].copy()
        into[top:bottom] = stage.apply(block, decision, context)[start : start + bottom - top]
    return into


def _up(rows: int) -> int:
    return -(-rows // ALIGNED) * ALIGNED
