"""Decoding against files made by other libraries: exact pixels, depth, alpha, orientation, colour."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image as PillowImage
from PIL import ImageCms, ImageOps

from enhancer.codecs import Limits, decode
from enhancer.image import Image

LIMITS = Limits(max_bytes=1 << 26, max_pixels=10_000_000, max_pages=20)
RNG = np.random.default_rng(7)


def only(data: bytes) -> Image:
    document = decode(data, name="test", limits=LIMITS)
    assert len(document.pages) == 1
    return document.first


def pillow_bytes(array: np.ndarray, format_name: str, mode: str | None = None, **arguments: object) -> bytes:
    buffer = io.BytesIO()
    image = PillowImage.fromarray(array)
    (image.convert(mode) if mode else image).save(buffer, format_name, **arguments)
    return buffer.getvalue()


def noise(*shape: int, dtype: type = np.uint8) -> np.ndarray:
    return RNG.integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


@pytest.mark.parametrize("format_name", ["PNG", "TIFF", "BMP"])
def test_eight_bit_rgb_is_exact(format_name: str) -> None:
    pixels = noise(11, 17, 3)
    page = only(pillow_bytes(pixels, format_name))
    np.testing.assert_array_equal(page.pixels, pixels)
    assert (page.alpha, page.metadata.format, page.metadata.bit_depth) == (None, format_name, 8)


@pytest.mark.parametrize(
    ("format_name", "arguments"),
    [("PNG", {}), ("TIFF", {}), ("WEBP", {"lossless": True, "exact": True})],
)
def test_alpha_is_held_apart_and_exact(format_name: str, arguments: dict[str, object]) -> None:
    pixels = noise(11, 17, 4)
    page = only(pillow_bytes(pixels, format_name, **arguments))
    np.testing.assert_array_equal(page.pixels, pixels[..., :3])
    np.testing.assert_array_equal(page.alpha, pixels[..., 3])


@pytest.mark.parametrize("format_name", ["PNG", "TIFF", "JPEG", "BMP", "AVIF"])
def test_grey_stays_grey(format_name: str) -> None:
    pixels = np.tile(np.arange(0, 240, 10, dtype=np.uint8), (16, 1))
    page = only(pillow_bytes(pixels, format_name))
    assert page.is_grey
    np.testing.assert_allclose(page.pixels[..., 0], pixels, atol=0 if format_name in ("PNG", "TIFF", "BMP") else 8)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_bit_png_of_opencv_is_exact(channels: int) -> None:
    pixels = noise(9, 14, channels, dtype=np.uint16)
    # OpenCV stores BGR(A).
    stored = pixels if channels == 1 else pixels[..., [2, 1, 0, 3][:channels]]
    page = only(cv2.imencode(".png", stored)[1].tobytes())
    np.testing.assert_array_equal(page.pixels, pixels[..., : 1 if channels == 1 else 3])
    assert page.metadata.bit_depth == 16
    if channels == 4:
        np.testing.assert_array_equal(page.alpha, pixels[..., 3])


def test_dark_sixteen_bit_png_is_not_taken_for_eight_bits() -> None:
    pixels = np.full((4, 4, 3), 200, np.uint16)
    page = only(imagecodecs.png_encode(pixels))
    assert page.pixels.dtype == np.uint16
    np.testing.assert_array_equal(page.pixels, pixels)


def test_sixteen_bit_grey_alpha_png() -> None:
    pixels = noise(5, 6, 2, dtype=np.uint16)
    page = only(imagecodecs.png_encode(pixels))
    np.testing.assert_array_equal(page.pixels[..., 0], pixels[..., 0])
    np.testing.assert_array_equal(page.alpha, pixels[..., 1])


def test_png_palette_becomes_rgb_and_its_transparency_alpha() -> None:
    image = PillowImage.new("P", (3, 1))
    image.putpalette([255, 0, 0, 0, 255, 0, 10, 20, 30])
    image.putdata([0, 1, 2])
    buffer = io.BytesIO()
    image.save(buffer, "PNG", transparency=bytes([255, 128, 0]))
    page = only(buffer.getvalue())
    assert page.pixels.tolist() == [[[255, 0, 0], [0, 255, 0], [10, 20, 30]]]
    assert page.alpha is not None
    assert page.alpha.tolist() == [[255, 128, 0]]
    assert page.metadata.mode == "P"


@pytest.mark.parametrize(("dtype", "key"), [(np.uint8, (7, 8, 9)), (np.uint16, (700, 8, 65535))])
def test_png_transparent_colour_of_rgb(dtype: type, key: tuple[int, int, int]) -> None:
    import struct
    import zlib

    pixels = noise(4, 5, 3, dtype=dtype)
    pixels[1, 2] = key
    bare = imagecodecs.png_encode(pixels)
    body = b"tRNS" + struct.pack(">3H", *key)
    page = only(bare[:33] + struct.pack(">I", 6) + body + struct.pack(">I", zlib.crc32(body)) + bare[33:])
    expected = np.full((4, 5), np.iinfo(dtype).max, dtype)
    expected[1, 2] = 0
    np.testing.assert_array_equal(page.alpha, expected)
    np.testing.assert_array_equal(page.pixels, pixels)


@pytest.mark.parametrize("format_name", ["PNG", "TIFF", "BMP"])
def test_one_bit_becomes_eight_bit_grey(format_name: str) -> None:
    pattern = RNG.integers(0, 2, (10, 13)).astype(np.uint8) * 255
    page = only(pillow_bytes(pattern, format_name, mode="1"))
    np.testing.assert_array_equal(page.pixels[..., 0], pattern)
    assert page.metadata.bit_depth == 1


def turned(pixels: np.ndarray, orientation: int) -> np.ndarray:
    """What EXIF 2.32, table of Orientation, says in words, with NumPy's own rotations."""
    return {
        1: pixels,
        2: np.fliplr(pixels),
        3: np.rot90(pixels, 2),
        4: np.flipud(pixels),
        5: np.rot90(np.fliplr(pixels), 1),
        6: np.rot90(pixels, -1),
        7: np.rot90(np.fliplr(pixels), -1),
        8: np.rot90(pixels, 1),
    }[orientation]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("format_name", ["PNG", "WEBP", "TIFF"])
