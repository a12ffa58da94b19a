"""How many pixels a file's header announces, before any is decoded: what decoding it will take."""

from __future__ import annotations

from dataclasses import dataclass

from enhancer.codecs.decoding import READERS
from enhancer.codecs.formats import sniff
from enhancer.codecs.heif import extents
from enhancer.codecs.limits import Limits
from enhancer.codecs.tiff import tiff_pixels


def announced_pixels(data: bytes, limits: Limits) -> int:
    """Pixels of all pages that :func:`enhancer.codecs.decode` would read.

    Args:
        data: the whole file.
        limits: those that decoding will be held to.

    Returns:
        0 for a file that is refused before its pixels are reached: decoding it costs nothing and says why.
    """
    format_name = sniff(data)
    if format_name is None:
        return 0
    try:
        if format_name == "TIFF":
            return tiff_pixels(data, "", limits)
        if format_name in ("HEIF", "AVIF"):
            return max((width * height for width, height in extents(data)), default=0)
        READERS[format_name](data, "", _Stop(limits.max_bytes, limits.max_pixels, limits.max_pages))
    except _AnnouncedError as announced:
        return announced.pixels
    except Exception:  # broken files lead decoders into anything: decode() tells it as this file's error
        return 0
    return 0


class _AnnouncedError(Exception):
    """Ends a reader where it knows the size of what it would decode."""

    def __init__(self, pixels: int) -> None:
        super().__init__(pixels)
        self.pixels = pixels


@dataclass(frozen=True, slots=True)
class _Stop(Limits):
    """Limits whose check of the size ends the reader; every reader makes it before it decodes."""

    def check_size(self, width: int, height: int, name: str) -> None:
        """Leave with the size, once it is known to be allowed.

        Raises:
            PictureError: as :meth:`Limits.check_size`.
            _AnnouncedError: the size.
        """
        Limits.check_size(self, width, height, name)
        raise _AnnouncedError(width * height)
