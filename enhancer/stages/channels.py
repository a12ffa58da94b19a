"""Between pictures (H x W x C, grey or RGB) and what nets take (planes x H x W, RGB)."""

from __future__ import annotations

import numpy as np

from enhancer.image import FloatPixels


def to_planes(pixels: FloatPixels) -> FloatPixels:
    """H x W x C as 3 x H x W, a read-only view; grey is repeated."""
    planes = np.moveaxis(pixels, 2, 0)
    return np.broadcast_to(planes, (3, *planes.shape[1:]))


def from_planes(planes: FloatPixels, *, like: FloatPixels) -> FloatPixels:
    """3 x H x W as contiguous H x W x C with the channels of `like`; copied only where it does not lie so already.

    Grey is the mean of the three, so that no tint comes in.
    """
    if like.shape[2] == 1:
        grey: FloatPixels = planes.mean(axis=0, dtype=np.float32)[..., None]
        return grey
    return np.ascontiguousarray(np.moveaxis(planes, 0, 2))