def test_orientation_is_baked_into_pixels_and_alpha(orientation: int, format_name: str) -> None:
    pixels = noise(5, 8, 4)
    exif = PillowImage.Exif()
    exif[0x0112] = orientation
    extra: dict[str, object] = {"WEBP": {"lossless": True, "exact": True}, "TIFF": {}}.get(format_name, {})
    if format_name == "TIFF":
        buffer = io.BytesIO()
        tifffile.imwrite(
            buffer, pixels, photometric="rgb", extrasamples=["unassalpha"], extratags=[(274, 3, 1, orientation, True)]
        )
        data = buffer.getvalue()
    else:
        data = pillow_bytes(pixels, format_name, exif=exif, **extra)
    page = only(data)
    np.testing.assert_array_equal(page.pixels, turned(pixels[..., :3], orientation))
    np.testing.assert_array_equal(page.alpha, turned(pixels[..., 3], orientation))
    assert page.metadata.orientation == orientation
    if page.metadata.exif is not None:
        reread = PillowImage.Exif()
        reread.load(page.metadata.exif)
        assert reread.get(0x0112, 1) == 1


def test_no_dpi_is_made_up() -> None:
    exif = PillowImage.Exif()
    exif[0x010F] = "Maker"
    assert only(pillow_bytes(noise(8, 8, 3), "JPEG", exif=exif)).metadata.dpi is None
    exif[0x011A], exif[0x011B], exif[0x0128] = 240.0, 240.0, 2
    assert only(pillow_bytes(noise(8, 8, 3), "JPEG", exif=exif)).metadata.dpi == (240, 240)


