"""What a format is to this package: one :class:`FormatSpec`, made by one module. Free of imaging libraries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from enhancer.codecs.limits import Limits
    from enhancer.codecs.raster import Found
    from enhancer.image import Document, Metadata
    from enhancer.options import OutputOptions

    Reader = Callable[[bytes, str, Limits], list[Found]]
    Writer = Callable[[Document, OutputOptions, list[str]], bytes]
    Announcer = Callable[[bytes, str, Limits], int]
    Salvager = Callable[[bytes, str, Limits], bytes | None]
    Stripper = Callable[[bytes, Metadata, list[str]], bytes | None]

Depth = Literal["uint8", "uint16", "float32"]
Kept = Literal["icc", "exif", "xmp", "iptc", "dpi", "texts", "comments", "tags", "data set"]


@dataclass(frozen=True, slots=True, kw_only=True)
class FormatSpec:
    """All that is known of one file format; what other modules need of it they take from here.

    The module that makes it may import no imaging library at its top: every format is loaded to recognise a file. Its
    functions import what they need when they are called.

    Attributes:
        name: upper case, the word of ``output.format`` and of records; for an entry point also the entry point's name.
        title: what people call it, in messages.
        recognises: whether a file, given whole, is of this format; by its content, never by a name. Must not raise.
        read: (data, name, limits) to the pages as they lie in the file, not yet upright. It calls
            ``limits.check_size`` before it decodes a pixel, and raises what its decoder raises on damaged data.
        reads: which pictures of the format are read, in words, for docs/formats.md.
        rank: formats are tried by rank; below 0 for files that may have another format's signature too, above 0 for
            signatures that another format's file may have.
        announced: (data, name, limits) to the pixels of all pages by the header alone, for formats whose reader does
            not check one size first; None: the size of the reader's first ``limits.check_size``.
        salvage: (data, name, limits) to a file that `read` gets through, with what is unreadable left out; None from it
            where nothing can be saved.
        strip_private: (data, metadata, warnings) to the file without what is private, the compressed picture bit by
            bit as it was; None from it where that cannot be done. Raises ValueError on damaged data.
        write: (document, options, warnings) to a file; None: the format is only read.
        content_type: media type of what `write` makes.
        extensions: of written files, with their dot, lower case; new keys get the first.
        depths: dtypes that it holds.
        alpha: whether it holds transparency.
        pages: whether it holds more than one page.
        max_side: longest side in pixels, or None.
        keeps: which metadata `write` puts into the file.
        copied: whether the file of a picture that nothing was done to is its own result; where not, each result is an
            object of its own, with the same pixels.
        lossless: ``always``, ``on request`` (``output.lossless``) or ``never``.
    """

    name: str
    title: str
    recognises: Callable[[bytes], bool]
    read: Reader
    reads: str = "8 bits"
    rank: int = 0
    announced: Announcer | None = None
    salvage: Salvager | None = None
    strip_private: Stripper | None = None
    write: Writer | None = None
    content_type: str | None = None
    extensions: tuple[str, ...] = ()
    depths: frozenset[Depth] = frozenset({"uint8"})
    alpha: bool = True
    pages: bool = False
    max_side: int | None = None
    keeps: frozenset[Kept] = frozenset()
    copied: bool = True
    lossless: Literal["always", "on request", "never"] = "always"

    def __post_init__(self) -> None:
        if not self.name or self.name != self.name.upper():
            raise ValueError(f"a format's name is upper case, not {self.name!r}")
        if self.write is not None and not (self.content_type and self.extensions):
            raise ValueError(f"{self.name} is written, so it needs a content type and an extension")
