"""Damaged files patched so that the ordinary decoders read what is left of them.

Every way makes new bytes, never new pixels: what is missing decodes as black (PNG, TIFF) or as libjpeg leaves it.
"""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any, Final

import tifffile

from enhancer.codecs import png_chunks
from enhancer.codecs.limits import Limits
from enhancer.codecs.tiff import check_declared, check_jpeg

_MAX_FILTER: Final = 4
_SAMPLES: Final = {
    png_chunks.GREY: 1,
    png_chunks.RGB: 3,
    png_chunks.PALETTE: 1,
    png_chunks.GREY_ALPHA: 2,
    png_chunks.RGB_ALPHA: 4,
}
_ITEMS: Final = {3: "H", 4: "I", 16: "Q"}
"""Of the TIFF types that offsets and byte counts have."""


def patch_png(data: bytes, name: str, limits: Limits) -> bytes | None:
    """Chunks with true checksums, and rows as far as zlib gets, the rest black; None for interlaced pictures."""
    header = png_chunks.read_header(data, name)
    limits.check_size(header.width, header.height, name)
    if data[28]:
        return None
    height = header.height
    samples = {
        png_chunks.GREY: 1,
        png_chunks.RGB: 3,
        png_chunks.PALETTE: 1,
        png_chunks.GREY_ALPHA: 2,
        png_chunks.RGB_ALPHA: 4,
    }[header.colour]
    stride = 1 + (header.width * header.depth * samples + 7) // 8
    before: list[tuple[bytes, bytes]] = []
    compressed = bytearray()
    for kind, body in _chunks(data[8:]):
        if kind == b"IDAT":
            compressed += body
        elif not compressed:
            before.append((kind, body))
    rows = _inflate_partly(bytes(compressed), stride * height)
    whole = len(rows) // stride
    sound = next((row for row in range(whole) if rows[row * stride] > _MAX_FILTER), whole)
    if sound == 0:
        return None
    filled = zlib.compress(bytes(rows[: sound * stride]) + bytes(stride * (height - sound)), 1)
    chunks = [*before, (b"IDAT", filled), (b"IEND", b"")]
    return png_chunks.SIGNATURE + b"".join(png_chunks.chunk(kind, body) for kind, body in chunks)


def _chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """(type, body) as far as the lengths make sense; the last body may be cut short."""
    found, position = [], 0
    while position + 8 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        if not kind.isalpha() or kind == b"IEND":
            break
        found.append((kind, data[position + 8 : position + 8 + length]))
        position += 12 + length
    return found


def _inflate_partly(data: bytes, size: int) -> bytearray:
    """Up to `size` bytes, as many as come out before the data breaks off or goes wrong."""
    inflater = zlib.decompressobj()
    plain = bytearray()
    # In small steps: what zlib gave before the step that fails is kept.
    for start in range(0, len(data), 64):
        try:
            plain += inflater.decompress(data[start : start + 64], size - len(plain) + 1)
        except zlib.error:
            break
        if len(plain) >= size or inflater.eof:
            break
    return plain[:size]


def patch_tiff(data: bytes, name: str, limits: Limits) -> bytes | None:
    """Unreadable strips and tiles marked as absent, which reads as black; pages after a broken one removed.

    Uncompressed data that breaks off is filled up instead.
    """
    patched = bytearray(data)
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        order = file.byteorder
        readable = 0
        for index, page in enumerate(file.pages):
            limits.check_document(index + 1, 0, name)
            if not isinstance(page, tifffile.TiffPage) or not page.dataoffsets:
                break
            check_declared(page, name, limits)
            check_jpeg(page, data, name)
            readable += _patch_page(page, data, patched, order)
    return bytes(patched) if readable else None


def _patch_page(page: Any, data: bytes, patched: bytearray, order: str) -> int:
    """Patch one page's offsets and byte counts; returns how many of its segments can be read."""
    tags = [page.tags.get(code) for code in ((324, 325) if page.is_tiled else (273, 279))]
    if any(tag is None or int(tag.dtype) not in _ITEMS for tag in tags):
        return 0
    readable = 0
    for index, (offset, count) in enumerate(zip(page.dataoffsets, page.databytecounts, strict=False)):
        if int(page.compression) == 1 and offset < len(data) < offset + count:
            missing = offset + count - len(patched)
            patched += bytes(missing if 0 < missing < _most(page) else 0)
            readable += 1
        elif _is_readable(page, data[offset : offset + count], index, whole=offset + count <= len(data)):
            readable += 1
        else:
            for tag in tags:
                item = _ITEMS[int(tag.dtype)]
                struct.pack_into(order + item, patched, tag.valueoffset + index * struct.calcsize(item), 0)
    return readable


def _most(page: Any) -> int:
    """Bytes that all of an uncompressed page can have."""
    return int(page.imagewidth * page.imagelength * page.samplesperpixel * 8) + 1


def _is_readable(page: Any, segment: bytes, index: int, *, whole: bool) -> bool:
    if not whole or not segment:
        return False
    try:
        page.decode(segment, index, jpegtables=page.jpegtables, jpegheader=page.jpegheader)
    except Exception:  # whatever a codec raises on damaged data: this segment is lost
        return False
    return True
