"""Restoration of really damaged pictures: noise, blocks, ringing and blur together, by one blind net.

JPEG repair and denoising each treat one kind of damage, measured and drawn as such. Users' pictures have several at
once, re-saved, correlated, shifted, and the net for clean pictures then enlarges what they leave. A net trained on such
damage (enhancer/training/restoration.py) sees the picture as it came. Where the result is to be larger, the net that
restores also enlarges it, in super-resolution's place in the order; JPEG repair and denoising have nothing left to do.

Its errors and those of the picture as it came (or of bicubic enlargement) are hardly related, so that a mixture is
nearer to the truth than either: at its own size in LPIPS too, the more so the weaker the damage
(:func:`share_at_its_size`).
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from enhancer.backends.base import Net
from enhancer.backends.tiler import run_tiled
from enhancer.image import FloatPixels
from enhancer.options import RestorationOptions
from enhancer.recipe import Recipe
from enhancer.stages.base import Context, Decision, Stage
from enhancer.stages.channels import from_planes, to_planes
from enhancer.stages.damage_traces import LEAST_NOISE, MOST_NOISE, NEVER_A_JPEG, SMALLEST_SIDE, Traces, damage_traces
from enhancer.stages.denoising import FLOOR
from enhancer.stages.jpeg_artifacts import JpegArtifacts
from enhancer.stages.noise import measure_noise
from enhancer.stages.resize import resize
from enhancer.stages.restored import NAME

TOO_COARSE: Final = 20.0
"""JPEG quality below which ringing passes for noise."""
ENLARGED_SHARE: Final = 0.85
"""Of the net's result where it enlarges; the rest is bicubic."""
LEAST_SHARE: Final = 0.5
LITTLE_LOST: Final = 80.0
MUCH_LOST: Final = 60.0
"""JPEG qualities from which the share falls, and up to which the whole is taken."""


class Restoration(Stage):
    """Decides whether a picture is really damaged, and restores it where its size is kept."""

    name = NAME
    options = RestorationOptions
    off = "the recipe leaves restoration off"
    for_photographs = True

    def idle(self, context: Context) -> str | None:
        """As for every stage, and where the recipe requests what a restoring net would replace."""
        return super().idle(context) if self.wanted(context) else _why_not(context.recipe)

    def wanted(self, context: Context) -> bool:
        """Where a restoring net may be used, which values at the top of the recipe decide too."""
        return context.recipe.may_restore

    def measure(self, pixels: FloatPixels, context: Context) -> Decision:
        """Look for traces of damage; leave the picture to the stages for clean ones where there are few.

        Args:
            pixels: H x W x C, float32 in [0, 1].
            context: the recipe's ``restoration``; its scale, ``model``, ``denoise_model`` and ``denoise_strength``.

        Returns:
            A decision whose numbers are ``damage`` (0 to 1, the odds that the net gains more than it costs), ``noise``
            (levels of 255) and ``quality`` (of the worst JPEG, 100 none) as estimated, where they were looked for; and
            where the picture is restored, the net's name as ``model``, the ``share`` of its result that is taken (1
            where the recipe asks for restoration) and ``by``: ``restoration``, where this stage does it and is applied,
            or ``super-resolution``, which enlarges it with that net.
        """
        if (idle := self.idle(context)) is not None:
            return Decision(False, idle)
        recipe = context.recipe
        options = recipe.restoration
        if context.nets.from_files:
            return Decision(False, "nets from files are used in place of the catalogue's")
        numbers: dict[str, Any] = {}
        reason = "the recipe asks for it"
        enlarges, share = recipe.scale > 1, 1.0
        if options.mode == "auto":
            if objection := _left_alone(pixels):
                return Decision(False, objection)
            traces = damage_traces(pixels)
            numbers = traces.as_numbers()
            if objection := _better_by_others(traces, pixels, context):
                return Decision(False, objection, numbers)
            reason = f"noise of about {traces.noise:.0f} levels, JPEG of quality about {traces.quality:.0f}"
            share = ENLARGED_SHARE if enlarges else share_at_its_size(traces)
        net = restoring_net(context)
        numbers |= {"by": "super-resolution" if enlarges else NAME, "model": net.spec.name, "share": share}
        return Decision(not enlarges, reason + ("; the net that enlarges restores too" if enlarges else ""), numbers)

    def apply(self, block: FloatPixels, decision: Decision, context: Context) -> FloatPixels:
        """Restore a block; its size is kept, whatever the net's scale.

        Args:
            block: H x W x C, float32 in [0, 1].
            decision: from :meth:`measure`.
            context: its nets and recipe.

        Returns:
            H x W x C, float32 in [0, 1]; grey stays one channel.
        """
        restored = from_planes(run_tiled(restoring_net(context), to_planes(block)), like=block)
        result = np.clip(resize(restored, *block.shape[:2]), 0, 1)
        share = np.float32(decision.numbers.get("share", 1.0) * min(1.0, 2 * context.recipe.denoise_strength))
        if share < 1:
            result = block + share * (result - block)
        return result

    def halo(self, context: Context) -> int:
        """The net's."""
        return restoring_net(context).spec.halo


