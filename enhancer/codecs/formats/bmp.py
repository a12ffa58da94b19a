"""BMP by Pillow, read only."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final

from enhancer.codecs.formats.spec import FormatSpec

if TYPE_CHECKING:
    from enhancer.codecs.limits import Limits
    from enhancer.codecs.raster import Found


_HEADER_SIZES: Final = frozenset({12, 16, 40, 52, 56, 64, 108, 124})


def _recognises(data: bytes) -> bool:
    return data[:2] == b"BM" and len(data) >= 18 and struct.unpack_from("<I", data, 14)[0] in _HEADER_SIZES


def _read(data: bytes, name: str, limits: Limits) -> list[Found]:
    from PIL.BmpImagePlugin import BmpImageFile

    from enhancer.codecs.pillow_pictures import read_picture

    return read_picture(BmpImageFile, data, name, limits)


SPEC: Final = FormatSpec(name="BMP", title="BMP", recognises=_recognises, read=_read, reads="1 to 32 bits a pixel")
