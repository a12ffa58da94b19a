"""Encoding, read back by libraries that did not write the file, and what must survive a decode and encode."""

from __future__ import annotations

import io
import struct
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import ExifTags, ImageCms
from PIL import Image as PillowImage

from enhancer.codecs import Limits, choose_format, decode, encode
from enhancer.errors import RequestError
from enhancer.image import Document, Image, Metadata
from enhancer.recipe import OutputOptions

LIMITS = Limits(max_bytes=1 << 26, max_pixels=10_000_000, max_pages=20)
RNG = np.random.default_rng(11)
ICC = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
ALL = ["JPEG", "PNG", "TIFF", "WEBP", "AVIF"]


def noise(*shape: int, dtype: type = np.uint8) -> np.ndarray:
    return RNG.integers(0, np.iinfo(dtype).max, shape, dtype=dtype, endpoint=True)


def smooth(channels: int = 3) -> np.ndarray:
    y, x = np.mgrid[0:48, 0:64]
    planes = [127 + 100 * np.sin(x / 20 + index) * np.cos(y / 17) for index in range(channels)]
    return np.stack(planes, axis=-1).astype(np.uint8)


def document(pixels: np.ndarray, alpha: np.ndarray | None = None, **metadata: object) -> Document:
    return Document((Image(pixels, alpha, Metadata(**metadata)),))  # type: ignore[arg-type]


def gps_exif() -> bytes:
    """EXIF as a camera writes it: make, orientation, dimensions, a maker note, GPS."""
    exif = PillowImage.Exif()
    exif[0x010F] = "Maker"
    exif[0x0112] = 6
    exif[0x0132] = "2024:05:06 07:08:09"
    exif[0x8769] = {0xA002: 640, 0xA003: 480, 0x927C: b"maker note \0\xff" * 9, 0x9003: "2024:05:06 07:08:09"}
    exif[0x8825] = {1: "N", 2: (52.0, 31.0, 12.5), 3: "E", 4: (13.0, 24.0, 18.25)}
    return exif.tobytes().removeprefix(b"Exif\0\0")


def opened(data: bytes) -> PillowImage.Image:
    image = PillowImage.open(io.BytesIO(data))
    image.load()
    return image


def test_png_of_eight_bits_for_pillow() -> None:
    pixels, alpha = noise(13, 21, 3), noise(13, 21)
    result = encode(document(pixels, alpha), options=OutputOptions(format="PNG"))
    np.testing.assert_array_equal(np.asarray(opened(result.data)), np.dstack([pixels, alpha]))
    assert (result.format, result.content_type) == ("PNG", "image/png")


