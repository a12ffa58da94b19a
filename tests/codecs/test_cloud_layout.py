"""Cloud-optimised GeoTIFFs stay so: judged by rio-cogeo and GDAL where they are installed, else by tifffile."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image as PillowImage

from enhancer.codecs import Limits, decode, encode
from enhancer.image import Document, Image, Metadata, Tag
from enhancer.options import OutputOptions

LIMITS = Limits(max_bytes=1 << 26, max_pixels=1 << 24, max_pages=9)
RNG = np.random.default_rng(21)
SCALE = Tag(33550, 12, (10.0, 10.0, 0.0))
CORNER = Tag(33922, 12, (0.0, 0.0, 0.0, 500_000.0, 5_000_000.0, 0.0))


def relief(bands: int, dtype: str, rows: int = 700, columns: int = 610) -> np.ndarray:
    """S x H x W."""
    y, x = np.mgrid[:rows, :columns]
    planes = [300 + 80 * np.sin(x / (30 + 5 * at)) + 60 * np.cos(y / (40 + 3 * at)) for at in range(bands)]
    values = np.stack(planes)
    return (values / 3).astype(dtype) if dtype == "uint8" else values.astype(dtype)


def checked_order(data: bytes) -> list[tuple[int, int]]:
    """Widths and heights of picture and overviews, after a check of where everything lies."""
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        pages = list(file.pages)
        first = [min(page.dataoffsets) for page in pages]
        last = [
            max(at + size for at, size in zip(page.dataoffsets, page.databytecounts, strict=True)) for page in pages
        ]
        assert pages[0].offset == (16 if file.is_bigtiff else 8)
        assert max(page.offset for page in pages) < min(first), "directories before all tiles"
        assert all(later <= earlier for earlier, later in zip(first, last[1:], strict=False)), "smallest first"
        assert all(page.is_tiled for page in pages)
        assert [int(page.subfiletype) for page in pages] == [0] + [1] * (len(pages) - 1)
        return [(page.imagewidth, page.imagelength) for page in pages]


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [1, 3])
def test_tiles_overviews_and_their_order(dtype: Any, channels: int) -> None:
    pixels = np.moveaxis(relief(channels, np.dtype(dtype).name), 0, -1)
    exif = PillowImage.Exif()
    exif[0x010F] = "Maker"
    exif.get_ifd(0x8769)[0x9003] = "2024:01:02 03:04:05"
    metadata = Metadata(
        format="TIFF", cloud_tile=(256, 128), tags=(SCALE, CORNER), exif=exif.tobytes().removeprefix(b"Exif\0\0"),
        float_range=(float(pixels.min()), float(pixels.max())) if dtype == np.float32 else None,
    )  # fmt: skip
    made = encode(Document((Image(pixels, metadata=metadata),)), options=OutputOptions(), processing="x")
    assert checked_order(made.data) == [(610, 700), (305, 350), (153, 175), (77, 88)]
    with tifffile.TiffFile(io.BytesIO(made.data)) as file:
        np.testing.assert_array_equal(file.pages[0].asarray().reshape(pixels.shape), pixels)
        half = file.pages[1].asarray().reshape(350, 305, channels)
        means = pixels.astype(float).reshape(350, 2, 305, 2, channels).mean((1, 3))
        assert np.abs(half - means).max() <= (0.5 if np.dtype(dtype).kind == "u" else 1e-3)
        assert (file.pages[0].tilelength, file.pages[0].tilewidth) == (256, 128)
        assert file.pages[0].tags[34665].value["DateTimeOriginal"] == "2024:01:02 03:04:05"
    again = decode(made.data, name="a", limits=LIMITS)
    assert len(again.pages) == 1
    np.testing.assert_array_equal(again.first.pixels, pixels)
    assert again.first.metadata.tags == (SCALE, CORNER)
    assert again.first.metadata.cloud_tile == (256, 128)


def test_tiles_alone_are_no_cloud_layout() -> None:
    stream = io.BytesIO()
    tifffile.imwrite(stream, relief(1, "uint8")[0], tile=(64, 64))
    assert decode(stream.getvalue(), name="a", limits=LIMITS).first.metadata.cloud_tile is None


@pytest.mark.parametrize("factor", [1, 2])
@pytest.mark.parametrize(
    ("bands", "dtype", "nodata"),
    [(1, "uint16", None), (3, "uint8", None), (5, "uint16", None), (1, "float32", -9999), (2, "int16", -9999)],
)
def test_what_gdal_wrote_stays_valid(bands: int, dtype: str, nodata: float | None, factor: int, tmp_path: Path) -> None:
    rasterio = pytest.importorskip("rasterio", reason="needs rasterio and rio-cogeo")
    cogeo = pytest.importorskip("rio_cogeo", reason="needs rasterio and rio-cogeo")
    values = relief(bands, dtype)
    if nodata is not None:
        values[:, :100, :150] = nodata
    profile = {
        "driver": "COG", "height": values.shape[1], "width": values.shape[2], "count": bands, "dtype": dtype,
        "crs": "EPSG:32632", "transform": rasterio.Affine(10, 0, 500_000, 0, -10, 5_000_000), "blocksize": 256,
        "compress": "deflate", "nodata": nodata,
    }  # fmt: skip
    before, after = tmp_path / "before.tif", tmp_path / "after.tif"
    with rasterio.open(before, "w", **profile) as file:
        file.write(values)
    assert cogeo.cog_validate(before, strict=True)[0]
    pages = decode(before.read_bytes(), name="a", limits=LIMITS).pages
    larger = tuple(
        page.with_pixels(
            page.pixels.repeat(factor, 0).repeat(factor, 1),
            None if page.alpha is None else page.alpha.repeat(factor, 0).repeat(factor, 1),
        )
        for page in pages
    )
    after.write_bytes(encode(Document(larger), options=OutputOptions(), processing="x").data)
    assert cogeo.cog_validate(after, strict=True) == (True, [], [])
    with rasterio.open(before) as one, rasterio.open(after) as other:
        np.testing.assert_array_equal(other.read(), one.read().repeat(factor, 1).repeat(factor, 2))
        assert other.crs == one.crs
        assert other.bounds == one.bounds
        assert other.nodata == one.nodata
        assert other.overviews(1)[0] == 2
