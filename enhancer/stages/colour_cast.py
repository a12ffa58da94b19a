"""Colour cast correction: the illuminant estimated with a confidence, von Kries in linear light; unsure: left alone.

Three estimators, each with another assumption of what is grey, look for the illuminant:

* white patch: the brightest value of each channel, here the 99.5th percentile (E. H. Land, J. J. McCann, "Lightness and
  retinex theory", J. Opt. Soc. Am. 61(1), 1971);
* shades of grey: the Minkowski mean of each channel, p = 4 (G. D. Finlayson, E. Trezzi, "Shades of grey and colour
  constancy", Color Imaging Conf. 2004);
* grey edge: the Minkowski mean of each channel's differences, p = 3 (J. van de Weijer, T. Gevers, A. Gijsenij,
  "Edge-based color constancy", IEEE Trans. Image Processing 16(9), 2007).

Each is projected onto the locus of natural light (:func:`illuminant`) and becomes a shift in mired (1e6 / K) from D65,
above 0 for warm light. ``auto`` corrects only where all three lie on the same side, where the smallest shift is at
least :data:`LEAST_CONFIDENCE` of the largest (their ratio is the confidence), where the white patch lies near the locus
(else it is the colour of a thing), and where the smallest is at least :data:`LEAST_WARM` or :data:`LEAST_COOL`: warm
scenes are commoner than cold ones, and lit by a lamp they look twice as warm as the lamp is. It corrects by the
smallest, less :data:`SCENE_WARMTH` where it is warm, and so errs towards leaving the picture as it is. What the five
bounds were chosen on stands in docs/quality.md, what they do in docs/recipes.md (``make bench-tone``).

It fails where the picture has no near-neutral highlights and one colour rules it. A toned black-and-white print looks
like a cast and may be neutralised. Light off the locus (fluorescent green) is left alone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from enhancer.image import FloatPixels
from enhancer.options import ColourCastOptions
from enhancer.stages.base import Context, Decision, Stage
from enhancer.stages.light import LUMINANCE_WEIGHTS, from_linear, to_linear

LEAST_WARM: Final = 100.0
LEAST_COOL: Final = 30.0
"""Mired; 30 below D65 is about 8100 K, 100 above is about 3900 K."""
SCENE_WARMTH: Final = 40.0
"""Mired of a warm shift that are left as the scene's own."""
LEAST_CONFIDENCE: Final = 0.84
FARTHEST_OFF: Final = 0.22
"""Distance of the white patch from the locus, in natural logarithms of R/G and B/G."""

PREVIEW_SIDE: Final = 240
SMALLEST_AREA: Final = 1024
DARKEST: Final = 1e-6
D65_MIRED: Final = 1e6 / 6504

XYZ_TO_RGB: Final = (
    (3.2404542, -1.5371385, -0.4985314),
    (-0.9692660, 1.8760108, 0.0415560),
    (0.0556434, -0.2040259, 1.0572252),
)
"""XYZ to linear sRGB (IEC 61966-2-1)."""

Vector = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """What the three estimators say together.

    Attributes:
        shifts: mired from D65 by estimator, above 0 for warm light.
        confidence: smallest over largest shift, in [0, 1]; 0 where they lie on different sides.
        off_locus: distance of the white patch from the locus of natural light, in natural logarithms.
    """

    shifts: dict[str, float]
    confidence: float
    off_locus: float

    @property
    def shift(self) -> float:
        """The smallest shift, in mired."""
        return min(self.shifts.values(), key=abs)

    @property
    def corrected(self) -> float:
        """What of it is corrected, in mired."""
        return max(self.shift - SCENE_WARMTH, 0.0) if self.shift > 0 else self.shift

    def objection(self) -> str | None:
        """Why not to correct by it; None: nothing speaks against it."""
        if self.confidence == 0:
            return "no cast: the estimators do not agree on its side"
        if abs(self.shift) < (LEAST_WARM if self.shift > 0 else LEAST_COOL):
            return f"a cast of {self.shift:+.0f} mired may be the scene's own colours"
        if self.off_locus > FARTHEST_OFF:
            return "the brightest colours are not those of natural light"
        if self.confidence < LEAST_CONFIDENCE:
            return f"the estimators differ (confidence {self.confidence:.2f})"
        return None


