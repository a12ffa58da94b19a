"""How well a detector's mask agrees with the truth: precision, recall and F1 with a tolerance in pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]

TOLERANCE: Final = 2
"""Pixels: a mark's rim is a matter of taste, its place is not."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """Pixels counted over one or several pictures; counts of several pictures are added.

    Attributes:
        found: pixels that the detector marks.
        right: of those, the ones no further than the tolerance from damage, however faint.
        true: visibly damaged pixels.
        met: of those, the ones no further than the tolerance from what was found.
    """

    found: int = 0
    right: int = 0
    true: int = 0
    met: int = 0

    def __add__(self, other: Agreement) -> Agreement:
        return Agreement(
            self.found + other.found, self.right + other.right, self.true + other.true, self.met + other.met
        )

    @property
    def precision(self) -> float:
        """Share of what was found that is damage; 1 where nothing was found."""
        return self.right / self.found if self.found else 1.0

    @property
    def recall(self) -> float:
        """Share of the damage that was found; 1 where there is none."""
        return self.met / self.true if self.true else 1.0

    @property
    def f1(self) -> float:
        """Harmonic mean of both."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0


def agreement(found: Mask, true: Mask, traces: Mask, tolerance: int = TOLERANCE) -> Agreement:
    """Compare H x W masks; distances are Euclidean, in pixels.

    Args:
        found: what the detector marks.
        true: what it must find.
        traces: what it may find: `true` and the damage that is too faint to see.
        tolerance: in pixels.
    """
    return Agreement(
        found=int(found.sum()),
        right=int((found & _near(traces, tolerance)).sum()),
        true=int(true.sum()),
        met=int((true & _near(found, tolerance)).sum()),
    )


def _near(mask: Mask, tolerance: int) -> Mask:
    rows, columns = np.mgrid[-tolerance : tolerance + 1, -tolerance : tolerance + 1]
    disc = (rows**2 + columns**2 <= tolerance**2).astype(np.uint8)
    return np.asarray(cv2.dilate(mask.astype(np.uint8), disc)).astype(bool)
