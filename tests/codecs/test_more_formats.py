"""JPEG 2000, HEIC and DICOM, and what is salvaged of damaged files; files are made by other libraries."""

from __future__ import annotations

import io
import sys
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile
from PIL import Image as PillowImage

from enhancer.codecs import Limits, decode, encode
from enhancer.codecs.profiles import profile_for
from enhancer.errors import PictureError
from enhancer.image import Document
from enhancer.options import OutputOptions

LIMITS = Limits(max_bytes=1 << 26, max_pixels=10_000_000, max_pages=20)
RNG = np.random.default_rng(21)


def read(data: bytes, *, salvage: bool = False) -> Document:
    return decode(data, name="a/b.c", limits=LIMITS, salvage=salvage)


def reason(data: bytes, limits: Limits = LIMITS, *, salvage: bool = False) -> str:
    with pytest.raises(PictureError, match=r"^a/b\.c: ") as caught:
        decode(data, name="a/b.c", limits=limits, salvage=salvage)
    return caught.value.reason


def photo() -> np.ndarray:
    y, x = np.mgrid[0:96, 0:128]
    planes = [127 + 100 * np.sin(x / 20 + index) * np.cos(y / 17) for index in range(3)]
    return np.stack(planes, axis=-1).astype(np.uint8)


def saved(format_name: str, pixels: np.ndarray | None = None, **arguments: object) -> bytes:
    buffer = io.BytesIO()
    PillowImage.fromarray(photo() if pixels is None else pixels).save(buffer, format_name, **arguments)
    return buffer.getvalue()


