"""JPEG 2000 by OpenJPEG (imagecodecs): JP2 files and bare codestreams, grey and RGB of up to 16 bits, with alpha.

The codestream's header (ISO/IEC 15444-1, A.5.1) is read first: nothing is decoded that is too large, and nothing whose
components differ, which the rest of this package has no use for.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from enhancer.codecs.formats.spec import FormatSpec
from enhancer.errors import PictureError

if TYPE_CHECKING:
    from enhancer.codecs.limits import Limits
    from enhancer.codecs.raster import Found

CODESTREAM: Final = b"\xff\x4f\xff\x51"
_SRGB, _GREY = 16, 17
_XMP_UUID: Final = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
_EXIF_UUID: Final = b"JpgTiffExif->JP2"
_MAX_TILES: Final = 65_535
"""ISO/IEC 15444-1, A.4.2: tile indices have 16 bits."""


@dataclass(slots=True)
class _Boxes:
    """What the boxes around the codestream say."""

    codestream: int = -1
    icc: bytes | None = None
    space: int | None = None
    palette: bool = False
    exif: bytes | None = None
    xmp: bytes | None = None


def _read(data: bytes, name: str, limits: Limits) -> list[Found]:
    """The picture of a JPEG 2000 file.

    Raises:
        PictureError: limits, ``truncated``, ``corrupt`` or ``unsupported``.
        Exception: what OpenJPEG's binding raises on damaged data.
    """
    import imagecodecs

    from enhancer.codecs.colour import widen
    from enhancer.codecs.raster import split

    boxes = _Boxes(codestream=0) if data.startswith(CODESTREAM) else _read_boxes(data)
    if boxes.codestream < 0:
        raise PictureError(f"{name}: the JPEG 2000 file holds no codestream", reason="truncated")
    bits, count = _read_size(data, boxes.codestream, name, limits)
    if boxes.palette or boxes.space not in (None, _SRGB, _GREY):
        raise _unsupported("a palette" if boxes.palette else f"colour space {boxes.space}", name)
    samples = imagecodecs.jpeg2k_decode(data[boxes.codestream :])
    if samples.ndim == 3 and samples.shape[2] != count:
        raise PictureError(f"{name}: the JPEG 2000 does not hold the components it states", reason="corrupt")
    found = split(widen(samples, bits))
    found.mode = {1: "L", 2: "LA", 3: "RGB", 4: "RGBA"}[count] + (f";{bits}" if bits > 8 else "")
    found.bit_depth = bits
    found.icc, found.exif, found.xmp = boxes.icc, boxes.exif, boxes.xmp
    return [found]


def _read_size(data: bytes, start: int, name: str, limits: Limits) -> tuple[int, int]:
    """(bits per sample, components) of the SIZ segment, which stands first in a codestream."""
    if len(data) < start + 42:
        raise PictureError(f"{name}: the JPEG 2000 ends within its header", reason="truncated")
    if data[start : start + 4] != CODESTREAM:
        raise PictureError(f"{name}: the JPEG 2000 codestream does not begin with its size", reason="corrupt")
    right, bottom, left, top, tile_width, tile_height = struct.unpack_from(">6I", data, start + 8)
    count = struct.unpack_from(">H", data, start + 40)[0]
    width, height = right - left, bottom - top
    limits.check_size(width, height, name)
    if not tile_width or not tile_height or -(-right // tile_width) * -(-bottom // tile_height) > _MAX_TILES:
        raise PictureError(f"{name}: the JPEG 2000 has tiles of {tile_width} x {tile_height} pixels", reason="corrupt")
    components = [data[start + 42 + 3 * index : start + 45 + 3 * index] for index in range(count)]
    if count not in (1, 2, 3, 4) or len(set(components)) != 1:
        raise _unsupported(f"{count} components, not all alike" if count <= 4 else f"{count} components", name)
    depth, step_x, step_y = components[0]
    bits = (depth & 0x7F) + 1
    if depth & 0x80 or bits > 16 or (step_x, step_y) != (1, 1):
        kind = ("signed " if depth & 0x80 else "") + ("subsampled " if (step_x, step_y) != (1, 1) else "")
        raise _unsupported(f"{kind}{bits}-bit components", name)
    return bits, count


def _unsupported(what: str, name: str) -> PictureError:
    return PictureError(
        f"{name}: a JPEG 2000 with {what} is not supported; convert it to PNG or TIFF first", reason="unsupported"
    )


def _read_boxes(data: bytes) -> _Boxes:
    found = _Boxes()
    for kind, start, end in _walk(data, 0, len(data)):
        if kind == b"jp2c":
            found.codestream = start
            break
        if kind == b"uuid" and data[start : start + 16] == _XMP_UUID:
            found.xmp = data[start + 16 : end]
        elif kind == b"uuid" and data[start : start + 16] == _EXIF_UUID:
            found.exif = data[start + 16 : end]
        elif kind == b"jp2h":
            _read_header(data, start, end, found)
    return found


def _read_header(data: bytes, start: int, end: int, found: _Boxes) -> None:
    """Profile or enumerated space of the first ``colr`` box (ISO/IEC 15444-1, I.5.3.3), and any palette."""
    for kind, at, until in _walk(data, start, end):
        found.palette |= kind == b"pclr"
        if kind == b"colr" and until - at >= 7 and found.space is None and found.icc is None:
            if data[at] == 1:
                found.space = struct.unpack_from(">I", data, at + 3)[0]
            elif data[at] in (2, 3):
                found.icc = data[at + 3 : until]


def _walk(data: bytes, position: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """(type, start, end) of the contents of each box; the last may be cut off or of open length."""
    while position + 8 <= end:
        size, kind = struct.unpack_from(">I4s", data, position)
        start = position + 8
        if size == 1:
            if position + 16 > end:
                return
            size = struct.unpack_from(">Q", data, position + 8)[0]
            start += 8
        stop = end if size == 0 else position + size
        if stop < start:
            return
        yield kind, start, min(stop, end)
        position = stop


SPEC: Final = FormatSpec(
    name="JPEG2000",
    title="JPEG 2000",
    recognises=lambda data: data.startswith((b"\0\0\0\x0cjP  ", CODESTREAM)),
    read=_read,
    reads="1 to 16 bits, grey, RGB, alpha",
)
