"""Pictures that were drawn, written or rendered, made here by Pillow; none of them has an impulse or any other damage."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from skimage import data

Bytes = NDArray[np.uint8]

WIDTH, HEIGHT = 400, 304
WORDS = [
    "illicit",
    "lines;",
    "1,234.5",
    "i.e.",
    "the",
    "quick:",
    "brown",
    "fox",
    "jumps.",
    ".....",
    "::::",
    "||||",
    "over",
    "lazy",
    "dogs!",
]


def sheet(colour: str | tuple[int, int, int] = "white") -> tuple[Image.Image, ImageDraw.ImageDraw]:
    """An empty sheet and a pen."""
    image = Image.new("RGB", (WIDTH, HEIGHT), colour)
    return image, ImageDraw.Draw(image)


def graph_paper() -> Bytes:
    image, draw = sheet()
    for at in range(0, WIDTH, 8):
        draw.line([(at, 0), (at, HEIGHT)], fill="black")
        draw.line([(0, at), (WIDTH, at)], fill="black")
    draw.line([(x, int(HEIGHT / 2 + 90 * np.sin(x / 40))) for x in range(WIDTH)], fill=(190, 0, 10), width=2)
    return np.array(image)


def table() -> Bytes:
    image, draw = sheet()
    random = np.random.default_rng(11)
    for x in range(0, WIDTH, 50):
        draw.line([(x, 0), (x, HEIGHT)], fill="black")
        for y in range(0, HEIGHT, 16):
            draw.line([(0, y), (WIDTH, y)], fill="black")
            draw.text((x + 4, y + 2), str(random.integers(0, 99999)), fill="black")
    return np.array(image)


def music() -> Bytes:
    image, draw = sheet()
    random = np.random.default_rng(12)
    for top in range(10, HEIGHT, 42):
        for line in range(5):
            draw.line([(0, top + 6 * line), (WIDTH, top + 6 * line)], fill="black")
        for x in range(18, WIDTH, 36):
            y = top + int(random.integers(0, 22))
            draw.ellipse([x, y, x + 7, y + 5], fill="black")
            draw.line([(x + 7, y + 2), (x + 7, y - 18)], fill="black")
    return np.array(image)


def hatching() -> Bytes:
    image, draw = sheet()
    for x in range(-HEIGHT, WIDTH, 5):
        draw.line([(x, 0), (x + HEIGHT, HEIGHT)], fill="black")
    draw.ellipse([120, 60, 290, 240], fill="white", outline="black")
    return np.array(image)


def _boxes(ground: str, ink: str) -> Bytes:
    image, draw = sheet(ground)
    random = np.random.default_rng(13)
    for k in range(50):
        x, y, long, high = (int(v) for v in random.integers((0, 0, 20, 20), (WIDTH - 50, HEIGHT - 50, 120, 100)))
        draw.rectangle([x, y, x + long, y + high], outline=ink)
        draw.text((x + 3, y + 2), f"C{k}", fill=ink)
    return np.array(image)


def wiring() -> Bytes:
    return _boxes("white", "black")


def blueprint() -> Bytes:
    return _boxes("black", "white")


def text(size: int = 12, ink: int = 0, paper: int = 255) -> Bytes:
    """A page of text, its edges grey."""
    image, draw = sheet((paper,) * 3)
    random = np.random.default_rng(size)
    font = ImageFont.load_default(size)
    for y in range(2, HEIGHT, int(size * 1.35)):
        draw.text((4, y), " ".join(random.choice(WORDS, 16)), fill=(ink,) * 3, font=font)
    return np.array(image)


def dots(step: int = 10) -> Bytes:
    """Dot grid paper: single pixels."""
    pixels = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    pixels[::step, ::step] = 0
    return pixels


def leaders() -> Bytes:
    """Dotted lines, as between a table of contents and its page numbers."""
    pixels = np.full((HEIGHT, WIDTH, 3), 255, np.uint8)
    pixels[5::12, ::3] = 0
    return pixels


def _grey() -> Image.Image:
    return Image.fromarray(data.coffee()).convert("L").resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)


def dithered() -> Bytes:
    """Error diffusion (Floyd and Steinberg)."""
    return np.array(_grey().convert("1").convert("RGB"))


def dithered_light() -> Bytes:
    """The same of a pale picture: single black dots that avoid each other."""
    return np.array(_grey().point(lambda value: 190 + value // 4).convert("1").convert("RGB"))


def screened() -> Bytes:
    """Ordered dither by a 4 x 4 matrix."""
    matrix = np.array([[0, 8, 2, 10], [12, 4, 14, 6], [3, 11, 1, 9], [15, 7, 13, 5]]) * 16 + 8
    on = np.asarray(_grey()) > np.tile(matrix, (HEIGHT // 4, WIDTH // 4))
    return np.repeat(np.where(on, 255, 0).astype(np.uint8)[..., None], 3, axis=2)


def engraved() -> Bytes:
    """Wavy lines whose width follows the grey."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    lines = np.sin((y + 4 * np.sin(x / 40)) * 2 * np.pi / 5) * 0.5 + 0.5
    on = lines <= np.asarray(_grey()) / 255
    return np.repeat(np.where(on, 255, 0).astype(np.uint8)[..., None], 3, axis=2)


DRAWINGS: Final[dict[str, Callable[[], Bytes]]] = {
    one.__name__: one
    for one in (graph_paper, table, music, hatching, wiring, blueprint, text, dots, leaders, dithered, dithered_light,
                screened, engraved)
}  # fmt: skip


def dark_editor() -> Bytes:
    """Code in a dark window."""
    image, draw = sheet((30, 31, 37))
    for row in range(16):
        tint = (220, 160, 120) if row % 4 else (140, 205, 245)
        draw.text((10, 6 + 18 * row), "for page in pages: print(page.name, len(page.items))", fill=tint)
    return np.array(image)


def logo() -> Bytes:
    """A dark disc on black, its edge hard."""
    image, draw = sheet("black")
    draw.ellipse([110, 60, 280, 230], fill=(90, 10, 20))
    return np.array(image)


def button() -> Bytes:
    image, draw = sheet((0, 30, 72))
    draw.rectangle([30, 120, 370, 150], fill=(10, 51, 102))
    return np.array(image)


def gradient() -> Bytes:
    """A dark ramp in the steps of 8 bits."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    along = (x / WIDTH + y / HEIGHT)[..., None] / 2
    return np.rint((10, 14, 30) + along * (50, 30, 60)).astype(np.uint8)


def icon() -> tuple[Bytes, Bytes]:
    """A sheet with lines of text on nothing: colours, and alpha."""
    image = Image.new("RGBA", (256, 256), (0, 0, 0, 0))
    draw = ImageDraw.Draw(image)
    draw.rounded_rectangle([40, 16, 216, 239], 15, fill=(246, 245, 243, 255))
    for k in range(8):
        draw.rectangle([64, 55 + 20 * k, 144 if k < 2 else 189, 64 + 20 * k], fill=(211, 209, 205, 255))
    pixels = np.array(image)
    return pixels[..., :3], pixels[..., 3]


SCREENS: Final[dict[str, Callable[[], Bytes]]] = {one.__name__: one for one in (dark_editor, logo, button, gradient)}


def with_salt_and_pepper(pixels: Bytes, amount: float, seed: int = 7) -> Bytes:
    """A share of the pixels replaced by black or white, all channels of a pixel together."""
    struck, noisy = np.random.default_rng(seed).random(pixels.shape[:2]), pixels.copy()
    noisy[struck < amount / 2], noisy[struck > 1 - amount / 2] = 0, 255
    return noisy
