"""Views as the worker makes them, held against Pillow, ImageCms and the addresses of the IIIF Image API."""

from __future__ import annotations

import io
import re
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage.data
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageCms

from enhancer.batch.views import About, ViewArchives
from enhancer.batch.worker import display
from enhancer.batch.worker.viewmaking import Seen, ViewMaker
from enhancer.codecs import Limits, decode
from enhancer.codecs.profiles import profile_for
from enhancer.image import Document, Image, Metadata
from enhancer.settings import Settings
from enhancer.storage import ObjectStore, open_store

KEY = "run/views/00000000.zip"


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return open_store(str(tmp_path), Settings())


def opened(data: bytes) -> NDArray[Any]:
    return np.asarray(Pillow.open(io.BytesIO(data)))


def picture(pixels: NDArray[Any], **metadata: Any) -> Image:
    shaped = pixels if pixels.ndim == 3 else pixels[..., None]
    return Image(shaped, metadata=Metadata(**{"format": "TIFF", **metadata}))


def seen(image: Image, size: int = 10**9) -> Seen:
    return Seen(Document((image,)), size)


def psnr(one: NDArray[Any], other: NDArray[Any]) -> float:
    return float(10 * np.log10(255**2 / np.mean((one.astype(float) - other.astype(float)) ** 2)))


# ------------------------------------------------------------------ pyramids


