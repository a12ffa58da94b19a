"""Restoration of faded colour prints by a small net that knows how prints age and what photographs look like.

The net (:mod:`enhancer.models.architectures.colour`) looks at 48 x 48 pixels and predicts 15 numbers of one function
for all pixels: scattered light and stain taken away, the dyes' densities brought back, cross-talk included. The
function is evaluated on the full picture, so that its cost and result do not depend on how the net was run.

The order of what is tried, for ``method = "learned"``: a picture of one tone (black-and-white, sepia, cyanotype) keeps
its tone and is only stretched, all channels alike; nothing is ever colourised. Where the net is confident that it makes
the picture better, its function is applied, unless the picture is a pale one (:func:`is_pale`): the net was taught by
prints whose dyes have faded, whose paper stays bright, and leaves one that has merely gone pale too dark. Pale ones get
the classical stretch (:mod:`enhancer.stages.fading_stretch`). Else nothing is done, as for every unfaded picture.
(Asking the stretch where the net is not sure helps pale prints, but spoils aged ones that hold nothing bright, and
unfaded ones.)
Grey pictures of one channel, and ``method = "classical"``, are the classical stretch's alone.
"""

from __future__ import annotations

from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from enhancer.image import FloatPixels
from enhancer.options import FadingOptions
from enhancer.stages.base import Context, Decision, Stage
from enhancer.stages.dynamic_range import sample
from enhancer.stages.fading_stretch import LEAST_SPAN, PERCENTILES, SMALLEST_AREA, FadingStretch, ends_of, objection
from enhancer.stages.light import from_linear, to_linear

PREVIEW_SIDE: Final = 256
LOOK: Final = 48
"""Side of what the net looks at, as :mod:`enhancer.models.architectures.colour` has it."""
LEAST_LOG_ODDS: Final = 1.75
"""Confidence (0.85) from which the net's function is applied; chosen as the net's card says
(enhancer/models/bundled/colour.md)."""
PALE: Final = (0.06, 0.36, -0.95)
"""Weights of the log odds, of the spread of the contrasts and of their mean in :func:`is_pale`; that of white is 1."""
PALE_BELOW: Final = 0.72
PLATEAU: Final = 0.02
"""Weights by logistic regression and bounds of :func:`is_pale`, chosen as the net's card says."""
SHARES: Final = 24
GREY: Final = 0.008
TONED: Final = 0.02
TONED_SHARE: Final = 0.13
"""Bounds of :func:`of_one_tone`; the net's card has how many pictures meet them."""
BLACK: Final = np.float32(10**-2.4)
DENSITY_RANGE: Final = (np.float32(-0.5), np.float32(4))
SMALLEST: Final = 1e-3
"""As in :func:`enhancer.models.architectures.colour.restored`."""
CHUNK: Final = 1 << 20
"""Pixels that are computed at once."""


