"""TIFF by tifffile and imagecodecs: every page, 1 to 16 bits and floats, with its profile, XMP and EXIF."""

from __future__ import annotations

import io
from typing import Any, Final

import imagecodecs
import numpy as np
import tifffile

from enhancer.codecs import ifd, iptc, ycbcr
from enhancer.codecs.camera_raw import raw_kind
from enhancer.codecs.cloud_layout import cloud_tile
from enhancer.codecs.colour import Raster, cmyk_to_rgb, unpremultiply
from enhancer.codecs.colour_statements import tables_profile
from enhancer.codecs.exif import EXIF_IFD
from enhancer.codecs.geo_tags import read_tags
from enhancer.codecs.jpeg import frame_size
from enhancer.codecs.limits import Limits
from enhancer.codecs.raster import Found
from enhancer.codecs.tiff_bands import MAX_BANDS, group_count, hide_nodata, is_many, is_scaled, split_bands, storable
from enhancer.errors import PictureError

MIN_IS_WHITE, MIN_IS_BLACK, RGB, PALETTE, SEPARATED, YCBCR = 0, 1, 2, 3, 5, 6
_COLOURS: Final = {MIN_IS_WHITE: 1, MIN_IS_BLACK: 1, RGB: 3, PALETTE: 1, SEPARATED: 4, YCBCR: 3}
_MODES: Final = {MIN_IS_WHITE: "L", MIN_IS_BLACK: "L", RGB: "RGB", PALETTE: "P", SEPARATED: "CMYK", YCBCR: "YCbCr"}
_ASSOCIATED, _UNASSOCIATED = 1, 2
_REDUCED, _MASK = 1, 4
_JPEG: Final = 7
_COMPRESSIONS: Final = frozenset({1, 2, 3, 4, 5, _JPEG, 8, 32773, 32946, 34925, 50000})
"""None, CCITT, LZW, JPEG, Deflate, PackBits, LZMA, Zstandard: those whose output is bounded by what the page says.
Streams with a size of their own (JPEG 2000, WebP, PNG) could unpack to anything; JPEG's size is checked."""
_TAG_ORIENTATION, _TAG_XMP, _TAG_IPTC, _TAG_PHOTOSHOP, _TAG_ICC = 274, 700, 33723, 34377, 34675
_TAG_C2PA: Final = 52545
_LONG: Final = 4
_CENTIMETRES_PER_INCH: Final = 2.54


def read_tiff(data: bytes, name: str, limits: Limits) -> list[Found]:
    """The pages of a TIFF in order, without thumbnails and masks.

    Raises:
        PictureError: limits, ``truncated``, ``corrupt`` or ``unsupported``.
        Exception: whatever tifffile or a codec raises on damaged data.
    """
    kind = raw_kind(data)
    if kind is not None:
        raise PictureError(
            f"{name}: a camera raw file ({kind}) is not supported; develop it and export a TIFF or JPEG",
            reason="unsupported",
        )
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        return [found for page in _pages(file, data, name, limits) for found in _read_page(page, data, name)]


def tiff_pixels(data: bytes, name: str, limits: Limits) -> int:
    """Pixels of all pages, by their tags alone; errors as :func:`read_tiff`."""
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        return sum(_pixels(page) for page in _pages(file, data, name, limits))


def _pages(file: tifffile.TiffFile, data: bytes, name: str, limits: Limits) -> list[Any]:
    """The pages that are pictures, each checked by its tags before any of its data is touched."""
    pages: list[Any] = []
    pixels = 0
    seen: set[int] = set()
    for index, page in enumerate(file.pages):
        limits.check_document(index + 1, pixels, name)
        if page.offset in seen:
            raise PictureError(f"{name}: the TIFF's chain of pages runs in a circle", reason="corrupt")
        seen.add(page.offset)
        if not isinstance(page, tifffile.TiffPage):
            raise PictureError(f"{name}: page {index + 1} of the TIFF is not a whole page", reason="corrupt")
        if not _is_picture(page):
            continue
        check_declared(page, name, limits)
        _check_data(page, len(data), name)
        check_jpeg(page, data, name)
        pixels += _pixels(page)
        pages.append(page)
    limits.check_document(len(pages), pixels, name)
    if not pages:
        raise PictureError(f"{name}: the TIFF holds no picture", reason="corrupt")
    return pages


