"""Between sRGB values and linear light (IEC 61966-2-1:1999), the scale on which exposure and illuminants are factors.

Every picture is taken to be encoded with sRGB's transfer function. The other common working spaces (Adobe RGB,
Display P3, grey gamma 2.2) have the same or nearly the same, and a factor found and applied on the same scale cancels
most of the difference.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from enhancer.image import FloatPixels

LUMINANCE_WEIGHTS: Final = (0.2126, 0.7152, 0.0722)
"""Of linear R, G and B with the BT.709 primaries and D65."""


def to_linear(values: FloatPixels) -> FloatPixels:
    """Linear light of sRGB values: the electro-optical transfer function of sRGB.

    Args:
        values: any shape, float32, nominally in [0, 1]; below 0 the linear segment goes on.

    Returns:
        The same shape, float32; 0 stays 0 and 1 stays 1.
    """
    curved = (np.maximum(values, np.float32(0)) + np.float32(0.055)) / np.float32(1.055)
    return np.where(values <= np.float32(0.04045), values / np.float32(12.92), curved ** np.float32(2.4))


def from_linear(light: FloatPixels) -> FloatPixels:
    """Values in sRGB of linear light: the inverse of :func:`to_linear`.

    Args:
        light: any shape, float32, nominally in [0, 1]; below 0 the linear segment goes on.

    Returns:
        The same shape, float32.
    """
    curved = np.maximum(light, np.float32(0)) ** np.float32(1 / 2.4)
    return np.where(
        light <= np.float32(0.0031308),
        light * np.float32(12.92),
        np.float32(1.055) * curved - np.float32(0.055),
    )


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