class Fading(Stage):
    """Brings faded prints back: by the net where it is confident; by the classical stretch where that was asked for."""

    name = "fading"
    options = FadingOptions
    off = "the recipe has the restoration of fading off"
    for_photographs = True
    corrects = True

    def __init__(self) -> None:
        self._classical = FadingStretch()

    def measure(self, pixels: FloatPixels, context: Context) -> Decision:
        """Decide what can be done for the picture.

        Args:
            pixels: H x W x C, float32 in [0, 1].
            context: its recipe, nets and the mask of visible pixels.

        Returns:
            A decision whose numbers have ``method`` (``tone``, ``learned`` or ``stretch``), ``colour`` and
            ``colour_share`` (:func:`colourfulness`) and, of the net, ``confidence`` in [0, 1] and its name as
            ``model``; where applied, also what :func:`restore` takes (``veil``, ``white_density``, ``matrix``), or the
            stretch's ``black`` and ``white``. From the classical stretch: as :meth:`FadingStretch.measure`.

        Raises:
            ModelError: the net's weights, which this package carries, are damaged.
        """
        if (idle := self.idle(context)) is not None:
            return Decision(False, idle)
        options = context.recipe.fading
        too_small = pixels.shape[0] * pixels.shape[1] < SMALLEST_AREA
        if options.method == "classical" or pixels.shape[2] == 1 or too_small:
            return self._classical.measure(pixels, context)
        unexplained, share = colourfulness(pixels, context.visible)
        numbers: dict[str, Any] = {"colour": round(unexplained, 4), "colour_share": round(share, 3)}
        if of_one_tone(unexplained, share):
            return _one_tone(pixels, context, numbers)
        look = look_at(pixels, context.visible)
        net = context.nets.colour_restorer()
        found = net.run(np.ascontiguousarray(look.transpose(2, 0, 1)[None]))[0, :, 0, 0].astype(np.float64)
        log_odds = float(found[15])
        numbers |= {"method": "learned", "confidence": round(float(1 / (1 + np.exp(-log_odds))), 4)}
        sure = f"the net is {numbers['confidence']:.0%} sure"
        if log_odds < LEAST_LOG_ODDS:
            return Decision(False, f"not surely faded: {sure}", numbers)
        black, bright, white = np.percentile(
            sample(pixels, context.visible), (PERCENTILES[0], 99, PERCENTILES[1]), axis=0
        )
        numbers["model"] = net.spec.name
        matrix = found[6:15].reshape(3, 3)
        if ends_in_white(black, bright, white) and is_pale(black, white, matrix, log_odds):
            numbers |= {"method": "stretch", **ends_of(black, white)}
            return Decision(True, f"faded: {sure}; pale: nothing above {white.max():.2f}", numbers)
        numbers |= {
            "veil": [round(v, 6) for v in found[0:3].tolist()],
            "white_density": [round(v, 5) for v in found[3:6].tolist()],
            "matrix": [[round(v, 5) for v in row] for row in matrix.tolist()],
        }
        return Decision(True, f"faded: {sure} that it can restore it", numbers)

    def apply(self, block: FloatPixels, decision: Decision, context: Context) -> FloatPixels:
        """Restore a block.

        Args:
            block: H x W x C, float32 in [0, 1].
            decision: from :meth:`measure`; it alone says what is done.
            context: not used.

        Returns:
            H x W x C, float32 in [0, 1].
        """
        if "matrix" not in decision.numbers:
            return self._classical.apply(block, decision, context)
        veil, white, matrix = (decision.numbers[name] for name in ("veil", "white_density", "matrix"))
        return restore(block, np.array(veil), np.array(white), np.array(matrix))

    def halo(self, context: Context) -> int:
        """Each pixel on its own."""
        return 0


def ends_in_white(black: NDArray[np.float64], bright: NDArray[np.float64], white: NDArray[np.float64]) -> bool:
    """Whether what is brightest in a picture was white, and not merely the brightest of a dark scene.

    White is where the light was cut off, so that at least one channel's values pile up at its end: between `bright`
    and `white` lies less than :data:`PLATEAU` of its range.

    Args:
        black: where each channel begins, encoded in [0, 1].
        bright: below what 99 % of each channel lie.
        white: where it ends.
    """
    return bool(((white - bright) / np.maximum(white - black, 1 / 255)).min() < PLATEAU)


def is_pale(
    black: NDArray[np.float64], white: NDArray[np.float64], matrix: NDArray[np.float64], log_odds: float
) -> bool:
    """Whether a faded picture is restored better by stretching its channels than by the net's function.

    Paper keeps most of its light however much the dyes fade, so that an aged print has a bright place; and its dyes
    have lost their contrast each at its own pace. A pale print has neither, and the net, which was not taught by such,
    is not quite sure of it. So it is where ``max(white) + a * log_odds + b * spread + c * mean`` of the logarithms of
    the channels' contrasts lies below :data:`PALE_BELOW`, with a, b, c of :data:`PALE`.

    Args:
        black: where each channel begins, encoded in [0, 1].
        white: where it ends.
        matrix: 3 x 3, of the net's function: its diagonal is by how much each channel's contrast must rise.
        log_odds: that the net's function makes the picture better.
    """
    contrasts = np.log(np.diag(matrix))
    evidence = white.max() + np.dot(PALE, (log_odds, np.ptp(contrasts), contrasts.mean()))
    return bool(evidence < PALE_BELOW and (white - black).min() >= LEAST_SPAN)


