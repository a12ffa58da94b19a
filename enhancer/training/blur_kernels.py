"""Blur kernels of Real-ESRGAN's damage (X. Wang et al., ICCVW 2021): round, elongated, pointed or flat; and ringing."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import j1

Kernel = NDArray[np.float32]

LARGEST: Final = 21
SINC_SIDE: Final = 13


def random_kernel(sigma: float, random: np.random.Generator) -> Kernel:
    """A normalised kernel.

    Args:
        sigma: standard deviation in pixels along its longer axis; below 0.2 the kernel does nothing.
        random: of shape, direction and how elongated it is, up to 1 to 2.

    Returns:
        Odd and square, at most 21 pixels a side; its sum is 1.
    """
    reach = min(LARGEST // 2, max(1, round(3 * sigma)))
    if sigma < 0.2:
        kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
        kernel[reach, reach] = 1
        return kernel
    across = sigma if random.random() < 0.6 else sigma * random.uniform(0.5, 1)
    angle = random.uniform(0, np.pi)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float64)
    along, beside = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    distance = (along / sigma) ** 2 + (beside / across) ** 2
    shape = random.random()
    if shape < 0.7:
        kernel = np.exp(-distance / 2)
    elif shape < 0.85:
        kernel = np.exp(-((distance / 2) ** random.uniform(0.5, 2)))
    else:
        kernel = 1 / (1 + distance ** random.uniform(1, 2))
    return np.asarray(kernel / kernel.sum(), np.float32)


def sinc_kernel(cutoff: float) -> Kernel:
    """The ideal low-pass filter of a round pass band, cut off to 13 x 13 pixels: it rings beside edges.

    Args:
        cutoff: in radians a pixel, above 0 to pi.
    """
    reach = SINC_SIDE // 2
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1].astype(np.float64)
    radius = np.hypot(x, y)
    radius[reach, reach] = 1
    kernel = cutoff * j1(cutoff * radius) / (2 * np.pi * radius)
    kernel[reach, reach] = cutoff**2 / (4 * np.pi)
    return np.asarray(kernel / kernel.sum(), np.float32)
