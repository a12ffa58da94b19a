"""TIFF: :mod:`enhancer.codecs.tiff` reads it, :mod:`enhancer.codecs.tiff_writer` writes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from enhancer.codecs.formats.spec import FormatSpec

if TYPE_CHECKING:
    from enhancer.codecs.limits import Limits
    from enhancer.codecs.raster import Found
    from enhancer.image import Document
    from enhancer.options import OutputOptions


def _read(data: bytes, name: str, limits: Limits) -> list[Found]:
    from enhancer.codecs.tiff import read_tiff

    return read_tiff(data, name, limits)


def _announced(data: bytes, name: str, limits: Limits) -> int:
    from enhancer.codecs.tiff import tiff_pixels

    return tiff_pixels(data, name, limits)


def _salvage(data: bytes, name: str, limits: Limits) -> bytes | None:
    from enhancer.codecs.salvage import patch_tiff

    return patch_tiff(data, name, limits)


def _write(document: Document, options: OutputOptions, warnings: list[str]) -> bytes:
    from enhancer.codecs.tiff_writer import write_tiff

    return write_tiff(document, warnings)


SPEC: Final = FormatSpec(
    name="TIFF",
    title="TIFF",
    recognises=lambda data: data.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")),
    read=_read,
    reads="1 to 16 bits, signed and 32-bit integers, floats; grey, RGB, palettes, CMYK, YCbCr; any number of bands; "
    "strips and tiles; BigTIFF",
    announced=_announced,
    salvage=_salvage,
    write=_write,
    content_type="image/tiff",
    extensions=(".tif", ".tiff"),
    depths=frozenset({"uint8", "uint16", "float32"}),
    pages=True,
    keeps=frozenset({"icc", "exif", "xmp", "iptc", "dpi", "tags"}),
)
