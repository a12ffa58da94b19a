"""The stages in their order, and running them over one page.

:data:`OWN` is the fixed order. A new stage, of this package or of another one, is added to it by a line in
:mod:`enhancer.extensions` or an entry point, and says itself which stage it follows.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np

from enhancer.codecs.colour import from_working, to_working
from enhancer.contract import DecisionRecord
from enhancer.errors import PictureError
from enhancer.extensions import stage_extensions
from enhancer.image import FloatPixels, Image, Pixels, from_unit, to_unit
from enhancer.recipe import Recipe
from enhancer.stages.added import from_package, with_added
from enhancer.stages.alpha import bleed, resize_alpha
from enhancer.stages.artifact_guard import ArtifactGuard, guarded
from enhancer.stages.base import Context, Decision, Stage
from enhancer.stages.big_pictures import enlarge_in_tiles, in_tiles
from enhancer.stages.colour_cast import ColourCast
from enhancer.stages.colour_fix import ColourFix
from enhancer.stages.denoising import Denoising
from enhancer.stages.exposure import Exposure
from enhancer.stages.fading import Fading
from enhancer.stages.impulse_repair import ImpulseRepair
from enhancer.stages.jpeg_artifacts import JpegArtifacts
from enhancer.stages.lens_correction import LensCorrection
from enhancer.stages.local_contrast import LocalContrast
from enhancer.stages.nets import Nets
from enhancer.stages.picture_kind import PictureKind
from enhancer.stages.restoration import Restoration
from enhancer.stages.scratches import Scratches
from enhancer.stages.sharpening import Sharpening
from enhancer.stages.size_limit import SizeLimit
from enhancer.stages.strips import apply_in_strips, in_strips
from enhancer.stages.super_resolution import SuperResolution
from enhancer.stages.tone import Tone

ROWS: Final = 64
"""That are looked at together for values that are not finite."""

OWN: Final[tuple[Stage, ...]] = (
    PictureKind(),  # of the picture as it came: what later stages need
    SizeLimit(),  # before all that changes it: everything after it has fewer pixels to pay for
    LensCorrection(),  # by the file's own size and place in the frame
    ImpulseRepair(),  # impulses would spoil every later measurement
    Restoration(),  # of what came, as its net was trained; where it acts, the next two have nothing left to do
    JpegArtifacts(),  # after impulses, which no JPEG made; before denoising, which takes blocks for detail
    Denoising(),  # before enlarging: noise is measured on the input, and a net that enlarges it cannot be undone
    Scratches(),  # after denoising, which leaves what is no noise; before fading, whose ends a scratch would set
    Fading(),
    Exposure(),  # after denoising, which measures noise before light is multiplied
    ColourCast(),  # after exposure: it judges by the brightest parts
    SuperResolution(),
    ArtifactGuard(),  # after super-resolution at once: all that follows would hide or sharpen what it looks for
    ColourFix(),  # after everything that enlarges or redraws, and before what is for looks
    LocalContrast(),  # what is for looks comes last, at the final size
    Tone(),
    Sharpening(),  # last: whatever came after it would be done to its edges
)

STAGES: Final = with_added(OWN, stage_extensions())
"""In this process: a package that is installed while it runs is not seen."""

CORRECTIONS: Final = frozenset(stage.name for stage in STAGES if stage.corrects)
"""Stages that change on purpose what a picture shows, where the others bring back what was there."""


def enhance_page(page: Image, context: Context, timings: dict[str, float]) -> Image:
    """Run the stages over one page; fills the context's decisions and adds to the timings."""
    working = to_working(page)
    unit, alpha = prepare(working, context)
    applied = False
    for place, stage in enumerate(STAGES, start=1):
        started = time.perf_counter()
        decision = decide(stage, unit, context)
        context.decisions[stage.name] = decision
        if decision.applied:
            if stage.scale(context) != 1 and in_tiles(decision, working.pixels, context, STAGES[place:]):
                # Never a float picture of that size: what comes later has nothing to do, or is done with it.
                source = unit if applied or alpha is not None else working.pixels
                del unit
                large, fixed = enlarge_in_tiles(source, decision, context, working.pixels.dtype)
                context.decisions |= _unseen(STAGES[place:], fixed, context)
                timings[stage.name] += time.perf_counter() - started
                return _as_it_came(large, alpha, working, page)
            if stage.scale(context) != 1:
                context.source = unit
            unit = _apply(stage, unit, decision, context, came=working.pixels)
            applied = True
            if alpha is not None and alpha.shape != unit.shape[:2]:
                alpha = resize_alpha(alpha, *unit.shape[:2])
                context.visible = alpha > 0
        timings[stage.name] += time.perf_counter() - started
    if not applied:
        return page  # and not the round trip through the working space
    return _as_it_came(from_unit(unit, working.pixels.dtype, working.metadata.float_range), alpha, working, page)


