"""Documents as TIFF: all pages and depths, deflated with a predictor, with profile, resolution, XMP and EXIF.

tifffile writes no EXIF: its descriptive tags and its EXIF and GPS directories are grafted onto the finished file
(:func:`enhancer.codecs.ifd.graft`), where any reader finds them.
"""

from __future__ import annotations

import io
from typing import Any, Final

import numpy as np
import tifffile

from enhancer.codecs import exif as exif_patch
from enhancer.codecs import ifd
from enhancer.codecs.cloud_layout import laid_out, overviews
from enhancer.codecs.colour import Raster
from enhancer.codecs.tiff_bands import grouped, joined, stored_samples
from enhancer.image import Document, Image

DEFLATE_LEVEL: Final = 6
_CLASSIC_LIMIT: Final = 3_900_000_000
"""Uncompressed bytes beyond which BigTIFF is written: the offsets of classic TIFF end at 4 GiB."""
_TAG_XMP: Final = 700
_TAG_IPTC: Final = 33723
_BYTE, _UNDEFINED = 1, 7
_UNASSOCIATED: Final = 2
_REDUCED: Final = 1


def write_tiff(document: Document, warnings: list[str]) -> bytes:
    """The document as a TIFF; `warnings` gets what could not go along."""
    groups = grouped(document.pages)
    tile = _cloud_tile(groups)
    found = [_described(group[0], warnings) for group in groups]
    order: exif_patch.ByteOrder = next((entry[1] for entry in found if entry is not None), "<")
    big = sum(_size(page) for page in document.pages) > _CLASSIC_LIMIT
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer, bigtiff=big, byteorder=order) as writer:
        for group in groups:
            _write_page(writer, group, tile)
    made = _with_exif(buffer.getvalue(), found, order, big, warnings)
    return made if tile is None else laid_out(made)


def _cloud_tile(groups: list[list[Image]]) -> tuple[int, int] | None:
    """Rows and columns of the tiles of a file that is to be cloud-optimised, as its source was; else None."""
    tile = groups[0][0].metadata.cloud_tile
    if tile is None or len(groups) > 1:
        return None
    return tile if not any(side % 16 for side in tile) else (512, 512)


def _with_exif(
    tiff: bytes,
    found: list[tuple[ifd.Directory, exif_patch.ByteOrder] | None],
    order: exif_patch.ByteOrder,
    big: bool,
    warnings: list[str],
) -> bytes:
    """The file with what of EXIF was found for each page."""
    additions = [entry[0] if entry is not None and entry[1] == order else ifd.Directory() for entry in found]
    if any(entry is not None and entry[1] != order for entry in found):
        warnings.append("EXIF in another byte order than the first page's was left out")
    if not any(additions):
        return tiff
    if big:
        warnings.append("EXIF is not written into a BigTIFF")
        return tiff
    return ifd.graft(tiff, order, additions)


def _described(page: Image, warnings: list[str]) -> tuple[ifd.Directory, exif_patch.ByteOrder] | None:
    """What of the page's EXIF goes into a TIFF, and its byte order."""
    block = page.metadata.exif
    order = exif_patch.byte_order(block) if block is not None else None
    if block is None or order is None:
        return None
    try:
        first = int.from_bytes(block[4:8], "little" if order == "<" else "big")
        return ifd.read_directory(block, order, first).described(), order
    except ValueError as error:
        warnings.append(f"EXIF is not readable and was left out of the TIFF: {error}")
        return None


def _size(page: Image) -> int:
    """Bytes of the page, uncompressed."""
    return page.pixels.nbytes + (0 if page.alpha is None else page.alpha.nbytes)


def _samples(page: Image) -> tuple[Raster, list[int]]:
    """H x W (grey) or H x W x 2..4, alpha last; and the kinds of its extra samples."""
    samples, alpha_follows = stored_samples(page)
    if alpha_follows and page.alpha is not None:
        return np.concatenate([samples, page.alpha[..., None]], axis=2), [_UNASSOCIATED]
    return (samples[..., 0] if page.is_grey else samples), []


def _write_page(writer: Any, group: list[Image], tile: tuple[int, int] | None) -> None:
    """One page of the file: a page of the document, or all that are bands of it; in tiles, its overviews follow."""
    page = group[0]
    metadata = page.metadata
    planar = False
    if metadata.bands is None:
        samples, kinds = _samples(page)
    else:
        samples, kinds, planar = joined(group)
    stored = {
        "photometric": "minisblack" if page.is_grey else "rgb",
        "planarconfig": ("separate" if planar else "contig") if samples.ndim == 3 else None,
        "extrasamples": kinds or None,
        "compression": "zlib",
        "compressionargs": {"level": DEFLATE_LEVEL},
        "predictor": True,
        "metadata": None,
        "software": False,
        "contiguous": False,
        "tile": tile,
    }
    writer.write(
        samples,
        iccprofile=metadata.icc,
        resolution=metadata.dpi or (1, 1),
        resolutionunit="INCH" if metadata.dpi is not None else "NONE",
        extratags=[
            (tag, kind, len(block), block, True)
            for tag, kind, block in ((_TAG_XMP, _BYTE, metadata.xmp), (_TAG_IPTC, _UNDEFINED, metadata.iptc))
            if block is not None
        ]
        + [(tag.code, tag.kind, len(tag.values), tag.values, True) for tag in metadata.tags],
        **stored,
    )
    if tile is not None:
        for smaller in overviews(samples, tile, planar=planar, exact=metadata.nodata is not None):
            writer.write(smaller, subfiletype=_REDUCED, **stored)
