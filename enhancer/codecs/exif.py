"""EXIF patched in place: every byte but the few that went stale survives, maker notes and private tags included.

Maker notes hold offsets into the block that only the camera's maker understands, so taking an EXIF block apart and
writing it anew breaks them. These functions change values where they lie; length and layout stay as they were.
Structure: TIFF 6.0 section 2, Exif 2.32 (CIPA DC-008). None of them raises, whatever the bytes are.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, Literal

ByteOrder = Literal["<", ">"]

PREFIX: Final = b"Exif\0\0"
ORIENTATION: Final = 0x0112
X_RESOLUTION: Final = 0x011A
IMAGE_WIDTH: Final = 0x0100
IMAGE_LENGTH: Final = 0x0101
EXIF_IFD: Final = 0x8769
PIXEL_X: Final = 0xA002
PIXEL_Y: Final = 0xA003
INTEROP_IFD: Final = 0xA005
_COLOUR_SPACE: Final = 0xA001
_UNCALIBRATED: Final = 0xFFFF

_INTEGER_FORMATS: Final = {1: "B", 3: "H", 4: "I"}


def strip_prefix(exif: bytes) -> bytes:
    r"""The TIFF structure alone, without the ``Exif\0\0`` that JPEG (and some WebP and PNG writers) put before it."""
    while exif.startswith(PREFIX):
        exif = exif[len(PREFIX) :]
    return exif


def byte_order(exif: bytes) -> ByteOrder | None:
    """``<`` or ``>``, or None where the block is not a TIFF structure."""
    if exif[:4] == b"II*\0":
        return "<"
    if exif[:4] == b"MM\0*":
        return ">"
    return None


def problem(exif: bytes) -> str | None:
    """What is wrong with the block's structure (header, first directory), in words; None where it is sound."""
    order = byte_order(exif)
    if order is None:
        return "EXIF does not begin with a TIFF header"
    first = _first_directory(exif, order)
    if first is None:
        return "EXIF's first directory lies outside the block"
    count = struct.unpack_from(order + "H", exif, first)[0]
    if first + 2 + 12 * count > len(exif):
        return "EXIF's first directory is cut off"
    value = orientation(exif)
    if value is not None and not 1 <= value <= 8:
        return f"EXIF orientation {value} is not one of 1 to 8"
    return None


def orientation(exif: bytes) -> int | None:
    """The first directory's Orientation as found (it may be nonsense), or None where there is none."""
    order = byte_order(exif)
    if order is None:
        return None
    for position, tag, kind in _entries(exif, order, _first_directory(exif, order)):
        if tag == ORIENTATION and kind in _INTEGER_FORMATS:
            return int(struct.unpack_from(order + _INTEGER_FORMATS[kind], exif, position + 8)[0])
    return None


def states_resolution(exif: bytes) -> bool:
    """Whether the first directory holds an XResolution."""
    block = strip_prefix(exif)
    order = byte_order(block)
    if order is None:
        return False
    return any(tag == X_RESOLUTION for _, tag, _ in _entries(block, order, _first_directory(block, order)))


def is_adobe_rgb(exif: bytes) -> bool:
    """Whether the block says that the picture is in Adobe RGB.

    That is the interoperability index R03 with an uncalibrated ColorSpace (Exif 2.32, 4.6.5 and annex A; DCF 2.0), or
    the ColorSpace 2 that some cameras write instead.
    """
    order = byte_order(exif)
    if order is None:
        return False
    space, index = None, b""
    for position, tag, _ in _entries(exif, order, _pointed(exif, order, _first_directory(exif, order), EXIF_IFD)):
        if tag == _COLOUR_SPACE:
            space = int(struct.unpack_from(order + "H", exif, position + 8)[0])
    directory = _pointed(exif, order, _first_directory(exif, order), EXIF_IFD)
    for position, tag, _ in _entries(exif, order, _pointed(exif, order, directory, INTEROP_IFD)):
        if tag == 1:
            index = exif[position + 8 : position + 12]
    return space == 2 or (space in (None, _UNCALIBRATED) and index.startswith(b"R03"))


def _pointed(exif: bytes, order: ByteOrder, directory: int | None, pointer: int) -> int | None:
    """The directory that an entry of another one points to."""
    for position, tag, kind in _entries(exif, order, directory):
        if tag == pointer and kind in (4, 13):
            return int(struct.unpack_from(order + "I", exif, position + 8)[0])
    return None


