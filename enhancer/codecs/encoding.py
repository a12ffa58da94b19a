"""Documents into files, in the depth and with the metadata that they came with; equal inputs give equal bytes.

Choices made here:

* JPEG: Pillow (libjpeg-turbo), 4:4:4 from quality 90 on, else 4:2:0; baseline, default Huffman tables.
* PNG: libpng at zlib level 3, 8 and 16 bits: on a photograph half the time of level 6, for 17 per cent more bytes.
* WebP: method 4; AVIF: speed 6, 4:4:4 from quality 90 on, grey as monochrome.
* TIFF: :mod:`enhancer.codecs.tiff_writer`.
* `processing` goes into XMP (:func:`enhancer.codecs.xmp.stamp`), the one place that all five formats have.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

import imagecodecs
import numpy as np
from PIL import Image as PillowImage

from enhancer.codecs import exif as exif_patch
from enhancer.codecs import png
from enhancer.codecs import xmp as xmp_patch
from enhancer.codecs.colour import Raster
from enhancer.codecs.formats import CONTENT_TYPES, choose_format, obstacle
from enhancer.codecs.tiff_writer import write_tiff
from enhancer.errors import PictureError, RequestError
from enhancer.image import Document, Image
from enhancer.recipe import OutputOptions

PNG_LEVEL: Final = 3
FULL_CHROMA_QUALITY: Final = 90
"""From this quality on colour is kept at full resolution: below it, subsampling costs less than it saves."""

_SEGMENT: Final = 65_533
_MAX_JPEG_EXIF: Final = _SEGMENT - 6
_MAX_JPEG_XMP: Final = _SEGMENT - 29


@dataclass(frozen=True, slots=True)
class Encoded:
    """A file ready to be stored.

    Attributes:
        data: its bytes.
        format: ``JPEG``, ``PNG``, ``TIFF``, ``WEBP`` or ``AVIF``.
        content_type: its media type.
        warnings: metadata that the format could not take.
    """

    data: bytes
    format: str
    content_type: str
    warnings: tuple[str, ...] = ()


def encode(document: Document, *, options: OutputOptions, processing: str | None = None) -> Encoded:
    """A file of the document, in the format that :func:`~enhancer.codecs.formats.choose_format` names.

    ICC, XMP, EXIF (with the pixel dimensions it states made true and its stale thumbnail unlinked) and DPI go along
    where the format has a place for them; WebP and AVIF have none for DPI.

    Args:
        document: integer pages over their full range; float pages as they are to be stored.
        options: format, quality and lossless.
        processing: what was done, for the XMP of each page.

    Raises:
        RequestError: ``cannot-hold``, where ``options.format`` cannot hold the depth, alpha, size or pages.
        PictureError: ``unwritable``, where the encoder refuses.
    """
    target = choose_format(document, options)
    reason = obstacle(document, target)
    if reason is not None:
        raise RequestError(
            f"{reason}; leave output.format unset to have the format chosen, or ask for "
            f"{'PNG' if obstacle(document, 'PNG') is None else 'TIFF'}",
            reason="cannot-hold",
        )
    warnings: list[str] = []
    document = Document(tuple(_stamped(page, processing, warnings) for page in document.pages))
    try:
        data = _WRITERS[target](document, options, warnings)
    except (OSError, ValueError, RuntimeError, MemoryError) as error:
        raise PictureError(f"the picture cannot be written as {target}: {error}", reason="unwritable") from error
    return Encoded(data=data, format=target, content_type=CONTENT_TYPES[target], warnings=tuple(warnings))


def _stamped(page: Image, processing: str | None, warnings: list[str]) -> Image:
    """The page with its EXIF true for its size and `processing` in its XMP."""
    metadata = page.metadata
    exif = exif_patch.refresh(metadata.exif, page.width, page.height) if metadata.exif else None
    packet = metadata.xmp
    if processing is not None:
        packet = xmp_patch.stamp(metadata.xmp, processing)
        if packet is None:
            warnings.append("the XMP packet is not one that the processing note can be added to; it was left as it is")
            packet = metadata.xmp
    return replace(page, metadata=replace(metadata, exif=exif, xmp=packet))


def _samples(page: Image) -> Raster:
    """H x W (grey) or H x W x 2..4, contiguous, alpha last."""
    samples: Raster = page.pixels
    if page.alpha is not None:
        samples = np.concatenate([page.pixels, page.alpha[..., None]], axis=2)
    if samples.shape[2] == 1:
        samples = samples[..., 0]
    return np.ascontiguousarray(samples)


def _write_png(document: Document, options: OutputOptions, warnings: list[str]) -> bytes:
    page = document.first
    metadata = page.metadata
    bare = bytes(imagecodecs.png_encode(_samples(page), level=PNG_LEVEL))
    return png.insert_metadata(bare, icc=metadata.icc, exif=metadata.exif, xmp=metadata.xmp, dpi=metadata.dpi)


def _write_jpeg(document: Document, options: OutputOptions, warnings: list[str]) -> bytes:
    metadata = document.first.metadata
    exif, packet = metadata.exif, metadata.xmp
    if exif is not None and len(exif) > _MAX_JPEG_EXIF:
        warnings.append(f"EXIF of {len(exif)} bytes does not fit into a JPEG and was left out")
        exif = None
    if packet is not None and len(packet) > _MAX_JPEG_XMP:
        warnings.append(f"XMP of {len(packet)} bytes does not fit into a JPEG and was left out")
        packet = None
    extra: dict[str, Any] = {
        "quality": options.quality,
        "subsampling": "4:4:4" if options.quality >= FULL_CHROMA_QUALITY else "4:2:0",
    }
    if metadata.dpi is not None:
        extra["dpi"] = metadata.dpi
    return _save(document.first, "JPEG", _metadata(metadata.icc, exif and exif_patch.PREFIX + exif, packet) | extra)


def _write_webp(document: Document, options: OutputOptions, warnings: list[str]) -> bytes:
    metadata = document.first.metadata
    # exact: the colour under full transparency is part of the picture.
    extra = {"quality": options.quality, "lossless": options.lossless, "method": 4, "exact": True}
    return _save(document.first, "WEBP", _metadata(metadata.icc, metadata.exif, metadata.xmp) | extra)


def _write_avif(document: Document, options: OutputOptions, warnings: list[str]) -> bytes:
    page = document.first
    metadata = page.metadata
    extra: dict[str, Any] = {"quality": options.quality, "speed": 6}
    if not page.is_grey:
        extra["subsampling"] = "4:4:4" if options.quality >= FULL_CHROMA_QUALITY else "4:2:0"
    # Pillow writes EXIF anew to move its orientation into the container; without one the bytes go through as they are.
    exif = exif_patch.without_orientation(metadata.exif) if metadata.exif is not None else None
    if exif is not None and not _pillow_loads(exif):
        warnings.append("EXIF is malformed and was left out of the AVIF")
        exif = None
    return _save(page, "AVIF", _metadata(metadata.icc, exif, metadata.xmp) | extra)


def _write_tiff(document: Document, options: OutputOptions, warnings: list[str]) -> bytes:
    return write_tiff(document, warnings)


_WRITERS: Final[dict[str, Callable[[Document, OutputOptions, list[str]], bytes]]] = {
    "JPEG": _write_jpeg,
    "PNG": _write_png,
    "TIFF": _write_tiff,
    "WEBP": _write_webp,
    "AVIF": _write_avif,
}


def _metadata(icc: bytes | None, exif: bytes | None, packet: bytes | None) -> dict[str, Any]:
    """Keyword arguments of Pillow's writers; what is None is left out."""
    return {key: value for key, value in (("icc_profile", icc), ("exif", exif), ("xmp", packet)) if value is not None}


def _pillow_loads(exif: bytes) -> bool:
    """Whether Pillow's AVIF writer, which parses EXIF, gets through this block."""
    try:
        PillowImage.Exif().load(exif)
    except (OSError, SyntaxError, TypeError, ValueError, KeyError, IndexError, struct.error):
        return False
    return True


def _save(page: Image, format_name: str, arguments: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    PillowImage.fromarray(_samples(page)).save(buffer, format_name, **arguments)
    return buffer.getvalue()
