"""Pictures that are too dark to be of use: by how much, how noisy they are at each brightness, and denoising as lifted.

A sensor's noise has a variance that grows with the light (A. Foi et al., "Practical Poissonian-Gaussian noise modeling
and fitting for single-image raw-data", IEEE Trans. Image Processing 17(10), 2008), and the lift of the shadows
multiplies it. So it is measured and removed on the scale of the lifted picture: there the square root of the transfer
function nearly stabilises its variance, as Anscombe's transform does, what is left of it is a curve over brightness,
and a net that learned from photographs sees one of ordinary brightness. The result goes back to the light that came,
as floats: exposure, a later stage, lifts it, and the steps of 8 bits are filled from the denoised values.

A camera's development makes the noise coarse (demosaicing, smoothed colours, JPEG), so it is removed at half the size
first, where it is whiter, and then at the full size: else its low frequencies stay as coloured blotches.

Where it fails: even texture in all blocks of one brightness passes for noise in part, and a scene that was meant dark
is as dark as one that lacked light, which is why only a recipe that asks for visibility has it lifted.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from enhancer.image import FloatPixels
from enhancer.stages.base import Context
from enhancer.stages.dynamic_range import DARKEST_STEP, RangeNumbers, analyse
from enhancer.stages.lift_curve import compensate, undo
from enhancer.stages.light import from_linear, to_linear

Floats = NDArray[np.float64]

LEAST_LIFT: Final = 0.9
"""Stops; less is not worth the change."""
MIDDLE_GREY: Final = 0.18
VISIBLE: Final = 0.04
"""Median luminance that a dark scene with lamps in it is lifted to: its middle can be seen, and it is still night."""
BINS: Final = 6
BLOCK: Final = 8
QUIETEST: Final = 15
"""Percentage of a brightness' blocks that are taken to hold nothing but noise."""
LEAST_BLOCKS: Final = 8
COARSE: Final = 3.0
"""Noise over its finest diagonal details at most: what is coarser than a camera's development makes it is texture."""
WEAK: Final = 0.85
STRONGER: Final = (0.04, 8.0, 0.6)
"""The net's noise level over that of the quietest blocks: :data:`WEAK` where it is weak and may be texture in part;
from the first value on it rises by the second, by the third at most: strong coarse noise has to be called stronger."""
HIGHEST: Final = 75 / 255
"""The net was trained up to here."""
SMOOTHING: Final = 2.0
"""Pixels, standard deviation: brightness is read from a smoothed picture, or noise would choose its own level."""
SMALLEST_SIDE: Final = 64
"""Pixels; smaller pictures are not looked at at half their size."""

Denoiser = Callable[[FloatPixels, FloatPixels], FloatPixels]
"""A picture (H x W x C) and its noise (H x W) to the denoised picture."""


@dataclass(frozen=True, slots=True)
class Lift:
    """From a dark picture to a visible one.

    Attributes:
        ev: stops, above 0.
        peak: the largest linear value, which the curve keeps from clipping.
    """

    ev: float
    peak: float

    def up(self, values: FloatPixels) -> FloatPixels:
        """The lifted picture, encoded as sRGB, in [0, 1]."""
        return np.clip(from_linear(compensate(to_linear(values), self.ev, self.peak)), 0, 1)

    def down(self, values: FloatPixels) -> FloatPixels:
        """The inverse of :meth:`up`."""
        return from_linear(undo(to_linear(values), self.ev, self.peak))


@dataclass(frozen=True, slots=True)
class NoiseCurve:
    """Noise as a function of brightness; one value a brightness, darkest first, on the scale [0, 1].

    Attributes:
        light: sRGB-encoded brightness, rising.
        sigma: standard deviation of the noise there, mean over the channels.
    """

    light: Floats
    sigma: Floats

    def at(self, brightness: FloatPixels) -> FloatPixels:
        """The noise at each brightness, between the known ones linear, beyond them that of the nearest."""
        return np.interp(brightness, self.light, self.sigma).astype(np.float32)


