"""Pillow's antialiased bicubic reduction of float pictures, as products with banded matrices.

The same weights and so the same result but for rounding, at a fraction of the time: the products run in BLAS, on all
cores, where Pillow computes one float plane after the other on one. A band is cut into strips, of as few results as a
product still pays for: all that lies beside the band in a strip's matrix is zeros to be multiplied.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from enhancer.image import FloatPixels

ROWS: Final = 12
"""Rows of the result that one product makes: the rows it reads, clipped, then stay in the cache."""
COLUMNS: Final = 8
"""Columns of the result that one product makes, of all channels at once."""

Strip = tuple[int, NDArray[np.float32]]
"""The first line that some results depend on, and the matrix that makes them of the lines from there on."""


def reduced(pixels: FloatPixels, height: int, width: int, *, clip: bool = False) -> FloatPixels:
    """The picture at a smaller size, by the kernel of Keys (a = -0.5), widened with the reduction (Pillow's BICUBIC).

    Args:
        pixels: H x W x C, float32.
        height: wanted, at most H.
        width: wanted, at most W.
        clip: clip to [0, 1] first; without a copy of the whole.

    Returns:
        height x width x C, float32; `pixels` itself where nothing is to be done.
    """
    given_height, given_width, channels = pixels.shape
    flat = pixels.reshape(given_height, -1)
    rows = _rows(flat, height, clip=clip)
    if width == given_width:
        return pixels if rows is flat else rows.reshape(height, width, channels)
    result = np.empty((height, width * channels), np.float32)
    for left in range(0, width, COLUMNS):
        first, matrix = _across(given_width, width, left, channels)
        read = rows[:, first : first + matrix.shape[0]]
        np.matmul(read, matrix, out=result[:, left * channels :][:, : matrix.shape[1]])
    return result.reshape(height, width, channels)


def _rows(plane: FloatPixels, wanted: int, *, clip: bool) -> FloatPixels:
    """The same with fewer rows."""
    given = plane.shape[0]
    if wanted == given:
        return np.clip(plane, 0, 1) if clip else plane
    result = np.empty((wanted, plane.shape[1]), np.float32)
    clipped = np.empty((0, plane.shape[1]), np.float32)
    for top in range(0, wanted, ROWS):
        first, matrix = _strip(given, wanted, top, ROWS)
        count = matrix.shape[1]
        read = plane[first : first + count]
        if clip:
            if len(clipped) < count:
                clipped = np.empty_like(read)
            read = np.clip(read, 0, 1, out=clipped[:count])
        np.matmul(matrix, read, out=result[top : top + ROWS])
    return result


@lru_cache(maxsize=2048)
def _across(given: int, wanted: int, left: int, channels: int) -> Strip:
    """Columns `left` to `left` + COLUMNS of pixels whose channels lie side by side: values x results."""
    first, matrix = _strip(given, wanted, left, COLUMNS)
    return first * channels, np.ascontiguousarray(np.kron(matrix, np.eye(channels, dtype=np.float32)).T)


@lru_cache(maxsize=2048)
def _strip(given: int, wanted: int, start: int, count: int) -> Strip:
    """Results `start` to `start` + `count` of `wanted`: results x lines."""
    ratio = given / wanted
    stop = min(wanted, start + count)
    first = max(0, int((start + 0.5) * ratio - 2 * ratio + 0.5))
    last = min(given, int((stop - 0.5) * ratio + 2 * ratio + 0.5))
    centres = (np.arange(start, stop) + 0.5) * ratio
    distance = np.abs((np.arange(first, last)[None] + 0.5 - centres[:, None]) / ratio)
    near, far = 1.5 * distance**3 - 2.5 * distance**2 + 1, -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2
    weights = np.where(distance < 1, near, np.where(distance < 2, far, 0))
    return first, (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
