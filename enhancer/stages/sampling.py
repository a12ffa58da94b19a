"""Bounded samples of a picture for measuring, so that a measurement costs the same for 1 and for 400 megapixels."""

from __future__ import annotations

from typing import Final

import numpy as np

from enhancer.image import FloatPixels

CROP: Final = 256
CROPS_PER_SIDE: Final = 8


def evenly_spread_crops(pixels: FloatPixels) -> list[FloatPixels]:
    """The whole picture where it is small, else an even grid of crops that covers both ends of each side.

    Args:
        pixels: H x W x C (or H x W).

    Returns:
        Views. A side of more than 2048 pixels is represented by 8 crops of 256, a shorter one in full.
    """
    return [pixels[rows, columns] for rows, columns in evenly_spread_windows(pixels.shape[0], pixels.shape[1])]


def evenly_spread_windows(height: int, width: int) -> list[tuple[slice, slice]]:
    """Rows and columns of the crops that :func:`evenly_spread_crops` takes of H x W pixels, in its order."""
    return [(rows, columns) for rows in _spans(height) for columns in _spans(width)]


def _spans(side: int) -> list[slice]:
    if side <= CROP * CROPS_PER_SIDE:
        return [slice(0, side)]
    starts = np.linspace(0, side - CROP, CROPS_PER_SIDE).astype(int)
    return [slice(int(start), int(start) + CROP) for start in starts]
