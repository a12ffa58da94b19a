"""Artefacts put into good pictures on purpose: the set that :mod:`enhancer.quality.artifacts` is measured on.

The pictures are :func:`committed_pictures`, which ship with scikit-image; none of them served to choose the score's
numbers. The set is :func:`cases`: every kind of :data:`KINDS` at each of its strengths, at 1x and at 4x, on every
picture, each drawn from a seed of its own. At 1x the damaged picture is held against itself before; at 4x, as a perfect
enlargement that was then damaged, against its reduction. All strengths are visible: the weakest is about what a person
finds without knowing where to look.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from skimage import data

from enhancer.image import FloatPixels
from enhancer.quality.scoring import reduce_to
from enhancer.training.degradations import as_bytes, through_jpeg

SCALES: Final = (1, 4)
SEED: Final = 4711

SIDE: Final = 256
PICTURES: Final = (
    "astronaut",
    "brick",
    "camera",
    "cell",
    "chelsea",
    "coffee",
    "coins",
    "gravel",
    "immunohistochemistry",
    "moon",
    "motorcycle",
    "page",
    "retina",
    "rocket",
    "text",
)

Inject = Callable[[FloatPixels, float, np.random.Generator], FloatPixels]


@dataclass(frozen=True, slots=True)
class Case:
    """One damaged picture: `result` is to be found out beside `source`."""

    picture: str
    kind: str
    strength: float
    scale: int
    result: FloatPixels
    source: FloatPixels


def committed_pictures(names: Sequence[str] = PICTURES, side: int = SIDE) -> dict[str, FloatPixels]:
    """The middle of scikit-image's pictures, at most `side` pixels along each side, which is a multiple of 8."""
    return {
        name: middle(data.stereo_motorcycle()[0] if name == "motorcycle" else getattr(data, name)(), side)
        for name in names
    }