def stops_dark(numbers: RangeNumbers) -> float:
    """By how many stops a picture lacks light, for somebody who wants to see what is in it.

    The empty top of the scale, where the middle is dark; or, of a dark scene whose lamps reach the top, what takes the
    median to :data:`VISIBLE`.

    Args:
        numbers: the picture's range.

    Returns:
        Stops, 0 where it lacks less than :data:`LEAST_LIFT`.
    """
    if numbers.median > MIDDLE_GREY:
        return 0.0
    of_middle = math.log2(VISIBLE / max(numbers.median, DARKEST_STEP))
    stops = numbers.headroom if numbers.headroom >= LEAST_LIFT else of_middle
    return stops if stops >= LEAST_LIFT else 0.0


def lift_of(pixels: FloatPixels, context: Context) -> Lift | None:
    """The lift that exposure is going to make of a picture, as far as it can be told before denoising.

    Args:
        pixels: H x W x C, float32 in [0, 1].
        context: the recipe's ``exposure`` and its mask of visible pixels.

    Returns:
        None where the recipe does not ask for visibility, or the picture is not dark.
    """
    options = context.recipe.exposure
    if options.lift != "visibility" or not options.wanted():
        return None
    ev = options.ev if options.ev is not None else stops_dark(analyse(pixels, context.visible))
    if ev < LEAST_LIFT:
        return None
    return Lift(min(ev, options.max_ev), float(to_linear(np.asarray(pixels.max(), np.float32))))


def noise_curve(pixels: FloatPixels, visible: NDArray[np.bool_] | None = None) -> NoiseCurve | None:
    """Measure how strong the noise is at each brightness, from the quietest blocks of each.

    Args:
        pixels: H x W x C, float32 in [0, 1].
        visible: H x W, False where values mean nothing.

    Returns:
        None where the picture is too small, or hardly any of it is visible.
    """
    blocks = _in_blocks(pixels, BLOCK)
    if visible is not None:
        blocks = blocks[_in_blocks(visible[..., None], BLOCK).all(axis=(1, 2, 3))]
    if len(blocks) < LEAST_BLOCKS:
        return None
    light = blocks.mean(axis=(1, 2, 3), dtype=np.float64)
    spread = blocks.var(axis=(1, 2), dtype=np.float64).mean(axis=1)
    details = (blocks[:, ::2, ::2] - blocks[:, 1::2, ::2] - blocks[:, ::2, 1::2] + blocks[:, 1::2, 1::2]) / 2
    finest = np.square(details).mean(axis=(1, 2, 3), dtype=np.float64)
    bounds = np.quantile(light, np.linspace(0, 1, BINS + 1))
    places: list[float] = []
    sigmas: list[float] = []
    for low, high in pairwise(bounds):
        here = (light >= low) & (light <= high)
        if np.count_nonzero(here) < LEAST_BLOCKS or (places and light[here].mean() <= places[-1]):
            continue
        variance = min(np.percentile(spread[here], QUIETEST), COARSE**2 * np.percentile(finest[here], QUIETEST))
        places.append(float(light[here].mean()))
        sigmas.append(math.sqrt(variance))
    return NoiseCurve(np.array(places), np.array(sigmas)) if places else None


def lifted_noise(pixels: FloatPixels, lift: Lift, context: Context) -> NoiseCurve | None:
    """The noise of a picture on the scale of its lifted version, the rounding to integers included.

    Args:
        pixels: H x W x C, float32 in [0, 1], not lifted.
        lift: of it.
        context: its mask of visible pixels and bit depth.

    Returns:
        None where it cannot be measured.
    """
    curve = noise_curve(lift.up(pixels), context.visible)
    if curve is None:
        return None
    step = 1.0 / (2 ** min(context.metadata.bit_depth, 16) - 1)
    rounding = step * _slope(curve.light, lift, step) / math.sqrt(12)
    return NoiseCurve(curve.light, np.maximum(curve.sigma, rounding))


def as_it_came(curve: NoiseCurve, lift: Lift) -> NoiseCurve:
    """A curve of the lifted picture on the scale of the picture that came."""
    light = lift.down(curve.light.astype(np.float32)).astype(np.float64)
    return NoiseCurve(light, curve.sigma / _slope(curve.light, lift, 1 / 255))


