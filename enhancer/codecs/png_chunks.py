"""PNG chunks (W3C PNG 3rd edition): read apart from pixels, and put into a file that an encoder made.

Pillow gives 8 bits for 16-bit RGB PNG, and no PNG library keeps every metadata chunk; so metadata is handled here and
pixel decoders get a file of critical chunks only. A broken text or profile chunk thus never costs a picture.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final

from enhancer.codecs.exif import strip_prefix
from enhancer.codecs.iptc import HEADER, from_resources, to_resources
from enhancer.errors import PictureError

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
GREY, RGB, PALETTE, GREY_ALPHA, RGB_ALPHA = 0, 2, 3, 4, 6

_MAX_METADATA: Final = 64 << 20
"""Bound of one decompressed profile or text: a compressed metadata chunk can be a bomb as well."""
_XMP_KEYWORD: Final = b"XML:com.adobe.xmp"
_INCHES_PER_METRE: Final = 39.37007874015748
_ALLOWED_DEPTHS: Final = {
    GREY: (1, 2, 4, 8, 16),
    RGB: (8, 16),
    PALETTE: (1, 2, 4, 8),
    GREY_ALPHA: (8, 16),
    RGB_ALPHA: (8, 16),
}


@dataclass(frozen=True, slots=True)
class Header:
    """IHDR: `depth` is bits per sample (of the index, for palettes)."""

    width: int
    height: int
    depth: int
    colour: int


@dataclass(slots=True)
class Chunks:
    """A PNG taken apart: `critical` is a PNG without metadata; the rest is what the metadata said.

    `transparency` is the body of tRNS; in `critical` that chunk stands for palettes only, because decoders disagree on
    how a transparent grey of less than 8 bits is meant.
    """

    critical: bytes = b""
    transparency: bytes | None = None
    icc: bytes | None = None
    exif: bytes | None = None
    xmp: bytes | None = None
    iptc: bytes | None = None
    dpi: tuple[float, float] | None = None
    code_points: tuple[int, int] | None = None
    full_range: bool = True
    srgb: bool = False
    gamma: float | None = None
    chromaticities: tuple[float, ...] | None = None
    texts: list[tuple[bytes, bytes]] = field(default_factory=list)
    animated: bool = False
    warnings: list[str] = field(default_factory=list)


def read_header(data: bytes, name: str) -> Header:
    """The header, from the first 33 bytes.

    Raises:
        PictureError: ``truncated`` or ``corrupt``.
    """
    if len(data) < 33:
        raise PictureError(f"{name}: the PNG ends within its header", reason="truncated")
    if data[12:16] == b"CgBI":
        raise PictureError(
            f"{name}: a PNG in Apple's own variant (CgBI, as Xcode packs it into apps) is not supported; take the PNG "
            "from the app's sources, or convert it with Xcode's pngcrush -revert-iphone-optimizations",
            reason="unsupported",
        )
    if data[8:16] != b"\0\0\0\x0dIHDR":
        raise PictureError(f"{name}: the PNG does not begin with a header chunk", reason="corrupt")
    width, height, depth, colour = struct.unpack_from(">IIBB", data, 16)
    if depth not in _ALLOWED_DEPTHS.get(colour, ()):
        raise PictureError(f"{name}: PNG colour type {colour} with {depth} bits does not exist", reason="corrupt")
    return Header(width, height, depth, colour)


def take_apart(data: bytes, name: str) -> Chunks:
    """Metadata and critical chunks of a PNG.

    Raises:
        PictureError: ``truncated`` where the end chunk is missing.
    """
    found = Chunks()
    critical = [SIGNATURE]
    for kind, body, whole in _walk(data, name):
        if kind in (b"IHDR", b"PLTE", b"IDAT", b"IEND"):
            critical.append(whole)
        elif kind == b"tRNS":
            found.transparency = body
            if data[25] == PALETTE:
                critical.append(whole)
        elif kind == b"acTL":
            found.animated = True
        else:
            try:
                _read_metadata(kind, body, found)
            except (ValueError, IndexError, struct.error, zlib.error) as error:
                found.warnings.append(f"PNG chunk {kind.decode('latin-1')} is not readable and was dropped: {error}")
    found.critical = b"".join(critical)
    return found


def insert_metadata(
    data: bytes,
    *,
    icc: bytes | None = None,
    exif: bytes | None = None,
    xmp: bytes | None = None,
    iptc: bytes | None = None,
    dpi: tuple[float, float] | None = None,
    texts: Iterable[tuple[bytes, bytes]] = (),
) -> bytes:
    """`data` (a PNG from an encoder) with iCCP, pHYs, eXIf and iTXt chunks after its header.

    PNG has no chunk for IPTC: it goes the way of ImageMagick, which ExifTool reads too.
    """
    extra = bytearray()
    if icc is not None:
        extra += chunk(b"iCCP", b"ICC Profile\0\0" + zlib.compress(icc, 9))
    if dpi is not None:
        x, y = (round(value * _INCHES_PER_METRE) for value in dpi)
        extra += chunk(b"pHYs", struct.pack(">IIB", x, y, 1))
    if exif is not None:
        extra += chunk(b"eXIf", exif)
    if xmp is not None:
        extra += chunk(b"iTXt", _XMP_KEYWORD + b"\0\0\0\0\0" + xmp)
    if iptc is not None:
        resources = to_resources(iptc).removeprefix(HEADER)
        text = f"\niptc\n{len(resources):8d}\n{resources.hex()}\n".encode()
        extra += chunk(b"zTXt", b"Raw profile type iptc\0\0" + zlib.compress(text, 9))
    for kind, body in texts:
        extra += chunk(kind, body)
    return data[:33] + bytes(extra) + data[33:]


def _walk(data: bytes, name: str) -> Iterator[tuple[bytes, bytes, bytes]]:
    """(type, body, whole chunk) up to and with IEND."""
    position = len(SIGNATURE)
    while position + 12 <= len(data):
        length = struct.unpack_from(">I", data, position)[0]
        kind = data[position + 4 : position + 8]
        end = position + 12 + length
        if end > len(data):
            break
        yield kind, data[position + 8 : end - 4], data[position:end]
        if kind == b"IEND":
            return
        position = end
    raise PictureError(f"{name}: the PNG ends before its last chunk; fetch or export it again", reason="truncated")


def _read_metadata(kind: bytes, body: bytes, found: Chunks) -> None:
    if kind == b"iCCP":
        _, rest = body.split(b"\0", 1)
        found.icc = _inflate(rest[1:])
    elif kind in (b"cICP", b"sRGB", b"gAMA", b"cHRM"):
        _read_colour(kind, body, found)
    elif kind == b"eXIf":
        found.exif = strip_prefix(body)
    elif kind == b"pHYs":
        x, y, unit = struct.unpack(">IIB", body)
        if unit == 1 and x and y:
            found.dpi = (x / _INCHES_PER_METRE, y / _INCHES_PER_METRE)
    elif kind == b"tIME":
        found.texts.append((kind, body))
    else:
        _read_text(kind, body, found)


def _read_text(kind: bytes, body: bytes, found: Chunks) -> None:
    """XMP and ImageMagick's profiles out of text chunks; any other text is kept as it is."""
    if kind not in (b"iTXt", b"zTXt", b"tEXt"):
        return
    keyword, rest = body.split(b"\0", 1)
    if kind == b"iTXt" and keyword == _XMP_KEYWORD:
        text = rest[2:].split(b"\0", 2)[2]
        found.xmp = _inflate(text) if rest[0] else text
    elif kind != b"iTXt" and keyword.startswith(b"Raw profile type "):
        _read_raw_profile(keyword[17:], _inflate(rest[1:]) if kind == b"zTXt" else rest, found)
    else:
        found.texts.append((kind, body))