def _is_picture(page: Any) -> bool:
    """Whether a page is one of the document's: no thumbnail, no mask, and not the page without any pixels that holds
    the Content Credentials of a TIFF of several pages (C2PA 2.2, A.3.2).
    """
    credentials_alone = _TAG_C2PA in page.tags and not {256, 257} & set(page.tags.keys())
    return not int(page.subfiletype) & (_REDUCED | _MASK) and not credentials_alone


def _pixels(page: Any) -> int:
    """Pixels of all pages of a document that a page of the file becomes."""
    return int(page.imagewidth) * int(page.imagelength) * group_count(page, _COLOURS[int(page.photometric)])


def check_declared(page: Any, name: str, limits: Limits) -> None:
    """Limits and soundness of what the page's tags say, before any of its data is touched."""
    limits.check_size(page.imagewidth, page.imagelength, name)
    if page.is_tiled:
        limits.check_size(page.tilewidth, page.tilelength, name)
    photometric = int(page.photometric) if page.photometric is not None else -1
    most = MAX_BANDS if photometric in (MIN_IS_BLACK, RGB) else _COLOURS.get(photometric, 0) + 4
    if photometric not in _COLOURS or page.imagedepth != 1 or page.samplesperpixel > most:
        raise _unsupported(
            f"photometric interpretation {photometric}, {page.samplesperpixel} samples, depth {page.imagedepth}", name
        )
    if int(page.compression) not in _COMPRESSIONS:
        raise _unsupported(f"compression {int(page.compression)}", name)
    scaled = is_scaled(page)
    if (
        page.dtype is None
        or page.dtype.kind not in "buif"
        or (scaled and (page.dtype.itemsize > 4 or photometric > RGB))
    ):
        raise _unsupported(f"{page.bitspersample}-bit samples of format {page.sampleformat}", name)


def _check_data(page: Any, size: int, name: str) -> None:
    """Whether strips and tiles lie within the file."""
    if not page.dataoffsets:
        raise PictureError(f"{name}: the TIFF says nowhere where its pixels are", reason="corrupt")
    ends = (offset + count for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False) if count)
    if max(ends, default=0) > size:
        raise PictureError(
            f"{name}: the TIFF ends before its last strip or tile; fetch or export it again", reason="truncated"
        )


def check_jpeg(page: Any, data: bytes, name: str) -> None:
    """Refuse JPEG strips and tiles that are larger than the page's tags say (beyond padding to whole blocks)."""
    if int(page.compression) != _JPEG:
        return
    width = page.tilewidth if page.is_tiled else page.imagewidth
    height = page.tilelength if page.is_tiled else min(page.rowsperstrip, page.imagelength)
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False):
        size = frame_size(data[offset : offset + count])
        if size is not None and (size[0] > width + 32 or size[1] > height + 32):
            raise PictureError(
                f"{name}: a JPEG strip or tile of {size[0]} x {size[1]} pixels where the TIFF says {width} x {height}",
                reason="corrupt",
            )


def _unsupported(what: str, name: str) -> PictureError:
    return PictureError(
        f"{name}: a TIFF with {what} is not supported; convert it to 8-bit, 16-bit or float RGB or grey first",
        reason="unsupported",
    )


