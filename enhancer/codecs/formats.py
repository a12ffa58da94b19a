"""Formats: told from content, chosen for a result, and named in keys. Free of imaging libraries."""

from __future__ import annotations

import struct
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from enhancer.image import Document
    from enhancer.options import OutputOptions

WRITABLE: Final = ("JPEG", "PNG", "TIFF", "WEBP", "AVIF")

CONTENT_TYPES: Final = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "TIFF": "image/tiff",
    "WEBP": "image/webp",
    "AVIF": "image/avif",
}

EXTENSIONS: Final = {
    "JPEG": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "PNG": (".png",),
    "TIFF": (".tif", ".tiff"),
    "WEBP": (".webp",),
    "AVIF": (".avif",),
}
"""Extensions of each writable format, the one that new keys get first."""

MAX_SIDE: Final = {"JPEG": 65_500, "WEBP": 16_383, "AVIF": 16_384}
"""Longest side in pixels: libjpeg's and libwebp's own limits, and the AVIF advanced profile's."""

_SIGNATURES: Final = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"\0\0\0\x0cjP  ", "JPEG2000"),
    (b"\xff\x4f\xff\x51", "JPEG2000"),
)

_FOREIGN: Final = (
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"\xff\x0a", "JPEG XL"),
    (b"8BPS", "Photoshop"),
    (b"%!PS", "PostScript"),
    (b"\xc5\xd0\xd3\xc6", "PostScript"),
    (b"%PDF", "PDF"),
    (b"\0\0\1\0", "Windows icon"),
    (b"icns", "Apple icon"),
    (b"v/1\x01", "OpenEXR"),
    (b"DDS ", "DirectDraw surface"),
    (b"BLP", "Blizzard texture"),
    (b"\x01\xda", "SGI"),
)
"""Pictures that are known and not read: the error can say what the file is."""

_BMP_HEADER_SIZES: Final = frozenset({12, 16, 40, 52, 56, 64, 108, 124})


def sniff(data: bytes) -> str | None:
    """The format of a file by its first bytes, never by its name.

    Returns:
        ``JPEG``, ``PNG``, ``TIFF``, ``WEBP``, ``AVIF``,
        ``BMP``, ``GIF``, ``JPEG2000``, ``HEIF`` or ``DICOM``, or None for anything else.
    """
    for signature, name in _SIGNATURES:
        if data.startswith(signature):
            return name
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[:2] == b"BM" and len(data) >= 18 and struct.unpack_from("<I", data, 14)[0] in _BMP_HEADER_SIZES:
        return "BMP"
    brands = _iso_brands(data)
    if {b"avif", b"avis"} & brands:
        return "AVIF"
    if {b"heic", b"heix", b"hevc", b"mif1"} & brands:
        return "HEIF"
    return "DICOM" if data[128:132] == b"DICM" else None


def foreign_format(data: bytes) -> str | None:
    """The name of a picture format that is recognised but not read, or None."""
    for signature, name in _FOREIGN:
        if data.startswith(signature):
            return name
    return None


def _iso_brands(data: bytes) -> set[bytes]:
    """Major and compatible brands of an ISO base media file (ISO/IEC 14496-12, ``ftyp``)."""
    if data[4:8] != b"ftyp":
        return set()
    size = min(struct.unpack_from(">I", data)[0], 256)
    brands = data[8:12] + data[16:size]
    return {brands[i : i + 4] for i in range(0, len(brands), 4)}


def obstacle(document: Document, target: str) -> str | None:
    """Why `target` cannot hold the document without loss of depth, alpha or pages; None where it can."""
    if target == "TIFF":
        return None
    if len(document.pages) > 1:
        return f"{target} holds one page, the document has {len(document.pages)}"
    page = document.first
    longest = MAX_SIDE.get(target)
    reason = None
    if page.pixels.dtype == np.float32:
        reason = f"{target} cannot hold floating-point samples"
    elif page.pixels.dtype == np.uint16 and target != "PNG":
        reason = f"{target} is written with 8 bits per sample, the picture has 16"
    elif page.alpha is not None and target == "JPEG":
        reason = "JPEG cannot hold transparency"
    elif longest is not None and max(page.width, page.height) > longest:
        reason = f"{target} ends at {longest} pixels a side, the picture is {page.width} x {page.height}"
    return reason


def choose_format(document: Document, options: OutputOptions) -> str:
    """The format to encode in.

    Returns:
        ``options.format`` where it is given (:func:`enhancer.codecs.encode` refuses it if it cannot hold the picture);
        else the input's format where that can be written and can hold the picture; else PNG, or TIFF for 16 bits,
        floats and several pages.
    """
    if options.format is not None:
        return options.format
    source = document.first.metadata.format
    if source in WRITABLE and obstacle(document, source) is None:
        return source
    if len(document.pages) == 1 and document.first.pixels.dtype == np.uint8:
        return "PNG"
    return "TIFF"


def target_key(key: str, source_format: str | None, output_format: str) -> str:
    """The key of the enhanced twin.

    Unchanged where the format stays; else the new extension is appended (``a.bmp`` to ``a.bmp.png``), so that ``a.bmp``
    and ``a.gif`` never collide. Without a `source_format` the key's extension stands for it.
    """
    if source_format is not None:
        stays = source_format == output_format
    else:
        stays = PurePosixPath(key).suffix.lower() in EXTENSIONS[output_format]
    return key if stays else key + EXTENSIONS[output_format][0]