def denoised_as_lifted(
    pixels: FloatPixels, lift: Lift, curve: NoiseCurve, strength: float, net: Denoiser
) -> FloatPixels:
    """Denoise a dark picture on the scale of its lifted version.

    Args:
        pixels: H x W x C, float32 in [0, 1].
        lift: of it.
        curve: from :func:`lifted_noise`.
        strength: factor on the noise; 1: as measured.
        net: denoises a picture with a map of its noise.

    Returns:
        H x W x C, float32 in [0, 1], as dark as it came.
    """
    lifted = lift.up(pixels)
    height, width = lifted.shape[:2]
    if min(height, width) >= SMALLEST_SIDE:
        small = _sized(lifted, height // 2, width // 2)
        # Averages of four have at least half their noise, and of coarse noise more: it is measured anew.
        of_small = noise_curve(small) or NoiseCurve(curve.light, curve.sigma / 2)
        correction = _denoised(small, of_small, strength, net) - small
        lifted = np.clip(lifted + _sized(correction, height, width), 0, 1)
        curve = noise_curve(lifted) or curve
    return np.clip(lift.down(_denoised(lifted, curve, strength, net)), 0, 1)


def in_words(numbers: RangeNumbers, curve: NoiseCurve | None, noisy: bool) -> str:
    """What the light and the noise of a picture are, for people: ``dark by about 3 stops; noise of ...``.

    Args:
        numbers: the picture's range.
        curve: its noise on the scale that it came in; None: not known.
        noisy: whether there is noise at all, and not texture alone.
    """
    stops = stops_dark(numbers)
    light = f"dark by about {stops:.0f} stop{'s' if stops >= 1.5 else ''}" if stops else "not too dark"
    if curve is None:
        return f"{light}; noise not measurable"
    if not noisy:
        return f"{light}; no visible noise"
    shadows, lights = 255 * curve.sigma[0], 255 * curve.sigma[-1]
    return f"{light}; noise of {shadows:.1f} levels in the shadows, {lights:.1f} in the lights"


def as_numbers(lift: Lift, curve: NoiseCurve) -> dict[str, Any]:
    """Lift and noise as JSON; :func:`from_numbers` reads it."""
    return {
        "ev": round(lift.ev, 3),
        "peak": lift.peak,
        "light": [round(float(value), 5) for value in curve.light],
        "noise_of_light": [round(float(value), 5) for value in curve.sigma],
    }


def from_numbers(numbers: dict[str, Any]) -> tuple[Lift, NoiseCurve]:
    """What :func:`as_numbers` wrote."""
    return Lift(numbers["ev"], numbers["peak"]), NoiseCurve(
        np.array(numbers["light"]), np.array(numbers["noise_of_light"])
    )


def _denoised(pixels: FloatPixels, curve: NoiseCurve, strength: float, net: Denoiser) -> FloatPixels:
    brightness = cv2.GaussianBlur(pixels.mean(axis=2, dtype=np.float32), (0, 0), SMOOTHING)
    sigma = curve.at(brightness)
    start, rise, most = STRONGER
    factor = np.float32(WEAK) + np.clip((sigma - np.float32(start)) * np.float32(rise), 0, np.float32(most))
    return np.clip(net(pixels, np.minimum(np.float32(strength) * factor * sigma, np.float32(HIGHEST))), 0, 1)


def _slope(light: Floats, lift: Lift, step: float) -> Floats:
    """How many times larger a small difference is in the lifted picture, where that has the brightness `light`."""
    below = lift.down(light.astype(np.float32))
    lifted = lift.up(below + np.float32(step)) - lift.up(below)
    return np.maximum(lifted.astype(np.float64), 1e-6) / step


def _in_blocks(pixels: NDArray[Any], side: int) -> NDArray[Any]:
    """N x side x side x C of an H x W x C picture, incomplete blocks left out."""
    rows, columns = pixels.shape[0] // side, pixels.shape[1] // side
    cut = pixels[: rows * side, : columns * side].reshape(rows, side, columns, side, pixels.shape[2])
    return cut.swapaxes(1, 2).reshape(rows * columns, side, side, pixels.shape[2])


def _sized(pixels: FloatPixels, height: int, width: int) -> FloatPixels:
    """At another size, by area where that is smaller; H x W x C."""
    smaller = height < pixels.shape[0]
    made = cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
    return np.asarray(made, np.float32).reshape(height, width, pixels.shape[2])