def share_at_its_size(traces: Traces) -> float:
    """How much of the net's result is mixed with the picture as it came, 0 to 1, by how much a JPEG file lost of it.

    Noise says less: what is fine texture is estimated as noise too.
    """
    if traces.quality >= NEVER_A_JPEG:
        return 1.0
    lost = (LITTLE_LOST - traces.quality) / (LITTLE_LOST - MUCH_LOST)
    return round(LEAST_SHARE + (1 - LEAST_SHARE) * min(1.0, max(0.0, lost)), 3)


def restoring_net(context: Context) -> Net:
    """The net that the recipe restores with at its scale."""
    recipe = context.recipe
    return context.nets.restoration(recipe.stage_scale, recipe.restoration.model, recipe.precision)


def _better_by_others(traces: Traces, pixels: FloatPixels, context: Context) -> str:
    """Why the picture is better left to the stages for one damage each, or to none; or nothing."""
    if not (traces.restore or (context.recipe.scale > 1 and traces.enlarge)):
        return "no damage that the restoring net mends better"
    if objection := _left_to_denoising(traces, pixels, context):
        return objection
    jpeg_alone = traces.noise < LEAST_NOISE or traces.quality < TOO_COARSE
    if context.recipe.scale == 1 and jpeg_alone and _known_jpeg(pixels, context):
        return "a JPEG alone, whose repair knows its quality"
    return ""


def _left_to_denoising(traces: Traces, pixels: FloatPixels, context: Context) -> str:
    """Why the picture is better denoised than restored, or nothing: denoising measures white noise, which is better
    than a blind net, and the traces take noise far beyond the net's training for less than it is.
    """
    noise = measure_noise(pixels, context.visible)
    if noise is None:
        return ""
    if noise.strength * 255 > MOST_NOISE:
        return "more noise than the restoring net was trained for"
    if traces.quality >= NEVER_A_JPEG and noise.independent and noise.strength >= FLOOR:
        return "white noise alone, which denoising measures"
    return ""


def _known_jpeg(pixels: FloatPixels, context: Context) -> bool:
    """Whether JPEG repair will know how coarse the file was: at its own size that net is then better."""
    return JpegArtifacts().measure(pixels, context).applied


def _why_not(recipe: Recipe) -> str:
    if not recipe.restoration.wanted():
        return Restoration.off
    return "the recipe's denoising strength is 0" if recipe.denoise_strength == 0 else "the recipe names another net"


def _left_alone(pixels: FloatPixels) -> str:
    """Why the picture is not looked at, or nothing."""
    if pixels.shape[2] != 3:
        return "a grey picture: the net was trained on colour"
    if min(pixels.shape[:2]) < SMALLEST_SIDE:
        return "too small to tell damage from detail"
    return ""
