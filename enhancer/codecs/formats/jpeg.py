"""JPEG: read by Pillow, written by imagecodecs' libjpeg-turbo without Pillow's copies of the picture.

4:4:4 from quality 90 on, else 4:2:0; baseline, default Huffman tables.
"""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from enhancer.codecs.formats.spec import FormatSpec

if TYPE_CHECKING:
    from enhancer.codecs.limits import Limits
    from enhancer.codecs.raster import Found
    from enhancer.image import Document, Metadata
    from enhancer.options import OutputOptions

FULL_CHROMA_QUALITY: Final = 90
"""From this quality on colour is kept at full resolution: below it, subsampling costs less than it saves."""


def _read(data: bytes, name: str, limits: Limits) -> list[Found]:
    from PIL.JpegImagePlugin import JpegImageFile

    from enhancer.codecs import exif as exif_patch
    from enhancer.codecs import iptc, xmp_extension
    from enhancer.codecs.jpeg import estimate_quality
    from enhancer.codecs.jpeg_end import missing_end
    from enhancer.codecs.jpeg_segments import attachments
    from enhancer.codecs.pillow_pictures import from_pillow

    image = JpegImageFile(io.BytesIO(data))
    limits.check_size(*image.size, name)
    lacking = missing_end(data)
    if lacking:
        image = JpegImageFile(io.BytesIO(data + lacking))
    found = from_pillow(image)
    if lacking:
        found.lacking = lacking
        found.warnings.append("the JPEG lacked its end marker, and nothing else; the result has one")
    if image.info.get("jfif_unit") not in (1, 2) and not exif_patch.states_resolution(found.exif or b""):
        found.dpi = None  # Pillow makes up 72 dpi where EXIF says nothing.
    extensions = [body for _, body in image.applist if body.startswith(xmp_extension.SIGNATURE)]
    if extensions:
        try:
            found.xmp = xmp_extension.join(found.xmp or b"", extensions)
        except ValueError as error:
            found.warnings.append(f"XMP beyond the first segment (extended XMP) was dropped: {error}")
    found.iptc = image.info.get("photoshop", {}).get(iptc.RESOURCE) or None
    found.comments = tuple(body for marker, body in image.applist if marker == "COM")
    found.attachments = attachments(data, image.info.get("mp"))
    if image.mode != "CMYK" and 0 in image.quantization:
        found.jpeg_quality = estimate_quality(image.quantization[0])
    return [found]


def _salvage(data: bytes, name: str, limits: Limits) -> bytes:
    """An end-of-image marker where the stream breaks off: libjpeg then fills the rest and gives what it has."""
    return data + b"\xff\xd9"


def _strip_private(data: bytes, metadata: Metadata, warnings: list[str]) -> bytes | None:
    from enhancer.codecs import exif as exif_patch
    from enhancer.codecs import jpeg_segments
    from enhancer.codecs.private import says_orientation, strip_private
    from enhancer.codecs.xmp_pointers import without_pointers

    parts = jpeg_segments.take_apart(data)
    exif = exif_patch.strip_prefix(parts.exif) if parts.exif is not None else None
    kept = strip_private(replace(metadata, exif=exif, xmp=parts.xmp, iptc=parts.iptc), warnings)
    if not says_orientation(kept):
        return None
    packet, gone = without_pointers(kept.xmp) if kept.xmp is not None else (None, ())
    gone = tuple(dict.fromkeys((*metadata.attachments, *gone)))
    if gone:
        warnings.append(f"left out, for the result is the picture alone: {', '.join(gone)}")
    parts.exif, parts.xmp, parts.iptc = kept.exif, packet, kept.iptc
    return jpeg_segments.put_together(parts, warnings)


def _write(document: Document, options: OutputOptions, warnings: list[str]) -> bytes:
    import imagecodecs

    from enhancer.codecs.jpeg_segments import insert_metadata
    from enhancer.codecs.raster import interleaved

    page = document.first
    metadata = page.metadata
    sampling = "444" if options.quality >= FULL_CHROMA_QUALITY else "420"
    bare = bytes(
        imagecodecs.jpeg8_encode(interleaved(page), options.quality, subsampling=None if page.is_grey else sampling)
    )
    return insert_metadata(
        bare,
        icc=metadata.icc,
        exif=metadata.exif,
        xmp=metadata.xmp,
        iptc=metadata.iptc,
        dpi=metadata.dpi,
        comments=metadata.comments,
        warnings=warnings,
    )


SPEC: Final = FormatSpec(
    name="JPEG",
    title="JPEG",
    recognises=lambda data: data.startswith(b"\xff\xd8\xff"),
    read=_read,
    reads="8 bits, grey, RGB, CMYK, YCCK",
    salvage=_salvage,
    strip_private=_strip_private,
    write=_write,
    content_type="image/jpeg",
    extensions=(".jpg", ".jpeg", ".jpe", ".jfif"),
    alpha=False,
    max_side=65_500,  # libjpeg's own limit
    keeps=frozenset({"icc", "exif", "xmp", "iptc", "dpi", "comments"}),
    lossless="never",
)
