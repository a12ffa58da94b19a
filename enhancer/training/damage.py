"""Damage of old prints, drawn over photographs: scratches, film lines, dust, chips, folds, and cracks and hairs.

The order is that of the world. A print is made (:func:`printed`: grey, sepia or colour, perhaps faded); it is damaged
(:func:`damaged`: what lies bare is the paper or the film's base, what lies on it is dark, so that a mark replaces a
share of the print's *light*); the damaged print is scanned (:func:`scanned`: the scanner's blur, grain and noise,
JPEG). Marks are drawn four times as fine as the picture and averaged, so that their edges are those of a sensor.

:data:`TRAINED` kinds are what the detector learns from, :data:`HELD_OUT` kinds only test it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from enhancer.image import FloatPixels, to_unit
from enhancer.stages.light import LUMINANCE_WEIGHTS, from_linear, to_linear

Draw = np.random.Generator
Points = NDArray[np.float64]

FINE: Final = 4
"""Marks are drawn so many times as fine as the picture."""
SHIFT: Final = 4
"""Fractional bits of the coordinates passed to OpenCV."""
VISIBLE: Final = 16 / 255
"""Change of an encoded value from which a pixel counts as damaged."""
FAINT: Final = 4 / 255
"""Change below which it counts as whole; between the two it is undecided."""
SEPIA: Final = (1.0, 0.84, 0.62)


@dataclass(frozen=True, slots=True)
class Damaged:
    """A damaged print and the truth about it.

    Attributes:
        pixels: H x W x 3, float32 in [0, 1], encoded.
        change: H x W, float32: by how much the marks changed the encoded value, the largest of the channels. A fold's
            soft shading is no mark.
    """

    pixels: FloatPixels
    change: FloatPixels

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Where the damage can be seen: what must be found."""
        return self.change > VISIBLE

    @property
    def traces(self) -> NDArray[np.bool_]:
        """Where there is any damage: what may be found."""
        return self.change > FAINT


class _Sheet:
    """What is being drawn on: shares of bared paper and of dirt, and the shading of folds.

    Args:
        height: of the picture.
        width: likewise.
        draw: where chance comes from.
    """

    def __init__(self, height: int, width: int, draw: Draw) -> None:
        self.height, self.width, self.draw = height, width, draw
        self.bright = np.zeros((height * FINE, width * FINE), np.uint8)
        self.dark = np.zeros_like(self.bright)
        self.shading = np.ones((height, width), np.float32)

    @property
    def side(self) -> float:
        """Geometric mean of the sides, in pixels."""
        return float(np.sqrt(self.height * self.width))

    def layer(self, bright_share: float) -> NDArray[np.uint8]:
        """The layer for the next mark: bright with this probability."""
        return self.bright if self.draw.random() < bright_share else self.dark

    def place(self) -> Points:
        """A point of the picture, x and y."""
        return self.draw.random(2) * (self.width, self.height)

    def stroke(self, layer: NDArray[np.uint8], points: Points, widths: Points, opacity: Points) -> None:
        """Draw a line through `points` (N x 2, x and y in pixels) with a width in pixels and an opacity at each."""
        fixed = np.rint((points * FINE - 0.5) * (1 << SHIFT)).astype(int)
        thick = np.maximum(1, np.rint(widths * FINE)).astype(int)
        levels = np.rint(255 * np.clip(opacity, 0, 1)).astype(int)
        for here, there, thickness, level in zip(fixed, fixed[1:], thick, levels, strict=False):
            if level > 0:
                cv2.line(layer, here.tolist(), there.tolist(), int(level), int(thickness), cv2.LINE_8, SHIFT)

    def patch(self, layer: NDArray[np.uint8], centre: Points, radius: float, opacity: float, corners: int) -> None:
        """Draw an irregular spot with about this radius in pixels."""
        angles = np.sort(self.draw.uniform(0, 2 * np.pi, corners)) + self.draw.uniform(0, 2 * np.pi)
        reach = radius * self.draw.uniform(0.6, 1.3, corners)
        squeeze = self.draw.uniform(0.5, 1)
        outline = centre + np.stack([reach * np.cos(angles), squeeze * reach * np.sin(angles)], axis=1)
        fixed = np.rint((outline * FINE - 0.5) * (1 << SHIFT)).astype(np.int32)
        cv2.fillPoly(layer, [fixed], round(255 * opacity), cv2.LINE_8, SHIFT)


