"""The canary set: four photographs of scikit-image, damaged in known ways, the same every night, with their truth.

They are made when they are needed and not kept in the package. The damage is fixed by seeds; only a label in the file's
metadata differs, so that each night's files are new bytes and are enhanced anew, not looked up.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from PIL.PngImagePlugin import PngInfo

from enhancer.extras import imports_of_extras

VERSION: Final = 1
"""Raised when the pictures change: figures of another version are no baseline for these."""

TRUTH_SIDE: Final = 256
NOISE_SIGMA: Final = 10.0
"""Of 255, Gaussian, independent per channel."""
JPEG_QUALITY: Final = 40

Array = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Canary:
    """One picture: its key, the damaged file, and the true picture as PNG."""

    key: str
    damaged: bytes
    truth: bytes


def canary_set(scale: float, label: str) -> Iterator[Canary]:
    """The set for a recipe that enlarges `scale` times.

    Args:
        scale: output side over input side; the inputs are reduced by as much.
        label: goes into each file's metadata and changes no pixel.
    """
    with imports_of_extras():
        from skimage import data

    small_side = int(TRUTH_SIDE / scale)
    true_side = round(small_side * scale)
    sources: tuple[tuple[str, Array, tuple[int, int], Callable[[Array, str], bytes]], ...] = (
        ("clean.png", data.astronaut(), (0, 100), _as_png),
        ("noisy.png", data.chelsea(), (0, 100), _noisy),
        ("jpeg.jpg", data.coffee(), (60, 120), _as_jpeg),
        ("noisy-dark.png", data.rocket(), (80, 160), _noisy),
    )
    for name, picture, (top, left), damage in sources:
        square = PIL.Image.fromarray(np.ascontiguousarray(picture[top : top + 300, left : left + 300]))
        truth = square.resize((true_side, true_side), PIL.Image.Resampling.LANCZOS)
        small = truth if scale == 1 else truth.resize((small_side, small_side), PIL.Image.Resampling.BICUBIC)
        yield Canary(f"canary/{name}", damage(np.asarray(small), label), _as_png(np.asarray(truth), "truth"))


def _as_png(pixels: Array, label: str) -> bytes:
    text = PngInfo()
    text.add_text("Comment", label)
    return _encoded(pixels, "PNG", pnginfo=text)


def _as_jpeg(pixels: Array, label: str) -> bytes:
    return _encoded(pixels, "JPEG", quality=JPEG_QUALITY, comment=label.encode())


def _noisy(pixels: Array, label: str) -> bytes:
    noise = np.random.default_rng(0).normal(0.0, NOISE_SIGMA, pixels.shape)
    return _as_png(np.clip(np.rint(pixels + noise), 0, 255).astype(np.uint8), label)


def _encoded(pixels: Array, format_name: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.fromarray(pixels).save(buffer, format_name, **options)
    return buffer.getvalue()
