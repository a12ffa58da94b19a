"""Drawn, written and rendered pictures for choosing what separates them from photographs, made by Pillow at random.

Kinds: ``document`` (text, tables, line art, engravings, dither, colour screens, all of them scanned too) and ``screen``
(windows, icons, logos, charts, gradients). Nothing here is used to report how well the choice does:
:mod:`benchmarks.bench_kinds` has pictures made by other means.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

Bytes = NDArray[np.uint8]
Random = np.random.Generator
Colour = tuple[int, int, int]

LETTERS: Final = "etaoinshrdlucmfwypvbgkjqxz"


def size(random: Random) -> tuple[int, int]:
    """Width and height."""
    return int(random.integers(160, 720)), int(random.integers(140, 560))


def colour(random: Random, low: int = 0, high: int = 256) -> Colour:
    """Any within these bounds."""
    red, green, blue = (int(value) for value in random.integers(low, high, 3))
    return red, green, blue


def words(random: Random, count: int) -> str:
    """Something like a line of text."""
    made = ["".join(random.choice(list(LETTERS), int(random.integers(1, 10)))) for _ in range(count)]
    return " ".join(word.capitalize() if random.random() < 0.2 else word for word in made)


def ink_and_paper(random: Random) -> tuple[Colour, Colour]:
    """Mostly dark on light."""
    ink, paper = colour(random, 0, 70), colour(random, 200, 256)
    if random.random() < 0.5:
        ink, paper = (0, 0, 0), (255, 255, 255)
    return (paper, ink) if random.random() < 0.2 else (ink, paper)


def text_page(random: Random) -> Image.Image:
    """Lines of text, some headings, margins or none."""
    ink, paper = ink_and_paper(random)
    image = Image.new("RGB", size(random), paper)
    draw = ImageDraw.Draw(image)
    draw.fontmode = "1" if random.random() < 0.2 else "L"
    body, y, margin = int(random.integers(8, 30)), int(random.integers(0, 40)), int(random.integers(0, 60))
    while y < image.height:
        large = body * (2 if random.random() < 0.06 else 1)
        draw.text((margin, y), words(random, int(random.integers(2, 16))), fill=ink, font=ImageFont.load_default(large))
        y += int(large * random.uniform(1.1, 1.7)) + (body if random.random() < 0.1 else 0)
    return image


def line_art(random: Random) -> Image.Image:
    """Lines, boxes, ellipses, grids and arcs of one to four pixels."""
    ink, paper = ink_and_paper(random)
    image = Image.new("RGB", size(random), paper)
    draw, (w, h) = ImageDraw.Draw(image), image.size
    if random.random() < 0.4:
        step = int(random.integers(4, 40))
        for at in range(0, max(w, h), step):
            if random.random() < 0.95:
                draw.line([(at, 0), (at, h)], fill=ink)
            draw.line([(0, at), (w, at)], fill=ink)
    for _ in range(int(random.integers(3, 90))):
        x0, x1 = sorted(int(v) for v in random.integers(-20, w, 2))
        y0, y1 = sorted(int(v) for v in random.integers(-20, h, 2))
        line = ink if random.random() < 0.85 else colour(random)
        wide = int(random.choice([1, 1, 1, 2, 3, 4]))
        shape = random.integers(0, 5)
        if shape == 0:
            draw.line([(x0, y0), (x1, y1)], fill=line, width=wide)
        elif shape == 1:
            draw.rectangle([x0, y0, x1, y1], outline=line, width=wide)
        elif shape == 2:
            draw.ellipse([x0, y0, x1, y1], outline=line, width=wide)
        elif shape == 3:
            draw.arc([x0, y0, x1 + 1, y1 + 1], 0, int(random.integers(30, 340)), fill=line, width=wide)
        else:
            draw.text((x0, y0), words(random, 2), fill=line, font=ImageFont.load_default(int(random.integers(8, 20))))
    return image


def smooth(random: Random, w: int, h: int) -> NDArray[np.float64]:
    """Something with soft shapes, in [0, 1]: what engravers and printers start from."""
    total = np.zeros((h, w))
    for octave in (2, 4, 8, 16):
        small = Image.fromarray((random.random((octave, octave)) * 255).astype(np.uint8))
        total += np.asarray(small.resize((w, h), Image.Resampling.BICUBIC), float) / 255 / octave
    total -= total.min()
    return total / max(total.max(), 1e-6) * random.uniform(0.5, 1) + random.uniform(0, 0.2)


def engraving(random: Random) -> Image.Image:
    """Lines whose width follows the tone, one set or two crossed."""
    w, h = size(random)
    tone, (y, x) = smooth(random, w, h), np.mgrid[:h, :w]
    dark = np.zeros((h, w), bool)
    for _ in range(int(random.integers(1, 3))):
        turn, period = random.uniform(0, np.pi), random.uniform(3.5, 10)
        along = x * np.cos(turn) + y * np.sin(turn) + random.uniform(0, 5) * np.sin((x + y) / random.uniform(20, 80))
        dark |= np.sin(along * 2 * np.pi / period) * 0.5 + 0.5 > tone
    return _two_tones(random, dark)


def dither(random: Random) -> Image.Image:
    """Error diffusion, ordered or random dither."""
    w, h = size(random)
    tone = np.clip(smooth(random, w, h), 0, 1)
    method = random.integers(0, 3)
    if method == 0:
        dark = np.asarray(Image.fromarray((tone * 255).astype(np.uint8)).convert("1")) == 0
    elif method == 1:
        matrix = np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]]) / 16
        dark = tone < np.tile(matrix, (h // 4 + 1, w // 4 + 1))[:h, :w]
    else:
        dark = tone < random.random((h, w))
    return _two_tones(random, dark)


def _two_tones(random: Random, dark: NDArray[np.bool_]) -> Image.Image:
    ink, paper = ink_and_paper(random)
    return Image.fromarray(np.where(dark[..., None], ink, paper).astype(np.uint8))


def halftone(random: Random) -> Image.Image:
    """Dots on turned grids: black alone, or cyan, magenta, yellow and black over each other; soft dots or hard."""
    w, h = size(random)
    (y, x), period = np.mgrid[:h, :w], random.uniform(3.5, 9)
    soft = random.uniform(2, 12)
    image = np.ones((h, w, 3))
    inks = ((15, (0, 1, 1)), (75, (1, 0, 1)), (0, (1, 1, 0)), (45, (0, 0, 0)))
    for degrees, ink in inks if random.random() < 0.7 else inks[3:]:
        turn = np.deg2rad(degrees)
        u, v = (x * np.cos(turn) + y * np.sin(turn)), (y * np.cos(turn) - x * np.sin(turn))
        screen = (np.cos(2 * np.pi * u / period) + np.cos(2 * np.pi * v / period)) / 4 + 0.5
        cover = np.clip((screen - smooth(random, w, h)) * soft + 0.5, 0, 1)[..., None]
        image *= 1 - cover * (1 - np.array(ink) * 0.95)
    return Image.fromarray((image * 255).astype(np.uint8))


def window(random: Random) -> Image.Image:
    """Panels, buttons, lists and text of a program, light or dark."""
    dark = random.random() < 0.5
    low, high = (5, 70) if dark else (190, 256)
    base = int(random.integers(low, high))
    image = Image.new("RGB", size(random), _near(random, base))
    draw, (w, h) = ImageDraw.Draw(image), image.size
    for _ in range(int(random.integers(0, 14))):
        x, y = int(random.integers(0, w)), int(random.integers(0, h))
        fill = _near(random, base) if random.random() < 0.6 else colour(random)
        box = [x, y, x + int(random.integers(10, w)), y + int(random.integers(8, 90))]
        draw.rounded_rectangle(box, int(random.integers(0, 9)), fill=fill)
    for _ in range(int(random.integers(0, 40))):
        ink = colour(random, 130, 256) if dark else colour(random, 0, 120)
        font = ImageFont.load_default(int(random.integers(9, 20)))
        at = int(random.integers(0, w)), int(random.integers(0, h))
        draw.text(at, words(random, int(random.integers(1, 8))), fill=ink, font=font)
    return image


def _near(random: Random, base: int) -> Colour:
    red, green, blue = (int(v) for v in np.clip(base + random.integers(-14, 15, 3), 0, 255))
    return red, green, blue


def logo(random: Random) -> Image.Image:
    """A few shapes of plain colour, smooth edges or hard; icons and buttons too."""
    w, h = size(random)
    factor = int(random.choice([1, 4]))
    image = Image.new("RGB", (w * factor, h * factor), colour(random) if random.random() < 0.7 else (0, 0, 0))
    draw = ImageDraw.Draw(image)
    for _ in range(int(random.integers(1, 12))):
        box = [*sorted(random.integers(0, w * factor, 2).tolist()), *sorted(random.integers(0, h * factor, 2).tolist())]
        x0, x1, y0, y1 = box
        fill = colour(random) if random.random() < 0.7 else colour(random, 0, 100)
        shape = random.integers(0, 3)
        if shape == 0:
            draw.ellipse([x0, y0, x1, y1], fill=fill)
        elif shape == 1:
            draw.rounded_rectangle([x0, y0, x1, y1], min(10 * factor, (x1 - x0) // 2, (y1 - y0) // 2), fill=fill)
        else:
            draw.polygon([tuple(p) for p in random.integers(0, h * factor, (4, 2)).tolist()], fill=fill)
    return image.resize((w, h), Image.Resampling.BOX) if factor > 1 else image


def gradient(random: Random) -> Image.Image:
    """A smooth ramp between colours, in steps of 8 bits or dithered between them; plain or behind shapes."""
    w, h = size(random)
    (y, x), turn = np.mgrid[:h, :w], random.uniform(0, 2 * np.pi)
    along = x * np.cos(turn) + y * np.sin(turn) if random.random() < 0.7 else np.hypot(x - w / 2, y - h / 2)
    along = (along - along.min()) / np.ptp(along)
    ends = np.array([colour(random, 0, int(random.choice([80, 256]))) for _ in range(2)])
    values = ends[0] + along[..., None] * (ends[1] - ends[0])
    if random.random() < 0.5:
        values += random.uniform(-0.5, 0.5, (h, w, int(random.choice([1, 3]))))  # dithered, as browsers draw them
    image = Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))
    if random.random() < 0.5:
        draw = ImageDraw.Draw(image)
        for _ in range(int(random.integers(1, 8))):
            x0, y0 = int(random.integers(0, w)), int(random.integers(0, h))
            draw.rectangle([x0, y0, x0 + w // 4, y0 + h // 6], fill=colour(random))
            draw.text((x0, y0), words(random, 3), fill=colour(random), font=ImageFont.load_default(16))
    return image


def chart(random: Random) -> Image.Image:
    """Bars, curves or points with axes and labels."""
    image = Image.new("RGB", size(random), "white" if random.random() < 0.7 else colour(random, 0, 60))
    draw, (w, h) = ImageDraw.Draw(image), image.size
    ink = "black" if image.getpixel((0, 0)) == (255, 255, 255) else "white"
    draw.line([(30, 0), (30, h - 25), (w, h - 25)], fill=ink)
    for k in range(0, h, 35):
        draw.text((2, k), f"{k / 10:.1f}", fill=ink)
        draw.line([(30, k), (w, k)], fill=(128, 128, 128))
    for _ in range(int(random.integers(1, 6))):
        tint, values = colour(random), random.random(40).cumsum()
        points = [(30 + k * w / 40, h - 30 - v / values.max() * h * 0.8) for k, v in enumerate(values)]
        if random.random() < 0.4:
            draw.line(points, fill=tint, width=int(random.integers(1, 4)))
        for x, y in points[:: int(random.integers(1, 6))]:
            if random.random() < 0.5:
                draw.rectangle([x, y, x + w / 60, h - 26], fill=tint)
            else:
                draw.ellipse([x - 2, y - 2, x + 2, y + 2], fill=tint)
    return image


def scanned(random: Random, image: Image.Image) -> Image.Image:
    """A sheet as a scanner sees it: turned, soft, uneven paper, noise, and often JPEG."""
    low, high = random.uniform(10, 70), random.uniform(215, 250)
    turned = image.rotate(random.uniform(-2, 2), Image.Resampling.BICUBIC, fillcolor=image.getpixel((0, 0)))
    values = np.asarray(turned.filter(ImageFilter.GaussianBlur(random.uniform(0.3, 1.1))), float)
    values = low + values / 255 * (high - low)
    values *= (0.92 + 0.12 * smooth(random, image.width, image.height))[..., None]
    values += random.normal(0, random.uniform(0.3, 8), (*values.shape[:2], int(random.choice([1, 3]))))
    values += np.array([random.uniform(0, 8), random.uniform(-2, 4), random.uniform(-20, 0)])
    return stored(random, Image.fromarray(np.clip(values, 0, 255).astype(np.uint8)), lossy=0.6)


def stored(random: Random, image: Image.Image, *, lossy: float) -> Image.Image:
    """As a JPEG of some quality, with this probability; sometimes grey or with few colours."""
    if random.random() < 0.15:
        image = image.convert("L").convert("RGB")
    if random.random() < lossy:
        buffer = io.BytesIO()
        image.save(buffer, "JPEG", quality=int(random.integers(40, 98)), subsampling=int(random.choice([0, 2])))
        image = Image.open(buffer).convert("RGB")
    return image


Maker = Callable[[Random], Image.Image]
SHEETS: Final[tuple[Maker, ...]] = (text_page, line_art, engraving, dither, halftone)
SCREENS: Final[tuple[Maker, ...]] = (window, logo, gradient, chart)


def make(kind: str, number: int) -> Bytes:
    """The picture of this number; two in five documents are scanned, one in five of the others is a JPEG."""
    random = np.random.default_rng([number, len(kind)])
    makers = SHEETS if kind == "document" else SCREENS
    image = makers[number % len(makers)](random)
    if kind == "document" and random.random() < 0.4:
        return np.asarray(scanned(random, image))
    return np.asarray(stored(random, image, lossy=0.2))