def _rough(draw: Draw, count: int, reach: float) -> Points:
    """A random curve of `count` values with mean 0 and deviation 1, smooth over about `reach` of them."""
    noise = draw.normal(size=(1, count + 1))
    curve = cv2.GaussianBlur(noise, (0, 0), max(0.3, reach / 2), borderType=cv2.BORDER_REFLECT)[0, :count]
    return np.asarray((curve - curve.mean()) / (curve.std() + 1e-6))


def _along(middle: Points, angle: float, length: float, bend: float = 0.0, step: float = 2.0) -> Points:
    """Points of an arc around `middle`: `bend` is the whole turn in radians."""
    count = max(3, round(length / step) + 1)
    directions = angle + bend * np.linspace(-0.5, 0.5, count - 1)
    steps = np.stack([np.cos(directions), np.sin(directions)], axis=1) * length / (count - 1)
    points = np.concatenate([np.zeros((1, 2)), np.cumsum(steps, axis=0)])
    return np.asarray(middle + points - points.mean(axis=0))


def _broken(draw: Draw, opacity: Points, share: float) -> Points:
    """The opacity with gaps, where `share` of the line has come to nothing."""
    return np.where(_rough(draw, opacity.size, 8) < np.quantile(_rough(draw, 256, 8), share), 0, opacity)


def _scratches(sheet: _Sheet) -> None:
    """Thin lines, straight or bent a little, often several side by side, partly transparent, broken."""
    draw = sheet.draw
    for _ in range(draw.integers(1, 5)):
        angle, layer = draw.uniform(0, 2 * np.pi), sheet.layer(0.8)
        middle, length = sheet.place(), sheet.side * draw.uniform(0.08, 1.1)
        bend, width = draw.normal(0, 0.5) * (draw.random() < 0.6), draw.uniform(0.7, 3.0)
        for _ in range(1 + draw.integers(0, 3) * (draw.random() < 0.25)):
            points = _along(middle + draw.normal(0, 5, 2), angle + draw.normal(0, 0.03), length, bend)
            count = len(points)
            widths = width * np.exp(0.25 * _rough(draw, count, 12)) * np.minimum(1, 0.4 + 6 * _taper(count))
            opacity = draw.uniform(0.35, 1) + 0.15 * _rough(draw, count, 10)
            if draw.random() < 0.4:
                opacity = _broken(draw, opacity, draw.uniform(0.1, 0.5))
            sheet.stroke(layer, points, widths, opacity)


def _taper(count: int) -> Points:
    """0 at both ends of a line, 0.5 in its middle."""
    place = np.linspace(0, 1, count)
    return np.minimum(place, 1 - place)


def _film_lines(sheet: _Sheet) -> None:
    """Lines along the film's way through the projector: upright (or lying), long, thin, wavering a little."""
    draw = sheet.draw
    lying, layer = draw.random() < 0.15, sheet.layer(0.65)
    height, width = (sheet.width, sheet.height) if lying else (sheet.height, sheet.width)
    for _ in range(draw.integers(1, 4)):
        down = np.arange(0, height + 3, 3.0)
        if draw.random() < 0.4:
            down = down[: max(3, round(draw.uniform(0.3, 1) * down.size))]
        across = draw.uniform(0, width) + draw.uniform(0, 1.2) * _rough(draw, down.size, 60)
        points = np.stack([down, across] if lying else [across, down], axis=1)
        widths = draw.uniform(0.7, 2.2) * np.exp(0.15 * _rough(draw, down.size, 30))
        opacity = draw.uniform(0.3, 0.9) + 0.12 * _rough(draw, down.size, 25)
        sheet.stroke(layer, points, widths, opacity)


def _dust(sheet: _Sheet) -> None:
    """Specks, many small and few larger: bright where they lay on the negative, dark where they lie on the print."""
    draw = sheet.draw
    bright_share = draw.choice([0.05, 0.5, 0.95, 0.95])
    many = draw.uniform(2, 25) * max(1.0, sheet.height * sheet.width / 128**2) ** 0.7
    for _ in range(int(many)):
        radius = min(0.8 * draw.uniform(0.15, 1) ** -0.7, 4.5)
        sheet.patch(sheet.layer(bright_share), sheet.place(), radius, draw.uniform(0.5, 1), int(draw.integers(5, 9)))


