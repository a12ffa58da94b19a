"""TIFF tags that say what a page is and where on earth it lies (OGC GeoTIFF 1.1), read, scaled and written."""

from __future__ import annotations

import struct
from typing import Any, Final

from enhancer.image import Tag

DOCUMENT_NAME, PAGE_NAME, PAGE_NUMBER = 269, 285, 297
PIXEL_SCALE, TIE_POINTS, TRANSFORMATION = 33550, 33922, 34264
_KEYS, _NUMBERS, _TEXTS = 34735, 34736, 34737
_GDAL_METADATA, _GDAL_NODATA, _RPC = 42112, 42113, 50844
PLACES: Final = frozenset({PIXEL_SCALE, TIE_POINTS, TRANSFORMATION, _RPC})
"""Tags whose values refer to pixels."""
GEO: Final = PLACES | {_KEYS, _NUMBERS, _TEXTS}
KEPT: Final = frozenset({DOCUMENT_NAME, PAGE_NAME, PAGE_NUMBER, *GEO, _GDAL_METADATA, _GDAL_NODATA})

_RASTER_TYPE, _IS_POINT = 1025, 2
_FORMATS: Final = {1: "B", 3: "H", 4: "I", 8: "h", 9: "i", 11: "f", 12: "d", 16: "Q", 17: "q"}
_DOUBLE: Final = 12
_MAX_BYTES: Final = 16 << 20


def read_tags(page: Any) -> tuple[Tag, ...]:
    """The tags of a page (tifffile's) that are kept."""
    found = (page.tags.get(code) for code in sorted(KEPT))
    tags = (_read(tag, page.parent.filehandle, page.parent.byteorder) for tag in found if tag is not None)
    return tuple(tag for tag in tags if tag is not None)


def _read(tag: Any, file: Any, order: str) -> Tag | None:
    kind, count = int(tag.dtype), int(tag.count)
    item = _FORMATS.get(kind)
    size = count * (struct.calcsize(item) if item else 1)
    if not 0 < size <= _MAX_BYTES or (item is None and kind not in (2, 7)):
        return None
    file.seek(tag.valueoffset)
    raw = bytes(file.read(size))
    if len(raw) != size:
        return None
    return Tag(int(tag.code), kind, raw if item is None else struct.unpack(f"{order}{count}{item}", raw))


def scaled_tags(tags: tuple[Tag, ...], across: float, down: float) -> tuple[Tag, ...]:
    """The tags for a picture enlarged by these factors: each corner keeps its coordinates.

    Where the keys say that tie points and transformation refer to the middle of a pixel (PixelIsPoint), the middle of
    the first pixel moves: half a pixel is less than before.
    """
    half = 0.5 if _is_point(tags) else 0.0
    return tuple(_scaled(tag, across, down, half) for tag in tags)


def _scaled(tag: Tag, across: float, down: float, half: float) -> Tag:
    if isinstance(tag.values, bytes):
        return tag
    values = [float(value) for value in tag.values]
    if tag.code == PIXEL_SCALE and len(values) >= 2:
        values[0] /= across
        values[1] /= down
    elif tag.code == TIE_POINTS:
        for at in range(0, len(values) - 5, 6):
            values[at] = (values[at] + half) * across - half
            values[at + 1] = (values[at + 1] + half) * down - half
    elif tag.code == TRANSFORMATION and len(values) == 16:
        for row in (0, 4, 8):
            x, y = values[row] / across, values[row + 1] / down
            values[row + 3] += (x - values[row]) * half + (y - values[row + 1]) * half
            values[row], values[row + 1] = x, y
    elif tag.code == _RPC and len(values) == 92:
        values[2], values[3] = (values[2] + 0.5) * down - 0.5, (values[3] + 0.5) * across - 0.5
        values[7] *= down
        values[8] *= across
    else:
        return tag
    return Tag(tag.code, _DOUBLE, tuple(values))


def _is_point(tags: tuple[Tag, ...]) -> bool:
    """Whether the raster type key says PixelIsPoint (OGC GeoTIFF 1.1, 7.1.2)."""
    keys = next((tag.values for tag in tags if tag.code == _KEYS), ())
    return any(
        keys[at] == _RASTER_TYPE and keys[at + 1] == 0 and keys[at + 3] == _IS_POINT
        for at in range(4, len(keys) - 3, 4)
    )
