"""WebP by Pillow's libwebp, method 4."""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from enhancer.codecs.formats.spec import FormatSpec

if TYPE_CHECKING:
    from enhancer.codecs.limits import Limits
    from enhancer.codecs.raster import Found
    from enhancer.image import Document, Metadata
    from enhancer.options import OutputOptions

_KEPT_CHUNKS: Final = frozenset({b"VP8X", b"ICCP", b"ALPH", b"VP8 ", b"VP8L"})
_EXIF_FLAG, _XMP_FLAG = 0x08, 0x04


def _read(data: bytes, name: str, limits: Limits) -> list[Found]:
    from PIL.WebPImagePlugin import WebPImageFile

    from enhancer.codecs.pillow_pictures import read_picture

    pages = read_picture(WebPImageFile, data, name, limits)
    pages[0].lossless = _is_lossless(data)
    return pages


def _is_lossless(data: bytes) -> bool:
    """Whether the (first) picture is a VP8L bitstream (RFC 9649, 2.6)."""
    try:
        chunks = _chunks(data)
    except ValueError:
        return False
    return b"VP8L" in chunks or chunks.get(b"ANMF", b"")[16:20] == b"VP8L"


def _write(document: Document, options: OutputOptions, warnings: list[str]) -> bytes:
    from enhancer.codecs.pillow_pictures import save

    metadata = document.first.metadata
    return save(
        document.first,
        "WEBP",
        icc_profile=metadata.icc,
        exif=metadata.exif,
        xmp=metadata.xmp,
        quality=options.quality,
        lossless=options.lossless or metadata.lossless,
        method=4,
        exact=True,  # the colour under full transparency is part of the picture
    )


def _strip_private(data: bytes, metadata: Metadata, warnings: list[str]) -> bytes | None:
    """WebP container (RFC 9649, 2.7): the flags of VP8X say which chunks there are."""
    from enhancer.codecs import exif as exif_patch
    from enhancer.codecs.private import says_orientation, strip_private

    chunks = _chunks(data)
    if b"ANMF" in chunks:
        return None
    exif = exif_patch.strip_prefix(chunks[b"EXIF"]) if b"EXIF" in chunks else None
    kept = strip_private(replace(metadata, exif=exif, xmp=chunks.get(b"XMP ")), warnings)
    if not says_orientation(kept):
        return None
    body = {kind: chunk for kind, chunk in chunks.items() if kind in _KEPT_CHUNKS}
    if kept.exif is not None:
        body[b"EXIF"] = kept.exif
    if kept.xmp is not None:
        body[b"XMP "] = kept.xmp
    if b"VP8X" in body:
        flags = body[b"VP8X"][0] & ~(_EXIF_FLAG | _XMP_FLAG)
        flags |= (_EXIF_FLAG if b"EXIF" in body else 0) | (_XMP_FLAG if b"XMP " in body else 0)
        body[b"VP8X"] = bytes([flags]) + body[b"VP8X"][1:]
    joined = b"".join(
        kind + struct.pack("<I", len(chunk)) + chunk + b"\0" * (len(chunk) % 2) for kind, chunk in body.items()
    )
    return b"RIFF" + struct.pack("<I", len(joined) + 4) + b"WEBP" + joined


def _chunks(data: bytes) -> dict[bytes, bytes]:
    """Chunks by name, of which the first counts, in their order.

    Raises:
        ValueError: one is cut off.
    """
    found: dict[bytes, bytes] = {}
    position, end = 12, min(len(data), 8 + int(struct.unpack_from("<I", data, 4)[0]))
    while position + 8 <= end:
        kind, size = struct.unpack_from("<4sI", data, position)
        if position + 8 + size > end:
            raise ValueError("a chunk is cut off")
        found.setdefault(kind, data[position + 8 : position + 8 + size])
        position += 8 + size + size % 2
    return found


SPEC: Final = FormatSpec(
    name="WEBP",
    title="WebP",
    recognises=lambda data: data[:4] == b"RIFF" and data[8:12] == b"WEBP",
    read=_read,
    reads="8 bits, alpha; of an animation the first frame",
    strip_private=_strip_private,
    write=_write,
    content_type="image/webp",
    extensions=(".webp",),
    max_side=16_383,  # libwebp's own limit
    keeps=frozenset({"icc", "exif", "xmp"}),
    lossless="on request",
)