def _chips(sheet: _Sheet) -> None:
    """Places where the emulsion is gone: bare paper with ragged rims, alone or at the picture's edge."""
    draw = sheet.draw
    for _ in range(draw.integers(1, 5)):
        place = sheet.place()
        if draw.random() < 0.3:
            place = place * draw.integers(0, 2, 2)
        radius = draw.uniform(2, 4) * draw.uniform(0.3, 1) ** -0.9
        layer, opacity = sheet.layer(0.9), draw.uniform(0.75, 1)
        for _ in range(draw.integers(1, 5)):
            at = place + draw.normal(0, radius * 0.8, 2)
            sheet.patch(layer, at, radius * draw.uniform(0.4, 1), opacity, int(draw.integers(5, 12)))


def _folds(sheet: _Sheet) -> None:
    """Folds across the print: a bright, ragged line where the coat has broken, chips along it, shading beside it."""
    draw = sheet.draw
    for _ in range(1 + (draw.random() < 0.3)):
        turn = draw.normal(0, 0.12) if draw.random() < 0.6 else draw.uniform(-np.pi / 2, np.pi / 2)
        angle = turn + np.pi / 2 * draw.integers(0, 4)
        length = sheet.side * draw.uniform(0.3, 2.2)
        points = _along(sheet.place(), angle, length, draw.normal(0, 0.15))
        normal = np.array([-np.sin(angle), np.cos(angle)])
        wander = draw.uniform(0.3, 1.5) * _rough(draw, len(points), draw.uniform(2, 14))
        points = points + wander[:, None] * normal
        widths = draw.uniform(1.0, 4.5) * np.exp(draw.uniform(0.2, 0.6) * _rough(draw, len(points), draw.uniform(1, 6)))
        opacity = draw.uniform(0.7, 1.1) + 0.15 * _rough(draw, len(points), 6)
        if draw.random() < 0.5:
            opacity = _broken(draw, opacity, draw.uniform(0.05, 0.4))
        sheet.stroke(sheet.bright, points, np.clip(widths, 0.6, 7), opacity)
        for index in draw.integers(0, len(points), int(draw.integers(0, 4))):
            sheet.patch(
                sheet.bright, points[index], draw.uniform(1.5, 5), draw.uniform(0.7, 1), int(draw.integers(5, 9))
            )
        if draw.random() < 0.7:
            _shade(sheet, points[0], normal)


def _shade(sheet: _Sheet, on: Points, normal: Points) -> None:
    """Light falls off behind a fold and gathers before it."""
    rows, columns = np.mgrid[: sheet.height, : sheet.width].astype(np.float32)
    away = (columns - on[0]) * normal[0] + (rows - on[1]) * normal[1]
    reach, depth = sheet.draw.uniform(3, 14, 2), sheet.draw.uniform(-0.25, 0.12, 2)
    fall = np.where(away > 0, depth[0] * np.exp(-np.abs(away) / reach[0]), depth[1] * np.exp(-np.abs(away) / reach[1]))
    sheet.shading *= (1 + fall).astype(np.float32)


def _cracks(sheet: _Sheet) -> None:
    """Branching, jagged cracks of a dried coat: dark where they gape, bright where the coat is gone."""
    draw = sheet.draw
    layer = sheet.layer(0.6)
    for _ in range(draw.integers(1, 3)):
        tips = [
            (sheet.place(), draw.uniform(0, 2 * np.pi), draw.uniform(1.2, 3.5), sheet.side * draw.uniform(0.3, 1.0))
        ]
        opacity = draw.uniform(0.6, 1)
        while tips:
            place, angle, width, left = tips.pop()
            while left > 0 and width > 0.6:
                length = draw.uniform(3, 9)
                end = place + length * np.array([np.cos(angle), np.sin(angle)])
                both = np.stack([place, end])
                sheet.stroke(layer, both, np.full(2, width), np.full(2, opacity))
                place, left, width = end, left - length, width * draw.uniform(0.95, 1.02)
                if draw.random() < 0.06 and len(tips) < 6:
                    tips.append(
                        (place, angle + draw.choice([-1, 1]) * draw.uniform(0.5, 1.3), width * 0.75, left * 0.6)
                    )
                angle += draw.normal(0, 0.35)


def _hairs(sheet: _Sheet) -> None:
    """Hairs and fibres: thin, of even width, curling, crossing themselves."""
    draw = sheet.draw
    bright_share = draw.choice([0.1, 0.9])
    for _ in range(draw.integers(1, 5)):
        length = draw.uniform(0.12, 0.8) * sheet.side
        count = max(8, round(length / 2))
        turns = np.cumsum(_rough(draw, count, draw.uniform(6, 20))) * draw.uniform(0.05, 0.25) + draw.uniform(
            0, 2 * np.pi
        )
        steps = np.stack([np.cos(turns), np.sin(turns)], axis=1) * length / count
        points = np.cumsum(steps, axis=0)
        points += sheet.place() - points.mean(axis=0)
        widths = np.full(count, draw.uniform(0.8, 2.2))
        sheet.stroke(sheet.layer(bright_share), points, widths, np.full(count, draw.uniform(0.6, 1)))


