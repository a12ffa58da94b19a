"""Enlargement by any factor from 1 to 8: passes of nets, each followed by a resize to the exact size it is to give.

Reducing a net's surplus by Lanczos costs nothing visible, enlarging past the net does; so the smallest net that is not
below the wanted scale is taken. Beyond 4, where the catalogue ends, Lanczos makes up the rest: a second pass of a net
takes three to four times the work and gains next to nothing (docs/quality.md).

Progressive enhancement (recipe, ``progressive``) divides the way into `stages` equal factors. Each stage takes
``blend`` of the net's result and the rest of bicubic enlargement, so that a net's exaggerations are not exaggerated
again by the next one.

What is surely no photograph is enlarged by a net that learned from renderings, unless the recipe names another, and
gets the edges of a rendering afterwards (:mod:`enhancer.stages.drawn_edges`).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image as PillowImage

from enhancer.backends.base import Net
from enhancer.backends.tiler import run_tiled
from enhancer.image import FloatPixels
from enhancer.options import SuperResolutionOptions
from enhancer.stages.base import Context, Decision, Stage
from enhancer.stages.channels import from_planes, to_planes
from enhancer.stages.drawn_edges import KEY, REACH, surely_drawn, with_drawn_edges
from enhancer.stages.resize import resize, scaled_size
from enhancer.stages.restoration import restoring_net
from enhancer.stages.restored import restored_by, share_of


class SuperResolution(Stage):
    """Enlarges to exactly ``round(scale * side)``."""

    name = "super-resolution"
    options = SuperResolutionOptions
    off = "the recipe keeps the size"

    def wanted(self, context: Context) -> bool:
        """Where the scale is not 1."""
        return context.recipe.scale != 1

    def measure(self, pixels: FloatPixels, context: Context) -> Decision:
        """Nothing to measure: the recipe's scale decides.

        Args:
            pixels: H x W x C.
            context: scale, stages and net of its recipe.

        Returns:
            A decision whose numbers are ``scale``, ``net_scale``, the new ``height`` and ``width``, and the net's name
            as ``model``, with ``runtime`` and ``precision``; with several stages also ``stages`` and ``blend``; where a
            perceptual net's result is mixed with a fidelity net's, its share as ``perceptual_blend`` and the other net
            as ``fidelity_model``; where a restoring net's is mixed with bicubic enlargement, its share as
            ``restored_share``; ``drawn_edges`` (true) where the picture is surely no photograph.
        """
        if (idle := self.idle(context)) is not None:
            return Decision(False, idle)
        recipe = context.recipe
        stages = recipe.progressive.stages
        factor = recipe.stage_scale
        blend, beside = recipe.super_resolution.blend, fidelity_beside(context)
        spec = (beside if beside is not None and blend == 0 else net_of(context)).spec
        height, width = scaled_size(pixels.shape[0], pixels.shape[1], recipe.scale)
        numbers: dict[str, Any] = {
            "scale": recipe.scale,
            "net_scale": spec.scale,
            "height": height,
            "width": width,
            "model": spec.name,
            "runtime": spec.runtime,
            "precision": spec.precision,
        }
        mixed = ""
        if beside is not None and 0 < blend < 1:
            numbers |= {"perceptual_blend": blend, "fidelity_model": beside.spec.name}
            mixed = f", {1 - blend:.0%} of it the result of {beside.spec.name}"
        rest = "" if spec.scale == factor else f", then Lanczos by {factor / spec.scale:.4g}"
        if restored_by(context) and (share := share_of(context)) < 1:
            numbers["restored_share"] = share
            mixed = f", {1 - share:.0%} of it bicubic"
        if surely_drawn(context):
            numbers[KEY] = True
            mixed += ", edges as drawn"
        if stages == 1:
            return Decision(True, f"{spec.scale}x by the net{rest}{mixed}", numbers)
        numbers |= {"stages": stages, "blend": recipe.progressive.blend}
        return Decision(True, f"{stages} stages of {spec.scale}x by the net{rest}{mixed}", numbers)

    def apply(self, block: FloatPixels, decision: Decision, context: Context) -> FloatPixels:
        """Enlarge a block.

        Args:
            block: H x W x C, float32 in [0, 1].
            decision: from :meth:`measure`.
            context: its nets and recipe.

        Returns:
            round(scale * H) x round(scale * W) x C, float32, about in [0, 1]; grey stays one channel.
        """
        result = self._enlarged(block, context)
        return with_drawn_edges(result, block) if decision.numbers.get(KEY) else result

    def _enlarged(self, block: FloatPixels, context: Context) -> FloatPixels:
        """By the net, or by the two that the recipe mixes; a restored picture in part by bicubic."""
        if restored_by(context):
            return _restored(block, context)
        blend = context.recipe.super_resolution.blend
        if blend == 1 or fidelity_beside(context) is None:
            return _by_passes(net_of(context), block, context)
        fidelity = fidelity_result(block, context)
        if blend == 0:
            return fidelity
        perceptual = _by_passes(net_of(context), block, context)
        return np.asarray(fidelity + np.float32(blend) * (perceptual - fidelity), dtype=np.float32)

    def halo(self, context: Context) -> int:
        """The net's, once for each stage, and what edges as drawn depend on."""
        drawn = REACH if surely_drawn(context) else 0
        return net_of(context).spec.halo * context.recipe.progressive.stages + drawn

    def scale(self, context: Context) -> float:
        """The recipe's."""
        return context.recipe.scale


