"""Bad input: each ends as a picture or as one PictureError, quickly and in bounded memory."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import tracemalloc
import warnings
import zlib
from pathlib import Path

import numpy as np
import pytest
import tifffile
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage

from enhancer.codecs import Limits, decode
from enhancer.errors import ErrorKind, PictureError
from enhancer.image import Document

LIMITS = Limits(max_bytes=1 << 24, max_pixels=20_000_000, max_pages=20)
REASONS = {
    "empty", "not-a-picture", "truncated", "corrupt", "too-many-bytes", "too-many-pixels", "too-many-pages", "unsupported",
}  # fmt: skip
PIXELS = np.random.default_rng(5).integers(0, 255, (40, 50, 3), np.uint8)
SHARED = Path(__file__).parents[2].parent / "shared" / "data"
BAD = [
    path for folder in ("malformed", "odd", "exif") for path in sorted((SHARED / folder).glob("*")) if path.is_file()
]


def saved(format_name: str, **arguments: object) -> bytes:
    buffer = io.BytesIO()
    PillowImage.fromarray(PIXELS).save(buffer, format_name, **arguments)
    return buffer.getvalue()


def reason_of(data: bytes, limits: Limits = LIMITS) -> str:
    with pytest.raises(PictureError) as caught:
        decode(data, name="folder/name.jpg", limits=limits)
    assert caught.value.message.startswith("folder/name.jpg: ")
    assert caught.value.kind is ErrorKind.PERMANENT
    return caught.value.reason


def outcome(data: bytes, name: str, limits: Limits) -> Document | PictureError:
    """What decoding ends in; anything but a document or our own error is raised."""
    try:
        return decode(data, name=name, limits=limits)
    except PictureError as error:
        return error


def tiff_of_pages(count: int) -> bytes:
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        for _ in range(count):
            writer.write(PIXELS, photometric="rgb", contiguous=False, metadata=None)
    return buffer.getvalue()


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_bomb(width: int = 60_000, height: int = 60_000) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = zlib.compress(bytes(10_000_000), 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"This is a text that somebody called picture.jpg.\n" * 20, "not-a-picture"),
        (b"BMW is not a bitmap", "not-a-picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0", "unsupported"),
        (b"\xff\xd8\xff", "corrupt"),
        (saved("PNG")[:20], "truncated"),
        (saved("JPEG")[:600], "truncated"),
        (saved("PNG")[:-200], "truncated"),
        (saved("PNG")[:-12], "truncated"),
        (saved("BMP")[:-500], "truncated"),
        (tiff_of_pages(1)[: -len(PIXELS.tobytes()) // 2], "truncated"),
    ],
)
def test_reasons(data: bytes, reason: str) -> None:
    assert reason_of(data) in {reason, "corrupt"} if data == b"\xff\xd8\xff" else reason_of(data) == reason


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "TIFF", "WEBP", "AVIF", "BMP", "GIF"])
def test_half_a_file_is_an_error(format_name: str) -> None:
    data = saved(format_name)
    assert reason_of(data[: len(data) // 2]) in {"truncated", "corrupt"}


def test_flipped_bits_in_png_data_are_an_error() -> None:
    data = bytearray(saved("PNG"))
    data[len(data) // 2] ^= 0xFF
    assert reason_of(bytes(data)) == "corrupt"


def test_a_decompression_bomb_costs_nothing() -> None:
    bomb = png_bomb()
    decode(saved("PNG"), name="warm-up", limits=LIMITS)
    tracemalloc.start()
    assert reason_of(bomb) == "too-many-pixels"
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "TIFF", "WEBP", "AVIF", "BMP", "GIF"])
def test_the_pixel_limit_holds_in_every_format(format_name: str) -> None:
    data = saved(format_name)
    tight = Limits(max_bytes=1 << 24, max_pixels=40 * 50 - 1, max_pages=1)
    assert reason_of(data, tight) == "too-many-pixels"
    exact = Limits(max_bytes=1 << 24, max_pixels=40 * 50, max_pages=1)
    assert decode(data, name="x", limits=exact).first.pixels.shape[:2] == (40, 50)


def test_more_pixels_than_pillow_would_warn_of_are_no_trouble_within_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(PillowImage, "MAX_IMAGE_PIXELS", 100)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert decode(saved("JPEG"), name="x", limits=LIMITS).first.width == 50


def test_bytes_and_pages_are_limited() -> None:
    assert reason_of(saved("BMP"), Limits(max_bytes=100, max_pixels=10_000, max_pages=1)) == "too-many-bytes"
    data = tiff_of_pages(5)
    assert reason_of(data, Limits(max_bytes=1 << 20, max_pixels=10_000, max_pages=4)) == "too-many-pages"
    assert len(decode(data, name="x", limits=Limits(max_bytes=1 << 20, max_pixels=10_000, max_pages=5)).pages) == 5
    # Four times the pixels of the largest page, and no more, in all.
    assert reason_of(data, Limits(max_bytes=1 << 20, max_pixels=2000, max_pages=5)) == "too-many-pixels"


def test_the_way_out_is_named() -> None:
    with pytest.raises(PictureError, match="ENHANCER_MAX_PIXELS"):
        decode(png_bomb(), name="bomb.png", limits=LIMITS)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers(value: float) -> None:
    pixels = np.zeros((4, 4), np.float32)
    pixels[1, 2] = value
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, pixels)
    assert reason_of(buffer.getvalue()) == "corrupt"


def test_a_jpeg_strip_far_larger_than_its_page() -> None:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, np.zeros((2000, 2000, 3), np.uint8), photometric="rgb", compression="jpeg")
    data = bytearray(buffer.getvalue())
    with tifffile.TiffFile(io.BytesIO(buffer.getvalue())) as file:
        tags = file.pages[0].tags
        for tag in (256, 257, 278):
            struct.pack_into("<H", data, tags[tag].valueoffset, 16)
    with pytest.raises(PictureError, match="JPEG strip or tile of 2000 x"):
        decode(bytes(data), name="x", limits=LIMITS)


@pytest.mark.parametrize("compression", ["webp", "jpeg2000", "png"])
def test_tiff_compressions_of_unbounded_size_are_refused(compression: str) -> None:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, PIXELS, photometric="rgb", compression=compression)
    assert reason_of(buffer.getvalue()) == "unsupported"


def test_a_chain_of_pages_in_a_circle() -> None:
    data = bytearray(tiff_of_pages(1))
    first = struct.unpack_from("<I", data, 4)[0]
    count = struct.unpack_from("<H", data, first)[0]
    struct.pack_into("<I", data, first + 2 + 12 * count, first)
    assert reason_of(bytes(data)) == "corrupt"


def test_a_bomb_in_png_metadata_is_dropped_with_a_warning() -> None:
    data = saved("PNG")
    bomb = chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(100 << 20), 1))
    page = decode(data[:33] + bomb + data[33:], name="x", limits=LIMITS).first
    np.testing.assert_array_equal(page.pixels, PIXELS)
    assert any("iCCP" in warning for warning in page.metadata.warnings)


@pytest.mark.parametrize(
    "path",
    BAD or [pytest.param(None, marks=pytest.mark.skip(reason="needs ../shared/data"))],
    ids=lambda path: path.name if path else "none",
)
@pytest.mark.timeout(60)  # none may hang
def test_every_bad_and_odd_file_ends_as_a_document_or_one_clear_error(path: Path) -> None:
    result = outcome(path.read_bytes(), path.name, LIMITS)
    if isinstance(result, PictureError):
        assert result.reason in REASONS
        assert path.name in result.message


SEEDS = {name: saved(name) for name in ("JPEG", "PNG", "TIFF", "WEBP", "BMP", "GIF")} | {"PAGES": tiff_of_pages(2)}


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(SEEDS)), st.data())
def test_mutated_files_end_as_a_document_or_a_picture_error(name: str, data: st.DataObject) -> None:
    mutated = bytearray(SEEDS[name])
    head = min(len(mutated), 400)
    edits = st.lists(st.tuples(st.integers(0, head - 1), st.integers(0, 255)), min_size=1, max_size=8)
    for position, value in data.draw(edits):
        mutated[position] = value
    tight = Limits(max_bytes=1 << 20, max_pixels=1_000_000, max_pages=10)
    result = outcome(bytes(mutated), "x", tight)
    assert isinstance(result, Document) or result.reason in REASONS


def test_importing_the_package_loads_no_imaging_library() -> None:
    heavy = ("PIL", "tifffile", "imagecodecs", "cv2", "torch")
    code = f"import sys, enhancer.codecs; print([m for m in {heavy} if m in sys.modules])"
    assert (
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"
    )
