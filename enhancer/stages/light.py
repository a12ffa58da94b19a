"""Between sRGB values and linear light (IEC 61966-2-1:1999), the scale on which exposure and illuminants are factors.

Every picture is taken to be encoded with sRGB's transfer function. The other common working spaces (Adobe RGB,
Display P3, grey gamma 2.2) have the same or nearly the same, and a factor found and applied on the same scale cancels
most of the difference.

The powers are OpenCV's, whose vector instructions take a third of the time of NumPy's, which are scalar where the
processor has no AVX-512.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import cv2
import numpy as np

from enhancer.image import FloatPixels

LUMINANCE_WEIGHTS: Final = (0.2126, 0.7152, 0.0722)
"""Of linear R, G and B with the BT.709 primaries and D65."""
BLOCK: Final = 1 << 16
"""Values worked on at a time."""


def to_linear(values: FloatPixels) -> FloatPixels:
    """Linear light of sRGB values: the electro-optical transfer function of sRGB.

    Args:
        values: any shape, float32, nominally in [0, 1]; below 0 the linear segment goes on.

    Returns:
        The same shape, float32; 0 stays 0 and 1 stays 1. Within 1e-6 of the formula where `values` are in [0, 1].
    """
    return _block_by_block(_expand, values)


def from_linear(light: FloatPixels) -> FloatPixels:
    """Values in sRGB of linear light: the inverse of :func:`to_linear`.

    Args:
        light: any shape, float32, nominally in [0, 1]; below 0 the linear segment goes on.

    Returns:
        The same shape, float32, within 1e-6 of the formula where `light` is in [0, 1].
    """
    return _block_by_block(_compress, light)


def _block_by_block(function: Callable[[FloatPixels, FloatPixels], None], values: FloatPixels) -> FloatPixels:
    """`function(block, out)` over blocks that stay in the processor's cache: passes over them cost next to nothing."""
    flat = np.ascontiguousarray(values, dtype=np.float32).reshape(-1)
    result = np.empty_like(flat)
    for start in range(0, flat.size, BLOCK):
        function(flat[start : start + BLOCK], result[start : start + BLOCK])
    return result.reshape(values.shape)


def _expand(values: FloatPixels, out: FloatPixels) -> None:
    np.maximum(values, np.float32(0), out=out)
    out += np.float32(0.055)
    out /= np.float32(1.055)
    cv2.pow(out, 2.4, dst=out)
    np.copyto(out, values / np.float32(12.92), where=values <= np.float32(0.04045))


def _compress(light: FloatPixels, out: FloatPixels) -> None:
    np.maximum(light, np.float32(0), out=out)
    cv2.pow(out, 1 / 2.4, dst=out)
    out *= np.float32(1.055)
    out -= np.float32(0.055)
    np.copyto(out, light * np.float32(12.92), where=light <= np.float32(0.0031308))


def luminance(light: FloatPixels) -> FloatPixels:
    """Relative luminance Y of linear light.

    Args:
        light: ... x C, float32, linear; C = 3 (R, G, B) or 1 (grey, which is its own luminance).

    Returns:
        The shape without its last axis, float32; white is 1.
    """
    if light.shape[-1] == 1:
        return light[..., 0]
    return light @ np.asarray(LUMINANCE_WEIGHTS, dtype=np.float32)
