"""Denoising by a net that takes the noise level as an input.

As FFDNet does (K. Zhang, W. Zuo, L. Zhang, "FFDNet: toward a fast and flexible solution for CNN-based image denoising",
IEEE Trans. Image Processing 27(9), 2018), the net takes a map of the noise's standard deviation beside the colours, so
that one net serves every strength and the picture keeps what is weaker than that noise. Where the noise varies over the
picture, so does the map.
"""

from __future__ import annotations

import math
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from enhancer.backends.base import Net
from enhancer.backends.tiler import run_tiled
from enhancer.image import FloatPixels
from enhancer.recipe import Recipe
from enhancer.stages.base import WHOLE_PICTURE, Context, Decision, Stage
from enhancer.stages.channels import from_planes, to_planes
from enhancer.stages.kinds import is_document, no_photograph
from enhancer.stages.low_light import (
    Denoiser,
    as_it_came,
    as_numbers,
    denoised_as_lifted,
    from_numbers,
    lift_of,
    lifted_noise,
)
from enhancer.stages.noise import estimate_noise, measure_noise, root_mean_square
from enhancer.stages.noise_map import noise_regions, spread
from enhancer.stages.picture_kind import noisy_ground
from enhancer.stages.restored import left_to

FLOOR: Final = 3.2 / 255
"""Noise below this stays: clean photographs measure at most 1.2 levels, film scans such as Set14's ``lenna`` 3.0, and
one cannot see that."""
HIGHEST: Final = 75 / 255
"""FFDNet was trained up to here."""
SPECIFIED: Final = ((5 / 255, 0.3), (15 / 255, 0.6), (math.inf, 0.9))
"""The recipe's ``denoise_table = "specified"``: below this noise, this share of the net's change is made. At other
strengths than 0.5 the share is in proportion. What it leaves of the noise costs fidelity: the default is better."""
SMALLEST_SIDE: Final = 16
COMMON: Final = 1.25
"""Luminance noise beyond what independent channels would give, from which it is believed; below it may be texture."""


