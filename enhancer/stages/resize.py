"""Resizing of float pictures, antialiased, to an exact size."""

from __future__ import annotations

import numpy as np
from PIL import Image as PillowImage

from enhancer.image import FloatPixels


def scaled_size(height: int, width: int, scale: float) -> tuple[int, int]:
    """Height and width after enlarging by `scale`, each rounded to the nearest whole number and at least 1."""
    return max(1, round(scale * height)), max(1, round(scale * width))


def resize(
    pixels: FloatPixels, height: int, width: int, kernel: PillowImage.Resampling = PillowImage.Resampling.LANCZOS
) -> FloatPixels:
    """Resize by Pillow's separable convolution, whose kernel widens with the reduction and so antialiases.

    Pixel centres are at half-integers (the convention of Pillow, OpenCV and MATLAB), so nothing shifts.

    Args:
        pixels: H x W x C, float32; computed in float32, not clipped.
        height: wanted.
        width: wanted.
        kernel: Lanczos with three lobes, unless said otherwise.

    Returns:
        height x width x C, float32.
    """
    if pixels.shape[:2] == (height, width):
        return pixels
    planes = [
        np.asarray(PillowImage.fromarray(np.ascontiguousarray(pixels[..., channel])).resize((width, height), kernel))
        for channel in range(pixels.shape[2])
    ]
    return np.stack(planes, axis=2)
