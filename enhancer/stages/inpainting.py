"""Filling holes from their surroundings; what is not a hole keeps its exact value.

Thin holes, as scratches leave them, are filled by the fast marching method (A. Telea, "An Image Inpainting Technique
Based on the Fast Marching Method", Journal of Graphics Tools 9(1), 2004), wider ones from patches of the picture
(:mod:`enhancer.stages.patch_fill`), with the Navier-Stokes equations (M. Bertalmio, A. L. Bertozzi, G. Sapiro, CVPR
2001) as a first guess. ``make bench-scratch`` measures them beside each other and beside biharmonic functions.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from enhancer.image import FloatPixels
from enhancer.stages.patch_fill import fill_from_patches

Mask = NDArray[np.bool_]

THIN: Final = 6
"""Width of a hole in pixels, its widest place, up to which it is filled by Telea's method."""
RADIUS: Final = 3
"""Known pixels around a hole's pixel that it is filled from."""
LEVELS: Final = np.float32(65535)


def inpaint(pixels: FloatPixels, holes: Mask) -> FloatPixels:
    """Fill holes.

    Args:
        pixels: H x W x C, float32 in [0, 1].
        holes: H x W, True where the picture is to be filled; what is there does not matter.

    Returns:
        A new array; outside the holes bit for bit `pixels`. Where nothing but holes is left, `pixels`.
    """
    if not holes.any() or holes.all():
        return pixels.copy()
    wide = wide_holes(holes)
    filled = pixels.copy()
    if wide.any():
        filled[wide] = by_patches(pixels, wide, holes)[wide]
    thin = holes & ~wide
    if thin.any():
        filled[thin] = by_telea(filled, thin)[thin]
    return filled


def wide_holes(holes: Mask) -> Mask:
    """Those holes (8-connected) that are somewhere wider than :data:`THIN` pixels."""
    labels, count = ndimage.label(holes, np.ones((3, 3)))
    if count == 0:
        return holes
    padded = np.pad(holes, 1)
    depth = cv2.distanceTransform(padded.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)[1:-1, 1:-1]
    deepest = np.asarray(ndimage.maximum(depth, labels, np.arange(count + 1)))
    return np.asarray(holes & (2 * deepest - 1 > THIN)[labels])


def by_telea(pixels: FloatPixels, holes: Mask) -> FloatPixels:
    """Telea's method on 16-bit values; OpenCV's own for float values rounds as if they were whole numbers."""
    whole = np.rint(np.clip(pixels, 0, 1) * LEVELS).astype(np.uint16)
    return _by_channel(whole, holes, cv2.INPAINT_TELEA).astype(np.float32) / LEVELS


def by_navier_stokes(pixels: FloatPixels, holes: Mask) -> FloatPixels:
    """Transport along the lines of equal brightness."""
    return np.clip(_by_channel(pixels, holes, cv2.INPAINT_NS), 0, 1)


def by_patches(pixels: FloatPixels, holes: Mask, unknown: Mask) -> FloatPixels:
    """From patches of what is not `unknown`, starting at :func:`by_navier_stokes`."""
    guess = pixels.copy()
    guess[unknown] = by_navier_stokes(pixels, unknown)[unknown]
    return fill_from_patches(guess, holes, unknown)


def _by_channel(pixels: NDArray[np.generic], holes: Mask, method: int) -> NDArray[np.generic]:
    where = holes.astype(np.uint8)
    channels = [np.ascontiguousarray(pixels[..., channel]) for channel in range(pixels.shape[2])]
    return np.stack([cv2.inpaint(channel, where, RADIUS, method) for channel in channels], axis=-1)
