"""Options of the output: conversion, privacy, colour space; read back by libraries that did not write the file."""

from __future__ import annotations

import io
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image as PillowImage
from PIL import ImageCms, IptcImagePlugin

from enhancer.codecs import Limits, changes, decode, encode
from enhancer.codecs.profiles import profile_for, srgb_profile
from enhancer.errors import RequestError
from enhancer.image import Document, Image, Metadata
from enhancer.options import OutputOptions

LIMITS = Limits(max_bytes=1 << 26, max_pixels=10_000_000, max_pages=20)
SERIAL, OWNER, PLACE = b"SN-4711-0815", b"Erika Mustermann", b"Hauptstr. 1"
IPTC = b"".join(
    b"\x1c\x02" + bytes([dataset]) + len(text).to_bytes(2, "big") + text
    for dataset, text in ((5, b"A title"), (80, OWNER), (92, PLACE), (116, b"(c) 2024"))
)
XMP = (
    b'<?xpacket begin="\xef\xbb\xbf" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
    b'<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
    b'xmlns:aux="http://ns.adobe.com/exif/1.0/aux/" xmlns:exif="http://ns.adobe.com/exif/1.0/" '
    b'xmlns:dc="http://purl.org/dc/elements/1.1/" aux:SerialNumber="' + SERIAL + b'" aux:Lens="50 mm" '
    b'exif:GPSLatitude="52,31N"><dc:creator><rdf:Seq><rdf:li>' + OWNER + b"</rdf:li></rdf:Seq></dc:creator>"
    b'<dc:format>image/jpeg</dc:format></rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
)


def private_exif() -> bytes:
    exif = PillowImage.Exif()
    exif[0x010F], exif[0x013B] = "Maker", OWNER.decode()
    exif[0x8769] = {0x9003: "2024:05:06 07:08:09", 0xA431: SERIAL.decode(), 0xA430: OWNER.decode(), 0x927C: SERIAL * 3}
    exif[0x8825] = {1: "N", 2: (52.0, 31.0, 12.5)}
    return exif.tobytes().removeprefix(b"Exif\0\0")


def document(pixels: np.ndarray, alpha: np.ndarray | None = None, **metadata: object) -> Document:
    return Document((Image(pixels, alpha, Metadata(**metadata)),))  # type: ignore[arg-type]


def opened(data: bytes) -> PillowImage.Image:
    image = PillowImage.open(io.BytesIO(data))
    image.load()
    return image


def ramp(dtype: type = np.uint16) -> np.ndarray:
    """A slow gradient: 64 rows from 20000 to 21000, where 8 bits have four levels."""
    return np.repeat(np.linspace(20_000, 21_000, 64).astype(dtype)[:, None, None], 512, axis=1).repeat(3, axis=2)


def test_alpha_is_flattened_on_white_as_pillow_does_it() -> None:
    rng = np.random.default_rng(2)
    pixels, alpha = np.full((16, 16, 3), (200, 40, 90), np.uint8), rng.integers(0, 256, (16, 16), np.uint8)
    result = encode(document(pixels, alpha), options=OutputOptions(format="JPEG", quality=100, convert=True))
    foreground = PillowImage.fromarray(np.dstack([pixels, alpha]))
    white = PillowImage.new("RGBA", foreground.size, "white")
    expected = np.asarray(PillowImage.alpha_composite(white, foreground).convert("RGB")).astype(int)
    assert np.abs(np.asarray(opened(result.data)).astype(int) - expected).mean() < 2
    assert any("white" in warning for warning in result.warnings)


def test_sixteen_bits_become_eight_with_dither() -> None:
    source = ramp()
    result = encode(document(source), options=OutputOptions(format="WEBP", lossless=True, convert=True))
    found = np.asarray(opened(result.data)).astype(float)
    plain = np.rint(source / 257)
    # Row means follow the gradient between the levels, where plain rounding gives steps.
    assert np.abs(found.mean(axis=(1, 2)) - source.mean(axis=(1, 2)) / 257).max() < 0.08
    assert np.abs(plain.mean(axis=(1, 2)) - source.mean(axis=(1, 2)) / 257).max() > 0.4
    assert np.abs(found - source / 257).max() <= 1.5


def test_eight_bits_stretched_to_sixteen_come_back_exactly() -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (20, 20, 3), np.uint8)
    wide = document(pixels.astype(np.uint16) * 257)
    result = encode(wide, options=OutputOptions(format="WEBP", lossless=True, convert=True))
    np.testing.assert_array_equal(np.asarray(opened(result.data)), pixels)