def middle(picture: NDArray[np.uint8], side: int = SIDE) -> FloatPixels:
    """The middle of H x W or H x W x 3 bytes as float32 in [0, 1], sides multiples of 8 and at most `side`."""
    height, width = (min(side, length // 8 * 8) for length in picture.shape[:2])
    top, left = (picture.shape[0] - height) // 2, (picture.shape[1] - width) // 2
    part = picture[top : top + height, left : left + width]
    return np.ascontiguousarray(part.reshape(height, width, -1), dtype=np.float32) / np.float32(255)


def cases(pictures: Mapping[str, FloatPixels], kinds: tuple[str, ...] | None = None) -> Iterator[Case]:
    """The whole set on `pictures`, in an order and with draws that never change.

    Args:
        pictures: name to H x W x C float32 in [0, 1], sides multiples of 4 and at least 64.
        kinds: only these; None: all of :data:`KINDS`.
    """
    for name, pixels in pictures.items():
        small = reduced(pixels, 4)
        for kind in kinds or tuple(KINDS):
            inject, strengths = KINDS[kind]
            for number, strength in enumerate(strengths):
                for scale in SCALES:
                    random = np.random.default_rng([SEED, zlib.crc32(f"{name} {kind}".encode()), number, scale])
                    result = inject(pixels, strength, random)
                    yield Case(name, kind, strength, scale, rounded(result), pixels if scale == 1 else small)


def rounded(pixels: FloatPixels) -> FloatPixels:
    """What an 8-bit file can hold; values that are no numbers stay what they are."""
    return np.asarray(np.rint(np.clip(pixels, 0, 1) * np.float32(255)) / np.float32(255), dtype=np.float32)


def reduced(pixels: FloatPixels, scale: int) -> FloatPixels:
    """The antialiased bicubic reduction that nets are trained to invert, in 8 bits."""
    return rounded(reduce_to(pixels, pixels.shape[0] // scale, pixels.shape[1] // scale))


def enlarged(pixels: FloatPixels, height: int, width: int) -> FloatPixels:
    """Bicubic, in 8 bits."""
    return rounded(reduce_to(pixels, height, width))


def jpeg_blocks(pixels: FloatPixels, quality: float, random: np.random.Generator) -> FloatPixels:
    """The picture as a JPEG of this quality."""
    grey = pixels.shape[2] == 1
    decoded = through_jpeg(as_bytes(np.repeat(pixels, 3, axis=2) if grey else pixels), int(quality), "4:4:4")
    return np.asarray(decoded[:, :, : pixels.shape[2]], np.float32) / np.float32(255)


def uneven_blocks(pixels: FloatPixels, amount: float, random: np.random.Generator) -> FloatPixels:
    """Each block of 8 x 8 a little darker or brighter than it was, as coarse quantisation or bad tiles leave it."""
    rows, columns = (-(-side // 8) for side in pixels.shape[:2])
    steps = np.kron(random.uniform(-amount, amount, (rows, columns)), np.ones((8, 8)))
    return np.asarray(pixels + steps[: pixels.shape[0], : pixels.shape[1], np.newaxis], dtype=np.float32)


def halos(pixels: FloatPixels, amount: float, random: np.random.Generator) -> FloatPixels:
    """Oversharpened: unsharp masking of radius 2 by `amount`."""
    return np.asarray(pixels + amount * (pixels - gaussian_filter(pixels, (2, 2, 0))), dtype=np.float32)


def ripples(pixels: FloatPixels, amount: float, random: np.random.Generator) -> FloatPixels:
    """Ringing: edges echo every 8 pixels, ever weaker, as after a filter that cuts frequencies off sharply."""
    reach = 32
    distance = np.hypot(*np.mgrid[-reach : reach + 1, -reach : reach + 1])
    kernel = np.cos(2 * np.pi * distance / 8) * np.exp(-distance / 12)
    kernel -= kernel.mean()
    kernel /= np.abs(kernel).sum()
    echo = cv2.filter2D(pixels, -1, kernel.astype(np.float32), borderType=cv2.BORDER_REFLECT)
    return np.asarray(pixels + amount * echo.reshape(pixels.shape), dtype=np.float32)


def checkerboard(pixels: FloatPixels, amount: float, random: np.random.Generator) -> FloatPixels:
    """Every other pixel up and down by `amount`, all over: what strided transposed convolutions leave."""
    height, width = pixels.shape[:2]
    pattern = (np.arange(height)[:, np.newaxis] + np.arange(width)) % 2 * 2 - 1
    return np.asarray(pixels + amount * pattern[:, :, np.newaxis], dtype=np.float32)


def exploded_texture(pixels: FloatPixels, amount: float, random: np.random.Generator) -> FloatPixels:
    """Patches of texture that a GAN invents: streaks one to three pixels wide, strongest in a patch's middle."""
    height, width = pixels.shape[:2]
    noise = random.standard_normal((height, width)).astype(np.float32)
    along = random.uniform(1.0, 4.0)
    streaks = gaussian_filter(noise, (0.6, along) if random.random() < 0.5 else (along, 0.6))
    streaks = streaks / streaks.std()
    texture = amount * (_patches(height, width, 3, random) * streaks)[:, :, np.newaxis]
    return np.asarray(pixels + texture, dtype=np.float32)


def blotches(pixels: FloatPixels, amount: float, random: np.random.Generator) -> FloatPixels:
    """Dark and bright spots with soft rims."""
    height, width = pixels.shape[:2]
    spots = np.zeros((height, width), np.float32)
    for _ in range(4):
        spots += _patches(height, width, 1, random) * random.choice((-1, 1))
    return np.asarray(pixels + amount * spots[:, :, np.newaxis], dtype=np.float32)


def colour_blotches(pixels: FloatPixels, amount: float, random: np.random.Generator) -> FloatPixels:
    """Spots of a wrong colour and about the right brightness (a wrong brightness in a grey picture)."""
    if pixels.shape[2] == 1:
        return blotches(pixels, amount, random)
    height, width = pixels.shape[:2]
    tint = np.zeros_like(pixels)
    for _ in range(3):
        hue = random.uniform(0, 2 * np.pi)
        # Along Cb and Cr of BT.601, so that the luma stays.
        cb, cr = np.cos(hue), np.sin(hue)
        shift = amount * np.array([1.402 * cr, -0.344 * cb - 0.714 * cr, 1.772 * cb]) / 1.4
        tint += _patches(height, width, 1, random)[:, :, np.newaxis] * shift.astype(np.float32)
    return pixels + tint


def clipping(pixels: FloatPixels, amount: float, random: np.random.Generator) -> FloatPixels:
    """Contrast times `amount` about the middle of the picture's own values, cut off at black and white."""
    middle = float(np.median(pixels))
    return (pixels - middle) * np.float32(amount) + np.float32(middle)


def no_numbers(pixels: FloatPixels, amount: float, random: np.random.Generator) -> FloatPixels:
    """A share of pixels, at least one, that are NaN."""
    result = pixels.copy()
    height, width = pixels.shape[:2]
    count = max(1, round(amount * height * width))
    result[random.integers(height, size=count), random.integers(width, size=count)] = np.nan
    return result


KINDS: Final[dict[str, tuple[Inject, tuple[float, ...]]]] = {
    "JPEG blocks": (jpeg_blocks, (20, 15, 10, 5)),
    "uneven blocks": (uneven_blocks, (0.03, 0.04, 0.06, 0.08)),
    "halos": (halos, (1.0, 1.5, 2.0, 3.0)),
    "ripples": (ripples, (5.0, 7.0, 10.0, 14.0)),
    "checkerboard": (checkerboard, (0.04, 0.05, 0.07, 0.1)),
    "exploded texture": (exploded_texture, (0.08, 0.12, 0.16, 0.2)),
    "blotches": (blotches, (0.12, 0.16, 0.2, 0.3)),
    "colour blotches": (colour_blotches, (0.12, 0.16, 0.2, 0.3)),
    "clipping": (clipping, (1.6, 1.8, 2.2, 3.0)),
    "no numbers": (no_numbers, (0, 0, 0.0001, 0.01)),
}
"""How each kind is made, and its strengths: of JPEG the quality, else on values in [0, 1] or as a factor or share."""


def _patches(height: int, width: int, count: int, random: np.random.Generator) -> FloatPixels:
    """Smooth hills of height 1 at random places, each an eighth to a quarter of the shorter side wide."""
    y, x = np.mgrid[:height, :width].astype(np.float32)
    result = np.zeros((height, width), np.float32)
    for _ in range(count):
        radius = min(height, width) * random.uniform(1 / 16, 1 / 8)
        centre_y, centre_x = random.uniform(radius, height - radius), random.uniform(radius, width - radius)
        distance = np.hypot(y - centre_y, x - centre_x) / radius
        result = np.maximum(result, np.clip(1.5 - distance, 0, 1))
    return result
