"""Bringing to a format what it cannot hold, if allowed: alpha flattened, samples narrowed with dither."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from enhancer.codecs.colour import Raster
from enhancer.image import Document, Image, to_unit

_STRIP: Final = 256
"""Rows converted at a time, so that memory is bounded by them."""
_SEED: Final = 20_000_101


def convertible(document: Document, target: str) -> bool:
    """Whether alpha and sample depth are all that keeps the document out of `target` (page count and size stay)."""
    return target in ("JPEG", "PNG", "WEBP", "AVIF") and len(document.pages) == 1


def fit(page: Image, target: str, warnings: list[str]) -> Image:
    """The page with what `target` cannot hold brought to what it can.

    * Transparency into JPEG: composited on white, in the stored values, as viewers do.
    * 16 bits or floats into JPEG, WebP or AVIF: 8 bits, with dither (:func:`to_bytes`).
    * Floats into PNG: 16 bits. Floats with a range of their own (``float_range``) are mapped from it to black to white.

    Each is said in `warnings`.
    """
    if page.pixels.dtype == np.float32 and target != "TIFF":
        warnings.append("floating-point samples were converted to 16 bits")
        page = _to_words(page)
    if page.alpha is not None and target == "JPEG":
        warnings.append("transparency was flattened on white")
        page = page.with_pixels(_on_white(page.pixels, page.alpha))
    if page.pixels.dtype == np.uint16 and target not in ("PNG", "TIFF"):
        warnings.append("16-bit samples were converted to 8 bits with dither")
        alpha = None if page.alpha is None else np.rint(page.alpha / np.float32(257)).astype(np.uint8)
        page = page.with_pixels(to_bytes(page.pixels), alpha)
    return page


def to_bytes(samples: Raster) -> Raster:
    """16-bit samples as 8 bits, with triangular dither of one level either way: no banding in skies and gradients.

    The dither is the same each time. Samples that are all 8-bit values stretched (multiples of 257) come back exactly.
    Lipshitz, Wannamaker and Vanderkooy, "Quantization and Dither: A Theoretical Survey", JAES 40 (1992): with this
    noise the error's mean and variance do not depend on the picture.
    """
    if not (samples % 257).any():
        return (samples // 257).astype(np.uint8)
    source = np.random.default_rng(_SEED)
    narrow = np.empty(samples.shape, np.uint8)
    for top in range(0, samples.shape[0], _STRIP):
        strip = samples[top : top + _STRIP] / np.float32(257)
        strip += source.random(strip.shape, np.float32) - source.random(strip.shape, np.float32)
        narrow[top : top + _STRIP] = np.clip(np.rint(strip), 0, 255)
    return narrow


def _to_words(page: Image) -> Image:
    unit = to_unit(page.pixels, page.metadata.float_range)
    alpha = None if page.alpha is None else _words(page.alpha)
    return replace(page, pixels=_words(unit), alpha=alpha, metadata=replace(page.metadata, float_range=None))


def _words(unit: Raster) -> Raster:
    words: Raster = np.rint(np.clip(unit, 0, 1) * np.float32(65535)).astype(np.uint16)
    return words


def _on_white(pixels: Raster, alpha: Raster) -> Raster:
    top = np.float32(np.iinfo(pixels.dtype).max)
    flat = np.empty_like(pixels)
    for start in range(0, pixels.shape[0], _STRIP):
        rows = slice(start, start + _STRIP)
        weight = alpha[rows, :, None] / top
        flat[rows] = np.rint(pixels[rows] * weight + top * (1 - weight))
    return flat
