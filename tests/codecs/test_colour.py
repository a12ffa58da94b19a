"""Into the working space and back: checked with Little CMS directly and with profiles that are wider than sRGB."""

from __future__ import annotations

import io
from dataclasses import replace

import imagecodecs
import numpy as np
import pytest
from PIL import Image as PillowImage
from PIL import ImageCms

from enhancer.codecs.colour import from_working, to_working
from enhancer.codecs.profiles import profile_for, srgb_profile
from enhancer.image import Image, Metadata

P3 = profile_for("display-p3")
RNG = np.random.default_rng(7)


def picture(pixels: np.ndarray, icc: bytes | None = P3, **metadata: object) -> Image:
    return Image(pixels, metadata=Metadata(icc=icc, **metadata))  # type: ignore[arg-type]


def colours(dtype: type, channels: int = 3) -> np.ndarray:
    unit = RNG.random((40, 50, channels))
    return unit.astype(np.float32) if dtype is np.float32 else (unit * np.iinfo(dtype).max).astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_what_needs_no_conversion_is_the_same_object(dtype: type) -> None:
    pixels = colours(dtype)
    other_srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    curve = np.linspace(0, 1, 1024)
    table = np.where(curve <= 0.04045, curve / 12.92, ((curve + 0.055) / 1.055) ** 2.4)
    by_table = imagecodecs.cms_profile(
        "rgb",
        whitepoint=(0.3127, 0.3290, 1.0),
        primaries=(0.64, 0.33, 1.0, 0.30, 0.60, 1.0, 0.15, 0.06, 1.0),
        transferfunction=np.rint(table * 65535).astype(np.uint16),
    )
    for icc in (None, srgb_profile(), other_srgb, by_table, profile_for("grey"), b"\0" * 200, P3[:300]):
        image = picture(pixels, icc)
        assert to_working(image) is image
        assert from_working(image, image) is image
    ranged = picture(pixels, P3, float_range=(-1.0, 2.0))
    assert to_working(ranged) is ranged


def test_eight_bits_are_converted_by_little_cms() -> None:
    pixels = colours(np.uint8)
    working = to_working(picture(pixels))
    expected = ImageCms.profileToProfile(
        PillowImage.fromarray(pixels),
        ImageCms.ImageCmsProfile(io.BytesIO(P3)),
        ImageCms.createProfile("sRGB"),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    assert np.abs(working.pixels.astype(int) - np.asarray(expected)).max() <= 1
    assert working.metadata.icc is None


def test_sixteen_bits_keep_their_precision() -> None:
    pixels = (colours(np.uint16) // 2 + 16_000).astype(np.uint16)
    linear = np.where(pixels / 65535 <= 0.04045, pixels / 65535 / 12.92, ((pixels / 65535 + 0.055) / 1.055) ** 2.4)
    matrix = np.array([[1.2249402, -0.2249402, 0], [-0.0420569, 1.0420569, 0], [-0.0196376, -0.0786360, 1.0982736]])
    expected = linear @ matrix.T  # Display P3 to sRGB, from the primaries (CSS Color 4, sample code)
    inside = ((expected >= 0) & (expected <= 1)).all(axis=2)
    expected = np.where(expected <= 0.0031308, expected * 12.92, 1.055 * np.abs(expected) ** (1 / 2.4) - 0.055) * 65535
    found = to_working(picture(pixels)).pixels
    assert inside.mean() > 0.3
    assert np.abs(found[inside] - expected[inside]).max() < 120


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [1, 3])
def test_an_unchanged_pixel_comes_back_as_it_went_in(dtype: type, channels: int) -> None:
    gamma = imagecodecs.cms_profile("gray", whitepoint=(0.3127, 0.3290, 1.0), gamma=1.8)
    original = picture(colours(dtype, channels), P3 if channels == 3 else gamma)
    working = to_working(original)
    assert working is not original
    changed = working.pixels.copy()
    changed[:20] = changed[:20] // 2 if dtype is not np.float32 else changed[:20] / 2
    back = from_working(replace(working, pixels=changed), original)
    assert back.metadata.icc == original.metadata.icc
    np.testing.assert_allclose(back.pixels[20:], original.pixels[20:], atol=1e-6 if dtype is np.float32 else 0)
    assert back.pixels[:20].mean() < 0.7 * original.pixels[:20].mean()


def test_colours_that_srgb_cannot_hold_survive_enlarging() -> None:
    original = picture(np.full((10, 10, 3), (255, 10, 10), np.uint8))
    working = to_working(original)
    larger = replace(working, pixels=working.pixels.repeat(2, axis=0).repeat(2, axis=1))
    back = from_working(larger, original)
    assert np.abs(back.pixels.astype(int) - (255, 10, 10)).max() <= 1
