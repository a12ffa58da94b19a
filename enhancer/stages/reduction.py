"""Pillow's antialiased bicubic reduction of large float pictures, as two products with banded matrices.

The same weights and so the same result but for rounding, at a fraction of the time: the products run in BLAS, on all
cores, where Pillow computes one float plane after the other on one.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from enhancer.image import FloatPixels

STRIP: Final = 32
"""Rows of the result that one product makes: its matrix is then small, and the rows it reads stay in the cache."""


def reduced(pixels: FloatPixels, height: int, width: int, *, clip: bool = False) -> FloatPixels:
    """The picture at a smaller size, by the kernel of Keys (a = -0.5), widened with the reduction (Pillow's BICUBIC).

    Args:
        pixels: H x W x C, float32.
        height: wanted, at most H.
        width: wanted, at most W.
        clip: clip to [0, 1] first; without a copy of the whole.

    Returns:
        height x width x C, float32.
    """
    channels = pixels.shape[2]
    rows = _along_rows(pixels.reshape(pixels.shape[0], -1), height, clip=clip)
    turned = np.ascontiguousarray(rows.reshape(height, -1, channels).swapaxes(0, 1))
    columns = _along_rows(turned.reshape(turned.shape[0], -1), width, clip=False)
    return np.ascontiguousarray(columns.reshape(width, height, channels).swapaxes(0, 1))


def _along_rows(plane: FloatPixels, wanted: int, *, clip: bool) -> FloatPixels:
    given = plane.shape[0]
    if wanted == given:
        return np.clip(plane, 0, 1) if clip else plane
    result = np.empty((wanted, plane.shape[1]), np.float32)
    for top in range(0, wanted, STRIP):
        first, matrix = _strip(given, wanted, top)
        read = plane[first : first + matrix.shape[1]]
        np.matmul(matrix, np.clip(read, 0, 1) if clip else read, out=result[top : top + STRIP])
    return result


@lru_cache(maxsize=512)
def _strip(given: int, wanted: int, top: int) -> tuple[int, NDArray[np.float32]]:
    """The first row that results `top` to `top` + STRIP depend on, and the matrix from the rows from there on."""
    ratio = given / wanted
    bottom = min(wanted, top + STRIP)
    first = max(0, int((top + 0.5) * ratio - 2 * ratio + 0.5))
    last = min(given, int((bottom - 0.5) * ratio + 2 * ratio + 0.5))
    centres = (np.arange(top, bottom) + 0.5) * ratio
    distance = np.abs((np.arange(first, last)[None] + 0.5 - centres[:, None]) / ratio)
    near, far = 1.5 * distance**3 - 2.5 * distance**2 + 1, -0.5 * distance**3 + 2.5 * distance**2 - 4 * distance + 2
    weights = np.where(distance < 1, near, np.where(distance < 2, far, 0))
    return first, (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