def _read_colour(kind: bytes, body: bytes, found: Chunks) -> None:
    if kind == b"cICP":
        primaries, transfer, _, full_range = struct.unpack(">4B", body)
        found.code_points, found.full_range = (primaries, transfer), bool(full_range)
    elif kind == b"gAMA":
        found.gamma = struct.unpack(">I", body)[0] / 100_000
    elif kind == b"cHRM":
        found.chromaticities = tuple(value / 100_000 for value in struct.unpack(">8I", body))
    else:
        found.srgb = True


def _read_raw_profile(kind: bytes, text: bytes, found: Chunks) -> None:
    """ImageMagick's way, older than the eXIf chunk: name, length and hexadecimal digits as text."""
    if kind not in (b"exif", b"APP1", b"xmp", b"iptc"):
        return
    match = re.fullmatch(rb"\s*\S+\s+\d+\s+([0-9a-fA-F\s]*)", text)
    if match is None:
        raise ValueError("not ImageMagick's profile text")
    profile = bytes.fromhex(match[1].decode("ascii"))
    if kind == b"xmp":
        found.xmp = found.xmp or profile
    elif kind == b"iptc":
        found.iptc = from_resources(profile)
    elif profile.startswith(b"Exif\0\0"):
        found.exif = found.exif or strip_prefix(profile)


def _inflate(data: bytes) -> bytes:
    inflater = zlib.decompressobj()
    plain = inflater.decompress(data, _MAX_METADATA)
    if inflater.unconsumed_tail:
        raise ValueError(f"it grows beyond {_MAX_METADATA} bytes")
    if not inflater.eof:
        raise ValueError("its compressed data is cut off")
    return plain


def chunk(kind: bytes, body: bytes) -> bytes:
    """A chunk with its length and checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
