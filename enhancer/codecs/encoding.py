"""Documents into files, in the depth and with the metadata that they came with; equal inputs give equal bytes.

What is chosen for a format is in its module of :mod:`enhancer.codecs.formats`; here is what holds for all of them.
`processing` goes into XMP (:func:`enhancer.codecs.xmp.stamp`), the one place that all written formats have.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from enhancer.codecs import exif as exif_patch
from enhancer.codecs import xmp as xmp_patch
from enhancer.codecs.colour import convert_space
from enhancer.codecs.conversion import convertible, fit
from enhancer.codecs.formats import choose_format, content_type, format_named, obstacle
from enhancer.codecs.formats.spec import FormatSpec
from enhancer.codecs.geo_tags import scaled_tags
from enhancer.codecs.private import strip_private
from enhancer.codecs.profiles import profile_for
from enhancer.codecs.xmp import SourceType
from enhancer.codecs.xmp_places import scaled
from enhancer.codecs.xmp_pointers import without_pointers
from enhancer.errors import PictureError, RequestError
from enhancer.image import Document, Image, Metadata
from enhancer.options import OutputOptions


@dataclass(frozen=True, slots=True)
class Encoded:
    """A file ready to be stored.

    Attributes:
        data: its bytes.
        format: the name of its FormatSpec.
        content_type: its media type.
        warnings: metadata that the format could not take.
    """

    data: bytes
    format: str
    content_type: str
    warnings: tuple[str, ...] = ()


def encode(
    document: Document,
    *,
    options: OutputOptions,
    processing: str | None = None,
    source_type: SourceType | None = None,
) -> Encoded:
    """A file of the document, in the format that :func:`~enhancer.codecs.formats.choose_format` names.

    ICC, XMP, EXIF (with the pixel dimensions it states made true and its stale thumbnail unlinked) and DPI go along
    where the format has a place for them; WebP and AVIF have none for DPI and IPTC.

    Args:
        document: integer pages over their full range; float pages as they are to be stored.
        options: format, quality, and what to convert and leave out. In this order: colour space, then what the format
            cannot hold (:func:`enhancer.codecs.conversion.fit`), then privacy (:mod:`enhancer.codecs.private`).
        processing: what was done, for the XMP of each page.
        source_type: IPTC's word for how the result came to be, stated beside it; None: nothing is.

    Raises:
        RequestError: ``cannot-hold``, where ``options.format`` cannot hold the depth, alpha, size or pages.
        PictureError: ``unwritable``, where the encoder refuses.
    """
    target = choose_format(document, options)
    spec = format_named(target)
    warnings: list[str] = []
    document = _as_asked(document, spec, options, warnings)
    reason = obstacle(document, target)
    if reason is not None or spec.write is None:
        converting = ", or set output.convert" if convertible(document, spec) and not options.convert else ""
        raise RequestError(
            f"{reason}; leave output.format unset to have the format chosen, or ask for "
            f"{'PNG' if obstacle(document, 'PNG') is None else 'TIFF'}{converting}",
            reason="cannot-hold",
        )
    document = Document(tuple(_stamped(page, processing, source_type, warnings) for page in document.pages))
    try:
        data = spec.write(document, options, warnings)
    except (OSError, ValueError, RuntimeError, MemoryError) as error:
        raise PictureError(f"the picture cannot be written as {target}: {error}", reason="unwritable") from error
    return Encoded(data=data, format=target, content_type=content_type(target), warnings=tuple(warnings))


def changes(document: Document, options: OutputOptions) -> bool:
    """Whether the options change the pixels of a document that the stages left alone."""
    space = options.colour_space
    return space is not None and any(
        not _is_band(page) and page.metadata.icc != profile_for("grey" if page.is_grey else space)
        for page in document.pages
    )


def _is_band(page: Image) -> bool:
    """Whether a grey page is one band of many, which has no colour to convert."""
    return page.is_grey and page.metadata.bands is not None


def _as_asked(document: Document, spec: FormatSpec, options: OutputOptions, warnings: list[str]) -> Document:
    """The document in the colour space asked for, without what is private, fitted to the format where allowed."""
    pages = list(document.pages)
    if options.colour_space is not None:
        space = options.colour_space
        pages = [page if _is_band(page) else convert_space(page, space, warnings) for page in pages]
    if options.convert and convertible(document, spec):
        pages = [fit(page, spec, warnings) for page in pages]
    if options.strip_private:
        pages = [replace(page, metadata=strip_private(page.metadata, warnings)) for page in pages]
    _warn_of_losses(pages, spec, warnings)
    if "iptc" not in spec.keeps and any(page.metadata.iptc is not None for page in pages):
        warnings.append(f"{spec.name} has no place for IPTC, which was left out")
    return Document(tuple(pages))


def _stamped(page: Image, processing: str | None, source_type: SourceType | None, warnings: list[str]) -> Image:
    """The page with its metadata true for its size and for this file, and `processing` in its XMP."""
    metadata = _resized(page, warnings)
    exif = exif_patch.refresh(metadata.exif, page.width, page.height) if metadata.exif else None
    packet = metadata.xmp
    if processing is not None:
        packet = xmp_patch.stamp(metadata.xmp, processing, source_type)
        if packet is None:
            warnings.append("the XMP packet is not one that the processing note can be added to; it was left as it is")
            packet = metadata.xmp
    return replace(page, metadata=replace(metadata, exif=exif, xmp=packet, processing=processing))


def _resized(page: Image, warnings: list[str]) -> Metadata:
    """The page's metadata for the size that it has by now, and without pointers to files that are not in this one."""
    metadata = page.metadata
    packet, tags, gone = metadata.xmp, metadata.tags, dict.fromkeys(metadata.attachments)
    if packet is not None:
        try:
            packet, pointers = without_pointers(packet)
            gone |= dict.fromkeys(pointers)
        except ValueError as error:
            warnings.append(f"XMP is not readable, so what it says of further files in this one was left: {error}")
    if gone:
        warnings.append(f"left out, for the result is the picture alone: {', '.join(gone)}")
    before, after = metadata.size, (page.width, page.height)
    if before is not None and before != after:
        tags = scaled_tags(tags, after[0] / before[0], after[1] / before[1])
        packet = scaled(packet, before, after, warnings) if packet is not None else None
    return replace(metadata, xmp=packet, tags=tags)


def _warn_of_losses(pages: list[Image], spec: FormatSpec, warnings: list[str]) -> None:
    """Name what stands beside the pixels and has no place in this format."""
    texts = dict.fromkeys(
        body.partition(b"\0")[0].decode("latin-1")
        for page in pages
        for kind, body in page.metadata.texts
        if kind != b"tIME"
    )
    if texts and "texts" not in spec.keeps:
        warnings.append(f"{spec.name} has no place for PNG's texts, which were left out: {', '.join(texts)}")
    if "comments" not in spec.keeps and any(page.metadata.comments for page in pages):
        warnings.append(f"{spec.name} has no place for comments, which were left out")
    if "data set" not in spec.keeps and any(page.metadata.source is not None for page in pages):
        warnings.append(f"{spec.name} has no place for DICOM's data set (patient, study, window, spacing): left out")
    if "tags" not in spec.keeps and any(page.metadata.tags for page in pages):
        codes = sorted({tag.code for page in pages for tag in page.metadata.tags})
        warnings.append(f"{spec.name} has no place for TIFF's tags {', '.join(map(str, codes))}, which were left out")
