"""What a single input may cost before it is refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from enhancer.errors import PictureError

if TYPE_CHECKING:
    from enhancer.settings import Settings

DOCUMENT_FACTOR: Final = 4
"""All pages of a document together may hold this many times the pixels of one page: the whole document is in memory."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds that are checked against the header, before a single pixel is decoded.

    Attributes:
        max_bytes: of one input file.
        max_pixels: width x height of one page; a document may hold :data:`DOCUMENT_FACTOR` times as many in all.
        max_pages: of one TIFF.
    """

    max_bytes: int
    max_pixels: int
    max_pages: int

    @classmethod
    def from_settings(cls, settings: Settings) -> Limits:
        """The limits that ``ENHANCER_MAX_BYTES``, ``_MAX_PIXELS`` and ``_MAX_PAGES`` set."""
        return cls(max_bytes=settings.max_bytes, max_pixels=settings.max_pixels, max_pages=settings.max_pages)

    def check_bytes(self, count: int, name: str) -> None:
        """Refuse a file of more than ``max_bytes`` bytes.

        Raises:
            PictureError: ``too-many-bytes``.
        """
        if count > self.max_bytes:
            raise PictureError(
                f"{name}: {count} bytes are more than the {self.max_bytes} allowed; "
                "raise ENHANCER_MAX_BYTES to accept it",
                reason="too-many-bytes",
            )

    def check_size(self, width: int, height: int, name: str) -> None:
        """Refuse a page of more than ``max_pixels`` pixels, or of none.

        Raises:
            PictureError: ``too-many-pixels``, or ``corrupt`` for an empty page.
        """
        if width <= 0 or height <= 0:
            raise PictureError(f"{name}: the header says {width} x {height} pixels", reason="corrupt")
        if width * height > self.max_pixels:
            raise PictureError(
                f"{name}: {width} x {height} pixels are more than the {self.max_pixels} allowed; "
                "raise ENHANCER_MAX_PIXELS to accept it",
                reason="too-many-pixels",
            )

    def check_document(self, pages: int, pixels: int, name: str) -> None:
        """Refuse a document of too many pages, or of too many pixels in all.

        Raises:
            PictureError: ``too-many-pages`` or ``too-many-pixels``.
        """
        if pages > self.max_pages:
            raise PictureError(
                f"{name}: more pages than the {self.max_pages} allowed; raise ENHANCER_MAX_PAGES to accept it",
                reason="too-many-pages",
            )
        if pixels > DOCUMENT_FACTOR * self.max_pixels:
            raise PictureError(
                f"{name}: its pages hold more than {DOCUMENT_FACTOR} x {self.max_pixels} pixels in all; "
                "raise ENHANCER_MAX_PIXELS to accept it",
                reason="too-many-pixels",
            )