def test_a_cmyk_profile_serves_sixteen_bits_too() -> None:
    eight = np.asarray(cmyk_ramp())
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, eight.astype(np.uint16) * 257, photometric="separated", iccprofile=cmyk_profile())
    page = only(buffer.getvalue())
    expected = ImageCms.profileToProfile(
        cmyk_ramp(),
        ImageCms.ImageCmsProfile(io.BytesIO(cmyk_profile())),
        ImageCms.createProfile("sRGB"),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        outputMode="RGB",
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    assert page.pixels.dtype == np.dtype(np.uint16)
    np.testing.assert_allclose(page.pixels / 257, np.asarray(expected), atol=2)


def test_an_unusable_cmyk_profile_is_a_warning() -> None:
    buffer = io.BytesIO()
    cmyk_ramp().save(buffer, "TIFF", icc_profile=cmyk_profile()[:200])
    page = only(buffer.getvalue())
    np.testing.assert_array_equal(page.pixels, np.asarray(cmyk_ramp().convert("RGB")))
    assert any("profile" in warning for warning in page.metadata.warnings)


def test_metadata_as_imagemagick_writes_it_into_png(shared_data: Path) -> None:
    path = shared_data / "odd" / "pillow__exif_imagemagick_orientation.png"
    page = only(path.read_bytes())
    np.testing.assert_array_equal(page.pixels, np.asarray(ImageOps.exif_transpose(PillowImage.open(path))))
    assert page.metadata.orientation == 3


def test_orientation_swaps_dpi() -> None:
    exif = PillowImage.Exif()
    exif[0x0112] = 6
    assert only(pillow_bytes(noise(8, 8, 3), "JPEG", exif=exif, dpi=(100, 200))).metadata.dpi == (200, 100)


@pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
@pytest.mark.parametrize("byteorder", ["<", ">"])
@pytest.mark.parametrize("tile", [None, (16, 16)])
def test_sixteen_bit_tiff_is_exact(compression: str | None, byteorder: str, tile: tuple[int, int] | None) -> None:
    pixels = noise(20, 33, 3, dtype=np.uint16)
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, byteorder=byteorder, photometric="rgb", compression=compression, tile=tile)
    page = only(buffer.getvalue())
    np.testing.assert_array_equal(page.pixels, pixels)
    assert page.pixels.dtype == np.dtype(np.uint16)
    assert page.metadata.bit_depth == 16


@pytest.mark.parametrize("photometric", ["rgb", "minisblack"])
@pytest.mark.parametrize("tile", [None, (16, 16)])
def test_a_jpeg_compressed_tiff_is_what_pillow_reads(photometric: str, tile: tuple[int, int] | None) -> None:
    y, x = np.mgrid[0:48, 0:64]
    pixels = np.stack([128 + 90 * np.sin(x / 9), 128 + 90 * np.cos(y / 7), x + y], axis=2).astype(np.uint8)
    pixels = pixels if photometric == "rgb" else pixels[..., 0]
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, photometric=photometric, compression="jpeg", tile=tile)
    page = only(buffer.getvalue())
    expected = np.asarray(PillowImage.open(io.BytesIO(buffer.getvalue())))
    assert np.abs(page.pixels.squeeze().astype(int) - expected).max() <= 2
    assert np.abs(page.pixels.squeeze().astype(int) - pixels).mean() < 4


def test_planar_tiff() -> None:
    pixels = noise(3, 12, 13)
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, photometric="rgb", planarconfig="separate")
    np.testing.assert_array_equal(only(buffer.getvalue()).pixels, np.moveaxis(pixels, 0, -1))


def test_white_is_zero_tiff_is_inverted() -> None:
    pixels = noise(6, 7, dtype=np.uint16)
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, photometric="miniswhite")
    np.testing.assert_array_equal(only(buffer.getvalue()).pixels[..., 0], 65535 - pixels)