def restore(
    pixels: FloatPixels, veil: NDArray[np.float64], white: NDArray[np.float64], matrix: NDArray[np.float64]
) -> FloatPixels:
    """Undo a print's ageing, each pixel on its own: ``10 ** -(matrix @ (-log10(light - veil) - white))``, less a black.

    Args:
        pixels: H x W x 3, float32 in [0, 1], sRGB.
        veil: scattered linear light in R, G, B.
        white: density of what becomes white.
        matrix: 3 x 3, what the remaining densities are multiplied with.

    Returns:
        H x W x 3, float32 in [0, 1].
    """
    flat = pixels.reshape(-1, 3)
    result = np.empty_like(flat)
    mixing = matrix.T.astype(np.float32)
    for start in range(0, len(flat), CHUNK):
        light = to_linear(flat[start : start + CHUNK]) - veil.astype(np.float32)
        light = (light + np.sqrt(light * light + np.float32(4 * SMALLEST**2))) / 2
        density = (-np.log10(light) - white.astype(np.float32)) @ mixing
        light = (np.float32(10) ** -np.clip(density, *DENSITY_RANGE) - BLACK) / (1 - BLACK)
        result[start : start + CHUNK] = np.clip(from_linear(light), 0, 1)
    return result.reshape(pixels.shape)


def look_at(pixels: FloatPixels, visible: NDArray[np.bool_] | None = None) -> FloatPixels:
    """What the net sees of a picture: a regular grid of pixels of an area-averaged preview.

    Noise is averaged out of the preview; a grid of its pixels keeps the darkest and brightest, which further averages
    would lose. What is not visible is replaced by what is.

    Args:
        pixels: H x W x C, float32.
        visible: H x W, False where values mean nothing; None, or none visible: all count.

    Returns:
        LOOK x LOOK x C, float32.
    """
    height, width = pixels.shape[:2]
    factor = min(1.0, PREVIEW_SIDE / max(height, width))
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    preview = pixels if factor == 1 else cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    return _small(preview, visible, cv2.INTER_NEAREST)


def colourfulness(pixels: FloatPixels, visible: NDArray[np.bool_] | None = None) -> tuple[float, float]:
    """How much of a picture's colour its lightness does not explain.

    A toned picture's colours lie on one curve through RGB, however bent. In each of :data:`SHARES` equal shares of the
    pixels, ordered by lightness, the curve is nearly straight; what deviates from a line is colour.

    Args:
        pixels: H x W x 3, float32 in [0, 1].
        visible: as :func:`look_at`.

    Returns:
        Standard deviation of the unexplained part of R - G and B - G, encoded in [0, 1]; and its share of all of their
        root mean square, which a tone has too.
    """
    values = _small(pixels, visible, cv2.INTER_AREA).reshape(-1, 3).astype(np.float64)
    differences = values[:, [0, 2]] - values[:, [1]]
    lightness = values.mean(axis=1)
    unexplained = 0.0
    for part in np.array_split(np.argsort(lightness, kind="stable"), SHARES):
        line = np.stack([np.ones(len(part)), lightness[part]], axis=1)
        fitted = line @ np.linalg.lstsq(line, differences[part], rcond=None)[0]
        unexplained += float(np.square(differences[part] - fitted).sum())
    whole = float(np.square(differences).sum())
    return (unexplained / differences.size) ** 0.5, (unexplained / whole) ** 0.5 if whole else 0.0


def of_one_tone(unexplained: float, share: float) -> bool:
    """Whether what :func:`colourfulness` found is that of a black-and-white or toned picture, noise allowed for."""
    return unexplained < GREY or (unexplained < TONED and share < TONED_SHARE)


def _small(pixels: FloatPixels, visible: NDArray[np.bool_] | None, how: int) -> FloatPixels:
    small: FloatPixels = cv2.resize(pixels, (LOOK, LOOK), interpolation=how).reshape(LOOK, LOOK, pixels.shape[2])
    if visible is None:
        return small
    shown = cv2.resize(visible.astype(np.uint8), (LOOK, LOOK), interpolation=cv2.INTER_NEAREST).astype(np.bool_)
    if shown.all() or not shown.any():
        return small
    small = small.copy()
    small[~shown] = np.resize(small[shown], (int((~shown).sum()), pixels.shape[2]))
    return small


def _one_tone(pixels: FloatPixels, context: Context, numbers: dict[str, Any]) -> Decision:
    """The stretch of a toned picture: one black and one white for all channels, so that no tone is lost or won."""
    black, white = np.percentile(sample(pixels, context.visible), PERCENTILES, axis=0)
    numbers = {"method": "tone", **numbers}
    because = objection(black, white)
    if because is not None:
        return Decision(False, f"of one tone; {because}", numbers)
    ends = (round(float(black.min()), 4), round(float(white.max()), 4))
    numbers |= {"black": [ends[0]] * 3, "white": [ends[1]] * 3}
    return Decision(True, f"faded, of one tone: nothing below {ends[0]:.2f} and nothing above {ends[1]:.2f}", numbers)
