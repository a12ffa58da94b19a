"""Whether a result still has what its input drew: thin strokes, and plain colours.

A figure over the whole picture hardly moves when every line of a drawing goes. So the lines are looked at alone: what
is darker or lighter than the median around it, by more than noise, and lies in straight runs, which neither noise nor
impulses do. Plain colours are places where the input has one value and the result another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from enhancer.image import FloatPixels

WINDOW: Final = 7
"""Side of the window whose median is the ground; strokes of up to about three pixels are thin."""
NEIGHBOURS: Final = 5
"""Side of the window that has one colour around a plain pixel."""
RUN: Final = 7
"""Pixels in a straight run, in one of four directions."""
LEAST_CONTRAST: Final = 0.25
"""Least contrast of a stroke; pale ones are hard to distinguish from texture."""
NOISES: Final = 6.0
"""Standard deviations of the noise by which a stroke stands out where that is more: what noise reaches in a window."""
MOST_CONTRAST: Final = 0.5
"""From here on a run of pixels is a stroke whatever noise was measured: a drawing may have been taken for noise."""
KEPT: Final = 0.5
"""Share of its contrast below which a pixel of a stroke is lost."""
LEAST_STROKES: Final = 64
LEAST_FLAT: Final = 0.05
"""Pixels of strokes, and share of plain pixels, below which nothing is said."""
PLAIN: Final = 1.5 / 255
SHIFTED: Final = 12 / 255
MOST_LOST: Final = 0.1
MOST_SHIFTED: Final = 0.25
"""Share of the strokes' pixels that may be lost, and of the plain ones that may have another colour."""


@dataclass(frozen=True, slots=True)
class Strokes:
    """What became of strokes and plain colours.

    Attributes:
        lost: share of the strokes' pixels that have lost half of their contrast; None: hardly any strokes.
        shifted: share of the plain pixels that differ by more than :data:`SHIFTED`; None: hardly any are plain.
    """

    lost: float | None
    shifted: float | None


def compare_strokes(result: FloatPixels, source: FloatPixels, sigma: float | None = None) -> Strokes:
    """Look for the source's strokes and plain colours in the result.

    Args:
        result: H x W x C, float32 in [0, 1], at the source's size.
        source: H x W x C.
        sigma: standard deviation of the noise measured in the source; None: not measured, taken for none.

    Returns:
        Shares in [0, 1].
    """
    import cv2

    before, after = (without_specks(pixels.mean(axis=2, dtype=np.float32)) for pixels in (source, result))
    contrast = min(max(LEAST_CONTRAST, NOISES * (sigma or 0.0)), MOST_CONTRAST)
    strokes = lost = 0
    for inverted in (False, True):
        drawn, left = (_darker(1 - values if inverted else values) for values in (before, after))
        stroke = _in_runs(drawn >= contrast)
        strokes += int(np.count_nonzero(stroke))
        # A stroke that moved by a part of a pixel is still there: the neighbours count too.
        near = cv2.dilate(left, np.ones((3, 3), np.uint8))
        lost += int(np.count_nonzero(stroke & (near < KEPT * drawn)))
    plain = _plain(source)
    enough = np.count_nonzero(plain) >= LEAST_FLAT * plain.size
    apart = np.abs(result - source).max(axis=2)
    return Strokes(
        lost / strokes if strokes >= LEAST_STROKES else None,
        float((apart[plain] > SHIFTED).mean()) if enough else None,
    )


def without_specks(values: FloatPixels) -> FloatPixels:
    """Each pixel brought into the range of its eight neighbours: impulses go, and strokes, which go on, stay."""
    import cv2

    ring = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], np.uint8)
    return np.asarray(np.clip(values, cv2.erode(values, ring), cv2.dilate(values, ring)), np.float32)


def objections(strokes: Strokes) -> list[str]:
    """Why a result may not be published, as far as its strokes and plain colours say."""
    found = []
    if strokes.lost is not None and strokes.lost > MOST_LOST:
        found.append(f"{strokes.lost:.0%} of the thin strokes are lost, more than {MOST_LOST:.0%}")
    if strokes.shifted is not None and strokes.shifted > MOST_SHIFTED:
        found.append(f"{strokes.shifted:.0%} of the plain colours are shifted, more than {MOST_SHIFTED:.0%}")
    return found


def _darker(values: FloatPixels) -> FloatPixels:
    """How much each pixel is darker than the median around it."""
    import cv2

    levels = np.rint(np.clip(values, 0, 1) * 255).astype(np.uint8)
    ground = cv2.medianBlur(levels, WINDOW).astype(np.float32) / np.float32(255)
    return np.asarray(ground - values, np.float32)


def _in_runs(chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The pixels in straight runs: opening by a line keeps just those."""
    import cv2

    flat = np.zeros((RUN, RUN), np.uint8)
    flat[RUN // 2] = 1
    slope = np.eye(RUN, dtype=np.uint8)
    found = np.zeros_like(chosen)
    for line in (flat, flat.T, slope, slope[::-1]):
        kernel = np.ascontiguousarray(line)
        found |= cv2.morphologyEx(
            chosen.view(np.uint8), cv2.MORPH_OPEN, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0
        ).view(bool)
    return found


def _plain(source: FloatPixels) -> NDArray[np.bool_]:
    """Where all of the 5 x 5 neighbours have one colour."""
    import cv2

    window = np.ones((NEIGHBOURS, NEIGHBOURS), np.uint8)
    plain = np.ones(source.shape[:2], bool)
    for channel in range(source.shape[2]):
        values = np.ascontiguousarray(source[..., channel])
        plain &= cv2.dilate(values, window) - cv2.erode(values, window) < PLAIN
    return plain