class ColourCast(Stage):
    """Divides the light by its estimated colour."""

    name = "colour-cast"
    options = ColourCastOptions
    off = "the recipe's cast correction is off"
    for_photographs = True
    corrects = True

    def measure(self, pixels: FloatPixels, context: Context) -> Decision:
        """Estimate the illuminant.

        Args:
            pixels: H x W x C, float32 in [0, 1]; one channel has no cast.
            context: the recipe's ``colour_cast`` and its mask of visible pixels.

        Returns:
            A decision whose numbers are ``shifts`` (mired from D65 by estimator), ``confidence``, ``off_locus`` and,
            where applied, the illuminant's ``cct`` in kelvins and ``xy``, and ``gains`` (of linear R, G and B).
        """
        if (idle := self.idle(context)) is not None:
            return Decision(False, idle)
        options = context.recipe.colour_cast
        if pixels.shape[2] == 1:
            return Decision(False, "a grey picture has no cast")
        preview, shown = _preview(pixels, context.visible)
        if np.count_nonzero(shown) < SMALLEST_AREA:
            return Decision(False, "too small to tell the light's colour from the things'")
        light = to_linear(preview)
        estimate = estimate_illuminant(light, shown)
        numbers: dict[str, Any] = {
            "shifts": {name: round(shift, 1) for name, shift in estimate.shifts.items()},
            "confidence": round(estimate.confidence, 3),
            "off_locus": round(estimate.off_locus, 4),
        }
        objection = estimate.objection()
        if objection:
            return Decision(False, objection, numbers)
        cct = 1e6 / (D65_MIRED + estimate.corrected)
        gains = von_kries_gains(illuminant(cct), options.strength)
        gains /= max(1.0, float((np.percentile(light[shown], 99.9, axis=0) * gains).max()))  # keeps highlights
        numbers |= {
            "cct": round(cct),
            "xy": [round(value, 4) for value in chromaticity(cct)],
            "gains": [round(float(gain), 5) for gain in gains],
        }
        kind = "warm" if estimate.shift > 0 else "cool"
        return Decision(True, f"{kind} light of about {cct:.0f} K, confidence {estimate.confidence:.2f}", numbers)

    def apply(self, block: FloatPixels, decision: Decision, context: Context) -> FloatPixels:
        """Correct a block.

        Args:
            block: H x W x 3, float32 in [0, 1].
            decision: from :meth:`measure`.
            context: unused.

        Returns:
            H x W x 3, float32 in [0, 1].
        """
        light = to_linear(block) * np.asarray(decision.numbers["gains"], dtype=np.float32)
        return np.clip(from_linear(light), 0, 1)

    def halo(self, context: Context) -> int:
        """Each pixel on its own."""
        return 0


def chromaticity(cct: float) -> tuple[float, float]:
    """CIE 1931 x and y of natural light.

    From 4000 K on the daylight locus (CIE 15:2004), below it the Planckian locus in the approximation of B. Kang et
    al., "Design of advanced color temperature control system for HDTV applications", J. Korean Phys. Soc. 41(6), 2002.

    Args:
        cct: correlated colour temperature in kelvins, 2222 to 25000.
    """
    t = 1e3 / cct
    if cct >= 4000:
        low, high = (-4.6070, 2.9678, 0.09911, 0.244063), (-2.0064, 1.9018, 0.24748, 0.237040)
        x = float(np.polyval(low if cct <= 7000 else high, t))
        return x, -3 * x**2 + 2.87 * x - 0.275
    x = float(np.polyval((-0.2661239, -0.2343589, 0.8776956, 0.179910), t))
    return x, float(np.polyval((-0.9549476, -1.37418593, 2.09137015, -0.16748867), x))


