"""Noise of the luma: what stages that steepen or lift detail measure first, since they would bring it out too."""

from __future__ import annotations

from typing import Final

from enhancer.image import FloatPixels
from enhancer.stages.light import luminance
from enhancer.stages.noise import estimate_noise

NOISY: Final = 2.5 / 255
"""Standard deviation from which ``auto`` does nothing for looks."""


def luma_noise(pixels: FloatPixels) -> float | None:
    """Standard deviation of the luma's noise on the scale [0, 1]; None: cannot be determined.

    Args:
        pixels: H x W x C, float32 in [0, 1].
    """
    sigmas = estimate_noise(luminance(pixels)[..., None])
    return sigmas[0] if sigmas else None


def in_levels(noise: float | None) -> float | None:
    """The same in levels of 255, rounded, as decisions record it."""
    return None if noise is None else round(255 * noise, 2)


def objection_of_noise(noise: float | None, done_to_it: str) -> str | None:
    """Why not to act on a picture with that much noise, which would be `done_to_it` too; None: little or unknown."""
    if noise is None or noise < NOISY:
        return None
    return f"noise of {255 * noise:.1f} levels would be {done_to_it} too"