def test_floats_become_sixteen_bits_in_png() -> None:
    values = np.linspace(-1, 3, 64, dtype=np.float32).reshape(8, 8, 1)
    source = document(values, float_range=(-1.0, 3.0))
    result = encode(source, options=OutputOptions(format="PNG", convert=True))
    found = np.asarray(opened(result.data))
    np.testing.assert_array_equal(found, np.rint((values[..., 0] + 1) / 4 * 65535))


def test_pages_are_refused_still_and_the_way_out_is_named_where_there_is_one() -> None:
    page = Image(np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(RequestError, match="one page"):
        encode(Document((page, page)), options=OutputOptions(format="PNG", convert=True))
    with pytest.raises(RequestError, match=r"output\.convert"):
        encode(document(ramp()), options=OutputOptions(format="JPEG"))


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "TIFF", "WEBP", "AVIF"])
def test_what_is_private_is_nowhere_in_the_file(format_name: str) -> None:
    source = document(np.zeros((8, 8, 3), np.uint8), exif=private_exif(), xmp=XMP, iptc=IPTC, icc=srgb_profile())
    options = OutputOptions(format=format_name, strip_private=True)  # type: ignore[arg-type]
    result = encode(source, options=options, processing="x")
    page = decode(result.data, name="x", limits=LIMITS).first
    for block in (result.data, page.metadata.exif, page.metadata.xmp, page.metadata.iptc or b""):
        assert block is not None
        for secret in (SERIAL, OWNER, PLACE, b"GPSLatitude"):
            assert secret not in block
    exif = opened(result.data).getexif()
    assert exif[0x010F] == "Maker"
    assert not exif.get_ifd(0x8825)
    assert exif.get_ifd(0x8769)[0x9003] == "2024:05:06 07:08:09"
    assert page.metadata.xmp is not None
    ElementTree.fromstring(page.metadata.xmp.decode("utf-8-sig").strip())
    assert b'aux:Lens="50 mm"' in page.metadata.xmp
    assert b"image/jpeg" in page.metadata.xmp
    if format_name in ("JPEG", "PNG", "TIFF"):
        assert page.metadata.iptc is not None
        assert b"A title" in page.metadata.iptc
        assert b"(c) 2024" in page.metadata.iptc


def test_gps_of_a_real_camera_is_gone(shared_data: Path) -> None:
    source = decode((shared_data / "exif" / "jpg__gps__DSCN0010.jpg").read_bytes(), name="x", limits=LIMITS)
    exif = opened(encode(source, options=OutputOptions(strip_private=True)).data).getexif()
    assert not exif.get_ifd(0x8825)
    assert 0x927C not in exif.get_ifd(0x8769)
    assert exif[0x0110] == "COOLPIX P6000"
    assert exif.get_ifd(0x8769)[0x9003] == "2008:10:22 16:28:39"


@pytest.mark.parametrize(
    ("block", "value"),
    [
        ("exif", b"II*\0\xff\xff\xff\x7f" + SERIAL),
        ("xmp", b"<x:xmpmeta>" + OWNER),
        ("xmp", b'<!DOCTYPE x [<!ENTITY a "b">]><x>&a;</x>'),
        ("iptc", b"\x1c\x02\x50\x00\xff" + OWNER),
    ],
)
def test_a_private_block_that_cannot_be_read_goes_whole(block: str, value: bytes) -> None:
    source = document(np.zeros((8, 8, 3), np.uint8), **{block: value})
    result = encode(source, options=OutputOptions(format="PNG", strip_private=True))
    page = decode(result.data, name="x", limits=LIMITS).first
    assert getattr(page.metadata, block) is None
    assert len(result.warnings) == 1


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "TIFF"])
def test_iptc_is_kept(format_name: str) -> None:
    source = document(np.zeros((8, 8, 3), np.uint8), iptc=IPTC)
    result = encode(source, options=OutputOptions(format=format_name))  # type: ignore[arg-type]
    assert result.warnings == ()
    assert decode(result.data, name="x", limits=LIMITS).first.metadata.iptc == IPTC
    if format_name == "JPEG":
        assert IptcImagePlugin.getiptcinfo(opened(result.data))[(2, 5)] == b"A title"
    if format_name == "TIFF":
        with tifffile.TiffFile(io.BytesIO(result.data)) as file:
            assert bytes(file.pages[0].tags[33723].value) == IPTC


