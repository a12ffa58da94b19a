"""Formats from content and names of targets."""

from __future__ import annotations

import pytest

from enhancer.codecs import Limits, sniff, target_key
from enhancer.settings import Settings


@pytest.mark.parametrize(
    ("key", "source", "output", "expected"),
    [
        ("scans/a.bmp", "BMP", "PNG", "scans/a.bmp.png"),
        ("a.jpg", "JPEG", "JPEG", "a.jpg"),
        ("a.JPEG", "JPEG", "JPEG", "a.JPEG"),
        ("a.jpg", "PNG", "PNG", "a.jpg"),
        ("a.png", "PNG", "TIFF", "a.png.tif"),
        ("a", "GIF", "PNG", "a.png"),
        ("x/a.TIFF", None, "TIFF", "x/a.TIFF"),
        ("x.y/a", None, "WEBP", "x.y/a.webp"),
        ("a.heic", None, "AVIF", "a.heic.avif"),
        ("a.png", "PNG", "JPEG", "a.png.jpg"),
    ],
)
def test_target_key(key: str, source: str | None, output: str, expected: str) -> None:
    assert target_key(key, source, output) == expected


@pytest.mark.parametrize(
    "data", [b"", b"B", b"BM", b"II", b"RIFF\0\0\0\0WAVE", b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", b"\0" * 40]
)
def test_what_is_no_picture_is_not_taken_for_one(data: bytes) -> None:
    assert sniff(data) is None


def test_limits_follow_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENHANCER_MAX_PIXELS", "123")
    settings = Settings()
    assert Limits.from_settings(settings) == Limits(
        max_bytes=settings.max_bytes, max_pixels=123, max_pages=settings.max_pages
    )
