"""Files into :class:`~enhancer.image.Document` and back, with nothing lost that the format can hold.

Importing this package loads no imaging library; :func:`decode` and :func:`encode` do when first used.

Reasons of the :class:`~enhancer.errors.PictureError` that :func:`decode` raises: ``empty``, ``not-a-picture``,
``truncated``, ``corrupt``, ``too-many-bytes``, ``too-many-pixels``, ``too-many-pages``, ``unsupported``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from enhancer.codecs.formats import choose_format, content_type, sniff, target_key
from enhancer.codecs.formats.spec import FormatSpec
from enhancer.codecs.limits import Limits
from enhancer.extras import imports_of_extras

if TYPE_CHECKING:
    from enhancer.codecs.encoding import Encoded
    from enhancer.codecs.xmp import SourceType
    from enhancer.image import Document, Metadata
    from enhancer.options import OutputOptions

__all__ = [
    "Encoded",
    "FormatSpec",
    "Limits",
    "announced_pixels",
    "changes",
    "choose_format",
    "content_type",
    "decode",
    "encode",
    "sniff",
    "target_key",
    "without_private",
]


def decode(data: bytes, *, name: str, limits: Limits, salvage: bool = False, tone_map: bool = False) -> Document:
    """The pictures in a file: see :func:`enhancer.codecs.decoding.decode`."""
    with imports_of_extras():
        from enhancer.codecs import decoding

    return decoding.decode(data, name=name, limits=limits, salvage=salvage, tone_map=tone_map)


def announced_pixels(data: bytes, limits: Limits) -> int:
    """How many pixels a file's header announces: see :mod:`enhancer.codecs.announced`."""
    with imports_of_extras():
        from enhancer.codecs import announced

    return announced.announced_pixels(data, limits)


def encode(
    document: Document,
    *,
    options: OutputOptions,
    processing: str | None = None,
    source_type: SourceType | None = None,
) -> Encoded:
    """A file of the document: see :func:`enhancer.codecs.encoding.encode`."""
    with imports_of_extras():
        from enhancer.codecs import encoding

    return encoding.encode(document, options=options, processing=processing, source_type=source_type)


def changes(document: Document, options: OutputOptions) -> bool:
    """Whether encoding as asked changes the pixels: see :func:`enhancer.codecs.encoding.changes`."""
    with imports_of_extras():
        from enhancer.codecs import encoding

    return encoding.changes(document, options)


def without_private(data: bytes, metadata: Metadata, warnings: list[str]) -> bytes | None:
    """A file stripped of what is private, not encoded again: see :mod:`enhancer.codecs.private_file`."""
    with imports_of_extras():
        from enhancer.codecs import private_file

    return private_file.without_private(data, metadata, warnings)


def __getattr__(name: str) -> object:
    """:class:`Encoded`, loaded on first use (PEP 562)."""
    if name == "Encoded":
        from enhancer.codecs.encoding import Encoded

        return Encoded
    raise AttributeError(f"module 'enhancer.codecs' has no attribute {name!r}")
