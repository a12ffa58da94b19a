"""Cloud-optimised GeoTIFFs: recognised, and a finished TIFF laid out as one.

In such a file (OGC 21-026) the picture is in tiles, smaller copies of it (overviews) follow as pages, every directory
lies before all tiles, and the tiles of the smallest overview come first: who reads a part over a network fetches the
head and then only the tiles that are needed.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from enhancer.codecs.colour import Raster
from enhancer.codecs.exif import ByteOrder
from enhancer.codecs.ifd import GPS_IFD, POINTERS, Directory, read_directory, write_directory

_REDUCED: Final = 1
_GHOST: Final = b"LAYOUT=IFDS_BEFORE_DATA"
"""What GDAL's writer says of itself after the header."""
_HEAD: Final = 1024
_OFFSETS, _COUNTS = 324, 325
_SIZES: Final = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}


def cloud_tile(page: Any, data: bytes) -> tuple[int, int] | None:
    """Rows and columns of a tile where the file of this page (tifffile's) is cloud-optimised, else None."""
    if int(page.index) != 0 or not page.is_tiled or not page.dataoffsets:
        return None
    pages = list(page.parent.pages)
    reduced = any(int(other.subfiletype) & _REDUCED for other in pages[1:])
    if not reduced and _GHOST not in data[:_HEAD]:
        return None
    first = min((min(filter(None, other.dataoffsets), default=len(data)) for other in pages), default=0)
    if max(int(other.offset) for other in pages) > first:
        return None
    return int(page.tilelength), int(page.tilewidth)


def overviews(samples: Raster, tile: tuple[int, int], *, planar: bool, exact: bool) -> list[Raster]:
    """Copies of half the size, a quarter, and so on, down to one that a tile holds.

    Args:
        samples: H x W (x S), or S x H x W if `planar`.
        tile: rows and columns of a tile.
        planar: see `samples`.
        exact: take every second sample in place of means: for values that must not be mixed (no data).
    """
    found = []
    current = np.moveaxis(samples, 0, -1) if planar else samples
    while current.shape[0] > tile[0] or current.shape[1] > tile[1]:
        current = np.ascontiguousarray(current[::2, ::2]) if exact else _halved(current)
        found.append(np.ascontiguousarray(np.moveaxis(current, -1, 0)) if planar else current)
    return found


def _halved(samples: Raster) -> Raster:
    """The mean of each two by two samples; at an odd edge, of those that there are."""
    rows, columns = samples.shape[0] % 2, samples.shape[1] % 2
    padding = ((0, rows), (0, columns)) + ((0, 0),) * (samples.ndim - 2)
    even = np.pad(samples, padding, mode="edge") if rows or columns else samples
    kind = np.float64 if samples.dtype.itemsize > 2 else np.float32
    mean = (even[::2, ::2].astype(kind) + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2]) / 4
    smaller: Raster = (mean if samples.dtype.kind == "f" else np.rint(mean)).astype(samples.dtype)
    return smaller


@dataclass(slots=True)
class _Page:
    """One directory: rows as (tag, kind, count, value), the tiles that it points to, and EXIF's directories."""

    rows: list[tuple[int, int, int, bytes]]
    tiles: list[bytes]
    children: dict[int, Directory]


class _Format:
    """How a classic TIFF or a BigTIFF writes its numbers."""

    def __init__(self, tiff: bytes) -> None:
        self.order: ByteOrder = "<" if tiff[:2] == b"II" else ">"
        self.big = struct.unpack_from(self.order + "H", tiff, 2)[0] == 43
        self.word = "Q" if self.big else "I"
        self.count = "Q" if self.big else "H"
        self.inline = 8 if self.big else 4
        self.row = 20 if self.big else 12
        self.head = 16 if self.big else 8

    def pack(self, kinds: str, *values: int) -> bytes:
        return struct.pack(self.order + kinds, *values)

    def unpack(self, kinds: str, data: bytes, offset: int) -> tuple[int, ...]:
        return struct.unpack_from(self.order + kinds, data, offset)


