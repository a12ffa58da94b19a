"""Noisy pictures to adapt a denoiser to: decoded, measured as the denoising stage does, the unfit ones left aside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from enhancer.codecs import Limits, decode
from enhancer.codecs.colour import to_working
from enhancer.errors import EnhancerError
from enhancer.image import FloatPixels, Metadata
from enhancer.recipe import Recipe
from enhancer.settings import Settings
from enhancer.stages.base import Context
from enhancer.stages.channels import to_planes
from enhancer.stages.denoising import Denoising
from enhancer.stages.jpeg_artifacts import GOOD
from enhancer.stages.nets import Nets
from enhancer.stages.sequence import prepare
from enhancer.training.degradations import as_bytes
from enhancer.training.pictures import Bytes, split

MOST: Final = 100
"""Of more pictures so many are read, spread evenly over the list."""
SIDE: Final = 1024
"""Of a larger picture the middle is taken, so that memory stays bounded."""
LEAST_SIDE: Final = 192
"""Smaller pictures are left aside: nothing could be checked on them."""

Read = Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class NoisyPicture:
    """The middle of one picture, H x W x 3 bytes, and the noise level that denoising gives a net, on [0, 1]."""

    pixels: Bytes
    sigma: float


@dataclass(slots=True)
class Found:
    """What became of the pictures that were given: used, left aside with a reason, or not readable."""

    used: dict[str, NoisyPicture] = field(default_factory=dict)
    left_aside: dict[str, str] = field(default_factory=dict)
    failed: dict[str, EnhancerError] = field(default_factory=dict)


def read_pictures(
    sources: Sequence[tuple[str, Read]],
    settings: Settings,
    base: str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Found:
    """Decode pictures and measure their noise; a bad one is noted and the next one read.

    Pictures without visible noise, small ones and strongly compressed JPEGs, in which the noise of neighbouring pixels
    is tied together, are left aside.

    Args:
        sources: name and reader of each.
        settings: limits, and where weights are.
        base: catalogue name of the denoiser, whose kind may decide the noise level it is given; None: the default one.
        progress: called before each picture with those done and those in all.
    """
    found = Found()
    chosen, _ = split(sources, max(0, len(sources) - MOST))
    recipe, nets = Recipe(denoise_model=base), Nets(settings, device="cpu")
    for place, (name, read) in enumerate(chosen):
        if progress:
            progress(place, len(chosen))
        try:
            page = decode(read(), name=name, limits=Limits.from_settings(settings)).first
        except EnhancerError as error:
            found.failed[name] = error
            continue
        context = Context(recipe=recipe, metadata=page.metadata, nets=nets)
        pixels, _ = prepare(to_working(page), context)
        decision = Denoising().measure(pixels, context)
        if reason := _unfit(page.metadata, pixels) or (None if decision.applied else decision.reason):
            found.left_aside[name] = reason
            continue
        part = middle(to_planes(pixels).transpose(1, 2, 0), SIDE)
        found.used[name] = NoisyPicture(as_bytes(part), decision.numbers["sigma_removed"] / 255)
    return found


def middle(pixels: FloatPixels, side: int) -> FloatPixels:
    """At most side x side pixels, from the middle; even sides."""
    height, width = (min(side, length) // 2 * 2 for length in pixels.shape[:2])
    top, left = (pixels.shape[0] - height) // 2, (pixels.shape[1] - width) // 2
    return np.ascontiguousarray(pixels[top : top + height, left : left + width])


def _unfit(metadata: Metadata, pixels: FloatPixels) -> str | None:
    """Why a picture is of no use for learning, whatever its noise."""
    if metadata.jpeg_quality is not None and metadata.jpeg_quality < GOOD:
        return f"JPEG compression of quality {metadata.jpeg_quality} has changed its noise"
    if min(pixels.shape[:2]) < LEAST_SIDE:
        return f"smaller than {LEAST_SIDE} pixels"
    return None
