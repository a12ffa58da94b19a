"""TIFF pages of many bands, signed and 32-bit samples, and nodata: read into what the stages know, and put back.

Each band is a grey page of the document (three that are declared as RGB are one page together), so that it is enhanced
by what makes sense for grey. Signed and 32-bit integers become floats over the range that they have, and integers again
when they are written. What GDAL's nodata tag names is transparent in between: it is neither enhanced nor blended.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from enhancer.codecs.colour import Raster, widen
from enhancer.codecs.raster import Found
from enhancer.image import Bands, Image

MAX_BANDS: Final = 1024
_RGB: Final = 2
_ALPHA_KINDS: Final = (1, 2)
_NODATA: Final = 42113
_EXACT: Final = 1 << 24
"""Integers beyond it are not all kept by float32."""


def is_many(page: Any, colours: int) -> bool:
    """Whether a grey or RGB page has samples besides its colours that are not one alpha channel."""
    extra = int(page.samplesperpixel) - colours
    if int(page.photometric) not in (1, _RGB) or extra < 1:
        return False
    return not (extra == 1 and int(page.extrasamples[0]) in _ALPHA_KINDS) or is_scaled(page)


def is_scaled(page: Any) -> bool:
    """Whether samples are signed or 32-bit integers, which stages compute over their own range."""
    return page.dtype is not None and (page.dtype.kind == "i" or (page.dtype.kind == "u" and page.dtype.itemsize > 2))


def group_count(page: Any, colours: int) -> int:
    """How many pages of a document a page of the file becomes."""
    return int(page.samplesperpixel) - colours + 1 if is_many(page, colours) else 1


def storable(samples: Raster, bits: int, warnings: list[str]) -> tuple[Raster, str | None]:
    """Samples as uint8, uint16 or float32, and the integer type that they are to be written in again, if another."""
    if samples.dtype.kind == "f":
        return samples.astype(np.float32), None
    if samples.dtype.kind == "i" or samples.dtype.itemsize > 2:
        if samples.size and max(abs(int(samples.min())), abs(int(samples.max()))) > _EXACT:
            warnings.append(f"{samples.dtype.name} samples beyond {_EXACT} were rounded to 24 bits")
        return samples.astype(np.float32), samples.dtype.name
    return widen(samples, bits), None


def split_bands(samples: Raster, page: Any, bits: int, warnings: list[str]) -> list[Found]:
    """A page for the declared RGB, where there is one, and one for each other band, in order.

    Args:
        samples: H x W x S as stored.
        page: tifffile's.
        bits: per sample.
        warnings: gets what was rounded.
    """
    first = 3 if int(page.photometric) == _RGB else 1
    edges = [0, first, *range(first + 1, samples.shape[2] + 1)]
    kinds = tuple(int(kind) if int(kind) in _ALPHA_KINDS else 0 for kind in page.extrasamples)
    kinds = (kinds + (0,) * samples.shape[2])[: samples.shape[2] - first]
    bands = Bands(int(page.index), kinds, planar=int(page.planarconfig) == 2)
    pages = []
    for start, stop in itertools.pairwise(edges):
        pixels, sample_type = storable(samples[..., start:stop], bits, warnings)
        pages.append(Found(pixels=np.ascontiguousarray(pixels), bands=bands, sample_type=sample_type))
    return pages


def hide_nodata(found: Found, page: Any) -> None:
    """Make transparent what the page's nodata tag names, where that is stored as it is and no alpha is there."""
    value = _nodata(page)
    if value is None or found.alpha is not None or int(page.bitspersample) not in (8, 16, 32, 64):
        return
    hidden = np.isnan(found.pixels) if np.isnan(value) else found.pixels == np.float32(value)
    hidden = hidden.all(axis=2)
    if not hidden.any() or hidden.all():
        return
    found.nodata = value
    found.pixels = found.pixels.copy()
    found.pixels[hidden] = found.pixels[~hidden].min()
    top = 1 if found.pixels.dtype == np.float32 else np.iinfo(found.pixels.dtype).max
    found.alpha = np.where(hidden, 0, top).astype(found.pixels.dtype)


def _nodata(page: Any) -> float | None:
    text = page.tags.valueof(_NODATA)
    try:
        return float(str(text).strip("\0 "))
    except ValueError:
        return None


def stored_samples(page: Image) -> tuple[Raster, bool]:
    """Samples (H x W x C) in the type of the file, nodata in its place; and whether alpha is still to follow."""
    pixels: NDArray[Any] = page.pixels
    if page.metadata.sample_type is not None and pixels.dtype == np.float32:
        kind = np.dtype(page.metadata.sample_type)
        span = 1 << 8 * kind.itemsize
        low = -span // 2 if kind.kind == "i" else 0
        pixels = np.clip(np.rint(pixels.astype(np.float64)), low, low + span - 1).astype(kind)
    if page.metadata.nodata is None or page.alpha is None:
        return pixels, page.alpha is not None
    half = 0.5 if page.alpha.dtype == np.float32 else (1 << 8 * page.alpha.dtype.itemsize) / 2
    pixels = pixels.copy()
    pixels[page.alpha < half] = page.metadata.nodata
    return pixels, False


def grouped(pages: Sequence[Image]) -> list[list[Image]]:
    """The pages of a document by the page of the file that they make up."""
    groups: list[list[Image]] = []
    for page in pages:
        bands = page.metadata.bands
        if bands is not None and groups and groups[-1][0].metadata.bands == bands:
            groups[-1].append(page)
        else:
            groups.append([page])
    return groups


def joined(group: list[Image]) -> tuple[Raster, list[int], bool]:
    """Samples of a page of many bands (S x H x W if planar), its extra samples' kinds, and whether it is planar."""
    bands = group[0].metadata.bands
    samples = np.concatenate([stored_samples(page)[0] for page in group], axis=2)
    if bands is None:
        return samples, [], False
    return (np.moveaxis(samples, -1, 0) if bands.planar else samples), list(bands.kinds), bands.planar