def with_colour_space(exif: bytes, *, srgb: bool) -> bytes:
    """The block with its ColorSpace true for a picture that was converted: sRGB, or uncalibrated."""
    order = byte_order(exif)
    if order is None:
        return exif
    patched = bytearray(exif)
    directory = _pointed(exif, order, _first_directory(exif, order), EXIF_IFD)
    for position, tag, kind in _entries(exif, order, directory):
        if tag == _COLOUR_SPACE and kind == 3:
            struct.pack_into(order + "H", patched, position + 8, 1 if srgb else _UNCALIBRATED)
    for position, tag, _ in _entries(exif, order, _pointed(exif, order, directory, INTEROP_IFD)):
        if tag == 1 and exif[position + 8 : position + 11] == b"R03":
            patched[position + 8 : position + 11] = b"R98" if srgb else b"R03"
    return bytes(patched)


def reset_orientation(exif: bytes) -> bytes:
    """The block with the first directory's Orientation set to 1, and nothing else changed."""
    order = byte_order(exif)
    if order is None:
        return exif
    patched = bytearray(exif)
    for position, tag, kind in _entries(exif, order, _first_directory(exif, order)):
        if tag == ORIENTATION and kind in _INTEGER_FORMATS:
            struct.pack_into(order + _INTEGER_FORMATS[kind], patched, position + 8, 1)
    return bytes(patched)


def without_orientation(exif: bytes) -> bytes:
    """The block without the first directory's Orientation: the entries after it move up, the length stays.

    For containers that turn pictures themselves (AVIF).
    """
    order = byte_order(exif)
    first = _first_directory(exif, order) if order is not None else None
    if order is None or first is None:
        return exif
    count = struct.unpack_from(order + "H", exif, first)[0]
    end = first + 2 + 12 * count + 4
    rows = [position for position, tag, _ in _entries(exif, order, first) if tag == ORIENTATION]
    if not rows or end > len(exif):
        return exif
    patched = bytearray(exif)
    for position in reversed(rows):
        patched[position:end] = patched[position + 12 : end] + bytes(12)
    struct.pack_into(order + "H", patched, first, count - len(rows))
    return bytes(patched)


def refresh(exif: bytes, width: int, height: int) -> bytes:
    """The block made true for a picture of `width` x `height` pixels.

    Pixel dimensions that it states (ImageWidth, ImageLength, PixelXDimension, PixelYDimension) are set, and the
    directory of the thumbnail, which shows the picture as it was, is unlinked.
    """
    order = byte_order(exif)
    if order is None:
        return exif
    patched = bytearray(exif)
    first = _first_directory(exif, order)
    pointer: int | None = None
    for position, tag, kind in _entries(exif, order, first):
        if tag in (IMAGE_WIDTH, IMAGE_LENGTH):
            _put_dimension(patched, order, position, width if tag == IMAGE_WIDTH else height)
        elif tag == EXIF_IFD and kind in (4, 13):
            pointer = struct.unpack_from(order + "I", exif, position + 8)[0]
    for position, tag, _ in _entries(exif, order, pointer):
        if tag in (PIXEL_X, PIXEL_Y):
            _put_dimension(patched, order, position, width if tag == PIXEL_X else height)
    if first is not None:
        end = first + 2 + 12 * int(struct.unpack_from(order + "H", exif, first)[0])
        if end + 4 <= len(exif):
            struct.pack_into(order + "I", patched, end, 0)
    return bytes(patched)


def _put_dimension(patched: bytearray, order: ByteOrder, position: int, value: int) -> None:
    """Overwrite a single integer; as LONG, which both tags allow and which fits where SHORT stood."""
    struct.pack_into(order + "HII", patched, position + 2, 4, 1, value)


def _first_directory(exif: bytes, order: ByteOrder) -> int | None:
    if len(exif) < 10:
        return None
    offset = int(struct.unpack_from(order + "I", exif, 4)[0])
    return offset if 8 <= offset <= len(exif) - 2 else None


def _entries(exif: bytes, order: ByteOrder, directory: int | None) -> Iterator[tuple[int, int, int]]:
    """(position, tag, type) of each entry of the directory at an offset that lies whole within the block."""
    if directory is None or not 8 <= directory <= len(exif) - 2:
        return
    count = struct.unpack_from(order + "H", exif, directory)[0]
    for index in range(count):
        position = directory + 2 + 12 * index
        if position + 12 > len(exif):
            return
        tag, kind = struct.unpack_from(order + "HH", exif, position)
        yield position, tag, kind
