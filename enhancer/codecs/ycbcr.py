"""YCbCr of TIFF that no JPEG decoder turns into RGB: TIFF 6.0, section 21."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import imagecodecs
import numpy as np

from enhancer.codecs.colour import Raster

JPEG_LIKE: Final = frozenset({6, 7, 34892, 33007})
"""Compressions whose decoder converts to RGB itself."""
_COEFFICIENTS, _REFERENCE = 529, 532
_BT601: Final = (0.299, 0.587, 0.114)
_BLOCK: Final = 256

_DECODERS: Final[dict[int, Callable[[bytes, int], bytes]]] = {
    1: lambda data, size: data[:size],
    5: lambda data, size: bytes(imagecodecs.lzw_decode(data, out=size)),
    8: lambda data, size: bytes(imagecodecs.zlib_decode(data, out=size)),
    32773: lambda data, size: bytes(imagecodecs.packbits_decode(data, out=size)),
    32946: lambda data, size: bytes(imagecodecs.zlib_decode(data, out=size)),
}
"""By compression, bounded by the size that the page states."""


def to_rgb(samples: Raster, page: Any) -> Raster:
    """YCbCr samples (H x W x 3, uint8 or uint16) as RGB, by the page's coefficients and reference black and white."""
    top = float(np.iinfo(samples.dtype).max)
    red, green, blue = _numbers(page, _COEFFICIENTS, _BT601)
    middle = (top + 1) / 2
    reference = _numbers(page, _REFERENCE, (0, top, middle, top, middle, top))
    black = np.array(reference[::2], np.float32)
    span = np.array(reference[1::2], np.float32) - black
    if not span.all() or not green:
        raise ValueError("the TIFF's reference black and white are equal")
    factor = np.array([top, middle - 1, middle - 1], np.float32) / span
    made = np.empty_like(samples)
    for start in range(0, samples.shape[0], _BLOCK):
        rows = slice(start, start + _BLOCK)
        luma, cb, cr = np.moveaxis((samples[rows] - black) * factor, -1, 0)
        r = luma + cr * np.float32(2 - 2 * red)
        b = luma + cb * np.float32(2 - 2 * blue)
        g = (luma - np.float32(red) * r - np.float32(blue) * b) / np.float32(green)
        made[rows] = np.clip(np.rint(np.stack([r, g, b], -1)), 0, top)
    return made


def read_subsampled(page: Any, data: bytes) -> Raster:
    """The YCbCr samples of a page of 8 bits whose colour is stored at a lower resolution, colour repeated.

    Raises:
        NotImplementedError: another layout than interleaved 8-bit data units, or an unusual compression.
        ValueError: the data ends too early.
    """
    across, down = (int(value) for value in page.subsampling)
    decoder = _DECODERS.get(int(page.compression))
    if decoder is None or int(page.planarconfig) != 1 or page.bitspersample != 8 or int(page.predictor) != 1:
        raise NotImplementedError("subsampled YCbCr in this compression or layout")
    height, width = int(page.imagelength), int(page.imagewidth)
    tall = int(page.tilelength) if page.is_tiled else min(int(page.rowsperstrip), height)
    wide = int(page.tilewidth) if page.is_tiled else width
    columns = -(-width // wide)
    made = np.empty((height, width, 3), np.uint8)
    for index, (offset, count) in enumerate(zip(page.dataoffsets, page.databytecounts, strict=False)):
        top, left = index // columns * tall, index % columns * wide
        if top >= height:
            break
        rows = tall if page.is_tiled else min(tall, height - top)
        units = (-(-rows // down), -(-wide // across), across * down + 2)
        flat = np.frombuffer(decoder(data[offset : offset + count], int(np.prod(units))), np.uint8)
        if flat.size < np.prod(units):
            raise ValueError("a strip ends before its last data unit: not enough data")
        part = made[top : top + rows, left : left + wide]
        part[...] = _spread(flat.reshape(units), across, down)[: part.shape[0], : part.shape[1]]
    return made


def _spread(units: Raster, across: int, down: int) -> Raster:
    """H x W x 3 of data units: `across` x `down` samples of luma, one of Cb and one of Cr."""
    rows, columns = units.shape[:2]
    luma = units[..., :-2].reshape(rows, columns, down, across).swapaxes(1, 2).reshape(rows * down, columns * across)
    colour = units[..., -2:].repeat(down, axis=0).repeat(across, axis=1)
    return np.concatenate([luma[..., None], colour], axis=2)


def _numbers(page: Any, code: int, default: Sequence[float]) -> tuple[float, ...]:
    """A tag's RATIONALs (or whatever numbers it holds) as floats, or the default."""
    value = page.tags.valueof(code)
    if not isinstance(value, tuple):
        return tuple(default)
    tag = page.tags.get(code)
    if int(tag.dtype) in (5, 10):
        pairs = zip(value[::2], value[1::2], strict=False)
        value = tuple(float(above) / float(below) if below else 0.0 for above, below in pairs)
    return tuple(float(item) for item in value) if len(value) == len(default) else tuple(default)
