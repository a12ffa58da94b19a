"""Tone: black and white point, gamma, a curve, and saturation.

The tone curve acts on luminance and leaves chromaticity: linear R, G and B are multiplied by the factor that the curve
gives their luminance Y (IEC 61966-2-1). The curve itself is on the encoded scale, as in every editor: black and white
point ``(v - b) / (w - b)``, then ``v ** (1 / gamma)``, then a curve through points by monotone cubic Hermite
interpolation, which never overshoots between them (F. N. Fritsch, R. E. Carlson, "Monotone piecewise cubic
interpolation", SIAM J. Numerical Analysis 17(2), 1980; the slopes are those of F. N. Fritsch, J. Butland, SIAM J.
Scientific and Statistical Computing 5(2), 1984, as SciPy has them).

Saturation ``Y + s (c - Y)`` keeps luminance too. Where either would leave the gamut, the colour moves towards the grey
of its own luminance just as far as it takes, instead of being clipped into another hue.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import numpy as np

from enhancer.image import FloatPixels
from enhancer.options import ToneOptions
from enhancer.stages.base import Context, Decision, Stage
from enhancer.stages.light import from_linear, luminance, to_linear

if TYPE_CHECKING:
    from scipy.interpolate import PchipInterpolator

Points = tuple[tuple[float, float], ...]

CURVES: Final[dict[str, Points]] = {
    "soft-contrast": ((0.25, 0.22), (0.75, 0.78)),
    "strong-contrast": ((0.25, 0.17), (0.5, 0.5), (0.75, 0.83)),
    "lift-shadows": ((0.1, 0.16), (0.25, 0.33), (0.5, 0.54)),
    "film": ((0.0, 0.03), (0.25, 0.22), (0.5, 0.52), (0.75, 0.8), (1.0, 0.98)),
}
"""Presets on the encoded scale; a curve that does not say otherwise starts at (0, 0) and ends at (1, 1)."""
BLACK: Final = 1e-8
"""Luminance below which there is no chromaticity to keep; the darkest blue of 16 bits has 9e-8."""
UNSEEN: Final = 1e-6
BAND: Final = 512
"""Rows worked on at a time."""


class Tone(Stage):
    """What the recipe's tone options say; nothing is measured."""

    name = "tone"
    options = ToneOptions
    off = "the recipe keeps tone and saturation"
    corrects = True

    def measure(self, pixels: FloatPixels, context: Context) -> Decision:
        """Whether the options change anything.

        Args:
            pixels: H x W x C; only the number of channels matters.
            context: its recipe.

        Returns:
            A decision whose numbers are the options that differ from their defaults.
        """
        options = context.recipe.tone
        saturates = options.saturation != 1 and pixels.shape[2] == 3
        if not _bends(options) and not saturates:
            return Decision(False, self.off)
        given = options.model_dump(mode="json", exclude_defaults=True)
        return Decision(True, "the recipe's " + ", ".join(given).replace("_", " "), given)

    def apply(self, block: FloatPixels, decision: Decision, context: Context) -> FloatPixels:
        """Apply curve and saturation to a block.

        Args:
            block: H x W x C, float32 in [0, 1].
            decision: from :meth:`measure`.
            context: its recipe.

        Returns:
            H x W x C, float32 in [0, 1].
        """
        options = context.recipe.tone
        values = np.clip(block, 0, 1)
        if block.shape[2] == 1:
            return tone_curve(options)(values)
        curve = tone_curve(options) if _bends(options) else None
        toned = np.empty_like(values)
        for top in range(0, block.shape[0], BAND):
            rows = slice(top, top + BAND)
            toned[rows] = _tone_colours(values[rows], curve, options.saturation)
        return toned

    def halo(self, context: Context) -> int:
        """Every pixel on its own."""
        return 0


def tone_curve(options: ToneOptions) -> Callable[[FloatPixels], FloatPixels]:
    """The curve of these options on the encoded scale: [0, 1] to [0, 1], any shape."""
    points = options.points or CURVES.get(options.curve or "none", ())
    through = interpolate(points) if points else None

    def curve(values: FloatPixels) -> FloatPixels:
        spread = (values - options.black_point) / (options.white_point - options.black_point)
        bent = np.clip(spread, 0, 1) ** (1 / options.gamma)
        if through is not None:
            bent = np.clip(through(bent), 0, 1)
        result: FloatPixels = bent.astype(np.float32)
        return result

    return curve


def interpolate(points: Points) -> PchipInterpolator:
    """The monotone cubic through `points`, given with rising inputs; ends that are not given are (0, 0) and (1, 1)."""
    # Here: a quarter of a second to import, which only curves have to wait for.
    from scipy.interpolate import PchipInterpolator

    start = () if points[0][0] == 0 else ((0.0, 0.0),)
    end = () if points[-1][0] == 1 else ((1.0, 1.0),)
    inputs, outputs = zip(*start, *points, *end, strict=True)
    return PchipInterpolator(inputs, outputs)


def saturate(light: FloatPixels, factor: float) -> FloatPixels:
    """Linear colours (H x W x 3) with their distance from the grey of equal luminance multiplied by `factor`."""
    grey = luminance(light)[..., None]
    return into_gamut(grey + np.float32(factor) * (light - grey))


def into_gamut(light: FloatPixels) -> FloatPixels:
    """Linear colours brought into [0, 1] along the line to the grey of their own luminance, which stays the same.

    Args:
        light: H x W x 3, float32; a luminance outside [0, 1] is clipped.
    """
    grey = np.clip(luminance(light), 0, 1)[..., None]
    highest, lowest = light.max(axis=2, keepdims=True), light.min(axis=2, keepdims=True)
    with np.errstate(divide="ignore", invalid="ignore"):
        above = np.where(highest > 1, (1 - grey) / (highest - grey), np.float32(1))
        below = np.where(lowest < 0, grey / (grey - lowest), np.float32(1))
    share = np.clip(np.minimum(above, below), 0, 1)
    inside: FloatPixels = np.clip(grey + share * (light - grey), 0, 1)
    return inside


def _bends(options: ToneOptions) -> bool:
    values = np.linspace(0, 1, 4097, dtype=np.float32)
    return bool(np.abs(tone_curve(options)(values) - values).max() > UNSEEN)


def _tone_colours(
    values: FloatPixels, curve: Callable[[FloatPixels], FloatPixels] | None, saturation: float
) -> FloatPixels:
    light = to_linear(values)
    if curve is not None:
        before = luminance(light)
        after = to_linear(curve(from_linear(before)))
        factor = (after / np.maximum(before, np.float32(BLACK)))[..., None]
        # Black has no hue, but a curve may lift it.
        light = into_gamut(np.where(before[..., None] <= BLACK, after[..., None], light * factor))
    if saturation != 1:
        light = saturate(light, saturation)
    return np.clip(from_linear(light), 0, 1)
