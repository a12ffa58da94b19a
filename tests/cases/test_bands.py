"""TIFFs of many bands, and of signed and 32-bit integers, keep bands, order, type and range; no data stays no data."""

from __future__ import annotations

import io

import numpy as np
import pytest
import tifffile

from enhancer.codecs import Limits, announced_pixels, decode, encode
from enhancer.options import OutputOptions
from tests.cases.conftest import Enhance
from tests.cases.making import HEIGHT, WIDTH, photograph

LIMITS = Limits(max_bytes=1 << 24, max_pixels=1 << 20, max_pages=9)
RANGES = {"uint8": (0, 250), "uint16": (200, 12_000), "int16": (-300, 2_900), "float32": (-0.2, 0.9), "int32": (-10, 99_000),
          "uint32": (0, 3_000_000)}  # fmt: skip


def bands(count: int, dtype: str) -> np.ndarray:
    """S x H x W: photographs in grey over a range of this type, each band at another place in it."""
    low, high = RANGES[dtype]
    grey = [np.asarray(photograph(name).convert("L")) / 255 for name in ("astronaut", "coffee", "chelsea")]
    planes = [low + (high - low) * (grey[at % 3] * 0.6 + at / count * 0.4) for at in range(count)]
    return np.stack(planes if dtype == "float32" else np.rint(planes)).astype(dtype)


def written(values: np.ndarray, planar: bool = False, **options: object) -> bytes:
    stream = io.BytesIO()
    extra = values.shape[0] - (3 if options.get("photometric") == "rgb" else 1)
    tifffile.imwrite(
        stream,
        values if planar else np.moveaxis(values, 0, -1),
        **{"photometric": "minisblack", "metadata": None, "extrasamples": [0] * extra, **options},
        planarconfig="separate" if planar else "contig",
    )
    return stream.getvalue()


def read(data: bytes) -> tuple[np.ndarray, int]:
    """S x H x W as tifffile reads it, and the planar configuration."""
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages[0]
        values = page.asarray()
        assert len(file.pages) == 1
        return (values if page.axes == "SYX" else np.moveaxis(values, -1, 0)), int(page.planarconfig)


LAYOUTS = {
    "strips": {"rowsperstrip": 10},
    "tiles": {"tile": (32, 32)},
    "deflated": {"compression": "zlib", "predictor": True},
    "bigtiff": {"bigtiff": True},
    "big-endian": {"byteorder": ">"},
}


@pytest.mark.parametrize("dtype", RANGES)
@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_is_not_changed_comes_out_as_it_came(dtype: str, planar: bool, layout: str) -> None:
    for count in (2, 4, 6):
        values = bands(count, dtype)
        made = encode(
            decode(written(values, planar, **LAYOUTS[layout]), name="a", limits=LIMITS), options=OutputOptions()
        )
        again, configuration = read(made.data)
        assert again.dtype == values.dtype
        assert configuration == (2 if planar else 1)
        np.testing.assert_array_equal(again, values)


@pytest.mark.parametrize(("count", "dtype"), [(4, "uint16"), (6, "uint16"), (2, "int16"), (3, "float32"), (5, "uint8")])
def test_every_band_is_enlarged_in_its_place(enhance: Enhance, count: int, dtype: str) -> None:
    values = bands(count, dtype)
    made = enhance(written(values), "a.tif")
    assert made.record.state == "published"
    assert not made.record.warnings
    again, _ = read(made.data)
    assert again.shape == (count, 2 * HEIGHT, 2 * WIDTH)
    assert again.dtype == values.dtype
    low, high = RANGES[dtype]
    for new, old in zip(again, values, strict=True):
        assert abs(float(new.mean()) - float(old.mean())) <= 0.01 * (high - low)
        small = new.reshape(HEIGHT, 2, WIDTH, 2).mean((1, 3))
        assert np.abs(small - old).mean() <= 0.03 * (high - low)


def test_declared_rgb_stays_together() -> None:
    values = bands(5, "uint16")
    data = written(values, photometric="rgb")
    document = decode(data, name="a", limits=LIMITS)
    assert [page.pixels.shape[2] for page in document.pages] == [3, 1, 1]
    assert announced_pixels(data, LIMITS) == 3 * WIDTH * HEIGHT
    made = encode(document, options=OutputOptions()).data
    with tifffile.TiffFile(io.BytesIO(made)) as file:
        assert int(file.pages[0].photometric) == 2
        np.testing.assert_array_equal(np.moveaxis(file.pages[0].asarray(), -1, 0), values)


@pytest.mark.parametrize("dtype", ["int16", "int32", "uint32"])
def test_one_band_of_signed_or_32_bit_integers(enhance: Enhance, dtype: str) -> None:
    values = bands(2, dtype)[0]
    stream = io.BytesIO()
    tifffile.imwrite(stream, values, photometric="minisblack", metadata=None)
    made = enhance(stream.getvalue(), "a.tif")
    again = tifffile.imread(io.BytesIO(made.data))
    assert again.dtype == values.dtype
    assert abs(float(again.mean()) - float(values.mean())) <= 0.01 * (int(values.max()) - int(values.min()))


@pytest.mark.parametrize(
    ("dtype", "nodata"), [("int16", "-9999"), ("uint16", "0"), ("float32", "nan"), ("float32", "-3.4e+38")]
)
@pytest.mark.parametrize("count", [1, 3])
def test_no_data_is_neither_enhanced_nor_blended(enhance: Enhance, dtype: str, nodata: str, count: int) -> None:
    values = bands(max(count, 2), dtype)[:count]
    hole = np.zeros((HEIGHT, WIDTH), bool)
    hole[10:30, 20:60] = True
    values[:, hole] = np.array(float(nodata)).astype(dtype)
    stream = io.BytesIO()
    tag = [(42113, 2, 0, nodata, True)]
    tifffile.imwrite(stream, np.moveaxis(values, 0, -1) if count > 1 else values[0], photometric="minisblack", metadata=None,
                     extratags=tag, extrasamples=[0] * (count - 1) or None)  # fmt: skip
    made = enhance(stream.getvalue(), "a.tif")
    with tifffile.TiffFile(io.BytesIO(made.data)) as file:
        again = file.pages[0].asarray()
        assert file.pages[0].tags[42113].value == nodata
    again = np.moveaxis(again, -1, 0) if count > 1 else again[None]
    large = hole.repeat(2, axis=0).repeat(2, axis=1)
    given = values[0, 0, 0].dtype.type(float(nodata))
    empty = np.isnan(again) if nodata == "nan" else again == given
    # A nodata value that data may have too (0) can stand elsewhere as well; in the hole it stands throughout.
    assert (empty[:, large]).mean() > 0.99
    valid = again[:, ~large].astype(float)
    low, high = RANGES[dtype]
    kept = valid[~(np.isnan(valid) | (valid == float(nodata)))]
    assert kept.min() >= low - 0.1 * (high - low)
    assert kept.max() <= high + 0.1 * (high - low)


def test_as_many_bands_as_memory_allows_and_no_more() -> None:
    from enhancer.errors import PictureError

    tight = Limits(max_bytes=1 << 24, max_pixels=WIDTH * HEIGHT, max_pages=9)
    decode(written(bands(4, "uint8")), name="a", limits=tight)
    with pytest.raises(PictureError) as raised:
        decode(written(bands(6, "uint8")), name="a", limits=tight)
    assert raised.value.reason == "too-many-pixels"
