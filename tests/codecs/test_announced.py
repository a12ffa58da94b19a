"""What a header announces is what decoding gives, in every format, and costs no decoding."""

from __future__ import annotations

import io

import numpy as np
import pytest
import tifffile
from PIL import Image as PillowImage

from enhancer.codecs import Limits, announced_pixels, decode

LIMITS = Limits(max_bytes=1 << 26, max_pixels=10_000_000, max_pages=20)
PIXELS = np.random.default_rng(3).integers(0, 256, (48, 80, 3), dtype=np.uint8)


def saved(format_name: str) -> bytes:
    buffer = io.BytesIO()
    PillowImage.fromarray(PIXELS).save(buffer, format_name)
    return buffer.getvalue()


@pytest.mark.parametrize("format_name", ["JPEG", "PNG", "WEBP", "BMP", "GIF", "AVIF", "JPEG2000", "TIFF"])
def test_the_announced_pixels_are_those_that_are_decoded(format_name: str) -> None:
    data = saved(format_name)
    page = decode(data, name="a", limits=LIMITS).first
    assert announced_pixels(data, LIMITS) == page.width * page.height == 48 * 80


def test_all_pages_of_a_tiff_count_and_its_thumbnails_do_not() -> None:
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        for _ in range(3):
            writer.write(PIXELS, photometric="rgb")
        writer.write(PIXELS[::4, ::4], photometric="rgb", subfiletype=1)
    assert announced_pixels(buffer.getvalue(), LIMITS) == 3 * 48 * 80


def test_the_whole_picture_of_a_heic_counts_and_not_its_thumbnail() -> None:
    pillow_heif = pytest.importorskip("pillow_heif")
    buffer = io.BytesIO()
    whole_blocks = np.tile(PIXELS, (4, 4, 1))[:128, :192]  # HEVC codes blocks of 64, and the rest would count as such
    pillow_heif.from_pillow(PillowImage.fromarray(whole_blocks)).save(buffer, thumbnails=[64])
    assert announced_pixels(buffer.getvalue(), LIMITS) == 128 * 192


def test_nothing_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(image: object) -> None:
        raise AssertionError("pixels were decoded")

    data = saved("JPEG")
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", load)
    assert announced_pixels(data, LIMITS) == 48 * 80


@pytest.mark.parametrize("data", [b"", b"no picture", saved("PNG")[:20], saved("JPEG")[:10]])
def test_what_decoding_refuses_before_any_pixel_announces_none(data: bytes) -> None:
    assert announced_pixels(data, LIMITS) == 0


def test_what_is_over_the_limits_announces_none() -> None:
    assert announced_pixels(saved("PNG"), Limits(max_bytes=1 << 26, max_pixels=100, max_pages=20)) == 0