@pytest.mark.parametrize("codec", ["jp2", "j2k"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_jpeg_2000_without_loss(channels: int, dtype: type, codec: str) -> None:
    pixels = RNG.integers(0, np.iinfo(dtype).max, (21, 34, channels), dtype, endpoint=True)
    data = imagecodecs.jpeg2k_encode(np.squeeze(pixels), codecformat=codec, reversible=True, level=0)
    page = read(bytes(data)).first
    np.testing.assert_array_equal(page.pixels, pixels[..., : 3 if channels == 4 else channels])
    assert page.metadata.bit_depth == 8 * pixels.itemsize
    assert page.metadata.format == "JPEG2000"
    if channels == 4:
        np.testing.assert_array_equal(page.alpha, pixels[..., 3])


def test_jpeg_2000_of_twelve_bits_fills_the_range() -> None:
    pixels = RNG.integers(0, 4096, (16, 16), np.uint16)
    pixels[0, :2] = 0, 4095
    page = read(bytes(imagecodecs.jpeg2k_encode(pixels, bitspersample=12, reversible=True, level=0))).first
    np.testing.assert_allclose(page.pixels[..., 0], pixels * (65535 / 4095), atol=0.51)
    assert page.metadata.bit_depth == 12


def test_jpeg_2000_of_pillow_and_its_limits() -> None:
    data = saved("JPEG2000", irreversible=False)
    np.testing.assert_array_equal(read(data).first.pixels, photo())
    assert reason(data, Limits(1 << 20, 96 * 128 - 1, 1)) == "too-many-pixels"
    assert reason(data[: len(data) // 2]) in {"truncated", "corrupt"}
    assert encode(read(data), options=OutputOptions()).format == "PNG"


def test_jpeg_2000_keeps_its_profile_and_xmp() -> None:
    data = saved("JPEG2000", irreversible=False)
    at = data.index(b"colr") - 4
    size = int.from_bytes(data[at : at + 4], "big")
    icc, packet = profile_for("display-p3"), b"<x:xmpmeta/>"
    colr = (11 + len(icc)).to_bytes(4, "big") + b"colr\2\0\0" + icc
    header = data.index(b"jp2h") - 4
    grown = int.from_bytes(data[header : header + 4], "big") + len(colr) - size
    uuid = bytes.fromhex("be7acfcb97a942e89c71999491e3afac")
    stream = data.index(b"jp2c") - 4
    built = data[:header] + grown.to_bytes(4, "big") + data[header + 4 : at] + colr + data[at + size : stream]
    built += (24 + len(packet)).to_bytes(4, "big") + b"uuid" + uuid + packet + data[stream:]
    metadata = read(built).first.metadata
    assert (metadata.icc, metadata.xmp) == (icc, packet)


def test_heic_of_a_phone(shared_data: Path) -> None:
    pytest.importorskip("pillow_heif")
    data = (shared_data / "exif" / "heic__samplefilehub.heif").read_bytes()
    page = read(data).first
    assert page.pixels.shape == (426, 640, 3)
    assert page.metadata.xmp is not None
    assert page.metadata.exif is not None
    assert encode(Document((page,)), options=OutputOptions()).format == "PNG"


@pytest.mark.parametrize("turn", [1, 6])
def test_heic_is_upright_and_not_turned_twice(turn: int) -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    exif = PillowImage.Exif()
    exif[0x0112] = turn
    buffer = io.BytesIO()
    picture = pillow_heif.from_pillow(PillowImage.fromarray(photo()))
    picture.save(buffer, quality=95, exif=exif.tobytes())
    page = read(buffer.getvalue()).first
    pillow_heif.register_heif_opener()
    shown = np.asarray(PillowImage.open(io.BytesIO(buffer.getvalue())).convert("RGB"))
    assert page.pixels.shape == shown.shape
    assert np.abs(page.pixels.astype(int) - shown).mean() < 1
    assert reason(buffer.getvalue(), Limits(1 << 20, 96 * 128 - 1, 1)) == "too-many-pixels"


def test_heic_of_ten_bits_fills_the_range() -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    pixels = np.repeat(np.linspace(0, 65535, 64)[None, :, None], 64, axis=0).repeat(3, axis=2).astype(np.uint16)
    buffer = io.BytesIO()
    pillow_heif.from_bytes("RGB;16", (64, 64), pixels.tobytes()).save(buffer, quality=-1)
    page = read(buffer.getvalue()).first
    assert page.metadata.bit_depth == 10
    assert page.pixels.max() == 65535
    assert np.abs(page.pixels.astype(int) - pixels).max() < 400


@pytest.mark.parametrize(("module", "extra"), [("pillow_heif", "heic"), ("pydicom", "dicom")])
def test_a_missing_library_is_named(module: str, extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    data = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" if extra == "heic" else bytes(128) + b"DICM" + bytes(100)
    with pytest.raises(PictureError, match=rf"airflow-image-enhancer\[{extra}\]") as caught:
        read(data)
    assert caught.value.reason == "unsupported"


def dicom(values: np.ndarray, bits: int, photometric: str = "MONOCHROME2", **tags: object) -> bytes:
    pydicom = pytest.importorskip("pydicom")
    from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

    dataset = pydicom.Dataset()
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID = CTImageStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID = "1.2.3.4"
    dataset.PatientName, dataset.Modality = "Mustermann^Erika", "CT"
    dataset.Rows, dataset.Columns = values.shape[-2:]
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, photometric
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 8 * values.itemsize, bits, bits - 1
    dataset.PixelRepresentation = int(values.dtype.kind == "i")
    for name, value in tags.items():
        setattr(dataset, name, value)
    dataset.PixelData = values.tobytes()
    buffer = io.BytesIO()
    dataset.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


def test_dicom_of_twelve_bits_with_rescaling() -> None:
    values = RNG.integers(0, 4096, (9, 14), np.uint16)
    page = read(dicom(values, 12, RescaleSlope="1", RescaleIntercept="-1024")).first
    assert page.metadata.value_range == (-1024, 3071)
    assert page.metadata.bit_depth == 12
    hounsfield = -1024 + page.pixels[..., 0] / 65535 * 4095
    np.testing.assert_allclose(hounsfield, values.astype(int) - 1024, atol=0.04)  # half a step of 16 bits
    assert "3071 HU" in page.metadata.warnings[0]
    assert b"Mustermann" not in encode(Document((page,)), options=OutputOptions(format="PNG")).data


def test_signed_inverted_and_eight_bit_dicom() -> None:
    signed = RNG.integers(-32768, 32767, (5, 6), np.int16, endpoint=True)
    np.testing.assert_array_equal(read(dicom(signed, 16)).first.pixels[..., 0], signed.astype(int) + 32768)
    small = RNG.integers(0, 256, (4, 6), np.uint8)
    page = read(dicom(small, 8, "MONOCHROME1")).first
    np.testing.assert_array_equal(page.pixels[..., 0], 255 - small)
    assert page.metadata.value_range == (255, 0)


def test_frames_colour_and_limits_of_dicom() -> None:
    frames = RNG.integers(0, 256, (3, 4, 6), np.uint8)
    pages = read(dicom(frames, 8, NumberOfFrames=3)).pages
    np.testing.assert_array_equal(np.stack([page.pixels[..., 0] for page in pages]), frames)
    assert reason(dicom(frames, 8, NumberOfFrames=3), Limits(1 << 20, 1 << 20, 2)) == "too-many-pages"
    assert reason(dicom(frames[0], 8, "PALETTE COLOR")) == "unsupported"
    assert reason(dicom(frames[0], 8), Limits(1 << 20, 23, 1)) == "too-many-pixels"
    assert reason(dicom(frames[0], 8)[:-10]) in {"truncated", "corrupt"}


@pytest.mark.parametrize("progressive", [False, True])
def test_the_upper_half_of_a_jpeg_is_salvaged(progressive: bool) -> None:
    data = saved("JPEG", quality=95, progressive=progressive)
    half = data[: int(len(data) * 0.7)]
    assert reason(half) == "truncated"
    page = read(half, salvage=True).first
    assert page.pixels.shape == (96, 128, 3)
    assert page.metadata.warnings[-1].startswith("salvaged: ")
    if not progressive:
        assert np.abs(page.pixels[:32].astype(int) - photo()[:32]).mean() < 3


@pytest.mark.parametrize("pixels", [photo(), photo()[..., 0], photo().astype(np.uint16)[..., 0] * 257])
def test_the_rows_of_a_png_that_are_there_are_salvaged(pixels: np.ndarray) -> None:
    data = saved("PNG", pixels)
    cut = data[: len(data) // 2]
    assert reason(cut) == "truncated"
    found = np.squeeze(read(cut, salvage=True).first.pixels)
    np.testing.assert_array_equal(found[:20], pixels[:20])
    assert not found[-1].any()
    flipped = bytearray(data)
    flipped[len(data) * 3 // 4] ^= 0x55
    assert reason(bytes(flipped)) in {"corrupt", "truncated"}
    np.testing.assert_array_equal(np.squeeze(read(bytes(flipped), salvage=True).first.pixels)[:20], pixels[:20])


def test_a_png_whose_last_chunk_is_missing_is_salvaged_whole() -> None:
    np.testing.assert_array_equal(read(saved("PNG")[:-12], salvage=True).first.pixels, photo())


@pytest.mark.parametrize("compression", [None, "zlib", "lzw"])
@pytest.mark.parametrize("tile", [None, (32, 32)])
def test_strips_and_tiles_that_are_there_are_salvaged(compression: str | None, tile: tuple[int, int] | None) -> None:
    buffer = io.BytesIO()
    arguments = {"tile": tile} if tile else {"rowsperstrip": 16}
    tifffile.imwrite(buffer, photo(), photometric="rgb", compression=compression, metadata=None, **arguments)
    cut = buffer.getvalue()[: len(buffer.getvalue()) * 3 // 4]
    assert reason(cut) == "truncated"
    page = read(cut, salvage=True).first
    np.testing.assert_array_equal(page.pixels[:32], photo()[:32])
    assert not page.pixels[-1, -1].any()
    assert page.metadata.warnings[-1].startswith("salvaged: ")


def test_one_broken_strip_costs_only_itself() -> None:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, photo(), photometric="rgb", compression="zlib", rowsperstrip=16, metadata=None)
    data = bytearray(buffer.getvalue())
    with tifffile.TiffFile(io.BytesIO(bytes(data))) as file:
        start = file.pages[0].dataoffsets[2]
    data[start : start + 8] = b"\xff" * 8
    assert reason(bytes(data)) == "corrupt"
    found = read(bytes(data), salvage=True).first.pixels
    np.testing.assert_array_equal(np.delete(found, np.s_[32:48], axis=0), np.delete(photo(), np.s_[32:48], axis=0))
    assert not found[32:48].any()


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff", saved("PNG")[:40], saved("GIF")[:60], b"nothing at all"])
def test_where_nothing_is_left_salvaging_gives_the_same_error(data: bytes) -> None:
    assert reason(data, salvage=True) == reason(data)


def test_a_sound_file_is_read_the_same_with_salvage() -> None:
    page = read(saved("PNG"), salvage=True).first
    assert page.metadata.warnings == ()


def test_extended_xmp_that_no_packet_names_is_said_to_be_dropped() -> None:
    data = saved("JPEG")
    body = b"http://ns.adobe.com/xmp/extension/\0" + b"0" * 32 + bytes(8) + b"<x/>"
    segment = b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body
    page = read(data[:20] + segment + data[20:]).first
    assert [warning for warning in page.metadata.warnings if "extended XMP" in warning]
    assert read(data).first.metadata.warnings == ()
