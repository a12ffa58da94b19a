"""Damaged JPEG 2000, JPEG-LS and lossless JPEG frames in DICOM files: each is refused, and none holds the reader."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import imagecodecs
import numpy as np
import pydicom
import pytest
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import JPEG2000Lossless, JPEGBaseline8Bit, JPEGLosslessSV1, JPEGLSLossless

from enhancer.codecs import Limits, decode
from enhancer.errors import PictureError
from enhancer.image import Document
from tests.codecs.dicom_files import ct

VALUES = np.random.default_rng(3).integers(0, 256, (12, 10), np.uint8)
J2K, JP2 = (bytes(imagecodecs.jpeg2k_encode(VALUES, codecformat=kind, level=0)) for kind in ("j2k", "jp2"))
LIMITS = Limits(max_bytes=1 << 26, max_pixels=1 << 24, max_pages=100)


def made(*frames: bytes, syntax: str = JPEG2000Lossless, **more: object) -> bytes:
    source = ct(VALUES, 8)
    source.NumberOfFrames = len(frames)
    source.PixelData = encapsulate(list(frames))
    source["PixelData"].VR, source["PixelData"].is_undefined_length = "OB", True
    for keyword, value in more.items():
        setattr(source, keyword, value)
    source.file_meta = FileMetaDataset()
    source.file_meta.TransferSyntaxUID = syntax
    file = io.BytesIO()
    source.save_as(file, enforce_file_format=True)
    return file.getvalue()


def read(data: bytes) -> Document:
    return decode(data, name="scan.dcm", limits=LIMITS)


def with_box_of(length: int) -> bytes:
    """The JP2 file with that length in the box after its signature."""
    return JP2[:12] + struct.pack(">I", length) + JP2[16:]


@pytest.mark.parametrize("frame", [J2K, JP2], ids=["codestream", "jp2"])
def test_sound_frames_are_read(frame: bytes) -> None:
    pages = read(made(frame, frame)).pages
    assert len(pages) == 2
    for page in pages:
        np.testing.assert_array_equal(page.pixels[..., 0], VALUES)


def test_a_box_that_does_not_advance_ends(tmp_path: Path) -> None:
    """In a process of its own, which can be ended: pydicom's walk over these boxes would hold this one."""
    path = tmp_path / "scan.dcm"
    path.write_bytes(made(with_box_of(0)))
    code = (
        "import sys, pathlib; from enhancer.codecs import Limits, decode\n"
        "decode(pathlib.Path(sys.argv[1]).read_bytes(), name='scan.dcm', limits=Limits(1 << 26, 1 << 24, 100))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert "PictureError: scan.dcm: frame 1: its JPEG 2000 has a box of 0 bytes" in done.stderr


@pytest.mark.parametrize(
    ("frame", "reason", "word"),
    [
        (lambda: with_box_of(0), "corrupt", "box of 0 bytes"),
        (lambda: with_box_of(7), "corrupt", "box of 7 bytes"),
        (lambda: with_box_of(1 << 31), "truncated", "ends within its header"),
        (lambda: JP2[: JP2.index(b"jp2c") - 4], "truncated", "ends within its header"),
        (lambda: b"\0" + J2K[1:], "corrupt", "does not begin with its size"),
        (lambda: J2K[:4] + b"\0" * 2 + J2K[6:], "corrupt", "segment ff51 of 0 bytes"),
        (lambda: J2K[:20], "truncated", "ends within its header"),
        (lambda: J2K[: J2K.index(b"\xff\x90")], "truncated", "ends within its header"),
        (lambda: J2K.replace(b"\xff\x52", b"\0\x52", 1), "corrupt", "segment 0052"),
        (lambda: J2K[:8] + struct.pack(">I", 60_000) + J2K[12:], "corrupt", "60000 x 12 pixels"),
        (lambda: J2K[:24] + bytes(4) + J2K[28:], "corrupt", "tiles of 0 x"),
    ],
    ids=["0", "7", "far", "no-codestream", "soc", "siz-0", "siz-cut", "no-tile", "marker", "size", "tiles"],
)
@pytest.mark.parametrize("place", [0, 1])
def test_a_malformed_header_is_refused_in_every_frame(
    frame: Callable[[], bytes], reason: str, word: str, place: int
) -> None:
    frames = [J2K, J2K]
    frames[place] = frame()
    with pytest.raises(PictureError, match=rf"^scan\.dcm: frame {place + 1}: .*{word}") as caught:
        read(made(*frames))
    assert caught.value.reason == reason


def test_frames_by_an_extended_offset_table() -> None:
    broken = with_box_of(0) + b"\0" * (len(JP2) % 2)
    frames = [J2K + b"\0" * (len(J2K) % 2), broken]
    table = struct.pack("<2Q", 0, 8 + len(frames[0])), struct.pack("<2Q", *map(len, frames))
    source = pydicom.dcmread(io.BytesIO(made(*frames)))
    source.PixelData = encapsulate(frames, has_bot=False)
    source.ExtendedOffsetTable, source.ExtendedOffsetTableLengths = table
    file = io.BytesIO()
    source.save_as(file)
    with pytest.raises(PictureError, match=r"frame 2: .* box of 0 bytes"):
        read(file.getvalue())


def with_empty_segments(frame: bytes) -> bytes:
    return frame[:2] + b"\xff\xe1\0\0" * 50 + frame[2:]


def test_segments_of_no_length_in_jpeg_ls_are_refused() -> None:
    frame = bytes(imagecodecs.jpegls_encode(VALUES))
    np.testing.assert_array_equal(read(made(frame, syntax=JPEGLSLossless)).first.pixels[..., 0], VALUES)
    with pytest.raises(PictureError, match=r"^scan\.dcm: ") as caught:
        read(made(with_empty_segments(frame), syntax=JPEGLSLossless))
    assert caught.value.reason == "corrupt"


def test_segments_of_no_length_in_lossless_jpeg_are_passed_over() -> None:
    frame = bytes(imagecodecs.jpeg8_encode(VALUES, lossless=True))
    for data in (frame, with_empty_segments(frame)):
        np.testing.assert_array_equal(read(made(data, syntax=JPEGLosslessSV1)).first.pixels[..., 0], VALUES)


@pytest.mark.parametrize(
    ("syntax", "encode", "start"),
    [
        (JPEGLSLossless, imagecodecs.jpegls_encode, b"\xff\xf7"),
        (JPEGLosslessSV1, lambda values: imagecodecs.jpeg8_encode(values, lossless=True), b"\xff\xc3"),
        (JPEGBaseline8Bit, imagecodecs.jpeg8_encode, b"\xff\xc0"),
    ],
    ids=["jpeg-ls", "jpeg-lossless", "jpeg"],
)
@pytest.mark.parametrize("before", [lambda frame: frame, with_empty_segments], ids=["plain", "empty-segments"])
def test_frames_of_another_size_than_the_file_states_are_not_decoded(
    syntax: str, encode: Callable[[np.ndarray], bytes], start: bytes, before: Callable[[bytes], bytes]
) -> None:
    """A hundred bytes that state 65,000 x 20,000 pixels had the decoder of lossless JPEG fill 3.6 GiB."""
    frame = bytes(encode(VALUES))
    assert read(made(frame, syntax=syntax)).first.width == 10
    at = frame.index(start) + 5
    larger = before(frame[:at] + struct.pack(">HH", 20_000, 65_000) + frame[at + 4 :])
    with pytest.raises(PictureError, match=r"frame 2: its JPEG is of 65000 x 20000 pixels") as caught:
        read(made(frame, larger, syntax=syntax))
    assert caught.value.reason == "corrupt"


def test_fill_bytes_before_a_marker_are_passed_over() -> None:
    frame = bytes(imagecodecs.jpeg8_encode(VALUES, lossless=True))
    padded = frame[:2] + b"\xff" * 9 + frame[3:]
    np.testing.assert_array_equal(read(made(padded, syntax=JPEGLosslessSV1)).first.pixels[..., 0], VALUES)
