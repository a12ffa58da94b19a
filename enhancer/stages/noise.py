"""How noisy a picture is: the standard deviation of its additive white noise, channel by channel.

Texture is light and dark, and all three channels have it; the noise of a sensor is each channel's own (that colour
differences are smooth where the channels are not is what demosaicking rests on: B. K. Gunturk et al., "Demosaicking:
color filter array interpolation", IEEE Signal Processing Magazine 22(1), 2005). So the differences of the channels show
the noise bare. Noise that the channels share (scans of black-and-white prints, film grain, what JPEG's reduced chroma
leaves) does not show there and has to be separated from texture in each channel
(:mod:`enhancer.stages.noise_blocks`), which is less sure: the weakest of it is left alone.

docs/quality.md has how close both come to noise that was added.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from enhancer.image import FloatPixels
from enhancer.stages.noise_blocks import (
    HEAVY_TAILS,
    SURE,
    Blocks,
    is_texture,
    measure_blocks,
    measure_differences,
    most_noise,
)

LEAST_COMMON: Final = 4 / 255
"""Noise that the channels of a colour picture share is believed from here on; below it may be texture."""
LEAST_SHARE: Final = 0.3
"""Of their own noise; less shared noise than that makes all of it less than a twentieth stronger, as much as clipping
or texture pretends."""
NEGLIGIBLE: Final = 1 / 255
"""What is less in a difference of channels is left out of account, whether it is noise or texture."""


@dataclass(frozen=True, slots=True)
class Noise:
    """The noise of one picture.

    Attributes:
        sigmas: standard deviation of each channel on the scale [0, 1], 0 where all that was found is texture.
        blocks: where it was measured; each a channel or a difference of two that has the noise of a channel.
        independent: whether each channel has its own; False also where that cannot be determined.
        estimates: of each channel, the plain wavelet estimate on the scale [0, 1], which takes texture for noise too.
    """

    sigmas: list[float]
    blocks: list[Blocks]
    independent: bool
    estimates: list[float]

    @property
    def strength(self) -> float:
        """Root mean square over the channels."""
        return root_mean_square(self.sigmas)


def measure_noise(pixels: FloatPixels, visible: NDArray[np.bool_] | None = None) -> Noise | None:
    """Measure the noise of a picture.

    Args:
        pixels: H x W x C, float32 in [0, 1]; at most about 4 megapixels of it are looked at.
        visible: H x W, False where the picture is wholly transparent and its values mean nothing.

    Returns:
        None where the picture has too few blocks that are not clipped (it is tiny, or black and white).
    """
    channels = measure_blocks(pixels, visible)
    if channels is None:
        return None
    sigmas = [_noise_of(blocks) for blocks in channels]
    estimates = [blocks.estimate for blocks in channels]
    if len(channels) != 3:
        return Noise(sigmas, channels, independent=False, estimates=estimates)
    differences = measure_differences(pixels, visible)
    own = None if differences is None else _of_each(differences)
    own_strength = 0.0 if own is None else root_mean_square(own)
    common = math.sqrt(max(0.0, root_mean_square(sigmas) ** 2 - own_strength**2))
    if common >= max(LEAST_COMMON, LEAST_SHARE * own_strength):
        return Noise(sigmas, channels, independent=False, estimates=estimates)
    if own is None or differences is None:
        return Noise([0.0] * 3, channels, independent=False, estimates=estimates)
    return Noise(own, differences, independent=True, estimates=estimates)


def estimate_noise(pixels: FloatPixels, visible: NDArray[np.bool_] | None = None) -> list[float] | None:
    """The standard deviations that :func:`measure_noise` finds, one per channel on the scale [0, 1]."""
    noise = measure_noise(pixels, visible)
    return noise.sigmas if noise else None


def root_mean_square(values: list[float] | NDArray[np.float64]) -> float:
    """Of standard deviations: that of all of it together."""
    return float(np.sqrt(np.mean(np.square(values))))


def _noise_of(blocks: Blocks) -> float:
    """:func:`most_noise` of all blocks of one channel, 0 if that :func:`is_texture`."""
    sigma = most_noise(blocks)
    return 0.0 if is_texture(blocks, math.inf if sigma > SURE else HEAVY_TAILS) else sigma


def _of_each(differences: list[Blocks]) -> list[float] | None:
    """The independent noise of R, G and B, whose variances add up in the differences; None where these have texture."""
    strengths = [most_noise(blocks) for blocks in differences]
    pairs = zip(strengths, differences, strict=True)
    if any(strength >= NEGLIGIBLE and is_texture(blocks) for strength, blocks in pairs):
        return None
    red_green, green_blue, red_blue = (2 * strength**2 for strength in strengths)
    doubled = (red_green + red_blue - green_blue, red_green + green_blue - red_blue, green_blue + red_blue - red_green)
    return [math.sqrt(max(0.0, variance) / 2) for variance in doubled]
