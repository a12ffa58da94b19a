"""Bringing to a format what it cannot hold, if allowed: alpha flattened, samples narrowed with dither."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

import numpy as np

from enhancer.codecs.colour import Raster
from enhancer.codecs.formats.spec import FormatSpec
from enhancer.image import Document, Image, from_unit, to_unit

_STRIP: Final = 256
"""Rows converted at a time, so that memory is bounded by them."""
_SEED: Final = 20_000_101
_WORD: Final = np.dtype(np.uint16)


def convertible(document: Document, target: FormatSpec) -> bool:
    """Whether alpha and sample depth are all that keeps the document out of `target` (page count and size stay)."""
    return target.write is not None and not target.pages and len(document.pages) == 1


def fit(page: Image, target: FormatSpec, warnings: list[str]) -> Image:
    """The page with what `target` cannot hold brought to what it can.

    * Transparency: composited on white, in the stored values, as viewers do.
    * Floats: 16 bits. Floats with a range of their own (``float_range``) are mapped from it to black to white.
    * 16 bits where `target` ends at 8: with dither (:func:`to_bytes`).

    Each is said in `warnings`.
    """
    if page.pixels.dtype == np.float32 and "float32" not in target.depths:
        warnings.append("floating-point samples were converted to 16 bits")
        page = _to_words(page)
    if page.alpha is not None and not target.alpha:
        warnings.append("transparency was flattened on white")
        page = page.with_pixels(_on_white(page.pixels, page.alpha))
    if page.pixels.dtype == np.uint16 and "uint16" not in target.depths:
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
    alpha = None if page.alpha is None else from_unit(to_unit(page.alpha), _WORD)
    metadata = replace(page.metadata, float_range=None)
    return replace(page, pixels=from_unit(unit, _WORD), alpha=alpha, metadata=metadata)


def _on_white(pixels: Raster, alpha: Raster) -> Raster:
    top = np.float32(np.iinfo(pixels.dtype).max)
    flat = np.empty_like(pixels)
    for start in range(0, pixels.shape[0], _STRIP):
        rows = slice(start, start + _STRIP)
        weight = to_unit(alpha[rows, :, None])
        flat[rows] = np.rint(pixels[rows] * weight + top * (1 - weight))
    return flat
