"""AVIF: 8 bits read by Pillow, more by imagecodecs' libavif; written with speed 6, grey as monochrome.

4:4:4 from quality 90 on, else 4:2:0. It is written lossy alone, so a lossless one becomes a PNG or TIFF.
"""

from __future__ import annotations

import io
import struct
from typing import TYPE_CHECKING, Final

from enhancer.codecs.formats.jpeg import FULL_CHROMA_QUALITY
from enhancer.codecs.formats.spec import FormatSpec
from enhancer.codecs.iso_boxes import extents, is_avif, largest_extent

if TYPE_CHECKING:
    from enhancer.codecs.limits import Limits
    from enhancer.codecs.raster import Found
    from enhancer.image import Document
    from enhancer.options import OutputOptions


def _read(data: bytes, name: str, limits: Limits) -> list[Found]:
    import imagecodecs
    from PIL.AvifImagePlugin import AvifImageFile

    from enhancer.codecs.colour import widen
    from enhancer.codecs.colour_statements import is_identity, nclx
    from enhancer.codecs.pillow_pictures import from_pillow
    from enhancer.codecs.raster import split

    # The extents are read first: libavif has a limit of its own, whose error says nothing of the size.
    for width, height in extents(data):
        limits.check_size(width, height, name)
    image = AvifImageFile(io.BytesIO(data))
    limits.check_size(*image.size, name)
    depth, monochrome = _configuration(data)
    found = from_pillow(image)
    if depth > 8:
        deep = imagecodecs.avif_decode(data, index=0)
        deeper = split(widen(deep.reshape(*deep.shape[:2], -1), depth))
        found.pixels, found.alpha, found.bit_depth = deeper.pixels, deeper.alpha, depth
    if monochrome and found.pixels.shape[2] == 3:
        found.pixels = found.pixels[..., :1]
    found.code_points = nclx(data)
    found.lossless = is_identity(data)
    return [found]


def _configuration(data: bytes) -> tuple[int, bool]:
    """(bits per sample, monochrome) of the first AV1 configuration record (AV1 in ISOBMFF, 2.3.3).

    An alpha plane has a record of its own, monochrome too, and libavif writes it second.
    """
    at = data.find(b"av1C", 0, 1 << 16)
    if at < 0 or at + 7 > len(data):
        return 8, False
    flags = data[at + 6]
    depth = 8 if not flags & 0x40 else 12 if flags & 0x20 else 10
    return depth, bool(flags & 0x10)


def _announced(data: bytes, name: str, limits: Limits) -> int:
    return largest_extent(data)


def _write(document: Document, options: OutputOptions, warnings: list[str]) -> bytes:
    from enhancer.codecs import exif as exif_patch
    from enhancer.codecs.pillow_pictures import save

    page = document.first
    metadata = page.metadata
    subsampling = "4:4:4" if options.quality >= FULL_CHROMA_QUALITY else "4:2:0"
    # Pillow writes EXIF anew to move its orientation into the container; without one the bytes go through as they are.
    exif = exif_patch.without_orientation(metadata.exif) if metadata.exif is not None else None
    if exif is not None and not _pillow_loads(exif):
        warnings.append("EXIF is malformed and was left out of the AVIF")
        exif = None
    return save(
        page,
        "AVIF",
        icc_profile=metadata.icc,
        exif=exif,
        xmp=metadata.xmp,
        quality=options.quality,
        speed=6,
        subsampling=None if page.is_grey else subsampling,
    )


def _pillow_loads(exif: bytes) -> bool:
    """Whether Pillow's AVIF writer, which parses EXIF, gets through this block."""
    from PIL import Image as PillowImage

    try:
        PillowImage.Exif().load(exif)
    except (OSError, SyntaxError, TypeError, ValueError, KeyError, IndexError, struct.error):
        return False
    return True


SPEC: Final = FormatSpec(
    name="AVIF",
    title="AVIF",
    recognises=is_avif,
    read=_read,
    reads="8 to 12 bits, alpha; of an animation the first frame",
    announced=_announced,
    write=_write,
    content_type="image/avif",
    extensions=(".avif",),
    max_side=16_384,  # the AVIF advanced profile's
    keeps=frozenset({"icc", "exif", "xmp"}),
    lossless="never",
)