def _restored(block: FloatPixels, context: Context) -> FloatPixels:
    """The restoring net's result, with as much bicubic as was decided (:mod:`enhancer.stages.restoration`)."""
    result, share = _by_passes(net_of(context), block, context), np.float32(share_of(context))
    if share == 1:
        return result
    height, width = result.shape[:2]
    plain = resize(block, height, width, PillowImage.Resampling.BICUBIC)
    return np.asarray(plain + share * (result - plain), dtype=np.float32)


def net_of(context: Context) -> Net:
    """The net that the recipe enlarges with; else the one that restores a damaged picture, or enlarges a drawing."""
    recipe = context.recipe
    if restored_by(context):
        return restoring_net(context)
    if recipe.model is None and surely_drawn(context) and not context.nets.from_files:
        return context.nets.drawing(recipe.stage_scale, recipe.precision)
    return context.nets.super_resolution(recipe.stage_scale, recipe.model, recipe.precision)


def fidelity_beside(context: Context) -> Net | None:
    """The fidelity net to mix with and to hold against, where the recipe's net is a perceptual one."""
    if restored_by(context):
        return None
    return context.nets.fidelity_beside(context.recipe.stage_scale, context.recipe.model, context.recipe.precision)


def fidelity_result(block: FloatPixels, context: Context) -> FloatPixels:
    """What the fidelity net beside a perceptual one makes of `block`; of the context's source it is made once only.

    Raises:
        ValueError: the recipe's net is no perceptual one.
    """
    if block is context.source and context.fidelity is not None:
        return context.fidelity
    net = fidelity_beside(context)
    if net is None:
        raise ValueError("only beside a perceptual net is there a fidelity net")
    result = _by_passes(net, block, context)
    if block is context.source:
        context.fidelity = result
    return result


def _by_passes(net: Net, block: FloatPixels, context: Context) -> FloatPixels:
    """The whole enlargement by one net, in the recipe's stages."""
    scale, stages, blend = context.recipe.scale, context.recipe.progressive.stages, context.recipe.progressive.blend
    height, width = block.shape[:2]
    if stages == 1:
        return _by_net(net, block, scaled_size(height, width, scale))
    result = block
    for stage in range(1, stages + 1):
        size = scaled_size(height, width, scale ** (stage / stages))
        plain = resize(result, *size, PillowImage.Resampling.BICUBIC)
        mixed = np.float32(blend) * _by_net(net, result, size) + np.float32(1 - blend) * plain
        result = np.clip(mixed, 0, 1)
    return result


def _by_net(net: Net, pixels: FloatPixels, size: tuple[int, int]) -> FloatPixels:
    return resize(from_planes(run_tiled(net, to_planes(pixels)), like=pixels), *size)
