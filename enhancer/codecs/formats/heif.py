"""HEIC and HEIF by libheif (pillow-heif, the extra ``heic``): 8 to 12 bits, grey and RGB, with alpha."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Final

from enhancer.codecs.formats.spec import FormatSpec
from enhancer.codecs.iso_boxes import brands, extents, is_avif, largest_extent
from enhancer.errors import PictureError
from enhancer.extras import install_command

if TYPE_CHECKING:
    from enhancer.codecs.limits import Limits
    from enhancer.codecs.raster import Found

_BRANDS: Final = frozenset({b"heic", b"heix", b"hevc", b"mif1"})


def _read(data: bytes, name: str, limits: Limits) -> list[Found]:
    """The primary picture of a HEIF file. libheif turns it as the container says; EXIF's orientation plays no part.

    Raises:
        PictureError: limits; ``unsupported`` without pillow-heif.
        Exception: what libheif's binding raises on damaged data.
    """
    import numpy as np

    from enhancer.codecs.colour import widen
    from enhancer.codecs.colour_statements import nclx
    from enhancer.codecs.raster import split

    try:
        import pillow_heif
    except ImportError as error:
        raise PictureError(
            f"{name}: HEIC needs pillow-heif: {install_command('heic')}", reason="unsupported"
        ) from error
    for width, height in extents(data):
        limits.check_size(width, height, name)
    file = pillow_heif.open_heif(io.BytesIO(data), convert_hdr_to_8bit=False)
    picture = file[file.primary_index]
    limits.check_size(picture.size[0], picture.size[1], name)
    depth = int(picture.info.get("bit_depth") or 8)
    samples = np.asarray(picture)
    if samples.dtype == np.uint16:  # libheif's values stand in the upper bits
        samples = widen(samples >> (16 - depth), depth)
    found = split(samples)
    found.mode, found.bit_depth, found.orientation = picture.mode, depth, 1
    found.icc = picture.info.get("icc_profile") or None
    found.exif, found.xmp = picture.info.get("exif") or None, picture.info.get("xmp") or None
    if len(file) > 1:
        found.warnings.append(f"{len(file)} pictures: only the primary one was read")
    found.code_points = nclx(data)
    return [found]


def _announced(data: bytes, name: str, limits: Limits) -> int:
    return largest_extent(data)


SPEC: Final = FormatSpec(
    name="HEIF",
    title="HEIC",
    recognises=lambda data: bool(_BRANDS & brands(data)) and not is_avif(data),
    read=_read,
    reads="8 to 12 bits, alpha; the primary picture (extra `heic`)",
    announced=_announced,
)