def test_iptc_that_has_no_place_is_said() -> None:
    result = encode(document(np.zeros((8, 8, 3), np.uint8), iptc=IPTC), options=OutputOptions(format="WEBP"))
    assert any("IPTC" in warning for warning in result.warnings)


def by_hand(rgb: np.ndarray, space: str) -> np.ndarray:
    """sRGB values (0..1) in another space, by the definitions: IEC 61966-2-1, SMPTE EG 432-1, Adobe RGB (1998)."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array(
        [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    )
    p3 = np.array(
        [[2.4934969, -0.9313836, -0.4027108], [-0.8294890, 1.7626641, 0.0236247], [0.0358458, -0.0761724, 0.9568845]]
    )
    adobe = np.array(
        [[2.0413690, -0.5649464, -0.3446944], [-0.9692660, 1.8760108, 0.0415560], [0.0134474, -0.1183897, 1.0154096]]
    )
    xyz = linear @ to_xyz.T
    # Grey is the luminance in the connection space, whose white is D50 (Lindbloom, "RGB/XYZ Matrices", sRGB, D50).
    grey = linear @ np.array([[0.2225045], [0.7168786], [0.0606169]])
    other = grey if space == "grey" else np.clip(xyz @ (p3 if space == "display-p3" else adobe).T, 0, 1)
    if space == "adobe-rgb":
        return other ** (256 / 563)
    return np.where(other <= 0.0031308, other * 12.92, 1.055 * np.maximum(other, 0) ** (1 / 2.4) - 0.055)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("space", ["display-p3", "adobe-rgb", "grey"])
def test_colour_spaces_by_their_definitions(space: str, dtype: type) -> None:
    unit = np.random.default_rng(4).random((16, 16, 3)).astype(np.float32)
    top = 1 if dtype is np.float32 else np.iinfo(dtype).max
    pixels = (unit * top).astype(dtype)
    options = OutputOptions(format="TIFF", colour_space=space)  # type: ignore[arg-type]
    source = document(pixels)
    assert changes(source, options)
    page = decode(encode(source, options=options).data, name="x", limits=LIMITS)
    assert page.first.metadata.icc == profile_for(space)  # type: ignore[arg-type]
    assert not changes(page, options)
    expected = by_hand(pixels / top, space)
    tolerance = {np.uint8: 1.01, np.uint16: 257 * 0.6, np.float32: 0.002}[dtype]
    assert np.abs(page.first.pixels.astype(float) - expected * top).max() <= tolerance


def test_back_to_srgb_and_grey_stays_grey() -> None:
    pixels = np.random.default_rng(4).integers(60, 190, (16, 16, 3), np.uint8)
    wide = document(pixels, icc=profile_for("display-p3"))
    found = decode(encode(wide, options=OutputOptions(colour_space="srgb")).data, name="x", limits=LIMITS).first
    expected = ImageCms.profileToProfile(
        PillowImage.fromarray(pixels),
        ImageCms.ImageCmsProfile(io.BytesIO(profile_for("display-p3"))),
        ImageCms.createProfile("sRGB"),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
    )
    assert np.abs(found.pixels.astype(int) - np.asarray(expected)).max() <= 1
    assert found.metadata.icc == srgb_profile()
    grey = encode(document(pixels[..., :1]), options=OutputOptions(colour_space="adobe-rgb"))
    assert decode(grey.data, name="x", limits=LIMITS).first.is_grey
    assert opened(grey.data).info["icc_profile"] == profile_for("grey")


def test_profiles_are_valid_and_the_same_each_time() -> None:
    for space in ("srgb", "display-p3", "adobe-rgb", "grey"):
        icc = profile_for(space)  # type: ignore[arg-type]
        profile_for.cache_clear()
        assert profile_for(space) == icc  # type: ignore[arg-type]
        core = ImageCms.ImageCmsProfile(io.BytesIO(icc)).profile
        assert core.xcolor_space.strip() == ("GRAY" if space == "grey" else "RGB")
        assert len(icc) < 700


def test_unchanged_documents_are_known() -> None:
    plain = document(np.zeros((4, 4, 3), np.uint8))
    assert not changes(plain, OutputOptions())
    assert not changes(plain, OutputOptions(strip_private=True))
