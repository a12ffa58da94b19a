"""Text, line art and logos rendered at any size: what an enlargement should have looked like is a rendering itself.

A drawing is a function of pixels per unit: at 1 it is the picture to enlarge, at 2 and 4 the truth. Text is rendered by
Pillow (FreeType) at each size, glyph by glyph at places that scale, so that no rounded advance moves it; what remains
is FreeType's hinting, which fits stems to the pixels of each size. ``reduced`` text is the same without hinting, as
scanners, PDF viewers and high-resolution screens show it. Lines and shapes are drawn eight times larger and averaged.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Bytes = NDArray[np.uint8]
Colour = tuple[int, int, int]
Drawing = Callable[[int], Bytes]
"""Pixels per unit to a picture, H x W x 3."""

FINER: Final = 8
"""Times that lines and shapes are drawn larger than they are shown."""
PROBE: Final = 64
"""Times the size at which a glyph's advance is measured."""
SENTENCES: Final = (
    "The quick brown fox jumps",
    "over the lazy dog while 1,837",
    "boxes of five dozen liquor",
    "jugs wait; pack my quiz (42%)",
    "Sphinx of black quartz,",
    "judge my vow: $96.50 & more",
)
CHOOSING_FONTS: Final = ("DejaVuSans.ttf", "DejaVuSansMono.ttf", "DejaVuSansCondensed-Bold.ttf")
REPORTED_FONTS: Final = ("DejaVuSerif.ttf", "DejaVuSerif-BoldItalic.ttf", "DejaVuSansMono-Oblique.ttf", "")
"""The last is Pillow's own, Aileron."""
CHOOSING_INKS: Final[tuple[tuple[Colour, Colour], ...]] = (
    ((0, 0, 0), (255, 255, 255)),
    ((212, 212, 212), (30, 30, 34)),
)
REPORTED_INKS: Final[tuple[tuple[Colour, Colour], ...]] = (
    ((10, 20, 90), (250, 246, 232)),
    ((240, 200, 40), (0, 51, 102)),
)


def font_of(name: str, size: float) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """A font of this size in pixels; without a name Pillow's own."""
    if not name:
        return ImageFont.load_default(size)
    return ImageFont.truetype(name, size, layout_engine=ImageFont.Layout.BASIC)


def text(font: str, size: int, ink: Colour, paper: Colour, *, reduced: bool = False) -> Drawing:
    """Six lines of text of `size` pixels; `reduced`: rendered eight times larger and averaged, so without hinting."""
    probe = font_of(font, size * PROBE)
    width = 8 + int(max(probe.getlength(line) for line in SENTENCES) / PROBE * 1.02)
    height = round(8 + 1.4 * size * len(SENTENCES))

    def draw(factor: int) -> Bytes:
        fine = factor * FINER if reduced else factor
        image = Image.new("RGB", (width * fine, height * fine), paper)
        canvas, glyphs = ImageDraw.Draw(image), font_of(font, size * fine)
        for number, line in enumerate(SENTENCES):
            y = round(4 + size + 1.4 * size * number) * fine
            for at, letter in enumerate(line):
                x = 4 + probe.getlength(line[:at]) / PROBE
                canvas.text(
                    (x * fine, y), letter, fill=ink, font=glyphs, anchor="ls"
                )  # at the baseline: ascents are rounded
        return np.asarray(image.reduce(FINER) if reduced else image)

    return draw


def _finer(width: int, height: int, paper: Colour, paint: Callable[[ImageDraw.ImageDraw, int], None]) -> Drawing:
    def draw(factor: int) -> Bytes:
        fine = factor * FINER
        image = Image.new("RGB", (width * fine, height * fine), paper)
        paint(ImageDraw.Draw(image), fine)
        return np.asarray(image.reduce(FINER))

    return draw


