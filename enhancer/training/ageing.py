"""How colour prints age: a model of dyes, paper and scan that training, tests and benchmarks share.

A print's colours are made by cyan, magenta and yellow dyes whose optical densities add up, so that ageing is linear in
density D = -log10(reflectance) and not in light (R. W. G. Hunt, "The Reproduction of Colour"; H. Wilhelm, C. Brower,
"The Permanence and Care of Color Photographs", 1993). In this order:

1. fading: each dye keeps ``1 - fading`` of its density, D' = A diag(1 - fading) A^-1 D with the dyes' absorptions A;
2. yellowing: the base gains a density of its own, most of it in blue, D'' = D' + stain;
3. lifted blacks: silvered, matt or dirty surfaces scatter white light over everything, R' = haze + (1 - haze) R;
4. grain: noise in density;
5. the scan: von Kries gains on the light, clipped, rounded to 8 bits.

Contrast is lost by 1 and 3. Everything but the grain is a function of a pixel's own colour.

Beside it there is a print that has only gone pale (:func:`random_paleness`): each channel's encoded values are squeezed
between a black of its own and a white of its own. No dye does that alone; prints that were rephotographed, exposed too
short by the scanner, or faded by an image editor look so. The net of today was not trained on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from enhancer.image import FloatPixels
from enhancer.stages.light import from_linear, to_linear

Vector = tuple[float, float, float]

DENSEST: Final = 2.4
"""Density of a colour print's black. A picture's black is printed as this, and a scan of a new print, whose black point
is set, has it back as no light at all."""
ABSORPTIONS: Final = np.array([[1.0, 0.10, 0.02], [0.18, 1.0, 0.10], [0.07, 0.22, 1.0]])
"""Density in R, G, B (rows) of one unit of cyan, magenta and yellow dye: each absorbs a little beside its own third of
the spectrum, magenta dyes most. Round figures of the usual size, of no particular paper."""


@dataclass(frozen=True, slots=True)
class Ageing:
    """One print's history.

    Attributes:
        fading: share of its density that the cyan, magenta and yellow dye lost, in [0, 1).
        stain: density that the base gained in R, G, B.
        haze: share of white light scattered by the surface in R, G, B, in [0, 1).
        grain: standard deviation of the density's noise.
        gains: of the scan, on linear R, G, B.
    """

    fading: Vector = (0.0, 0.0, 0.0)
    stain: Vector = (0.0, 0.0, 0.0)
    haze: Vector = (0.0, 0.0, 0.0)
    grain: float = 0.0
    gains: Vector = (1.0, 1.0, 1.0)


def random_ageing(draw: np.random.Generator) -> Ageing:
    """A print's history by chance: decades in an album or on a wall, not the last stages of decay.

    In the dark it is mostly the cyan dye that goes, which leaves prints red; in light the magenta dye, which leaves
    them green or, with the yellow dye, blue; some papers fade evenly (Wilhelm and Brower).
    """
    common = draw.uniform(0.08, 0.35)
    more = draw.uniform(0.05, 0.3)
    kind = draw.choice(4, p=(0.4, 0.25, 0.15, 0.2))
    most = np.array([(1, 0.25, 0.35), (0.2, 1, 0.4), (0.2, 0.8, 1), (0.5, 0.5, 0.5)][kind])
    fading = common + more * most * draw.uniform(0.7, 1.3, 3)
    yellow = draw.uniform(0.02, 0.2)
    stain = yellow * np.array([draw.uniform(0, 0.25), draw.uniform(0.25, 0.6), 1.0])
    haze = draw.uniform(0.004, 0.045) * draw.uniform(0.75, 1.25, 3)
    gains = 2.0 ** (draw.uniform(-0.2, 0.2) + draw.uniform(-0.12, 0.12, 3))
    return Ageing(
        fading=_vector(np.clip(fading, 0, 0.7)),
        stain=_vector(stain),
        haze=_vector(haze),
        grain=float(draw.uniform(0, 0.012)),
        gains=_vector(gains),
    )


@dataclass(frozen=True, slots=True)
class Paleness:
    """Where a pale print's scale begins and ends.

    Attributes:
        black: encoded R, G, B of what was black, in [0, 1].
        white: of what was white, above `black`.
    """

    black: Vector
    white: Vector


def random_paleness(draw: np.random.Generator) -> Paleness:
    """A pale print by chance: a third to nine tenths of the contrast is left, the ends are tinted."""
    black = np.clip(draw.uniform(0.05, 0.28) + draw.uniform(-0.05, 0.05, 3), 0, 1)
    white = draw.uniform(0.6, 0.95) + draw.uniform(-0.12, 0.08, 3)
    return Paleness(_vector(black), _vector(np.clip(white, black + 0.25, 1)))


def paled(pixels: FloatPixels, paleness: Paleness) -> FloatPixels:
    """What a pale print looks like.

    Args:
        pixels: ... x 3, float32 in [0, 1], encoded.
        paleness: its scale's ends.

    Returns:
        The same shape, float32 in [0, 1], rounded to the values of 8 bits.
    """
    black, white = np.asarray(paleness.black, np.float32), np.asarray(paleness.white, np.float32)
    levels: FloatPixels = np.rint((black + (white - black) * pixels) * np.float32(255))
    return levels / np.float32(255)


def aged(pixels: FloatPixels, ageing: Ageing, draw: np.random.Generator | None = None) -> FloatPixels:
    """What a scan of the aged print looks like.

    Args:
        pixels: ... x 3, float32 in [0, 1], sRGB: the picture as it was.
        ageing: what happened to it.
        draw: of the grain; None: there is none.

    Returns:
        The same shape, float32 in [0, 1], rounded to the values of 8 bits.
    """
    remaining = ABSORPTIONS @ np.diag(1 - np.asarray(ageing.fading)) @ np.linalg.inv(ABSORPTIONS)
    black = np.float32(10**-DENSEST)
    density = -np.log10(black + (1 - black) * to_linear(pixels))
    density = density @ remaining.T.astype(np.float32) + np.asarray(ageing.stain, np.float32)
    if draw is not None and ageing.grain:
        density = density + np.float32(ageing.grain) * draw.standard_normal(density.shape, dtype=np.float32)
    haze = np.asarray(ageing.haze, np.float32)
    reflected = (np.float32(10) ** -density - black) / (1 - black)
    light = (haze + (1 - haze) * reflected) * np.asarray(ageing.gains, np.float32)
    levels: FloatPixels = np.rint(from_linear(np.clip(light, 0, 1)) * np.float32(255))
    return levels / np.float32(255)


def _vector(values: NDArray[np.float64]) -> Vector:
    first, second, third = (float(value) for value in values)
    return first, second, third
