"""Documents into files, in the depth and with the metadata that they came with; equal inputs give equal bytes.

Choices made here:

* JPEG: imagecodecs' libjpeg-turbo, without Pillow's copies of the picture; 4:4:4 from quality 90 on, else 4:2:0;
  baseline, default Huffman tables.
* PNG: Paeth filter and run lengths instead of zlib's search for matches, which photographs do not repay: a seventh of
  the time of Pillow's default at the same size. Drawings and text, where matches pay, get zlib level 3.
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
from enhancer.codecs.colour import Raster, convert_space
from enhancer.codecs.conversion import convertible, fit
from enhancer.codecs.formats import CONTENT_TYPES, choose_format, obstacle
from enhancer.codecs.jpeg_segments import insert_metadata
from enhancer.codecs.private import strip_private
from enhancer.codecs.profiles import profile_for
from enhancer.codecs.tiff_writer import write_tiff
from enhancer.errors import PictureError, RequestError
from enhancer.image import Document, Image
from enhancer.options import OutputOptions

PNG_LEVEL: Final = 3
PNG_BAND: Final = 64
PNG_WORTH: Final = 1.25
"""Times the size of zlib's level 3 that the fast way may have."""
FULL_CHROMA_QUALITY: Final = 90
"""From this quality on colour is kept at full resolution: below it, subsampling costs less than it saves."""

_NO_IPTC: Final = ("WEBP", "AVIF")


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
    where the format has a place for them; WebP and AVIF have none for DPI and IPTC.

    Args:
        document: integer pages over their full range; float pages as they are to be stored.
        options: format, quality, and what to convert and leave out. In this order: colour space, then what the format
            cannot hold (:func:`enhancer.codecs.conversion.fit`), then privacy (:mod:`enhancer.codecs.private`).
        processing: what was done, for the XMP of each page.

    Raises:
        RequestError: ``cannot-hold``, where ``options.format`` cannot hold the depth, alpha, size or pages.
        PictureError: ``unwritable``, where the encoder refuses.
    """
    target = choose_format(document, options)
    warnings: list[str] = []
    document = _as_asked(document, target, options, warnings)
    reason = obstacle(document, target)
    if reason is not None:
        converting = ", or set output.convert" if convertible(document, target) and not options.convert else ""
        raise RequestError(
            f"{reason}; leave output.format unset to have the format chosen, or ask for "
            f"{'PNG' if obstacle(document, 'PNG') is None else 'TIFF'}{converting}",
            reason="cannot-hold",
        )
    document = Document(tuple(_stamped(page, processing, warnings) for page in document.pages))
    try:
        data = _WRITERS[target](document, options, warnings)
    except (OSError, ValueError, RuntimeError, MemoryError) as error:
        raise PictureError(f"the picture cannot be written as {target}: {error}", reason="unwritable") from error
    return Encoded(data=data, format=target, content_type=CONTENT_TYPES[target], warnings=tuple(warnings))


def changes(document: Document, options: OutputOptions) -> bool:
    """Whether the options change the pixels of a document that the stages left alone."""
    space = options.colour_space
    return space is not None and any(
        page.metadata.icc != profile_for("grey" if page.is_grey else space) for page in document.pages
    )


def _as_asked(document: Document, target: str, options: OutputOptions, warnings: list[str]) -> Document:
    """The document in the colour space asked for, without what is private, fitted to the format where allowed."""
    pages = list(document.pages)
    if options.colour_space is not None:
        pages = [convert_space(page, options.colour_space, warnings) for page in pages]
    if options.convert and convertible(document, target):
        pages = [fit(page, target, warnings) for page in pages]
    if options.strip_private:
        pages = [replace(page, metadata=strip_private(page.metadata, warnings)) for page in pages]
    if target in _NO_IPTC and any(page.metadata.iptc is not None for page in pages):
        warnings.append(f"{target} has no place for IPTC, which was left out")
    return Document(tuple(pages))


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
    bare = _png_pixels(_samples(page))
    return png.insert_metadata(
        bare, icc=metadata.icc, exif=metadata.exif, xmp=metadata.xmp, iptc=metadata.iptc, dpi=metadata.dpi
    )


def _png_pixels(samples: Raster) -> bytes:
    """The fast way, unless a band from the middle of the picture has patterns that zlib does much better by seeking."""
    middle = max(0, samples.shape[0] // 2 - PNG_BAND // 2)
    band = samples[middle : middle + PNG_BAND]
    if len(_png_fast(band)) > PNG_WORTH * len(imagecodecs.png_encode(band, level=PNG_LEVEL)):
        return bytes(imagecodecs.png_encode(samples, level=PNG_LEVEL))
    return _png_fast(samples)


def _png_fast(samples: Raster) -> bytes:
    return bytes(
        imagecodecs.png_encode(
            samples, level=1, strategy=imagecodecs.PNG.STRATEGY.RLE, filter=imagecodecs.PNG.FILTER.PAETH
        )
    )


def _write_jpeg(document: Document, options: OutputOptions, warnings: list[str]) -> bytes:
    page = document.first
    metadata = page.metadata
    sampling = "444" if options.quality >= FULL_CHROMA_QUALITY else "420"
    bare = bytes(
        imagecodecs.jpeg8_encode(_samples(page), options.quality, subsampling=None if page.is_grey else sampling)
    )
    return insert_metadata(
        bare,
        icc=metadata.icc,
        exif=metadata.exif,
        xmp=metadata.xmp,
        iptc=metadata.iptc,
        dpi=metadata.dpi,
        warnings=warnings,
    )


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