def line_art(seed: int, ink: Colour, paper: Colour) -> Drawing:
    """Lines, boxes, circles and arcs of one colour, one to three pixels wide."""
    random = np.random.default_rng(seed)
    width, height = 200, 150
    shapes = [
        (
            int(random.integers(0, 4)),
            random.uniform(4, 190, 2),
            random.uniform(4, 140, 2),
            random.choice([1, 1.5, 2, 3]),
        )
        for _ in range(18)
    ]

    def paint(canvas: ImageDraw.ImageDraw, fine: int) -> None:
        for shape, xs, ys, wide in shapes:
            (x0, x1), (y0, y1) = (np.sort(xs) * fine).tolist(), (np.sort(ys) * fine).tolist()
            thickness = round(wide * fine)
            if shape == 0:
                canvas.line([(xs[0] * fine, ys[0] * fine), (xs[1] * fine, ys[1] * fine)], fill=ink, width=thickness)
            elif shape == 1:
                canvas.rectangle([x0, y0, x1, y1], outline=ink, width=thickness)
            elif shape == 2:
                canvas.ellipse([x0, y0, x1, y1], outline=ink, width=thickness)
            else:
                canvas.arc([x0, y0, x1 + fine, y1 + fine], 20, 250, fill=ink, width=thickness)

    return _finer(width, height, paper, paint)


def table(seed: int, ink: Colour, paper: Colour) -> Drawing:
    """A grid whose lines lie on whole pixels, one or two wide, with some cells filled."""
    random = np.random.default_rng(seed)
    across, down = (np.cumsum(random.integers(9, 28, 8)).tolist() for _ in range(2))
    filled = random.integers(0, 7, (6, 2)).tolist()
    soft = tuple(round(0.25 * a + 0.75 * b) for a, b in zip(ink, paper, strict=True))

    def paint(canvas: ImageDraw.ImageDraw, fine: int) -> None:
        for column, row in filled:
            box = [across[column] * fine, down[row] * fine, across[column + 1] * fine - 1, down[row + 1] * fine - 1]
            canvas.rectangle(box, fill=soft)
        for number, x in enumerate(across):
            wide = 1 + number % 2
            canvas.rectangle([x * fine, down[0] * fine, (x + wide) * fine - 1, down[-1] * fine - 1], fill=ink)
        for y in down:
            canvas.rectangle([across[0] * fine, y * fine, across[-1] * fine - 1, (y + 1) * fine - 1], fill=ink)

    return _finer(max(across) + 12, max(down) + 12, paper, paint)


def logo(seed: int, paper: Colour) -> Drawing:
    """Five overlapping shapes of plain colours."""
    random = np.random.default_rng(seed)
    shapes = [
        (int(random.integers(0, 3)), random.uniform(0, 160, (3, 2)), tuple(random.integers(0, 256, 3).tolist()))
        for _ in range(5)
    ]

    def paint(canvas: ImageDraw.ImageDraw, fine: int) -> None:
        for shape, points, fill in shapes:
            (x0, y0), (x1, y1) = ((points[:2] * fine).min(axis=0)).tolist(), ((points[:2] * fine).max(axis=0)).tolist()
            if shape == 0:
                canvas.ellipse([x0, y0, x1, y1], fill=fill)
            elif shape == 1:
                canvas.rounded_rectangle([x0, y0, x1, y1], min(12 * fine, (x1 - x0) / 2, (y1 - y0) / 2), fill=fill)
            else:
                canvas.polygon([tuple(point) for point in (points * fine).tolist()], fill=fill)

    return _finer(160, 160, paper, paint)


def drawings(*, choosing: bool) -> Iterator[tuple[str, str, Drawing]]:
    """Kind, name and drawing of each: those to choose on, or the others, whose figures are reported."""
    fonts, inks, sizes, first = (
        (CHOOSING_FONTS, CHOOSING_INKS, (11, 16, 24), 0)
        if choosing
        else (REPORTED_FONTS, REPORTED_INKS, (10, 14, 20, 28), 100)
    )
    for number, (font, size) in enumerate((font, size) for font in fonts for size in sizes):
        ink, paper = inks[number % len(inks)] if number % 3 else ((0, 0, 0), (255, 255, 255))
        name = f"{font.removesuffix('.ttf') or 'Aileron'} {size}"
        yield "text, hinted", name, text(font, size, ink, paper)
        yield "text", name, text(font, size, ink, paper, reduced=True)
    for number in range(6):
        ink, paper = inks[number % len(inks)]
        yield "line art", f"lines {number}", line_art(first + number, ink, paper)
        yield "table", f"table {number}", table(first + number, ink, paper)
        yield "logo", f"logo {number}", logo(first + number, paper)