@pytest.mark.parametrize("size", [(1300, 700), (512, 512), (513, 512), (100, 40), (1024, 2050)])
def test_the_tiles_are_those_of_the_iiif_image_api(size: tuple[int, int]) -> None:
    width, height = size
    photo = Pillow.fromarray(skimage.data.chelsea()).resize(size)
    found = dict(display.tiles(np.asarray(photo)))
    factor, expected = 1, set()
    while True:  # section 4.7 of the API: each tile by its canonical address
        step = 512 * factor
        for y in range(0, height, step):
            for x in range(0, width, step):
                w, h = min(step, width - x), min(step, height - y)
                region = "full" if (x, y, w, h) == (0, 0, width, height) else f"{x},{y},{w},{h}"
                tw, th = -(-w // factor), -(-h // factor)
                scaled = "max" if (tw, th) == (width, height) else f"{tw},{th}"
                expected.add(f"{region}/{scaled}/0/default.jpg")
        if -(-max(width, height) // factor) <= 512:
            break
        factor *= 2
    assert set(found) == expected
    assert display.factors_of(width, height)[-1] == factor


def test_the_tiles_of_a_level_are_the_picture_at_its_size() -> None:
    photo = Pillow.fromarray(skimage.data.astronaut()).resize((1500, 1100))
    found = dict(display.tiles(np.asarray(photo)))
    for factor in (1, 2):
        size = (1500 // factor, 1100 // factor)
        level = Pillow.new("RGB", size)
        for address, data in found.items():
            region, scaled = address.split("/")[:2]
            if region == "full":
                continue
            x, y, w, _ = map(int, region.split(","))
            tile = Pillow.open(io.BytesIO(data))
            assert tile.size == tuple(map(int, scaled.split(",")))
            if -(-w // tile.width) == factor:
                level.paste(tile, (x // factor, y // factor))
        assert psnr(np.asarray(level), np.asarray(photo.resize(size, Pillow.Resampling.BOX))) > 36


# ------------------------------------------------------------------ display


def test_eight_bits_are_shown_as_they_are() -> None:
    pixels = skimage.data.coffee()
    image = picture(pixels)
    assert display.displayed(image, display.window_of(image)) is pixels


def test_sixteen_bits_are_shown_by_their_upper_half() -> None:
    pixels = skimage.data.coffee().astype(np.uint16) * 257
    image = picture(pixels, bit_depth=16)
    assert np.array_equal(display.displayed(image, display.window_of(image)), skimage.data.coffee())


def test_a_profile_is_followed() -> None:
    photo = Pillow.fromarray(skimage.data.chelsea())
    icc = profile_for("adobe-rgb")
    image = picture(np.asarray(photo), icc=icc)
    shown = display.displayed(image, display.window_of(image))
    expected = ImageCms.profileToProfile(
        photo,
        ImageCms.ImageCmsProfile(io.BytesIO(icc)),
        ImageCms.createProfile("sRGB"),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    assert np.abs(shown.astype(int) - np.asarray(expected)).max() <= 2
    assert np.abs(shown.astype(int) - np.asarray(photo)).max() > 5


def test_transparency_is_shown_on_white() -> None:
    rgba = np.zeros((40, 40, 4), np.uint8)
    rgba[:20, :, 0], rgba[:, :20, 3] = 200, 128
    image = Image(rgba[..., :3].copy(), rgba[..., 3].copy(), Metadata(format="PNG"))
    expected = Pillow.new("RGBA", (40, 40), "white")
    expected.alpha_composite(Pillow.fromarray(rgba))
    shown = display.displayed(image, display.window_of(image))
    assert np.abs(shown.astype(int) - np.asarray(expected.convert("RGB"))).max() <= 1


def test_grey_that_fills_a_part_of_its_range_is_spread() -> None:
    values = np.linspace(3000, 7000, 200 * 300).reshape(200, 300).astype(np.uint16)
    image = picture(values, bit_depth=16)
    window = display.window_of(image)
    assert window.narrowed
    assert window.low * 65535 == pytest.approx(3000, abs=20)
    assert window.high * 65535 == pytest.approx(7000, abs=20)
    expected = np.clip((values - 3004.0) / (6996 - 3004) * 255, 0, 255)
    assert np.abs(display.displayed(image, window)[..., 0] - expected).max() <= 1
    assert not display.window_of(picture(np.linspace(0, 65535, 900).reshape(30, 30).astype(np.uint16))).narrowed
    colour = picture(np.repeat(values[..., None], 3, axis=2), bit_depth=16)
    assert not display.window_of(colour).narrowed, "a dark photograph stays dark"


def test_floats_are_shown_within_their_range() -> None:
    values = np.linspace(-50, 400, 64 * 64, dtype=np.float32).reshape(64, 64)
    image = picture(values, bit_depth=32, float_range=(-50.0, 400.0))
    shown = display.displayed(image, display.window_of(image))[..., 0]
    assert np.abs(shown - (values + 50) / 450 * 255).max() <= 0.51


def test_strips_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    image = picture(np.random.default_rng(1).integers(0, 65535, (123, 77, 3)).astype(np.uint16), bit_depth=16)
    whole = display.displayed(image, display.window_of(image))
    monkeypatch.setattr(display, "_STRIP_PIXELS", 1000)
    assert np.array_equal(display.displayed(image, display.window_of(image)), whole)


def test_a_thumbnail_is_the_picture_smaller() -> None:
    photo = Pillow.fromarray(skimage.data.astronaut()).resize((1000, 800))
    data = display.thumbnail(picture(np.asarray(photo)), display.Window())
    assert opened(data).shape == (256, 320, 3)
    assert psnr(opened(data), np.asarray(photo.resize((320, 256), Pillow.Resampling.BOX))) > 32
    assert opened(display.thumbnail(picture(np.zeros((5, 7), np.uint8)), display.Window())).shape == (5, 7)


def test_a_histogram_is_numpys() -> None:
    pixels = skimage.data.coffee()
    found = display.histogram(picture(pixels), display.Window())
    for channel in range(3):
        counts, _ = np.histogram(pixels[..., channel], bins=64, range=(0, 256))
        ours = np.array(found[channel]) / sum(found[channel])
        assert np.abs(ours - counts / counts.sum()).max() < 0.005, "of a part of the pixels"


# ------------------------------------------------------------------ archives


def test_a_file_that_browsers_show_gets_thumbnails_only(store: ObjectStore) -> None:
    image = picture(skimage.data.coffee(), format="JPEG")
    ViewMaker(store, "run", Settings()).keep(0, seen(image, 1000), seen(image, 1000), refused=True, score=0.1)
    with zipfile.ZipFile(io.BytesIO(store.get(KEY).data)) as archive:
        assert archive.namelist() == ["before.jpg", "after.jpg", "about.json"]
    about = ViewArchives().about(store, KEY)
    assert {side: (one.width, one.height, one.factors) for side, one in about.sides.items()} == {
        "before": (600, 400, ()),
        "after": (600, 400, ()),
    }


@pytest.mark.parametrize(
    ("metadata", "needs"),
    [
        ({"format": "JPEG"}, False),
        ({"format": "PNG"}, False),
        ({"format": "JPEG", "mode": "CMYK"}, True),
        ({"format": "PNG", "bit_depth": 16}, True),
        ({"format": "TIFF"}, True),
        ({"format": "DICOM"}, True),
    ],
)
def test_what_browsers_do_not_show_gets_a_pyramid(store: ObjectStore, metadata: dict[str, Any], needs: bool) -> None:
    image = picture(skimage.data.coffee(), **metadata)
    ViewMaker(store, "run", Settings()).keep(0, seen(image, 1000), seen(image, 1000), refused=False, score=0.5)
    about = ViewArchives().about(store, KEY)
    assert (about.sides["before"].factors == (1, 2)) is needs
    found = ViewArchives().read(store, KEY, "after/0,0,512,400/512,400/0/default.jpg")
    assert (found is not None) is needs
    if found is not None:
        assert psnr(opened(found[0]), skimage.data.coffee()[:400, :512]) > 34


def test_a_large_picture_gets_a_pyramid_whatever_its_format() -> None:
    wide = Image(np.broadcast_to(np.uint8(7), (5001, 10000, 1)), metadata=Metadata(format="JPEG"))
    assert seen(wide, 1000).needs_pyramid
    assert not seen(picture(skimage.data.coffee(), format="JPEG"), 32 * 2**20).needs_pyramid
    assert seen(picture(skimage.data.coffee(), format="JPEG"), 32 * 2**20 + 1).needs_pyramid


def pyramids(store: ObjectStore) -> list[int]:
    keys = [info.key for info in store.list()]
    return [
        int(re.findall(r"\d+", key)[-1])
        for key in keys
        if ViewArchives().about(store, key).sides["before"].factors != ()
    ]


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        ({"view_pyramids": 0}, []),
        ({"view_pyramids": 2, "view_share": 0}, [1, 2]),
        ({"view_share": 0}, [1, 2, 3]),
        ({"view_pyramids": 100, "view_share": 1}, [*range(1, 12)]),
    ],
)
def test_the_share_and_the_number_bound_them(store: ObjectStore, settings: dict[str, Any], kept: list[int]) -> None:
    """Eleven pictures, each better than the one before it, so that the first five are the worst."""
    image = picture(np.zeros((8, 8), np.uint8))
    maker = ViewMaker(store, "run", Settings(**settings))
    maker._started -= 3600  # a worker that has scored for an hour
    for position in range(1, 12):
        maker.keep(position, seen(image), seen(image), refused=False, score=position / 100)
    assert pyramids(store) == kept


def test_what_was_refused_comes_before_what_was_not(store: ObjectStore) -> None:
    image = picture(np.zeros((8, 8), np.uint8))
    maker = ViewMaker(store, "run", Settings(view_pyramids=3, view_share=0))
    for position in range(1, 12):
        maker.keep(position, seen(image), seen(image), refused=position > 9, score=None)
    assert pyramids(store) == [10, 11]


def test_it_can_be_turned_off(store: ObjectStore) -> None:
    image = picture(np.zeros((8, 8), np.uint8))
    maker = ViewMaker(store, "run", Settings(view_thumbnails=False))
    maker.keep(0, seen(image), seen(image), refused=True, score=0.0)
    assert list(store.list()) == []


def test_trouble_costs_the_view_alone(tmp_path: Path) -> None:
    image = picture(np.zeros((8, 8), np.uint8))
    (tmp_path / "run").write_text("a file where the run's folder should be")
    store = open_store(str(tmp_path), Settings())
    ViewMaker(store, "run", Settings()).keep(0, seen(image), seen(image), refused=True, score=0.0)
    assert (tmp_path / "run").read_text().startswith("a file")


@pytest.mark.parametrize("frames", [1, 3])
def test_a_real_tiff_of_pages_says_which_is_shown(store: ObjectStore, frames: int) -> None:
    buffer = io.BytesIO()
    pages = [Pillow.fromarray(skimage.data.coffee()).resize((60, 40))] * frames
    pages[0].save(buffer, "TIFF", save_all=True, append_images=pages[1:])
    document = decode(buffer.getvalue(), name="a.tif", limits=Limits.from_settings(Settings()))
    both = Seen(document, len(buffer.getvalue()))
    ViewMaker(store, "run", Settings()).keep(0, both, both, refused=True, score=0.0)
    about = ViewArchives().about(store, KEY)
    assert about.sides["before"].note == ("page 1 of 3" if frames == 3 else "")
    assert about != About()
