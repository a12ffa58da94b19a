"""Transparency around a pipeline that works on colours: what lies under it, and its own new size."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from scipy import ndimage

from enhancer.image import FloatPixels, Pixels, from_unit, to_unit
from enhancer.stages.resize import resize


def bleed(pixels: FloatPixels, visible: NDArray[np.bool_]) -> FloatPixels:
    """Give wholly transparent pixels the colour of the nearest visible one.

    Editors leave black or white under transparency; a filter or a net would draw it into the edge as a fringe.

    Args:
        pixels: H x W x C.
        visible: H x W, False where the picture is wholly transparent.

    Returns:
        A new array; `pixels` itself where all or nothing is visible.
    """
    if visible.all() or not visible.any():
        return pixels
    rows, columns = ndimage.distance_transform_edt(~visible, return_distances=False, return_indices=True)
    bled: FloatPixels = pixels[rows, columns]
    return bled


def resize_alpha(alpha: Pixels, height: int, width: int) -> Pixels:
    """Alpha at another size, of the same dtype; constant alpha stays exactly constant.

    Bicubic, clipped after each axis: its one negative lobe only overshoots outwards at an edge, which clipping takes
    off, where the lobes of Lanczos would leave ripples inside the opaque.

    Args:
        alpha: H x W of uint8, uint16 or float32 in [0, 1].
        height: wanted.
        width: wanted.
    """
    first = alpha.flat[0]
    if np.all(alpha == first):
        constant: Pixels = np.full((height, width), first, dtype=alpha.dtype)
        return constant
    bicubic = PillowImage.Resampling.BICUBIC
    across = np.clip(resize(to_unit(alpha)[..., None], alpha.shape[0], width, bicubic), 0, 1)
    return from_unit(resize(across, height, width, bicubic)[..., 0], alpha.dtype)
