"""What a result looks like beside its input, where no truth is known: noise and sharpness of both, for people.

The gate does not go by these. They are measured in the middle of the picture alone, so that they cost next to nothing.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from enhancer.image import FloatPixels, Image, to_unit
from enhancer.quality.scoring import reduce_to
from enhancer.stages.noise import estimate_noise

SIDE: Final = 256
"""Pixels along each side of what is measured of input and result at most."""

SHARP_SHARE: Final = 95.0
"""Sharpness is that of the strongest twentieth of all steps: edges, not areas."""

LEAST: Final = 16
"""Pixels along a side below which nothing is measured."""


def appearance_of(before: Image, after: Image) -> dict[str, float]:
    """Noise (standard deviation of the noisiest channel) and sharpness (steps between neighbouring pixels at edges), in
    levels of 255, of a picture before and after.

    Both sharpnesses are at the result's size: the input is enlarged bicubically for it, or reduced.

    Args:
        before: the input as decoded.
        after: the result.

    Returns:
        ``noise_before``, ``noise_after``, ``sharpness_before``, ``sharpness_after``; without what cannot be measured (a
        picture of a few pixels, one that is texture all over, values that are no numbers).
    """
    given, made = _middle(before, SIDE), _middle(after, SIDE)
    found = {"noise_before": _noise(given), "noise_after": _noise(made)}
    height, width = (min(SIDE, side) for side in (after.height, after.width))
    share = (before.height / after.height, before.width / after.width)
    same = _middle(before, max(1, round(height * share[0])), max(1, round(width * share[1])))
    if max(same.shape[:2]) <= 4 * SIDE:  # else the result is a fraction of the input: there is no sharpness to speak of
        found |= {"sharpness_before": _sharpness(reduce_to(same, height, width)), "sharpness_after": _sharpness(made)}
    return {name: round(value, 2) for name, value in found.items() if value is not None and np.isfinite(value)}


def _middle(image: Image, height: int, width: int | None = None) -> FloatPixels:
    """The middle of a picture, on 0..1."""
    height, width = min(height, image.height), min(height if width is None else width, image.width)
    top, left = (image.height - height) // 2, (image.width - width) // 2
    pixels = image.pixels[top : top + height, left : left + width]
    return to_unit(np.ascontiguousarray(pixels), image.metadata.float_range)


def _noise(pixels: FloatPixels) -> float | None:
    if min(pixels.shape[:2]) < LEAST or not np.isfinite(pixels).all():
        return None
    sigmas = estimate_noise(pixels)
    return 255 * max(sigmas) if sigmas else None


def _sharpness(pixels: FloatPixels) -> float | None:
    if min(pixels.shape[:2]) < LEAST or not np.isfinite(pixels).all():
        return None
    grey = pixels.mean(axis=2)
    steps = np.hypot(np.diff(grey, axis=0)[:, :-1], np.diff(grey, axis=1)[:-1])
    return 255 * float(np.percentile(steps, SHARP_SHARE))