KINDS: Final[Mapping[str, Callable[[_Sheet], None]]] = {
    "scratches": _scratches,
    "film-lines": _film_lines,
    "dust": _dust,
    "chips": _chips,
    "folds": _folds,
    "cracks": _cracks,
    "hairs": _hairs,
}
TRAINED: Final = ("scratches", "film-lines", "dust", "chips", "folds")
HELD_OUT: Final = ("cracks", "hairs")


def printed(pixels: FloatPixels, draw: Draw) -> FloatPixels:
    """A print of a photograph: in colour, grey or sepia, and often with its blacks lifted and its whites dulled.

    Args:
        pixels: H x W x 3, float32 in [0, 1].
        draw: where chance comes from.
    """
    tone = draw.random()
    if tone < 0.6:
        grey = (pixels @ np.asarray(LUMINANCE_WEIGHTS, np.float32))[..., None]
        tint = (
            np.asarray(SEPIA, np.float32) ** np.float32(draw.uniform(0.2, 1.2))
            if tone < 0.3
            else np.ones(3, np.float32)
        )
        pixels = grey * tint
    if draw.random() < 0.5:
        black, white = draw.uniform(0, 0.15), draw.uniform(0.75, 1)
        pixels = black + (white - black) * pixels
    return np.clip(pixels, 0, 1).astype(np.float32)


def damaged(pixels: FloatPixels, draw: Draw, kinds: Sequence[str]) -> Damaged:
    """A print with damage of the given kinds.

    Args:
        pixels: H x W x 3, float32 in [0, 1], encoded.
        draw: where chance comes from.
        kinds: names of :data:`KINDS`; none: the print stays whole.

    Raises:
        KeyError: a kind is unknown.
    """
    if not kinds:
        return Damaged(pixels, np.zeros(pixels.shape[:2], np.float32))
    sheet = _Sheet(pixels.shape[0], pixels.shape[1], draw)
    for kind in kinds:
        KINDS[kind](sheet)
    soft = draw.uniform(0.25, 0.8)
    whole = np.clip(pixels * sheet.shading[..., None], 0, 1).astype(np.float32)
    light = to_linear(whole)
    highest = np.quantile(pixels, 0.99, axis=(0, 1))
    paper = np.clip(highest * draw.uniform(0.9, 1.15), 0.6, 1).astype(np.float32)
    dirt = np.clip(np.quantile(pixels, 0.01, axis=(0, 1)) * draw.uniform(0, 1.5), 0, 0.25).astype(np.float32)
    for layer, colour in ((sheet.bright, paper), (sheet.dark, dirt)):
        share = cv2.resize(layer, pixels.shape[1::-1], interpolation=cv2.INTER_AREA).astype(np.float32) / 255
        share = cv2.GaussianBlur(share, (0, 0), soft)[..., None]
        light = light * (1 - share) + to_linear(colour) * share
    result = np.clip(from_linear(light), 0, 1).astype(np.float32)
    return Damaged(result, np.abs(result - whole).max(axis=2))


def scanned(pixels: FloatPixels, draw: Draw) -> FloatPixels:
    """What a scanner and a JPEG file make of a print, each step only sometimes: blur, grain, noise, compression.

    Args:
        pixels: H x W x 3, float32 in [0, 1].
        draw: where chance comes from.

    Returns:
        The same shape, float32, in whole levels of 255.
    """
    if draw.random() < 0.4:
        pixels = cv2.GaussianBlur(pixels, (0, 0), draw.uniform(0.3, 0.9))
    if draw.random() < 0.5:
        sigma, alike = draw.uniform(0, 10) / 255, draw.random() < 0.5
        grain = draw.normal(0, sigma, (*pixels.shape[:2], 1 if alike else 3)).astype(np.float32)
        if draw.random() < 0.4:
            grain = 1.6 * cv2.GaussianBlur(grain, (0, 0), 0.7).reshape(grain.shape)
        pixels = pixels + grain
    levels = np.rint(255 * np.clip(pixels, 0, 1)).astype(np.uint8)
    if draw.random() < 0.5:
        _, coded = cv2.imencode(".jpg", levels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, int(draw.integers(50, 96))])
        levels = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR))[..., ::-1]
    return to_unit(levels)