def _as_it_came(pixels: Pixels, alpha: Pixels | None, working: Image, page: Image) -> Image:
    """The result in the colours of the page, with the alpha at its size."""
    if alpha is not None and alpha.shape != pixels.shape[:2]:
        alpha = resize_alpha(alpha, *pixels.shape[:2])
    return from_working(working.with_pixels(pixels, alpha), page)


def decide(stage: Stage, pixels: FloatPixels, context: Context) -> Decision:
    """The stage's decision about a picture; where the recipe does not want it, without looking."""
    idle = stage.idle(context)
    return from_package(stage, stage.measure(pixels, context)) if idle is None else Decision(False, idle)


def _unseen(later: Sequence[Stage], fixed: Decision, context: Context) -> dict[str, Decision]:
    """Decisions of the stages after an enlargement in tiles: but for the colour fix, each is idle and says why."""
    reasons = {stage.name: stage.idle(context) for stage in later}
    return {name: Decision(False, reason or "") for name, reason in reasons.items()} | {ColourFix.name: fixed}


def prepare(working: Image, context: Context) -> tuple[FloatPixels, Pixels | None]:
    """What the first stage sees of a picture in the working space, and its alpha; the context gets what is visible."""
    unit = to_unit(working.pixels, working.metadata.float_range)
    if working.alpha is not None:
        context.visible = working.alpha > 0
        unit = bleed(unit, context.visible)
    return unit, working.alpha


def corrected(page: Image, decisions: Iterable[DecisionRecord], recipe: Recipe, nets: Nets) -> Image:
    """The input with the corrections that its result has, and nothing else: what a result can be held against.

    A result whose exposure was corrected must not agree with its input, but with its input so corrected.

    Args:
        page: as decoded.
        decisions: of this page's stages; only those of :data:`CORRECTIONS` are made again.
        recipe: that was followed.
        nets: the detector of scratches is found there.

    Returns:
        The picture in the working space, its size that of the input but where the size was limited.
    """
    working = to_working(page)
    context = Context(recipe=recipe, metadata=page.metadata, nets=nets)
    made = {one.stage: one for one in decisions if one.applied and one.stage in CORRECTIONS}
    if not made:
        return working
    unit, alpha = prepare(working, context)
    for stage in STAGES:
        if stage.name in made:
            record = made[stage.name]
            decision = Decision(True, record.reason, record.numbers)
            unit = _apply(stage, unit, decision, context, came=working.pixels)
    if alpha is not None and alpha.shape != unit.shape[:2]:
        alpha = resize_alpha(alpha, *unit.shape[:2])
    return working.with_pixels(from_unit(unit, working.pixels.dtype, working.metadata.float_range), alpha)


def _apply(stage: Stage, unit: FloatPixels, decision: Decision, context: Context, *, came: Pixels) -> FloatPixels:
    """The stage's result, checked: a net that overflowed gives NaN, which would be saved as black.

    Only the artefact guard can repair that, so what it will look at is left to it. A large picture is overwritten where
    the stage can do with parts of it, unless it is the very one that `came`.
    """
    if in_strips(stage, unit, context):
        into = np.empty_like(unit) if np.may_share_memory(unit, came) else unit
        result = apply_in_strips(stage, unit, decision, context, into=into)
    else:
        result = stage.apply(unit, decision, context)
    if not _finite(result) and not (stage.scale(context) != 1 and guarded(context)):
        raise PictureError(f"{stage.name} gave values that are not finite", reason="not-finite")
    return result


def _finite(pixels: FloatPixels) -> bool:
    """Whether all of them are; without a mask of the whole."""
    return all(bool(np.isfinite(pixels[top : top + ROWS]).all()) for top in range(0, pixels.shape[0], ROWS))
