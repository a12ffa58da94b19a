"""Enlargement by any factor from 1 to 8: a net of the next larger whole scale, then a resize to the exact size.

Reducing a net's surplus by Lanczos costs nothing visible, enlarging past the net does; so the smallest net that is not
below the wanted scale is taken. Beyond 4, where the catalogue ends, Lanczos makes up the rest: at 8x, a second pass
of the x2 net over the x4 net's result brings -0.01 to +0.12 dB PSNR-Y for three to four times the work (scikit-image's
``astronaut``, ``coffee`` and ``chelsea``, 256 pixels from 32: 25.96, 30.73, 27.35 against 25.94, 30.61, 27.36; bicubic
23.80, 25.94, 25.78).
"""

from __future__ import annotations

from typing import Any, ClassVar

from enhancer.backends.tiler import run_tiled
from enhancer.image import FloatPixels
from enhancer.stages.base import Context, Decision
from enhancer.stages.channels import from_planes, to_planes
from enhancer.stages.resize import resize, scaled_size


class SuperResolution:
    """Enlarges to exactly ``round(scale * side)``."""

    name: ClassVar[str] = "super-resolution"

    def measure(self, pixels: FloatPixels, context: Context) -> Decision:
        """Nothing to measure: the recipe's scale decides.

        Args:
            pixels: H x W x C.
            context: scale and net of its recipe.

        Returns:
            A decision whose numbers are ``scale``, ``net_scale``, the new ``height`` and ``width``, and the net's name
            as ``model``.
        """
        scale = context.recipe.scale
        if scale == 1:
            return Decision(False, "the recipe keeps the size")
        spec = context.nets.super_resolution(scale, context.recipe.model).spec
        height, width = scaled_size(pixels.shape[0], pixels.shape[1], scale)
        numbers: dict[str, Any] = {
            "scale": scale,
            "net_scale": spec.scale,
            "height": height,
            "width": width,
            "model": spec.name,
        }
        rest = "" if spec.scale == scale else f", then Lanczos by {scale / spec.scale:.4g}"
        return Decision(True, f"{spec.scale}x by the net{rest}", numbers)

    def apply(self, block: FloatPixels, decision: Decision, context: Context) -> FloatPixels:
        """Enlarge a block.

        Args:
            block: H x W x C, float32 in [0, 1].
            decision: from :meth:`measure`.
            context: its nets and recipe.

        Returns:
            round(scale * H) x round(scale * W) x C, float32, about in [0, 1]; grey stays one channel.
        """
        net = context.nets.super_resolution(context.recipe.scale, context.recipe.model)
        enlarged = from_planes(run_tiled(net, to_planes(block)), like=block)
        return resize(enlarged, *scaled_size(block.shape[0], block.shape[1], context.recipe.scale))

    def halo(self, context: Context) -> int:
        """The net's."""
        return context.nets.super_resolution(context.recipe.scale, context.recipe.model).spec.halo

    def scale(self, context: Context) -> float:
        """The recipe's."""
        return context.recipe.scale