class Denoising(Stage):
    """Removes white noise, as much as was measured times twice the recipe's strength."""

    name = "denoising"
    off = "the recipe's denoising strength is 0"
    for_photographs = True

    def idle(self, context: Context) -> str | None:
        """As every stage, and where it is restored; but whether a document's paper is noisy has to be looked at."""
        idle = None if self.wanted(context) and is_document(context) else super().idle(context)
        return idle or left_to(context)

    def wanted(self, context: Context) -> bool:
        """Where there is a strength. What a recipe says of denoising stands at its top, as it always has."""
        return context.recipe.denoise_strength > 0

    def insists(self, context: Context) -> bool:
        """Where the recipe names a net."""
        return context.recipe.denoise_model is not None

    def measure(self, pixels: FloatPixels, context: Context) -> Decision:
        """Measure the noise; leave pictures below :data:`FLOOR` alone.

        Args:
            pixels: H x W x C, float32 in [0, 1].
            context: strength, table and net of its recipe, its nets, its mask of visible pixels, what was decided about
                impulses.

        Returns:
            A decision whose numbers are ``kind`` (``none``, ``gaussian``, ``impulse`` or ``mixed``) and, in levels of
            255, ``sigma`` (one per channel, without texture; where it varies, root mean squares over the picture),
            ``estimate_sigma`` (scikit-image's estimate, an upper bound unless the picture is clipped) and, where
            applied, ``sigma_removed`` (the level given to the net), ``sigma_regions`` (the level of each of equal parts
            of the picture, rows from the top, where the noise varies), ``share`` (how much of the net's change is
            made, where that is not all) and the net's name as ``model``; of a dark picture that is to
            be lifted also ``ev``, ``peak``, ``light`` and ``noise_of_light`` (:mod:`enhancer.stages.low_light`).
        """
        if (idle := self.idle(context)) is not None:
            return Decision(False, idle)
        recipe = context.recipe
        if objection := self._not_looked_at(pixels, context):
            return Decision(False, objection)
        if (dark := self._of_dark(pixels, context)) is not None:
            return dark
        noise = measure_noise(pixels, context.visible)
        if noise is None:
            return Decision(False, "too little of the picture is neither black nor white to tell noise from detail")
        sigmas, sigma = noise.sigmas, noise.strength
        regions = noise_regions(noise.blocks, *pixels.shape[:2])
        if regions is not None:
            over_all = root_mean_square(regions)
            sigmas = [s * over_all / sigma if sigma else over_all for s in sigmas]
            sigma = over_all
        struck = "impulse-repair" in context.decisions and context.decisions["impulse-repair"].applied
        numbers: dict[str, Any] = {
            "kind": _kind(struck=struck, noisy=sigma >= FLOOR),
            "sigma": [round(255 * s, 2) for s in sigmas],
            "estimate_sigma": [round(255 * s, 2) for s in noise.estimates],
        }
        if sigma < FLOOR:
            return Decision(False, f"noise of {255 * sigma:.1f} levels is not visible", numbers)
        factor, share = _strength(sigma, recipe)
        if not noise.independent:
            factor *= common_share(pixels, sigma, context.visible)
        numbers["sigma_removed"] = round(255 * min(factor * sigma, HIGHEST), 2)
        if regions is not None:
            numbers["sigma_regions"] = np.round(255 * np.minimum(factor * regions, HIGHEST), 1).tolist()
        if share < 1:
            numbers["share"] = share
        numbers["model"] = context.nets.denoiser(recipe.denoise_model, recipe.precision).spec.name
        varies = ", not the same everywhere" if regions is not None else ""
        return Decision(True, f"noise of {255 * sigma:.1f} levels{varies}", numbers)

    def _not_looked_at(self, pixels: FloatPixels, context: Context) -> str:
        """Why the picture's noise is not measured, or nothing."""
        if min(pixels.shape[:2]) < SMALLEST_SIDE:
            return "too small to tell noise from detail"
        if is_document(context) and not self.insists(context) and not noisy_ground(pixels):
            return no_photograph(context) or ""
        return ""

    def _of_dark(self, pixels: FloatPixels, context: Context) -> Decision | None:
        """Of a dark picture whose recipe asks for visibility: its noise at each brightness, as lifted.

        Returns:
            None where the picture is not dark, or the recipe names a net that takes no noise level.
        """
        lift = lift_of(pixels, context)
        if lift is None or (curve := lifted_noise(pixels, lift, context)) is None:
            return None
        net = context.nets.denoiser(context.recipe.denoise_model, context.recipe.precision)
        if net.spec.in_channels != 4:
            return None
        came = as_it_came(curve, lift)
        numbers: dict[str, Any] = {
            "kind": "gaussian",
            "sigma": [round(255 * root_mean_square(came.sigma), 2)] * pixels.shape[2],
            "sigma_removed": round(255 * 2 * context.recipe.denoise_strength * root_mean_square(curve.sigma), 2),
            **as_numbers(lift, curve),
            "model": net.spec.name,
        }
        shadows, lights = 255 * came.sigma[0], 255 * came.sigma[-1]
        reason = (
            f"noise of {shadows:.1f} levels in the shadows, {lights:.1f} in the lights, to be lifted {lift.ev:.1f} EV"
        )
        return Decision(True, reason, numbers)

    def apply(self, block: FloatPixels, decision: Decision, context: Context) -> FloatPixels:
        """Denoise a block.

        Args:
            block: H x W x C, float32 in [0, 1].
            decision: from :meth:`measure`.
            context: its nets and recipe.

        Returns:
            H x W x C, float32, about in [0, 1]; grey stays one channel.
        """
        net = context.nets.denoiser(context.recipe.denoise_model, context.recipe.precision)
        if "noise_of_light" in decision.numbers:
            lift, curve = from_numbers(decision.numbers)
            return denoised_as_lifted(block, lift, curve, 2 * context.recipe.denoise_strength, by_map(net))
        planes = to_planes(block)
        level = np.full(block.shape[:2], decision.numbers["sigma_removed"] / 255, np.float32)
        share = np.full((*block.shape[:2], 1), decision.numbers.get("share", 1), np.float32)
        if regions := decision.numbers.get("sigma_regions"):
            level = spread(np.array(regions) / 255, *block.shape[:2])
            share *= np.clip(level / np.float32(FLOOR), 0, 1)[..., None]
        if net.spec.in_channels == planes.shape[0] + 1:
            denoised = from_planes(run_tiled(net, np.concatenate([planes, level[None]])), like=block)
        else:
            # A blind net decides by itself how much to remove; all that strength can do is mix.
            denoised = from_planes(run_tiled(net, planes), like=block)
            share *= np.float32(min(1.0, 2 * context.recipe.denoise_strength))
        if share.min() == 1:
            return denoised
        mixed: FloatPixels = block + share * (denoised - block)
        return mixed

    def halo(self, context: Context) -> int:
        """The net's; the whole picture where the noise was found to vary over it, or it is denoised as lifted."""
        decision = context.decisions.get(self.name)
        if decision is not None and decision.numbers.keys() & {"sigma_regions", "noise_of_light"}:
            return WHOLE_PICTURE
        return context.nets.denoiser(context.recipe.denoise_model, context.recipe.precision).spec.halo


def by_map(net: Net) -> Denoiser:
    """A net that takes the noise level as a plane, as a function of a picture and of a map of its noise."""

    def denoise(pixels: FloatPixels, level: FloatPixels) -> FloatPixels:
        return from_planes(run_tiled(net, np.concatenate([to_planes(pixels), level[None]])), like=pixels)

    return denoise


def _strength(sigma: float, recipe: Recipe) -> tuple[float, float]:
    """The factor from measured noise to the net's noise level, and the share of the net's change that is applied."""
    asked = 2 * recipe.denoise_strength
    if recipe.denoise_table == "measured":
        return asked, 1.0
    share = next(share for below, share in SPECIFIED if sigma < below)
    return 1.0, min(1.0, asked * share)


def _kind(*, struck: bool, noisy: bool) -> str:
    if struck:
        return "mixed" if noisy else "impulse"
    return "gaussian" if noisy else "none"


def common_share(pixels: FloatPixels, sigma: float, visible: NDArray[np.bool_] | None = None) -> float:
    """How much stronger noise looks to a net that was trained on independent noise in R, G and B.

    Noise that the channels have in common (a grey picture repeated three times, a black-and-white scan stored as RGB)
    lies wholly in the luminance, where it is up to sqrt(3) times as strong as independent noise of the same sigma. A
    colour net that is given the plain sigma takes the surplus for detail (docs/quality.md has an example).

    Returns:
        sqrt(3) for one channel; else the luminance's noise over `sigma`, between 1 and sqrt(3).
    """
    if pixels.shape[2] == 1:
        return math.sqrt(3)
    in_mean = estimate_noise(pixels.mean(axis=2, keepdims=True), visible)
    share = math.sqrt(3) * in_mean[0] / sigma if in_mean else 1.0
    return min(share, math.sqrt(3)) if share > COMMON else 1.0
