"""Edges of what was drawn, written or rendered, after enlarging: one colour on either side, no halo, and straight.

Nets ring beside the edges of text and leave them soft, less so where they learned from renderings. A rendering has
neither: a pixel on an edge is the mean of the two colours that meet there. So an enlargement of one is brought to what
a rendering at its size could be, in a few rounds:

* it stays within the smallest and largest values of the 3 x 3 pixels of the source around each place, channel by
  channel, so that there is no overshoot and plain colours are exact;
* within these, edges are made steeper around the middle of the two;
* averaged to the source's size it is the source again: the difference is added back, as in iterative back-projection
  (M. Irani and S. Peleg, "Improving resolution by image registration", CVGIP 1991).

Where the source hardly varies, as in gradients and on noisy paper, the first of these is all that is done.
"""

from __future__ import annotations

from typing import Any, Final

import cv2
import numpy as np

from enhancer.image import FloatPixels
from enhancer.stages.base import Context
from enhancer.stages.kinds import KINDS, NAME

REACH: Final = 4
"""Pixels of the source around a place that its result depends on: one of the range, one of each round's bilinear
enlargement, and some for sizes that are no multiples."""
WINDOW: Final = 3
ROUNDS: Final = 2
STEEPER: Final = 1.15
"""Times, in each round."""
CONTRAST: Final = (16 / 255, 48 / 255)
"""Range around a place below which it is no edge, and from which it surely is one."""
MOST_LIKE_A_PHOTOGRAPH: Final = 0.18
"""Probability of a photograph up to which a picture is taken for drawn without doubt."""
BAND: Final = 128
"""Rows of the source that are worked on at once."""
KEY: Final = "drawn_edges"


def surely_drawn(context: Context) -> bool:
    """Whether it was measured without doubt, or said by the recipe, that the picture is no photograph."""
    measured = context.decisions.get(NAME)
    if measured is None or measured.numbers["kind"] == KINDS[0]:
        return False
    odds: dict[str, float] = measured.numbers.get("odds", {})
    return odds.get(KINDS[0], 0.0) <= MOST_LIKE_A_PHOTOGRAPH


def edges_drawn(context: Context) -> bool:
    """Whether super-resolution, whose decision it was, made edges as drawn."""
    decision = context.decisions.get("super-resolution")
    return decision is not None and bool(decision.numbers.get(KEY))


def with_drawn_edges(enlarged: FloatPixels, source: FloatPixels) -> FloatPixels:
    """Bring an enlargement to what a rendering at its size could be.

    Args:
        enlarged: H' x W' x C, float32, about in [0, 1]; sides at least the source's.
        source: H x W x C, float32 in [0, 1], what was enlarged.

    Returns:
        H' x W' x C, float32, nowhere beyond the range of the 3 x 3 pixels of the source around it. What is not
        finite stays so.
    """
    height, width = source.shape[:2]
    factor = enlarged.shape[0] // height
    if enlarged.shape[:2] != (height * factor, width * factor) or height <= BAND:
        return _settled(enlarged, source)
    result = np.empty_like(enlarged)
    for top in range(0, height, BAND):
        bottom = min(top + BAND, height)
        above, below = max(0, top - REACH), min(height, bottom + REACH)
        band = _settled(enlarged[above * factor : below * factor], source[above:below])
        result[top * factor : bottom * factor] = band[(top - above) * factor :][: (bottom - top) * factor]
    return result


def _settled(enlarged: FloatPixels, source: FloatPixels) -> FloatPixels:
    size, small = enlarged.shape[1::-1], source.shape[1::-1]
    window = np.ones((WINDOW, WINDOW), np.uint8)
    low, high = (
        _resized(spread(source, window, borderType=cv2.BORDER_REPLICATE), size, cv2.INTER_NEAREST_EXACT)
        for spread in (cv2.erode, cv2.dilate)
    )
    span = high - low
    least, sure = CONTRAST
    weight = np.clip((span.max(axis=2, keepdims=True) - np.float32(least)) / np.float32(sure - least), 0, 1)
    steeper = 1 + np.float32(STEEPER - 1) * weight
    middle = low + span / 2
    result: FloatPixels = np.clip(enlarged, low, high)
    for _ in range(ROUNDS):
        result = np.clip(middle + steeper * (result - middle), low, high)
        missing = source - _resized(result, small, cv2.INTER_AREA)
        result = np.clip(result + weight * _resized(missing, size, cv2.INTER_LINEAR), low, high)
    return result


def _resized(pixels: Any, size: tuple[int, ...], interpolation: int) -> FloatPixels:
    width, height = size
    resized = cv2.resize(np.ascontiguousarray(pixels), (width, height), interpolation=interpolation)
    return np.asarray(resized, np.float32).reshape(height, width, -1)
