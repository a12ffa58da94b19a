"""The privacy switch on a picture that is otherwise left alone: its file with other metadata, not encoded once more.

JPEG and WebP lose by being encoded again, and here they are not: the compressed picture is copied. PNG and TIFF are
encoded anew without loss, AVIF with it (its metadata is spread over an index that only an encoder writes).
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from enhancer.codecs import exif as exif_patch
from enhancer.codecs import jpeg_segments
from enhancer.codecs import xmp as xmp_patch
from enhancer.codecs.private import strip_private
from enhancer.image import Metadata

_KEPT_CHUNKS: Final = frozenset({b"VP8X", b"ICCP", b"ALPH", b"VP8 ", b"VP8L"})
_EXIF_FLAG, _XMP_FLAG = 0x08, 0x04


def without_private(data: bytes, metadata: Metadata, warnings: list[str]) -> bytes | None:
    """The file without what :mod:`enhancer.codecs.private` lists, the compressed picture bit by bit as it was.

    Comments, thumbnails, previews and unknown parts go too: what they hold cannot be told.

    Args:
        data: a file that was decoded without error.
        metadata: of the picture in it.
        warnings: gets the blocks that had to go whole.

    Returns:
        None where that cannot be done: another format, a stream that only a lenient decoder reads, an animation, or a
        turned picture of which no readable metadata would say so any more.
    """
    way = _WAYS.get(metadata.format or "")
    said: list[str] = []
    try:
        result = way(data, metadata, said) if way is not None else None
    except ValueError:
        return None
    if result is not None:
        warnings += said
    return result


def _strip_jpeg(data: bytes, metadata: Metadata, warnings: list[str]) -> bytes | None:
    parts = jpeg_segments.take_apart(data)
    exif = exif_patch.strip_prefix(parts.exif) if parts.exif is not None else None
    kept = strip_private(replace(metadata, exif=exif, xmp=parts.xmp, iptc=parts.iptc), warnings)
    if not _says_orientation(kept):
        return None
    parts.exif, parts.xmp, parts.iptc = kept.exif, kept.xmp, kept.iptc
    return jpeg_segments.put_together(parts, warnings)


def _strip_webp(data: bytes, metadata: Metadata, warnings: list[str]) -> bytes | None:
    """WebP container (RFC 9649, 2.7): the flags of VP8X say which chunks there are."""
    chunks = _chunks(data)
    if b"ANMF" in chunks:
        return None
    exif = exif_patch.strip_prefix(chunks[b"EXIF"]) if b"EXIF" in chunks else None
    kept = strip_private(replace(metadata, exif=exif, xmp=chunks.get(b"XMP ")), warnings)
    if not _says_orientation(kept):
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


def _says_orientation(metadata: Metadata) -> bool:
    """Whether EXIF or XMP still says how the picture is to be turned (``metadata.orientation``, as decoded)."""
    said = exif_patch.orientation(metadata.exif) if metadata.exif is not None else None
    if said is None and metadata.xmp is not None:
        said = xmp_patch.orientation(metadata.xmp)
    return (said if said is not None and 1 <= said <= 8 else 1) == metadata.orientation


_WAYS: Final[dict[str, Callable[[bytes, Metadata, list[str]], bytes | None]]] = {
    "JPEG": _strip_jpeg,
    "WEBP": _strip_webp,
}
