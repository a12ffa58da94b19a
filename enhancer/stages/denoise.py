"""Denoising by a net that is told how noisy the picture is.

The default net is FFDNet (K. Zhang, W. Zuo, L. Zhang, "FFDNet: toward a fast and flexible solution for CNN-based image
denoising", IEEE Trans. Image Processing 27(9), 2018): it takes a map of the noise's standard deviation beside the
colours, so that one net serves every strength and the picture keeps what it is not told to remove.
"""

from __future__ import annotations

import math
from typing import Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray
from skimage.restoration import estimate_sigma

from enhancer.backends.tiler import run_tiled
from enhancer.image import FloatPixels
from enhancer.stages.base import Context, Decision
from enhancer.stages.channels import from_planes, to_planes
from enhancer.stages.noise import estimate_noise
from enhancer.stages.sampling import evenly_spread_crops

FLOOR: Final = 3.2 / 255
"""Noise below this stays: clean photographs measure at most 1.2 levels, film scans such as Set14's ``lenna`` 3.0, and
one cannot see that."""
HIGHEST: Final = 75 / 255
"""FFDNet was trained up to here."""
SMALLEST_SIDE: Final = 16
COMMON: Final = 1.25
"""Luminance noise beyond what independent channels would give, from which it is believed; below it may be texture."""


class Denoising:
    """Removes white noise, as much as was measured times twice the recipe's strength."""

    name: ClassVar[str] = "denoising"

    def measure(self, pixels: FloatPixels, context: Context) -> Decision:
        """Measure the noise; leave pictures below :data:`FLOOR` alone.

        Args:
            pixels: H x W x C, float32 in [0, 1].
            context: strength and net of its recipe, its nets, its mask of visible pixels.

        Returns:
            A decision whose numbers are in levels of 255: ``sigma`` (one per channel, texture told apart),
            ``estimate_sigma`` (scikit-image's estimate, an upper bound unless the picture is clipped) and, where
            applied, ``sigma_removed`` (what the net is told) and the net's name as ``model``.
        """
        strength = context.recipe.denoise_strength
        if strength == 0:
            return Decision(False, "the recipe's denoising strength is 0")
        if min(pixels.shape[:2]) < SMALLEST_SIDE:
            return Decision(False, "too small to tell noise from detail")
        sigmas = estimate_noise(pixels, context.visible)
        if sigmas is None:
            return Decision(False, "too little of the picture is neither black nor white to tell noise from detail")
        numbers: dict[str, Any] = {
            "sigma": [round(255 * sigma, 2) for sigma in sigmas],
            "estimate_sigma": [round(255 * sigma, 2) for sigma in wavelet_estimate(pixels)],
        }
        sigma = math.sqrt(math.fsum(s * s for s in sigmas) / len(sigmas))
        if sigma < FLOOR:
            return Decision(False, f"noise of {255 * sigma:.1f} levels is not visible", numbers)
        told = sigma * common_share(pixels, sigma, context.visible)
        numbers["sigma_removed"] = round(255 * min(2 * strength * told, HIGHEST), 2)
        numbers["model"] = context.nets.denoiser(context.recipe.denoise_model).spec.name
        return Decision(True, f"noise of {255 * sigma:.1f} levels", numbers)

    def apply(self, block: FloatPixels, decision: Decision, context: Context) -> FloatPixels:
        """Denoise a block.

        Args:
            block: H x W x C, float32 in [0, 1].
            decision: from :meth:`measure`.
            context: its nets and recipe.

        Returns:
            H x W x C, float32, about in [0, 1]; grey stays one channel.
        """
        net = context.nets.denoiser(context.recipe.denoise_model)
        planes = to_planes(block)
        if net.spec.in_channels == planes.shape[0] + 1:
            sigma = np.float32(decision.numbers["sigma_removed"] / 255)
            noise_map = np.full((1, *planes.shape[1:]), sigma, dtype=np.float32)
            return from_planes(run_tiled(net, np.concatenate([planes, noise_map])), like=block)
        # A blind net decides by itself how much to remove; all that strength can do is mix.
        share = np.float32(min(1.0, 2 * context.recipe.denoise_strength))
        denoised = from_planes(run_tiled(net, planes), like=block)
        return block + share * (denoised - block)

    def halo(self, context: Context) -> int:
        """The net's."""
        return context.nets.denoiser(context.recipe.denoise_model).spec.halo

    def scale(self, context: Context) -> float:
        """The size is kept."""
        return 1.0


def common_share(pixels: FloatPixels, sigma: float, visible: NDArray[np.bool_] | None = None) -> float:
    """How much stronger noise looks to a net that was trained on independent noise in R, G and B.

    Noise that the channels have in common (a grey picture repeated three times, a black-and-white scan stored as RGB)
    lies wholly in the luminance, where it is up to sqrt(3) times as strong as independent noise of the same sigma. A
    colour net that is told the plain sigma takes the surplus for detail: on scikit-image's ``moon`` with sigma 25 it
    reaches 23.7 dB, told sqrt(3) times as much 36.5.

    Returns:
        sqrt(3) for one channel; else the luminance's noise over `sigma`, between 1 and sqrt(3).
    """
    if pixels.shape[2] == 1:
        return math.sqrt(3)
    in_mean = estimate_noise(pixels.mean(axis=2, keepdims=True), visible)
    share = math.sqrt(3) * in_mean[0] / sigma if in_mean else 1.0
    return min(share, math.sqrt(3)) if share > COMMON else 1.0


def wavelet_estimate(pixels: FloatPixels) -> list[float]:
    """scikit-image's noise estimate of each channel, on [0, 1]: the median over crops that stand for the picture."""
    crops = evenly_spread_crops(pixels)
    estimates = [estimate_sigma(crop, channel_axis=-1, average_sigmas=False) for crop in crops]
    return [float(sigma) for sigma in np.median(np.asarray(estimates), axis=0)]
