"""Formats: recognised by content, chosen for a result, and named in keys. Free of imaging libraries.

Each module of this package that has a ``SPEC`` is one format (:class:`~enhancer.codecs.formats.spec.FormatSpec`).
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from enhancer.codecs.formats.registry import format_named, formats

if TYPE_CHECKING:
    from enhancer.codecs.formats.spec import FormatSpec
    from enhancer.image import Document, Image
    from enhancer.options import OutputOptions

__all__ = ["choose_format", "content_type", "format_named", "formats", "obstacle", "recognise", "sniff", "target_key"]


def sniff(data: bytes) -> str | None:
    """The format of a file by its content, never by its name.

    Returns:
        A :attr:`FormatSpec.name`, or None where no format recognises the file.
    """
    spec = recognise(data)
    return spec.name if spec is not None else None


def recognise(data: bytes) -> FormatSpec | None:
    """The format of a file by its content; None where none recognises it."""
    return next((spec for spec in formats() if spec.recognises(data)), None)


def content_type(name: str) -> str:
    """The media type of files in this format; the general one where it is only read.

    Raises:
        RequestError: no such format.
    """
    return format_named(name).content_type or "application/octet-stream"


def obstacle(document: Document, target: str) -> str | None:
    """Why `target` cannot hold the document without loss of depth, alpha or pages; None where it can."""
    spec = format_named(target)
    if spec.write is None:
        return f"{target} is not written"
    if len(document.pages) > 1 and not spec.pages:
        return f"{target} holds one page, the document has {len(document.pages)}"
    return next((reason for page in document.pages if (reason := _page_obstacle(page, spec)) is not None), None)


def _page_obstacle(page: Image, spec: FormatSpec) -> str | None:
    depth = page.pixels.dtype.name
    if depth not in spec.depths:
        if depth == "float32":
            return f"{spec.name} cannot hold floating-point samples"
        return f"{spec.name} is written with 8 bits per sample, the picture has 16"
    if page.alpha is not None and not spec.alpha:
        return f"{spec.name} cannot hold transparency"
    if spec.max_side is not None and max(page.width, page.height) > spec.max_side:
        return f"{spec.name} ends at {spec.max_side} pixels a side, the picture is {page.width} x {page.height}"
    return None


def choose_format(document: Document, options: OutputOptions) -> str:
    """The format to encode in.

    Returns:
        ``options.format`` where it is given (:func:`enhancer.codecs.encode` refuses it if it cannot hold the picture);
        else the input's format where that can be written and can hold the picture, without loss where the input was
        compressed so; else PNG, or TIFF for 16 bits, floats and several pages.
    """
    if options.format is not None:
        return options.format
    source = document.first.metadata.format
    lossless = any(page.metadata.lossless for page in document.pages)
    written = {
        spec.name for spec in formats() if spec.write is not None and not (lossless and spec.lossless == "never")
    }
    if source in written and obstacle(document, source) is None:
        return source
    if len(document.pages) == 1 and document.first.pixels.dtype.name == "uint8":
        return "PNG"
    return "TIFF"


def target_key(key: str, source_format: str | None, output_format: str) -> str:
    """The key of the enhanced twin.

    Unchanged where the format stays; else the new extension is appended (``a.bmp`` to ``a.bmp.png``), so that ``a.bmp``
    and ``a.gif`` never collide. Without a `source_format` the key's extension stands for it.
    """
    extensions = format_named(output_format).extensions
    if source_format is not None:
        stays = source_format == output_format
    else:
        stays = PurePosixPath(key).suffix.lower() in extensions
    return key if stays else key + extensions[0]