@pytest.mark.parametrize("channels", [1, 3])
def test_png_of_sixteen_bits_for_opencv_with_metadata_for_pillow(channels: int) -> None:
    pixels = noise(13, 21, channels, dtype=np.uint16)
    result = encode(
        document(pixels, icc=ICC, exif=gps_exif(), dpi=(300.0, 150.0), xmp=b"<x:xmpmeta/>"),
        options=OutputOptions(format="PNG"),
    )
    found = cv2.imdecode(np.frombuffer(result.data, np.uint8), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(found.reshape(13, 21, channels)[..., ::-1], pixels)
    image = opened(result.data)
    assert image.info["icc_profile"] == ICC
    assert image.info["xmp"] == b"<x:xmpmeta/>"
    assert image.info["dpi"] == pytest.approx((300, 150), abs=0.02)
    assert image.getexif().get_ifd(0x8825)[4] == (13.0, 24.0, 18.25)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("with_alpha", [False, True])
def test_tiff_for_opencv(dtype: type, channels: int, with_alpha: bool) -> None:
    if dtype is np.float32:
        pixels, alpha = RNG.random((12, 19, channels), np.float32) * 3 - 1, RNG.random((12, 19), np.float32)
    else:
        pixels, alpha = noise(12, 19, channels, dtype=dtype), noise(12, 19, dtype=dtype)
    result = encode(document(pixels, alpha if with_alpha else None, icc=ICC), options=OutputOptions(format="TIFF"))
    page = decode(result.data, name="test", limits=LIMITS).first
    np.testing.assert_array_equal(page.pixels, pixels)
    if with_alpha:
        np.testing.assert_array_equal(page.alpha, alpha)
    else:
        # OpenCV reads no grey with alpha and multiplies nothing; it gives BGR.
        found = cv2.imdecode(np.frombuffer(result.data, np.uint8), cv2.IMREAD_UNCHANGED)
        np.testing.assert_array_equal(found.reshape(12, 19, channels)[..., ::-1], pixels)
    with tifffile.TiffFile(io.BytesIO(result.data)) as file:
        assert file.pages[0].tags[34675].value == ICC


def test_tiff_of_several_pages() -> None:
    pages = Document((Image(noise(5, 6, 3)), Image(noise(7, 8, 1, dtype=np.uint16)), Image(noise(5, 6, 3))))
    result = encode(pages, options=OutputOptions())
    assert result.format == "TIFF"
    with tifffile.TiffFile(io.BytesIO(result.data)) as file:
        assert len(file.pages) == 3
        for written, page in zip(file.pages, pages.pages, strict=True):
            np.testing.assert_array_equal(written.asarray(), np.squeeze(page.pixels))


@pytest.mark.parametrize("format_name", ["JPEG", "WEBP", "AVIF"])
def test_lossy_formats_are_near(format_name: str) -> None:
    result = encode(document(smooth()), options=OutputOptions(format=format_name))  # type: ignore[arg-type]
    difference = np.asarray(opened(result.data).convert("RGB")).astype(float) - smooth()
    assert 10 * np.log10(255**2 / np.mean(difference**2)) > 38


def test_webp_without_loss_keeps_colour_under_transparency() -> None:
    pixels, alpha = noise(9, 9, 3), np.zeros((9, 9), np.uint8)
    result = encode(document(pixels, alpha), options=OutputOptions(format="WEBP", lossless=True))
    np.testing.assert_array_equal(np.asarray(opened(result.data)), np.dstack([pixels, alpha]))


@pytest.mark.parametrize(("quality", "sampling"), [(92, 1), (80, 2)])
def test_jpeg_chroma_follows_quality(quality: int, sampling: int) -> None:
    result = encode(document(smooth()), options=OutputOptions(format="JPEG", quality=quality))
    image = opened(result.data)
    assert image.layer[0][1] == sampling  # type: ignore[attr-defined]


@pytest.mark.parametrize("format_name", ALL)
def test_metadata_survives_in_every_format(format_name: str) -> None:
    source = document(smooth(), icc=ICC, exif=gps_exif(), dpi=(200.0, 200.0))
    result = encode(source, options=OutputOptions(format=format_name), processing='scale=2 <"net" & more>')  # type: ignore[arg-type]
    assert result.warnings == ()
    image = opened(result.data)
    assert image.info["icc_profile"] == ICC
    exif = image.getexif()
    assert exif[0x010F] == "Maker"
    assert exif.get_ifd(0x8825) == {1: "N", 2: (52.0, 31.0, 12.5), 3: "E", 4: (13.0, 24.0, 18.25)}
    camera = exif.get_ifd(0x8769)
    assert (camera[0xA002], camera[0xA003]) == (64, 48)
    assert camera[0x927C] == b"maker note \0\xff" * 9
    if format_name in ("JPEG", "PNG", "TIFF"):
        assert tuple(map(float, image.info["dpi"])) == pytest.approx((200, 200), abs=0.02)
    packet = image.info["xmp"] if format_name != "TIFF" else image.tag_v2[700]  # type: ignore[attr-defined]
    import xml.etree.ElementTree as ElementTree

    notes = [
        value
        for element in ElementTree.fromstring(packet.decode("utf-8-sig").strip()).iter()
        for key, value in element.attrib.items()
        if key.endswith("}Processing")
    ]
    assert notes == ['scale=2 <"net" & more>']


@pytest.mark.parametrize("format_name", ALL)
def test_equal_inputs_give_equal_bytes(format_name: str) -> None:
    source = document(smooth(), icc=ICC, exif=gps_exif(), dpi=(200.0, 200.0))
    options = OutputOptions(format=format_name)  # type: ignore[arg-type]
    assert encode(source, options=options, processing="x").data == encode(source, options=options, processing="x").data


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP"])
def test_a_rotated_photograph_passes_through(format_name: str) -> None:
    exif = PillowImage.Exif()
    exif.load(gps_exif())
    buffer = io.BytesIO()
    PillowImage.fromarray(smooth()).save(buffer, format_name, exif=exif, icc_profile=ICC)
    page = decode(buffer.getvalue(), name="test", limits=LIMITS)
    result = encode(page, options=OutputOptions())
    image = opened(result.data)
    assert result.format == format_name
    assert image.size == (48, 64)
    assert image.getexif()[0x0112] == 1
    assert image.getexif().get_ifd(0x8825)[2] == (52.0, 31.0, 12.5)
    assert image.info["icc_profile"] == ICC


def test_exif_of_a_tiff_survives_decode_and_encode() -> None:
    first = encode(document(smooth(), exif=gps_exif()), options=OutputOptions(format="TIFF")).data
    page = decode(first, name="test", limits=LIMITS)
    result = encode(page, options=OutputOptions(format="JPEG"))
    exif = opened(result.data).getexif()
    assert exif[0x010F] == "Maker"
    assert exif[0x0132] == "2024:05:06 07:08:09"
    assert exif.get_ifd(0x8825)[2] == (52.0, 31.0, 12.5)


def test_exif_of_a_camera_survives_byte_for_byte_but_for_what_went_stale(shared_data: Path) -> None:
    data = (shared_data / "exif" / "jpg__gps__DSCN0010.jpg").read_bytes()
    before = opened(data)
    result = encode(decode(data, name="test", limits=LIMITS), options=OutputOptions())
    after = opened(result.data)
    assert len(after.info["exif"]) == len(before.info["exif"])
    changed = sum(a != b for a, b in zip(after.info["exif"], before.info["exif"], strict=True))
    assert changed <= 24
    assert after.getexif().get_ifd(0x8825) == before.getexif().get_ifd(0x8825)
    assert after.getexif().get_ifd(0x8769)[0x927C] == before.getexif().get_ifd(0x8769)[0x927C]
    assert not after.getexif().get_ifd(PillowImage.ExifTags.IFD.IFD1)
    assert before.getexif().get_ifd(PillowImage.ExifTags.IFD.IFD1)


@pytest.mark.parametrize("format_name", ALL)
def test_a_stale_thumbnail_is_not_in_the_result(format_name: str) -> None:
    thumbnail = b"\xff\xd8 a small old picture \xff\xd9"
    block = b"II*\0" + struct.pack("<I", 8)
    block += struct.pack("<HHHIII", 1, 0x0112, 3, 1, 1, 26)  # the first directory, and where the next one is
    block += struct.pack("<HHHIIHHIII", 2, 0x0201, 4, 1, 56, 0x0202, 4, 1, len(thumbnail), 0) + thumbnail
    before = PillowImage.Exif()
    before.load(block)
    assert before.get_ifd(ExifTags.IFD.IFD1)[0x0202] == len(thumbnail)
    page = Image(np.zeros((8, 8, 3), np.uint8), None, Metadata(exif=block))
    result = encode(Document((page,)), options=OutputOptions(format=format_name))  # type: ignore[arg-type]
    assert not PillowImage.open(io.BytesIO(result.data)).getexif().get_ifd(ExifTags.IFD.IFD1)


def test_exif_too_long_for_jpeg_is_a_warning() -> None:
    exif = PillowImage.Exif()
    exif[0x010E] = "x" * 70_000
    source = document(smooth(), exif=exif.tobytes().removeprefix(b"Exif\0\0"))
    result = encode(source, options=OutputOptions(format="JPEG"))
    assert not opened(result.data).getexif()
    assert len(result.warnings) == 1
    assert "EXIF" in result.warnings[0]


@pytest.mark.parametrize(
    ("source", "target", "word"),
    [
        (document(noise(4, 4, 3), noise(4, 4)), "JPEG", "transparency"),
        (document(noise(4, 4, 3, dtype=np.uint16)), "JPEG", "16"),
        (document(noise(4, 4, 3, dtype=np.uint16)), "WEBP", "16"),
        (document(noise(4, 4, 3, dtype=np.uint16)), "AVIF", "16"),
        (document(np.zeros((4, 4, 3), np.float32)), "PNG", "floating"),
        (Document((Image(noise(4, 4, 3)),) * 2), "PNG", "one page"),
        (document(noise(1, 16_500, 3)), "WEBP", "16383"),
    ],
)
def test_what_a_format_cannot_hold_is_refused_with_a_way_out(source: Document, target: str, word: str) -> None:
    with pytest.raises(RequestError, match=word) as caught:
        encode(source, options=OutputOptions(format=target))  # type: ignore[arg-type]
    assert caught.value.reason == "cannot-hold"
    assert "PNG" in caught.value.message or "TIFF" in caught.value.message
    chosen = encode(_as_read_from(source, target), options=OutputOptions())
    np.testing.assert_array_equal(decode(chosen.data, name="test", limits=LIMITS).first.pixels, source.first.pixels)


def _as_read_from(source: Document, format_name: str) -> Document:
    return Document(tuple(replace(page, metadata=replace(page.metadata, format=format_name)) for page in source.pages))


@pytest.mark.parametrize(
    ("source_format", "dtype", "expected"),
    [("JPEG", np.uint8, "JPEG"), ("BMP", np.uint8, "PNG"), ("GIF", np.uint8, "PNG"), (None, np.uint8, "PNG"),
     ("PNG", np.uint16, "PNG"), ("TIFF", np.uint8, "TIFF"), ("AVIF", np.uint16, "TIFF"), (None, np.float32, "TIFF")],
)  # fmt: skip
def test_the_format_is_the_inputs_where_it_can_be(source_format: str | None, dtype: type, expected: str) -> None:
    source = document(np.zeros((2, 2, 3), dtype), format=source_format)
    assert choose_format(source, OutputOptions()) == expected
    assert encode(source, options=OutputOptions()).format == expected
