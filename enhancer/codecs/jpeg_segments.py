"""The segments of a JPEG stream (ITU-T T.81 B.1, B.2): metadata put into one that an encoder made, and a finished file
taken apart and put together with other metadata, its picture untouched.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from enhancer.codecs import iptc, xmp_extension
from enhancer.codecs.exif import PREFIX

MAX_SEGMENT: Final = 65_533
"""Bytes that one segment holds after its length (ITU-T T.81 B.1.1.4)."""
XMP_PREFIX: Final = b"http://ns.adobe.com/xap/1.0/\0"
ICC_PREFIX: Final = b"ICC_PROFILE\0"
_SOI: Final = b"\xff\xd8"
_SOI_AND_JFIF: Final = 20
_APP0, _APP1, _APP2, _APP13, _APP14, _APP15, _COMMENT, _SOS, _EOI = 0xE0, 0xE1, 0xE2, 0xED, 0xEE, 0xEF, 0xFE, 0xDA, 0xD9
_PADDING: Final = 64
"""Bytes that may stand after a picture without being worth a word."""
_STANDALONE: Final = frozenset({0x01, *range(0xD0, 0xD8)})


@dataclass(slots=True)
class TakenApart:
    """A JPEG file without its metadata, and that.

    Attributes:
        header: its JFIF segment, where it has one.
        colour: its ICC and Adobe segments, which say what the samples mean.
        picture: tables, frames and scans, from the first of them to the end of the image.
        exif: without its prefix.
        xmp: one packet, its extension joined.
        iptc: IIM record.
    """

    header: bytes = b""
    colour: bytes = b""
    picture: bytes = b""
    exif: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    extensions: list[bytes] = field(default_factory=list)


def insert_metadata(
    bare: bytes,
    *,
    icc: bytes | None = None,
    exif: bytes | None = None,
    xmp: bytes | None = None,
    iptc: bytes | None = None,
    dpi: tuple[float, float] | None = None,
    comments: Iterable[bytes] = (),
    warnings: list[str],
) -> bytes:
    """`bare` (a JFIF stream from an encoder) with metadata segments after its JFIF header.

    EXIF and XMP go into APP1, IPTC into APP13, the profile into as many APP2 as it needs (ICC.1:2022, B.4). What does
    not fit into its segment is left out, which `warnings` then says.
    """
    if bare[:4] != b"\xff\xd8\xff\xe0" or bare[6:11] != b"JFIF\0":
        raise ValueError("the encoder wrote no JFIF header")
    header = bytearray(bare[:_SOI_AND_JFIF])
    if dpi is not None:
        x, y = (min(max(round(value), 1), 65_535) for value in dpi)
        struct.pack_into(">BHH", header, 13, 1, x, y)
    segments = _described(exif, xmp, iptc, warnings)
    segments += [_segment(_COMMENT, comment) for comment in comments if len(comment) <= MAX_SEGMENT]
    if icc is not None:
        step = MAX_SEGMENT - len(ICC_PREFIX) - 2
        parts = [icc[start : start + step] for start in range(0, len(icc), step)]
        if len(parts) > 255:
            warnings.append(f"a profile of {len(icc)} bytes does not fit into a JPEG and was left out")
            parts = []
        segments += [
            _segment(_APP2, ICC_PREFIX + bytes([number, len(parts)]) + part)
            for number, part in enumerate(parts, start=1)
        ]
    return bytes(header) + b"".join(segments) + bare[_SOI_AND_JFIF:]


def take_apart(data: bytes) -> TakenApart:
    """A JPEG file in parts; comments, other application segments and what follows the image are left out.

    Raises:
        ValueError: the stream is not a sound sequence of segments, or its metadata is damaged.
    """
    found, picture = TakenApart(), bytearray()
    for marker, start, body, stop in _segments(data):
        whole = data[start:stop]
        if marker == _APP0 and data[body:].startswith(b"JFIF\0") and not found.header:
            # The header alone: a thumbnail may follow it in the segment.
            found.header = _segment(_APP0, data[body : body + 12] + b"\0\0")
        elif marker == _APP1:
            _take_app1(data[body:stop], found)
        elif marker == _APP2 and data[body:].startswith(ICC_PREFIX):
            found.colour += whole
        elif marker == _APP13 and found.iptc is None:
            found.iptc = iptc.from_resources(data[body:stop])
        elif marker == _APP14 and data[body:].startswith(b"Adobe"):
            found.colour += whole
        elif not _APP0 <= marker <= _APP15 and marker != _COMMENT:
            picture += whole
    if found.extensions and found.xmp is not None:
        found.xmp = xmp_extension.join(found.xmp, found.extensions)
    found.picture = bytes(picture)
    return found


def put_together(parts: TakenApart, warnings: list[str]) -> bytes:
    """The file of :func:`take_apart` again, with whatever its metadata is by now."""
    described = b"".join(_described(parts.exif, parts.xmp, parts.iptc, warnings))
    return _SOI + parts.header + described + parts.colour + parts.picture


def attachments(data: bytes, index: bytes | None) -> tuple[str, ...]:
    """What further files a JPEG file holds after its picture, in words.

    Args:
        data: the whole file.
        index: the body of its MPF segment (CIPA DC-007), where it has one.
    """
    try:
        end = [stop for *_, stop in _segments(data)][-1]
    except ValueError:  # damaged, or without an end: nothing can follow it
        return ()
    trailer = data[end:]
    rest = trailer.lstrip(b"\0\r\n")
    found = []
    if index is not None:
        found.append("the further pictures of an MPO")
    if trailer[4:8] == b"ftyp":
        found.append("a video")
    elif rest.startswith(_SOI):
        found.append("a second picture")
    elif len(rest) > _PADDING:
        found.append(f"{len(rest)} bytes after the picture")
    return tuple(found)


def _take_app1(body: bytes, found: TakenApart) -> None:
    """EXIF (in several segments, where it is large, as Pillow reads it), XMP or a part of its extension."""
    if body.startswith(PREFIX):
        found.exif = (found.exif or b"") + body[len(PREFIX) :]
    elif body.startswith(XMP_PREFIX):
        found.xmp = body[len(XMP_PREFIX) :]
    elif body.startswith(xmp_extension.SIGNATURE):
        found.extensions.append(body)


def _segments(data: bytes) -> Iterator[tuple[int, int, int, int]]:
    """(marker, start, start of the body, end) of each segment up to the end of the image; a scan's goes with it."""
    position = len(_SOI)
    while True:
        start = position
        if position + 2 > len(data) or data[position] != 0xFF:
            raise ValueError("no marker where one must be")
        while position + 1 < len(data) and data[position + 1] == 0xFF:
            position += 1
        marker = data[position + 1] if position + 1 < len(data) else 0
        body = position + 2
        if marker in _STANDALONE or marker == _EOI:
            yield marker, start, body, body
            position = body
            if marker == _EOI:
                return
            continue
        if body + 2 > len(data):
            raise ValueError("a segment is cut off")
        position = body + int(struct.unpack_from(">H", data, body)[0])
        if position > len(data) or position < body + 2:
            raise ValueError("a segment is cut off")
        if marker == _SOS:
            position = _scan_end(data, position)
        yield marker, start, body + 2, position