def test_twelve_bit_tiff_spans_the_full_range() -> None:
    pixels = np.array([[0, 1, 2048, 4095]], np.uint16)
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, photometric="minisblack", bitspersample=12)
    page = only(buffer.getvalue())
    assert page.pixels[0, :, 0].tolist() == [round(value * 65535 / 4095) for value in (0, 1, 2048, 4095)]
    assert page.metadata.bit_depth == 12


@pytest.mark.parametrize(("scale", "expected"), [(1.0, None), (100.0, (0.0, 100.0))])
def test_float_tiff_records_a_range_beyond_one(scale: float, expected: tuple[float, float] | None) -> None:
    pixels = (np.linspace(0, 1, 20, dtype=np.float32) * np.float32(scale)).reshape(4, 5)
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels, photometric="minisblack")
    page = only(buffer.getvalue())
    np.testing.assert_array_equal(page.pixels[..., 0], pixels)
    assert page.metadata.float_range == expected


def test_associated_alpha_becomes_straight() -> None:
    straight = np.full((4, 4, 3), 200, np.uint16)
    alpha = np.array([[65535, 32768, 6553, 0]] * 4, np.uint16)
    premultiplied = np.rint(straight * (alpha[..., None] / 65535)).astype(np.uint16)
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, np.dstack([premultiplied, alpha]), photometric="rgb", extrasamples=["assocalpha"])
    page = only(buffer.getvalue())
    np.testing.assert_array_equal(page.alpha, alpha)
    # One step of a premultiplied value is 1/alpha of a straight one.
    np.testing.assert_allclose(page.pixels[:, :3].astype(int), 200, atol=6)
    assert not page.pixels[:, 3].any()


def test_every_page_of_a_tiff_but_no_thumbnail() -> None:
    pages = [noise(5, 6, 3), noise(7, 4, dtype=np.uint16), noise(3, 3)]
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        for page, photometric in zip(pages, ("rgb", "minisblack", "minisblack"), strict=True):
            writer.write(page, photometric=photometric, contiguous=False)
        writer.write(noise(2, 2), photometric="minisblack", subfiletype=1)
    document = decode(buffer.getvalue(), name="test", limits=LIMITS)
    assert len(document.pages) == 3
    for found, page in zip(document.pages, pages, strict=True):
        np.testing.assert_array_equal(np.squeeze(found.pixels), page)


def cmyk_ramp() -> PillowImage.Image:
    ramp = np.linspace(0, 255, 32, dtype=np.uint8)
    planes = np.stack([*np.meshgrid(ramp, ramp), np.full((32, 32), 40, np.uint8), np.full((32, 32), 20, np.uint8)], -1)
    return PillowImage.fromarray(planes, "CMYK")


@pytest.mark.parametrize("format_name", ["JPEG", "TIFF"])
def test_cmyk_without_a_profile_is_what_pillow_makes_of_it(format_name: str) -> None:
    buffer = io.BytesIO()
    cmyk_ramp().save(buffer, format_name, quality=100)
    page = only(buffer.getvalue())
    expected = np.asarray(PillowImage.open(io.BytesIO(buffer.getvalue())).convert("RGB"))
    np.testing.assert_array_equal(page.pixels, expected)
    assert page.metadata.mode == "CMYK"
    assert page.metadata.icc is None


def test_cmyk_jpeg_of_photoshop_is_not_negative(shared_data: Path) -> None:
    path = shared_data / "odd" / "pillow__pil_sample_cmyk.jpg"
    page = only(path.read_bytes())
    image = PillowImage.open(path)
    ink = np.asarray(image).astype(float).mean()
    np.testing.assert_allclose(page.pixels.mean(), np.asarray(image.convert("RGB")).mean(), atol=1)
    assert (page.pixels.mean() > 128) == (ink < 128)


