"""Text, tables, line art and plain shapes drawn at random: at four times a size, and at that size as files have them.

Everything is painted by Pillow at :data:`FINER` times the larger size and averaged, as renderers and scanners average
over a pixel. The small version is the average of the same painting (so no hint of the larger one is lost or added),
or the larger one reduced as pictures on the web are, or text that FreeType fitted to the small pixels.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from enhancer.training.pictures import Bytes

Random = np.random.Generator
Colour = tuple[int, int, int]

ENDINGS: Final = (".ttf", ".ttc", ".otf")
SCALE: Final = 4
FINER: Final = 4
"""Times the larger picture that drawings are painted at."""
FINE: Final = SCALE * FINER
LATIN: Final = "etaoinshrdlucmfwypvbgkjqxz" + "ETAOINSHRDLUCMFWYPVBGKJQXZ" + "0123456789" + ".,:;-()/&%+=?!'\""
LIKELY: Final = np.array([4.0] * 26 + [1.0] * 26 + [1.0] * 10 + [0.5] * 16) / (26 * 5 + 10 + 8)
SCRIPTS: Final = (
    (0x391, 0x3CA, 1), (0x410, 0x450, 1), (0x531, 0x557, 1), (0x5D0, 0x5EB, 1), (0x627, 0x64B, 1), (0x905, 0x93A, 1),
    (0x985, 0x9BA, 1), (0xE01, 0xE2F, 1), (0x10D0, 0x10F1, 1), (0x1200, 0x1248, 1), (0x3041, 0x3097, 1),
    (0x30A1, 0x30FB, 1), (0x4E00, 0x9FA6, 97), (0xAC00, 0xD7A4, 101),
)  # fmt: skip
"""First code point, the one after the last, and step, of the letters of other scripts."""
LEAST_LETTERS: Final = 20
NO_LETTER: Final = "\U0010ffff"
"""What every font shows its sign for a missing letter for."""
REPORTED: Final = ("DejaVuSerif", "DejaVuSansMono-Oblique", "Aileron")
"""Beginnings of the names of fonts that results are measured on, which nothing trains on."""
HINTED, REDUCED, COMPRESSED, ALIASED = 0.2, 0.25, 0.08, 0.06
"""How often text is fitted to the pixels; the larger picture reduced; a small one is a JPEG; has no grey edges."""


def fonts_in(*folders: Path) -> list[Path]:
    """The fonts of the folders but :data:`REPORTED`, sorted by name, those that lie there twice once.

    Raises:
        FileNotFoundError: there is none.
    """
    files = {path.name: path for folder in folders for path in folder.rglob("*") if path.suffix in ENDINGS}
    chosen = [files[name] for name in sorted(files) if not name.startswith(REPORTED) and letters_of(files[name])]
    if not chosen:
        raise FileNotFoundError(
            f"no fonts ({', '.join(ENDINGS)}) in {', '.join(map(str, folders))}: say with --data where they lie"
        )
    return chosen


def drawn_pair(random: Random, fonts: Sequence[Path], side: int) -> tuple[Bytes, Bytes]:
    """A drawing at `side` pixels, and at four times that.

    Args:
        random: of the draw.
        fonts: files.
        side: of the small version.

    Returns:
        side x side x 3 and 4 side x 4 side x 3 bytes of RGB.
    """
    ink, paper = ink_and_paper(random)
    painter = PAINTERS[random.choice(len(PAINTERS), p=ODDS)]
    if painter is text_page and random.random() < HINTED:
        return fitted_text(random, fonts, side, ink, paper)
    fine = Image.new("RGB", (side * FINE, side * FINE), paper)
    painter(random, fine, fonts, ink)
    if random.random() < 0.1:
        fine = fine.rotate(random.normal(0, 4), Image.Resampling.BILINEAR, fillcolor=paper)
    large = np.asarray(fine.reduce(FINER))
    return as_files_have_it(random, fine, large), large


def as_files_have_it(random: Random, fine: Image.Image, large: Bytes) -> Bytes:
    """The small version of a painting."""
    side = large.shape[0] // SCALE
    if random.random() < REDUCED:
        filters = (Image.Resampling.BICUBIC, Image.Resampling.LANCZOS, Image.Resampling.HAMMING)
        small = Image.fromarray(large).resize((side, side), filters[int(random.integers(3))])
    elif random.random() < ALIASED:
        small = fine.resize((side, side), Image.Resampling.NEAREST)
    else:
        small = fine.reduce(FINE)
    if random.random() < COMPRESSED:
        buffer = io.BytesIO()
        small.save(buffer, "JPEG", quality=int(random.integers(75, 97)), subsampling=0)
        small = Image.open(buffer)
    return np.asarray(small)


def colour(random: Random, low: int = 0, high: int = 256) -> Colour:
    """Any within these bounds."""
    red, green, blue = (int(value) for value in random.integers(low, high, 3))
    return red, green, blue


def ink_and_paper(random: Random) -> tuple[Colour, Colour]:
    """Mostly dark on light, a third black on white, a quarter light on dark, some any two colours."""
    chance = random.random()
    if chance < 0.15:
        return colour(random), colour(random)
    ink, paper = (colour(random, 0, 90), colour(random, 190, 256)) if chance < 0.65 else ((0, 0, 0), (255, 255, 255))
    return (paper, ink) if random.random() < 0.25 else (ink, paper)


@cache
def letters_of(path: Path) -> str:
    """Letters that a font has, of Latin if it has that, else of other scripts; none where they are few."""
    font = ImageFont.truetype(str(path), 16, layout_engine=ImageFont.Layout.BASIC)
    missing = bytes(font.getmask(NO_LETTER))
    if all(bytes(font.getmask(letter)) != missing for letter in LATIN[:26]):
        return LATIN
    others = "".join(chr(code) for script in SCRIPTS for code in range(*script))
    found = "".join(letter for letter in others if bytes(font.getmask(letter)) not in (missing, b""))
    return found if len(found) >= LEAST_LETTERS else ""


def words(random: Random, count: int, letters: str) -> str:
    """Letters that look like a line of text."""
    lengths, odds = random.integers(1, 10, count), LIKELY if letters == LATIN else None
    return " ".join("".join(random.choice(list(letters), int(length), p=odds)) for length in lengths)


def any_font(random: Random, fonts: Sequence[Path], size: float) -> tuple[ImageFont.FreeTypeFont, str]:
    """One of them, `size` pixels high, and its letters."""
    path = fonts[int(random.integers(len(fonts)))]
    return ImageFont.truetype(str(path), size, layout_engine=ImageFont.Layout.BASIC), letters_of(path)


def text_page(random: Random, image: Image.Image, fonts: Sequence[Path], ink: Colour) -> None:
    """Lines of text of one font, some of it in other colours."""
    canvas, size = ImageDraw.Draw(image), random.uniform(7, 22) if random.random() < 0.8 else random.uniform(22, 48)
    (font, letters), y = any_font(random, fonts, size * FINE), random.uniform(-size, size / 2) * FINE
    while y < image.height:
        fill = ink if random.random() < 0.9 else colour(random)
        canvas.text(
            (random.uniform(-4, 12) * FINE, y), words(random, int(random.integers(2, 9)), letters), fill=fill, font=font
        )
        y += size * random.uniform(1.1, 1.7) * FINE


def fitted_text(random: Random, fonts: Sequence[Path], side: int, ink: Colour, paper: Colour) -> tuple[Bytes, Bytes]:
    """Text that FreeType fits to the pixels of either size, glyph by glyph at places that scale."""
    size = int(random.integers(9, 32))
    probe, letters = any_font(random, fonts, size * FINE)
    lines = [words(random, 6, letters)[:40] for _ in range(int(side / size) + 1)]
    start, spacing, pair = random.uniform(-4, 8), random.uniform(1.1, 1.7), []
    for factor in (1, SCALE):
        image = Image.new("RGB", (side * factor, side * factor), paper)
        canvas, font = ImageDraw.Draw(image), probe.font_variant(size=size * factor)
        for number, line in enumerate(lines):
            baseline = round(size * (0.7 + spacing * number))
            for at, letter in enumerate(line):
                x = start + probe.getlength(line[:at]) / FINE
                canvas.text((x * factor, baseline * factor), letter, fill=ink, font=font, anchor="ls")
        pair.append(np.asarray(image))
    return pair[0], pair[1]


def line_art(random: Random, image: Image.Image, fonts: Sequence[Path], ink: Colour) -> None:
    """Lines, boxes, ellipses, arcs and curves, from three quarters of a pixel to five pixels wide."""
    canvas, side = ImageDraw.Draw(image), image.width
    for _ in range(int(random.integers(4, 26))):
        wide = max(1, round(float(random.choice([0.75, 1, 1, 1.5, 2, 2, 3, 5])) * FINE))
        fill = ink if random.random() < 0.85 else colour(random)
        points = random.uniform(-0.1, 1.1, (5, 2)) * side
        (x0, y0), (x1, y1) = points[:2].min(axis=0).tolist(), points[:2].max(axis=0).tolist()
        shape = int(random.integers(5))
        if shape == 0:
            canvas.line([tuple(points[0]), tuple(points[1])], fill=fill, width=wide)
        elif shape == 1:
            canvas.rectangle([x0, y0, x1, y1], outline=fill, width=wide)
        elif shape == 2:
            canvas.ellipse([x0, y0, x1, y1], outline=fill, width=wide)
        elif shape == 3:
            begin = random.uniform(0, 360)
            canvas.arc([x0, y0, x1, y1], begin, begin + random.uniform(30, 300), fill=fill, width=wide)
        else:
            canvas.line([tuple(one) for one in smooth(points).tolist()], fill=fill, width=wide, joint="curve")


def smooth(points: np.ndarray) -> np.ndarray:
    """A Bézier curve with these control points, as 60 of its points."""
    at = np.linspace(0, 1, 60)[:, None, None]
    curve = np.repeat(points[None], 60, axis=0)
    while curve.shape[1] > 1:  # de Casteljau
        curve = (1 - at) * curve[:, :-1] + at * curve[:, 1:]
    return np.asarray(curve[:, 0])


def table(random: Random, image: Image.Image, fonts: Sequence[Path], ink: Colour) -> None:
    """Ruled lines on whole pixels, one or two wide; some cells filled, some with a word."""
    canvas, side = ImageDraw.Draw(image), image.width // FINE
    across, down = (np.cumsum([int(random.integers(-8, 6)), *random.integers(7, 40, 40)]).tolist() for _ in range(2))
    font, letters = any_font(random, fonts, random.uniform(7, 14) * FINE)
    for row in range(len(down) - 1):
        for column in range(len(across) - 1):
            left, top = across[column] * FINE, down[row] * FINE
            if left > image.width or top > image.height:
                continue
            chance = random.random()
            if chance < 0.08:
                box = [left, top, across[column + 1] * FINE - 1, down[row + 1] * FINE - 1]
                canvas.rectangle(box, fill=colour(random))
            elif chance < 0.5:
                canvas.text((left + 3 * FINE, top + FINE), words(random, 1, letters)[:4], fill=ink, font=font)
    wide, dense = (int(random.integers(1, 3)) for _ in range(2))
    for x in across:
        canvas.rectangle([x * FINE, 0, (x + wide) * FINE - 1, side * FINE], fill=ink)
    for y in down:
        canvas.rectangle([0, y * FINE, side * FINE, (y + dense) * FINE - 1], fill=ink)


def shapes(random: Random, image: Image.Image, fonts: Sequence[Path], ink: Colour) -> None:
    """Overlapping shapes of plain colours or ramps, as logos, icons and windows are; some with a word on them."""
    side = image.width
    for _ in range(int(random.integers(2, 9))):
        canvas, points = ImageDraw.Draw(image), random.uniform(-0.1, 1.1, (int(random.integers(3, 7)), 2)) * side
        (x0, y0), (x1, y1) = points[:2].min(axis=0).tolist(), points[:2].max(axis=0).tolist()
        fill, shape = colour(random), int(random.integers(5))
        if shape == 0:
            canvas.ellipse([x0, y0, x1, y1], fill=fill)
        elif shape == 1:
            canvas.rounded_rectangle([x0, y0, x1, y1], min(10 * FINE, (x1 - x0) / 2, (y1 - y0) / 2), fill=fill)
        elif shape == 2:
            canvas.polygon([tuple(point) for point in points.tolist()], fill=fill)
        elif shape == 3:
            left, top, right, bottom = (round(value / FINE) * FINE for value in (x0, y0, x1, y1))
            canvas.rectangle([left, top, max(left, right - 1), max(top, bottom - 1)], fill=fill)
        else:
            font, letters = any_font(random, fonts, random.uniform(8, 40) * FINE)
            canvas.text((x0, y0), words(random, 2, letters), fill=ink, font=font)
    if random.random() < 0.2:
        image.paste(Image.blend(image, ramp(random, side), 0.4))


def ramp(random: Random, side: int) -> Image.Image:
    """From one colour to another along any direction."""
    ends = np.array([[colour(random), colour(random)], [colour(random), colour(random)]], np.float32)
    return Image.fromarray(cv2.resize(ends, (side, side), interpolation=cv2.INTER_LINEAR).astype(np.uint8))


Painter = Callable[[Random, Image.Image, Sequence[Path], Colour], None]
PAINTERS: Final[tuple[Painter, ...]] = (text_page, line_art, table, shapes)
ODDS: Final = (0.45, 0.25, 0.15, 0.15)