def _scan_end(data: bytes, position: int) -> int:
    """Where the entropy-coded data ends: at the next marker that is neither a restart nor a stuffed zero."""
    while True:
        position = data.find(b"\xff", position)
        if position < 0 or position + 1 >= len(data):
            raise ValueError("the image does not end")
        if data[position + 1] == 0 or 0xD0 <= data[position + 1] <= 0xD7:
            position += 2
        elif data[position + 1] == 0xFF:
            position += 1
        else:
            return position


def _described(exif: bytes | None, xmp: bytes | None, record: bytes | None, warnings: list[str]) -> list[bytes]:
    """Segments of the metadata."""
    segments = []
    for name, marker, block in (
        ("EXIF", _APP1, PREFIX + exif if exif is not None else None),
        ("XMP", _APP1, XMP_PREFIX + xmp if xmp is not None else None),
        ("IPTC", _APP13, iptc.to_resources(record) if record is not None else None),
    ):
        if block is None:
            continue
        if len(block) <= MAX_SEGMENT:
            segments.append(_segment(marker, block))
            continue
        parts = _extended(xmp) if name == "XMP" and xmp is not None else []
        if not parts:
            warnings.append(f"{name} of {len(block)} bytes does not fit into a JPEG and was left out")
        segments += parts
    return segments


def _extended(packet: bytes) -> list[bytes]:
    """The segments of a packet that is too large for one; none where it cannot be split."""
    try:
        main, rest = xmp_extension.split(packet, MAX_SEGMENT - len(XMP_PREFIX))
    except ValueError:
        return []
    return [_segment(_APP1, XMP_PREFIX + main), *(_segment(_APP1, body) for body in rest)]


def _segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body