def laid_out(tiff: bytes) -> bytes:
    """A tiled TIFF of one picture and its overviews, largest first, with all directories before all tiles.

    Raises:
        ValueError: a page is not in tiles.
    """
    form = _Format(tiff)
    pages = _read(tiff, form)
    start = form.head + sum(len(_directory(page, form, 0, 0, 0)) for page in pages)
    places: dict[int, int] = {}
    for index in reversed(range(len(pages))):  # the smallest first
        places[index] = start
        start += sum(len(tile) + len(tile) % 2 for tile in pages[index].tiles)
    made = bytearray(tiff[: form.head])
    made[form.head - form.inline : form.head] = form.pack(form.word, form.head)
    for index, page in enumerate(pages):
        size = len(_directory(page, form, 0, 0, 0))
        following = 0 if index == len(pages) - 1 else len(made) + size
        made += _directory(page, form, len(made), following, places[index])
    for page in reversed(pages):
        for tile in page.tiles:
            made += tile + b"\0" * (len(tile) % 2)
    return bytes(made)


def _read(tiff: bytes, form: _Format) -> list[_Page]:
    pages = []
    (offset,) = form.unpack(form.word, tiff, form.head - form.inline)
    while offset:
        (count,) = form.unpack(form.count, tiff, offset)
        first = offset + struct.calcsize("=" + form.count)
        page = _Page([], [], {})
        numbers: dict[int, tuple[int, ...]] = {}
        for position in range(first, first + form.row * count, form.row):
            tag, kind = form.unpack("HH", tiff, position)
            (items,) = form.unpack(form.word, tiff, position + 4)
            size = _SIZES[kind] * items
            start = position + form.row - form.inline
            if size > form.inline:
                (start,) = form.unpack(form.word, tiff, start)
            value = tiff[start : start + size]
            if tag in POINTERS or tag == GPS_IFD:
                page.children[tag] = read_directory(tiff, form.order, form.unpack(form.word, value, 0)[0])
            elif tag in (_OFFSETS, _COUNTS):
                numbers[tag] = form.unpack(f"{items}{ {3: 'H', 4: 'I', 16: 'Q'}[kind] }", value, 0)
            else:
                page.rows.append((tag, kind, items, value))
        if _OFFSETS not in numbers or _COUNTS not in numbers:
            raise ValueError("a page of the TIFF is not in tiles")
        page.tiles = [tiff[at : at + size] for at, size in zip(numbers[_OFFSETS], numbers[_COUNTS], strict=True)]
        pages.append(page)
        (offset,) = form.unpack(form.word, tiff, first + form.row * count)
    return pages


def _directory(page: _Page, form: _Format, start: int, following: int, tiles: int) -> bytes:
    """The page's directory for offset `start`, its values and EXIF's directories after it; of even length."""
    offsets, at = [], tiles
    for tile in page.tiles:
        offsets.append(at)
        at += len(tile) + len(tile) % 2
    kind, amount = (16 if form.big else 4), len(page.tiles)
    rows = [
        *page.rows,
        (_OFFSETS, kind, amount, form.pack(f"{amount}{form.word}", *offsets)),
        (_COUNTS, kind, amount, form.pack(f"{amount}{form.word}", *map(len, page.tiles))),
    ]
    total = len(rows) + len(page.children)
    tail_start = start + struct.calcsize("=" + form.count) + form.row * total + struct.calcsize("=" + form.word)
    tail = bytearray(b"\0" * (tail_start % 2))
    written: dict[int, bytes] = {}
    for tag, kind_, count, value in rows:
        plain = value.ljust(form.inline, b"\0")
        if len(value) > form.inline:
            plain = form.pack(form.word, tail_start + len(tail))
            tail += value + b"\0" * (len(value) % 2)
        written[tag] = form.pack("HH" + form.word, tag, kind_, count) + plain
    for tag, child in page.children.items():
        place = tail_start + len(tail)
        block = write_directory(child, form.order, place)
        tail += block + b"\0" * (len(block) % 2)
        written[tag] = form.pack("HH" + form.word, tag, 4, 1) + form.pack("I", place).ljust(form.inline, b"\0")
    body = b"".join(written[tag] for tag in sorted(written))
    made = form.pack(form.count, total) + body + form.pack(form.word, following) + bytes(tail)
    return made + b"\0" * ((start + len(made)) % 2)