def test_cmyk_through_its_profile_ends_in_srgb() -> None:
    profile = cmyk_profile()
    buffer = io.BytesIO()
    cmyk_ramp().save(buffer, "TIFF", icc_profile=profile)
    page = only(buffer.getvalue())
    expected = ImageCms.profileToProfile(
        cmyk_ramp(),
        ImageCms.ImageCmsProfile(io.BytesIO(profile)),
        ImageCms.createProfile("sRGB"),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
        outputMode="RGB",
        flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    np.testing.assert_allclose(page.pixels.astype(int), np.asarray(expected).astype(int), atol=1)
    assert not np.array_equal(page.pixels, np.asarray(cmyk_ramp().convert("RGB")))
    assert page.metadata.icc is not None
    assert "sRGB" in ImageCms.getProfileDescription(ImageCms.ImageCmsProfile(io.BytesIO(page.metadata.icc)))


def cmyk_profile() -> bytes:
    """A small CMYK input profile: lut8 from ink to XYZ-free Lab, four grid points' corners only (ICC.1, 10.10)."""
    import struct

    grid = []
    for index in range(16):
        cyan, magenta, yellow, black = ((index >> shift) & 1 for shift in (3, 2, 1, 0))
        light = 255 * max(0.05, 1 - 0.25 * (cyan + magenta) - 0.1 * yellow - 0.7 * black)
        grid += [int(light), 128 - 30 * cyan + 40 * magenta, 128 - 40 * cyan + 60 * yellow]
    identity = bytes(range(256))
    lut = b"mft1" + bytes(4) + bytes([4, 3, 2, 0])
    lut += struct.pack(">9i", 65536, 0, 0, 0, 65536, 0, 0, 0, 65536) + identity * 4 + bytes(grid) + identity * 3
    white = b"XYZ " + bytes(4) + struct.pack(">3i", 63190, 65536, 54061)
    text = b"text" + bytes(4) + b"test\0\0\0\0"
    desc = b"desc" + bytes(4) + struct.pack(">I", 5) + b"test\0" + bytes(78) + b"\0"
    tags = [(b"A2B0", lut), (b"A2B1", lut), (b"wtpt", white), (b"cprt", text), (b"desc", desc)]
    offset = 128 + 4 + 12 * len(tags)
    table, body = struct.pack(">I", len(tags)), b""
    for signature, value in tags:
        table += signature + struct.pack(">II", offset + len(body), len(value))
        body += value + bytes(-len(value) % 4)
    size = offset + len(body)
    header = struct.pack(">I4sI4s4s4s", size, b"lcms", 0x02100000, b"prtr", b"CMYK", b"Lab ")
    header += struct.pack(">6H", 2020, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return header.ljust(128, b"\0") + table + body


@pytest.mark.parametrize("quality", [10, 50, 75, 90, 100])
def test_jpeg_quality_is_told_from_the_tables(quality: int) -> None:
    assert only(pillow_bytes(noise(16, 16, 3), "JPEG", quality=quality)).metadata.jpeg_quality == quality


def test_gif_animation_gives_the_first_frame_and_says_so() -> None:
    frames = [PillowImage.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    buffer = io.BytesIO()
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    page = only(buffer.getvalue())
    assert page.pixels[0, 0].tolist() == [255, 0, 0]
    assert any("first frame" in warning for warning in page.metadata.warnings)


def test_ten_bit_avif_keeps_its_depth() -> None:
    ramp = np.tile(np.linspace(0, 1023, 64).astype(np.uint16)[None, :, None], (16, 1, 3))
    data = imagecodecs.avif_encode(ramp, level=100, bitspersample=10)
    page = only(data)
    assert page.metadata.bit_depth == 10
    assert page.pixels.dtype == np.dtype(np.uint16)
    np.testing.assert_allclose(page.pixels.astype(int), np.rint(ramp * (65535 / 1023)), atol=4 * 64)
