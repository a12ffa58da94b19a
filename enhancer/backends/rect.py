"""Rectangles of pixels: what is cut out of a picture with its surroundings, and where its result lies."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rect:
    """Rows [top, bottom) and columns [left, right)."""

    top: int
    bottom: int
    left: int
    right: int

    @property
    def shape(self) -> tuple[int, int]:
        """Its height and width."""
        return self.bottom - self.top, self.right - self.left

    @property
    def longest(self) -> int:
        """Its longer side."""
        return max(self.shape)

    @property
    def slices(self) -> tuple[slice, slice]:
        """Its rows and columns, to index an array with."""
        return slice(self.top, self.bottom), slice(self.left, self.right)

    def times(self, scale: int) -> Rect:
        """The same part of a picture that is so many times as large."""
        return Rect(self.top * scale, self.bottom * scale, self.left * scale, self.right * scale)

    def within(self, height: int, width: int) -> Rect:
        """What of it lies in a picture of this size."""
        return Rect(max(0, self.top), min(height, self.bottom), max(0, self.left), min(width, self.right))

    def inside(self, outer: Rect, scale: int = 1) -> tuple[slice, slice]:
        """Where it lies in an array of `outer`, enlarged."""
        place = Rect(self.top - outer.top, self.bottom - outer.top, self.left - outer.left, self.right - outer.left)
        return place.times(scale).slices