def _read_page(page: Any, data: bytes, name: str) -> list[Found]:
    """The page; or each band of it as one, where it has many."""
    warnings: list[str] = []
    photometric = int(page.photometric)
    plain_ycbcr = photometric == YCBCR and int(page.compression) not in ycbcr.JPEG_LIKE
    if plain_ycbcr and tuple(page.subsampling or (1, 1)) != (1, 1):
        samples = ycbcr.read_subsampled(page, data)
    else:
        samples = page.asarray(maxworkers=1)
    if samples.ndim == 2:
        samples = samples[..., None]
    elif page.axes == "SYX":
        samples = np.moveaxis(samples, 0, -1)
    if samples.shape[:2] != (page.imagelength, page.imagewidth):
        raise PictureError(f"{name}: the TIFF's pixels do not fill its size", reason="corrupt")
    bits = 1 if samples.dtype == np.bool_ else int(page.bitspersample)
    if is_many(page, _COLOURS[photometric]):
        pages = split_bands(samples, page, bits, warnings)
    else:
        pages = [_read_colours(samples, bits, page, name, warnings)]
    for found in pages:
        hide_nodata(found, page)
        found.mode = {1: "1"}.get(bits, _MODES[photometric]) if bits <= 8 else f"{_MODES[photometric]};{bits}"
        found.bit_depth = 8 if photometric == PALETTE else bits
        found.dpi, found.orientation = _dpi(page), _tag_integer(page, _TAG_ORIENTATION)
    if bits > 32:
        warnings.append("64-bit floating-point samples were rounded to 32 bits")
    first = pages[0]
    if photometric != SEPARATED:
        first.icc = _tag_bytes(page, _TAG_ICC) or _stated_profile(page, first.pixels.shape[2], warnings)
    first.exif, first.xmp, first.iptc = _exif(page, data, warnings), _tag_bytes(page, _TAG_XMP), _iptc(page, warnings)
    first.tags, first.warnings, first.cloud_tile = read_tags(page), warnings, cloud_tile(page, data)
    return pages


def _read_colours(samples: Raster, bits: int, page: Any, name: str, warnings: list[str]) -> Found:
    """RGB or grey, and alpha, of a page that has nothing else."""
    photometric = int(page.photometric)
    colour, extra = np.split(samples, [_COLOURS[photometric]], axis=2)
    sample_type = samples.dtype.name if is_scaled(page) else None
    colour, alpha = _straight(_storable(colour, bits, photometric, warnings), extra, bits, page, warnings)
    icc = None
    if photometric == SEPARATED:
        if colour.dtype == np.float32 or colour.shape[2] != 4:
            raise _unsupported(f"{page.bitspersample}-bit inks", name)
        colour, icc, warning = cmyk_to_rgb(np.ascontiguousarray(colour), _tag_bytes(page, _TAG_ICC))
        warnings += [warning] if warning else []
    else:
        colour = _to_rgb_or_grey(colour, photometric, page, name)
    return Found(pixels=colour, alpha=alpha, icc=icc, sample_type=sample_type)


def _storable(samples: Raster, bits: int, photometric: int, warnings: list[str]) -> Raster:
    """Samples as uint8, uint16 or float32 over their full range; palette indices as they are."""
    return samples.astype(np.uint16) if photometric == PALETTE else storable(samples, bits, warnings)[0]


def _straight(colour: Raster, extra: Raster, bits: int, page: Any, warnings: list[str]) -> tuple[Raster, Raster | None]:
    """Colour and alpha: the first extra sample declared to be alpha; others are dropped, which is said."""
    kinds = [int(kind) for kind in page.extrasamples]
    position = next((i for i, kind in enumerate(kinds) if kind in (_ASSOCIATED, _UNASSOCIATED)), None)
    if extra.shape[2] > (0 if position is None else 1):
        warnings.append("extra samples that are not declared as alpha were dropped")
    if position is None or position >= extra.shape[2]:
        return colour, None
    alpha = np.ascontiguousarray(_storable(extra[..., position], bits, MIN_IS_BLACK, warnings))
    if kinds[position] == _ASSOCIATED and int(page.photometric) in (RGB, MIN_IS_BLACK):
        colour = unpremultiply(colour, alpha)
    return colour, alpha


def _to_rgb_or_grey(colour: Raster, photometric: int, page: Any, name: str) -> Raster:
    """RGB or grey whose 0 is black, by the page's photometric interpretation (all but CMYK)."""
    if photometric == MIN_IS_WHITE:
        if colour.dtype == np.float32:
            raise _unsupported("floating-point samples whose 0 is white", name)
        inverted: Raster = np.iinfo(colour.dtype).max - colour
        return inverted
    if photometric == PALETTE:
        return _through_palette(colour[..., 0], page)
    if photometric == YCBCR and int(page.compression) not in ycbcr.JPEG_LIKE:
        if colour.dtype == np.float32:
            raise _unsupported("floating-point YCbCr samples", name)
        return ycbcr.to_rgb(colour, page)
    return colour


