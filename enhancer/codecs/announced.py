"""How many pixels a file's header announces, before any is decoded: what decoding it will take."""

from __future__ import annotations

from dataclasses import dataclass

from enhancer.codecs.formats import recognise
from enhancer.codecs.limits import Limits


def announced_pixels(data: bytes, limits: Limits) -> int:
    """Pixels of all pages that :func:`enhancer.codecs.decode` would read.

    Args:
        data: the whole file.
        limits: those that decoding will be held to.

    Returns:
        0 for a file that is refused before its pixels are reached: decoding it costs nothing and says why.
    """
    spec = recognise(data)
    if spec is None:
        return 0
    try:
        if spec.announced is not None:
            return spec.announced(data, "", limits)
        spec.read(data, "", _Stop(limits.max_bytes, limits.max_pixels, limits.max_pages))
    except _AnnouncedError as announced:
        return announced.pixels
    except Exception:  # broken files can raise anything in decoders: decode() reports it as this file's error
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
