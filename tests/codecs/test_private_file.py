"""A picture that nothing was done to, stripped of what is private: the same pixels to the bit, read by others."""

from __future__ import annotations

import io
import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image as PillowImage
from PIL import IptcImagePlugin

from enhancer.codecs import Encoded, Limits, decode
from enhancer.codecs.iptc import to_resources
from enhancer.options import OutputOptions
from enhancer.pipeline import Enhanced
from enhancer.processing import encode_result
from tests.codecs.test_extended_xmp import LARGE, SMALL, packet, parts, properties
from tests.codecs.test_output_options import IPTC, OWNER, PLACE, SERIAL, XMP, private_exif

LIMITS = Limits(max_bytes=1 << 26, max_pixels=20_000_000, max_pages=20)
SECRETS = (SERIAL, OWNER, PLACE, b"GPSLatitude")


def stripped(data: bytes, *, salvage: bool = False) -> Encoded:
    document = decode(data, name="x", limits=LIMITS, salvage=salvage)
    return encode_result(data, document, Enhanced(document), OutputOptions(strip_private=True), None)


def scene() -> PillowImage.Image:
    pixels = np.random.default_rng(1).integers(0, 256, (5, 6, 3), np.uint8)
    return PillowImage.fromarray(pixels).resize((48, 40), PillowImage.Resampling.BICUBIC)


def saved(format_name: str, **arguments: object) -> bytes:
    buffer = io.BytesIO()
    scene().save(buffer, format_name, **arguments)
    return buffer.getvalue()


def segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def private_jpeg(**arguments: object) -> bytes:
    """A JPEG with everything: EXIF (its prefix doubled, as some writers do), XMP, IPTC, a comment, an unknown segment, and
    a preview behind it.
    """
    bare = saved("JPEG", exif=b"Exif\0\0Exif\0\0" + private_exif(), xmp=XMP, dpi=(300, 300), **arguments)
    extra = segment(0xED, to_resources(IPTC)) + segment(0xFE, OWNER) + segment(0xE4, SERIAL)
    return bare[:2] + extra + bare[2:] + saved("JPEG", exif=b"Exif\0\0" + private_exif())


def pixels_of(data: bytes) -> np.ndarray:
    return np.asarray(PillowImage.open(io.BytesIO(data)))


def exif_of(block: bytes) -> dict[str, object]:
    """EXIF as tifffile reads it, which had no part in writing it."""
    with tifffile.TiffFile(io.BytesIO(block.removeprefix(b"Exif\0\0"))) as file:
        return {tag.name: tag.value for tag in file.pages[0].tags}


@pytest.mark.parametrize("how", [{"quality": 60}, {"progressive": True}, {"restart_marker_rows": 1}])
def test_a_jpeg_keeps_its_compressed_picture(how: dict[str, object]) -> None:
    data = private_jpeg(**how)
    result = stripped(data)
    assert result.warnings == ("left out, for the result is the picture alone: a second picture",)
    assert not any(secret in result.data for secret in SECRETS)
    np.testing.assert_array_equal(pixels_of(result.data), pixels_of(data))
    tables = data.index(b"\xff\xdb")
    assert result.data.endswith(data[tables : data.index(b"\xff\xd9\xff\xd8") + 2])
    image = PillowImage.open(io.BytesIO(result.data))
    assert image.info["dpi"] == (300, 300)
    assert IptcImagePlugin.getiptcinfo(image) == {(2, 5): b"A title", (2, 116): b"(c) 2024"}
    assert b'aux:Lens="50 mm"' in image.info["xmp"]
    found = exif_of(image.info["exif"])
    assert found["Make"] == "Maker"
    assert "Artist" not in found
    assert "GPSTag" not in found
    assert found["ExifTag"] == {"DateTimeOriginal": "2024:05:06 07:08:09"}


def test_a_real_cameras_jpeg(shared_data: Path) -> None:
    data = (shared_data / "exif" / "jpg__gps__DSCN0010.jpg").read_bytes()
    result = stripped(data)
    np.testing.assert_array_equal(pixels_of(result.data), pixels_of(data))
    found = exif_of(PillowImage.open(io.BytesIO(result.data)).info["exif"])
    before = exif_of(PillowImage.open(io.BytesIO(data)).info["exif"])
    assert "GPSTag" in before
    assert before["ExifTag"]["MakerNote"]
    assert "GPSTag" not in found
    assert "MakerNote" not in found["ExifTag"]
    for name in ("Make", "Model", "DateTime", "XResolution"):
        assert found[name] == before[name]
    assert found["ExifTag"]["ExposureTime"] == before["ExifTag"]["ExposureTime"]


