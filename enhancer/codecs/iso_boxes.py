"""ISO base media files (ISO/IEC 14496-12), as far as they distinguish AVIF from HEIF and hold the size."""

from __future__ import annotations

import re
import struct


def brands(data: bytes) -> set[bytes]:
    """Major and compatible brands of an ISO base media file (``ftyp``)."""
    if data[4:8] != b"ftyp":
        return set()
    size = min(struct.unpack_from(">I", data)[0], 256)
    names = data[8:12] + data[16:size]
    return {names[i : i + 4] for i in range(0, len(names), 4)}


def is_avif(data: bytes) -> bool:
    """Whether the brands are AVIF's."""
    return bool({b"avif", b"avis"} & brands(data))


def extents(data: bytes) -> list[tuple[int, int]]:
    """(width, height) of every picture in a HEIF or AVIF, tiles and the whole they make up among them: its image
    spatial extents (ISO/IEC 23008-12, ispe).
    """
    boxes = re.finditer(rb"ispe\0\0\0\0(.{8})", data[: 1 << 16], re.DOTALL)
    return [struct.unpack(">II", match[1]) for match in boxes]


def largest_extent(data: bytes) -> int:
    """Pixels of the largest picture in the file, 0 where none states its size."""
    return max((width * height for width, height in extents(data)), default=0)