def _stated_profile(page: Any, channels: int, warnings: list[str]) -> bytes | None:
    """The profile that tags 301, 318 and 319 describe, or None."""
    tables = page.tags.valueof(301)
    white, primaries = (_rationals(page, code) for code in (318, 319))
    tables = None if tables is None else np.asarray(tables).ravel().tolist()
    try:
        return tables_profile(tables, white, primaries, channels)
    except (ValueError, imagecodecs.CmsError) as error:
        warnings.append(f"the TIFF's colorimetric tags (301, 318, 319) make no sense and were dropped: {error}")
        return None


def _rationals(page: Any, code: int) -> tuple[float, ...] | None:
    value = page.tags.valueof(code)
    if not isinstance(value, tuple) or len(value) % 2 or not all(value[1::2]):
        return None
    return tuple(above / below for above, below in zip(value[::2], value[1::2], strict=True))


def _through_palette(indices: Raster, page: Any) -> Raster:
    """RGB by the ColorMap: 16-bit entries, of which 8 are kept; some old writers put 8-bit values there."""
    colours = np.asarray(page.colormap)
    if colours.max(initial=0) > 255:
        colours = colours >> 8
    return colours.T.astype(np.uint8)[indices]


def _tag_bytes(page: Any, code: int) -> bytes | None:
    value = page.tags.valueof(code)
    return bytes(value) if isinstance(value, bytes | bytearray) and value else None


def _iptc(page: Any, warnings: list[str]) -> bytes | None:
    """The record of its own tag (some writers declare LONGs, whose bytes are swapped), else of Photoshop's."""
    tag = page.tags.get(_TAG_IPTC)
    if tag is not None:
        start = tag.valueoffset
        size = tag.count * (4 if int(tag.dtype) == _LONG else 1)
        page.parent.filehandle.seek(start)
        record = bytes(page.parent.filehandle.read(size)).rstrip(b"\0")
        if record.startswith(b"\x1c"):
            return record
        warnings.append("the IPTC tag holds no IPTC record and was dropped")
    resources = _tag_bytes(page, _TAG_PHOTOSHOP)
    try:
        return iptc.from_resources(resources) if resources else None
    except ValueError as error:
        warnings.append(f"Photoshop's image resources are not readable and were dropped: {error}")
        return None


def _tag_integer(page: Any, code: int) -> int | None:
    value = page.tags.valueof(code)
    return int(value) if isinstance(value, int) else None


def _dpi(page: Any) -> tuple[float, float] | None:
    """Dots per inch from XResolution, YResolution and ResolutionUnit (2 inch, the default, or 3 centimetre)."""
    unit = page.tags.valueof(296)
    unit = 2 if unit is None else int(unit)  # not `or`: tifffile's NONE counts as false
    x, y = page.tags.valueof(282), page.tags.valueof(283)
    if unit not in (2, 3) or not all(isinstance(value, tuple) and len(value) == 2 and value[1] for value in (x, y)):
        return None
    factor = 1.0 if unit == 2 else _CENTIMETRES_PER_INCH
    return (x[0] / x[1] * factor, y[0] / y[1] * factor)


def _exif(page: Any, data: bytes, warnings: list[str]) -> bytes | None:
    """Descriptive tags, EXIF and GPS of a page as one EXIF block, or None where there are none."""
    if page.parent.is_bigtiff:
        if page.tags.valueof(EXIF_IFD) is not None:
            warnings.append("EXIF of a BigTIFF is not read")
        return None
    order = page.parent.byteorder
    try:
        kept = ifd.read_directory(data, order, page.offset).described()
    except ValueError as error:
        warnings.append(f"the TIFF's descriptive tags are not readable and were dropped: {error}")
        return None
    return ifd.exif_block(kept, order) if kept.entries or kept.children else None