def test_every_jpeg_and_webp_of_the_exif_collection_keeps_its_pixels(shared_data: Path) -> None:
    checked = 0
    for path in sorted((shared_data / "exif").iterdir()):
        data = path.read_bytes()
        if path.suffix.lower() not in (".jpg", ".jpeg", ".webp"):
            continue
        before = decode(data, name=path.name, limits=LIMITS).first
        after = decode(stripped(data).data, name=path.name, limits=LIMITS).first
        np.testing.assert_array_equal(after.pixels, before.pixels, err_msg=path.name)
        assert after.metadata.icc == before.metadata.icc
        assert not PillowImage.open(io.BytesIO(stripped(data).data)).getexif().get_ifd(0x8825)
        checked += 1
    assert checked >= 20


def test_a_cmyk_jpeg_keeps_its_adobe_segment_and_profile() -> None:
    buffer = io.BytesIO()
    scene().convert("CMYK").save(buffer, "JPEG", exif=b"Exif\0\0" + private_exif())
    result = stripped(buffer.getvalue())
    np.testing.assert_array_equal(pixels_of(result.data), pixels_of(buffer.getvalue()))
    assert SERIAL not in result.data


def test_orientation_stays_with_the_file() -> None:
    exif = PillowImage.Exif()
    exif.load(private_exif())
    exif[0x0112] = 6
    data = saved("JPEG", exif=exif.tobytes())
    result = stripped(data)
    assert PillowImage.open(io.BytesIO(result.data)).getexif()[0x0112] == 6
    np.testing.assert_array_equal(pixels_of(result.data), pixels_of(data))


def test_a_turned_picture_whose_exif_must_go_whole_is_encoded_upright() -> None:
    exif = PillowImage.Exif()
    exif[0x0112], exif[0x010F] = 6, "a maker of some length"
    block = bytearray(exif.tobytes())
    block[block.index(b"a maker") :] = b""  # the value now lies outside the block, which cannot be read whole
    result = stripped(saved("JPEG", exif=bytes(block)))
    image = PillowImage.open(io.BytesIO(result.data))
    assert image.size == (40, 48)
    assert not image.getexif()
    assert any("EXIF" in warning for warning in result.warnings)


def test_extended_xmp_is_stripped_too() -> None:
    secret = SMALL.replace("<dc:source>a small one</dc:source>", f"<dc:creator>{OWNER.decode()}</dc:creator>")
    guid, bodies = parts(packet(LARGE, secret), 60_000)
    note = f'xmlns:xmpNote="http://ns.adobe.com/xmp/note/" xmpNote:HasExtendedXMP="{guid}">'
    data = saved("JPEG", xmp=packet(SMALL, note))
    at = data.index(b"\xff\xdb")
    data = data[:at] + b"".join(segment(0xE1, body) for body in bodies) + data[at:]
    result = stripped(data)
    assert OWNER not in result.data
    page = decode(result.data, name="x", limits=LIMITS).first
    assert page.metadata.xmp is not None
    assert properties(page.metadata.xmp) == properties(packet(SMALL, LARGE))


@pytest.mark.parametrize("how", [{"quality": 60}, {"lossless": True}])
def test_a_webp_keeps_its_compressed_picture(how: dict[str, object]) -> None:
    data = saved("WEBP", exif=private_exif(), xmp=XMP, **how)
    result = stripped(data)
    assert not any(secret in result.data for secret in SECRETS)
    np.testing.assert_array_equal(pixels_of(result.data), pixels_of(data))
    image = PillowImage.open(io.BytesIO(result.data))
    assert image.info["exif"] is not None
    assert b'aux:Lens="50 mm"' in image.info["xmp"]
    assert exif_of(image.info["exif"])["Make"] == "Maker"
    start = data.index(b"VP8L" if how.get("lossless") else b"VP8 ")
    size = struct.unpack_from("<I", data, start + 4)[0]
    assert data[start : start + 8 + size] in result.data


@pytest.mark.parametrize("format_name", ["PNG", "TIFF"])
def test_lossless_formats_are_encoded_anew_with_the_same_pixels(format_name: str) -> None:
    data = saved(format_name, exif=private_exif() if format_name == "PNG" else PillowImage.Exif())
    np.testing.assert_array_equal(pixels_of(stripped(data).data), pixels_of(data))


@pytest.mark.parametrize("frames", [1, 3])
def test_an_animation_is_one_picture_as_always(frames: int) -> None:
    rest = [scene().rotate(90 * turn) for turn in range(1, frames)]
    data = saved("WEBP", save_all=True, append_images=rest, lossless=True)
    assert getattr(PillowImage.open(io.BytesIO(stripped(data).data)), "n_frames", 1) == 1
