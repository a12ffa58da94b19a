"""JPEG files that lack their end marker and nothing else: whole for every viewer, and for us with a warning."""

from __future__ import annotations

import struct
from typing import Final

import imagecodecs
import numpy as np

_END: Final = b"\xff\xd9"
_NONSENSE: Final = (
    bytes((37 * index + 90) % 255 for index in range(4096)),
    b"\xfe" * 4096,
    b"\xaa" * 4096,
    b"\x49\x92\x24" * 1365,
)
"""Entropy-coded data that no encoder meant, of several beginnings; none holds a marker (0xFF)."""


def missing_end(data: bytes) -> bytes:
    """The bytes that a JPEG lacks at its end though its pixels are all there; none where it ends, or lacks more.

    What comes after the last pixel's code is skipped by a decoder; what comes in place of a pixel is decoded. So the
    pixels are all there exactly if nonsense in place of the end leaves them as they are.
    """
    bare = data.rstrip(b"\0")
    if bare.endswith(_END) or len(bare) != len(data):
        return b""
    lacking = _END[1:] if data.endswith(b"\xff") else _END
    body = data.removesuffix(b"\xff")
    try:
        if not _every_scan_begun(body):
            return b""
        first = imagecodecs.jpeg8_decode(body + _END)
        others = (imagecodecs.jpeg8_decode(body + nonsense + _END) for nonsense in _NONSENSE)
        return lacking if all(np.array_equal(first, other) for other in others) else b""
    except (ValueError, IndexError, struct.error, imagecodecs.Jpeg8Error):
        return b""


def _every_scan_begun(data: bytes) -> bool:
    """Whether scans with the last bit of every coefficient were begun, with all the restart intervals of each."""
    position, frame, interval = 2, None, 0
    least: dict[tuple[int, int], int] = {}
    while position + 4 <= len(data):
        if data[position] != 0xFF:
            return False
        marker, size = data[position + 1], struct.unpack_from(">H", data, position + 2)[0]
        body = data[position + 4 : position + 2 + size]
        if marker in (0xC0, 0xC1, 0xC2):
            frame = body
        elif marker == 0xDD:
            interval = struct.unpack(">H", body)[0]
        position += 2 + size
        if marker == 0xDA and frame is not None:
            count = body[0]
            first, last, bits = body[1 + 2 * count : 4 + 2 * count]
            for part in body[1 : 1 + 2 * count : 2]:
                for coefficient in range(first, last + 1):
                    least[part, coefficient] = bits & 15
            position, restarts = _scan_end(data, position)
            if interval and restarts != _up(_units(frame, body), interval) - 1:
                return False
    if frame is None:
        return False
    parts = frame[6::3][: frame[5]]
    return all(least.get((part, coefficient)) == 0 for part in parts for coefficient in range(64))


def _scan_end(data: bytes, position: int) -> tuple[int, int]:
    """Where the next marker or the end of the data is, and how many restart markers come before it."""
    restarts = 0
    while True:
        position = data.find(b"\xff", position)
        if position < 0 or position + 1 >= len(data):
            return len(data), restarts
        following = data[position + 1]
        if 0xD0 <= following <= 0xD7:
            restarts += 1
        elif following not in (0, 0xFF):
            return position, restarts
        position += 1 if following == 0xFF else 2


def _units(frame: bytes, scan: bytes) -> int:
    """How many units (MCUs) a scan has (ITU-T T.81, A.2)."""
    height, width = struct.unpack_from(">HH", frame, 1)
    factors = {frame[at]: (frame[at + 1] >> 4, frame[at + 1] & 15) for at in range(6, 6 + 3 * frame[5], 3)}
    across, down = max(h for h, _ in factors.values()), max(v for _, v in factors.values())
    if scan[0] == 1:
        own = factors[scan[1]]
        return _up(_up(width * own[0], across), 8) * _up(_up(height * own[1], down), 8)
    return _up(width, 8 * across) * _up(height, 8 * down)


def _up(number: int, divisor: int) -> int:
    return -(-number // divisor)