def illuminant(cct: float) -> Vector:
    """Linear sRGB of natural light of a colour temperature, green 1; D65 is about (1, 1, 1)."""
    x, y = chromaticity(cct)
    rgb = np.asarray(XYZ_TO_RGB) @ np.array([x / y, 1, (1 - x - y) / y])
    return np.asarray(rgb / rgb[1], dtype=np.float64)


def von_kries_gains(light: Vector, strength: float = 1.0) -> Vector:
    """Factors that make the illuminant `light` neutral and keep its luminance.

    Von Kries adaptation with linear sRGB's own primaries for the cones': the exact inverse of a white balance that
    was set wrong on these channels, where gains in Bradford's cone space would leave a remainder.

    Args:
        light: linear R, G and B of the illuminant, above 0.
        strength: 0 does nothing, 1 neutralises.
    """
    kept = float(np.dot(LUMINANCE_WEIGHTS, light))
    return np.asarray((kept / light) ** strength, dtype=np.float64)


def estimate_illuminant(light: FloatPixels, shown: NDArray[np.bool_]) -> Estimate:
    """The three estimators' shifts from D65.

    Args:
        light: H x W x 3, float32, linear; a preview.
        shown: H x W, False where values mean nothing; some are True.
    """
    values = light[shown].astype(np.float64)
    down = np.abs(np.diff(light, axis=0))[shown[1:] & shown[:-1]].astype(np.float64)
    across = np.abs(np.diff(light, axis=1))[shown[:, 1:] & shown[:, :-1]].astype(np.float64)
    edges = np.concatenate([down, across])
    # Products, for NumPy's power takes ten times as long.
    squares, cubes = values * values, edges * edges * edges
    shifts, off_locus = {}, 0.0
    for name, colour in (
        ("white_patch", np.percentile(values, 99.5, axis=0)),
        ("shades_of_grey", (squares * squares).mean(axis=0) ** (1 / 4)),
        ("grey_edge", (cubes.sum(axis=0) / max(1, len(edges))) ** (1 / 3)),
    ):
        shifts[name], distance = _on_locus(colour)
        if name == "white_patch":
            off_locus = distance
    sizes = [abs(shift) for shift in shifts.values()]
    one_side = min(shifts.values()) > 0 or max(shifts.values()) < 0
    return Estimate(shifts, min(sizes) / max(sizes) if one_side else 0.0, off_locus)


_MIRED: Final = np.arange(60.0, 450.0, 2.0)


def _log_ratios(colour: Vector) -> Vector:
    kept = np.maximum(colour, DARKEST)
    return np.asarray(np.log(kept[[0, 2]] / kept[1]), dtype=np.float64)


_LOCUS: Final = np.array([_log_ratios(illuminant(1e6 / mired)) for mired in _MIRED])


def _on_locus(colour: Vector) -> tuple[float, float]:
    """Mired from D65 of the locus's nearest point, and the distance to it; a neutral colour has 0 mired."""
    ratios = _log_ratios(colour)
    distances = np.hypot(*(_LOCUS - ratios).T)
    nearest = int(distances.argmin())
    shift = float(_MIRED[nearest]) - D65_MIRED
    step = float(_MIRED[1] - _MIRED[0])
    return (0.0 if abs(shift) < step else shift), float(distances[nearest])


def _preview(pixels: FloatPixels, visible: NDArray[np.bool_] | None) -> tuple[FloatPixels, NDArray[np.bool_]]:
    """The picture at most :data:`PREVIEW_SIDE` a side, by area averages, and which of its pixels are visible."""
    height, width = pixels.shape[:2]
    factor = min(1.0, PREVIEW_SIDE / max(height, width))
    size = (max(1, math.floor(width * factor + 0.5)), max(1, math.floor(height * factor + 0.5)))
    preview = pixels if factor == 1 else cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    if visible is None:
        return preview, np.ones(preview.shape[:2], dtype=np.bool_)
    share = cv2.resize(visible.astype(np.uint8), size, interpolation=cv2.INTER_NEAREST)
    return preview, share.astype(np.bool_)
