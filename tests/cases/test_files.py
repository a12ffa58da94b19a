"""Unusual files: whole JPEGs without their end, long names, and kinds that are named when they are refused."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image as PillowImage
from PIL import ImageFile

from enhancer import ImageEnhancer
from enhancer.codecs.jpeg_end import missing_end
from enhancer.settings import Settings
from tests.cases.conftest import Enhance
from tests.cases.making import chunk, jpeg, photograph, png

KINDS = {
    "baseline": {},
    "subsampled": {"subsampling": 2},
    "progressive": {"progressive": True},
    "optimised": {"optimize": True},
    "restarts": {"restart_marker_blocks": 5},
    "rows": {"restart_marker_rows": 1, "subsampling": 2},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("cut", [1, 2])
def test_a_jpeg_that_lacks_only_its_end_is_whole(enhance: Enhance, kind: str, cut: int) -> None:
    whole = jpeg(photograph(), **KINDS[kind])
    made = enhance(whole[:-cut], "a.jpg", "photo", 1)
    assert made.record.state == "published"
    assert made.warned_of("end marker")
    assert made.data == whole


@pytest.mark.parametrize("kind", KINDS)
def test_one_that_lacks_pixels_is_truncated(enhance: Enhance, kind: str) -> None:
    whole = jpeg(photograph(), **KINDS[kind])
    for length in (len(whole) * 3 // 4, len(whole) - 40):
        made = enhance(whole[:length], "a.jpg", "photo", 1)
        assert made.record.error is not None
        assert made.record.error.error_class == "truncated"


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_missing_exactly_where_pillow_gives_the_same_pixels(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    whole = jpeg(photograph(), **KINDS[kind])
    right = np.asarray(PillowImage.open(io.BytesIO(whole)))
    for cut in (1, 2, 3, 4, 6, 9, 20, 100, 400):
        data = whole[:-cut]
        same = np.array_equal(np.asarray(PillowImage.open(io.BytesIO(data + b"\xff\xd9"))), right)
        assert not missing_end(data) or same


def test_a_name_as_long_as_file_systems_allow(tmp_path: Path) -> None:
    source, target = tmp_path / "in", tmp_path / "out"
    source.mkdir()
    name = "n" * 246 + ".jpg"
    data = jpeg(photograph())
    (source / name).write_bytes(data)
    enhancer = ImageEnhancer({"name": "photo", "scale": 1}, settings=Settings(home=tmp_path / "home", device="cpu"))
    records = enhancer.batch_enhance(source, target)
    assert [record.state for record in records] == ["published"]
    assert (target / name).read_bytes() == data


def test_xcodes_png_is_named(enhance: Enhance) -> None:
    bgra = np.asarray(photograph().convert("RGBA"))[..., [2, 1, 0, 3]]
    data = png(bgra, before=chunk(b"CgBI", bytes.fromhex("50002002")), wrapped=False)
    error = enhance(data, "a.png", "photo", 1).record.error
    assert error is not None
    assert error.error_class == "unsupported"
    assert "CgBI" in error.message


def dng(thumbnail: int | None, raw: int | None, version: bool = True, make: str = "Camera") -> bytes:
    """A small RGB thumbnail in the first directory, sensor data in a sub-directory."""
    tags = [(271, 2, 0, make, True)]
    tags += [(50706, 1, 4, (1, 4, 0, 0), True)] if version else []
    cfa = [(33421, 3, 2, (2, 2), True), (33422, 1, 4, (0, 1, 1, 2), True)]
    stream = io.BytesIO()
    with tifffile.TiffWriter(stream) as writer:
        small = np.asarray(photograph(size=(48, 32)))
        mosaic = np.asarray(photograph().convert("L")).astype(np.uint16) * 16
        writer.write(small, photometric="rgb", subfiletype=thumbnail, subifds=1, metadata=None, extratags=tags)
        writer.write(mosaic, photometric="cfa", subfiletype=raw, metadata=None, extratags=cfa)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("data", "word"),
    [
        (dng(1, 0), "DNG"),
        (dng(None, None), "DNG"),
        (dng(1, 0, version=False, make="NIKON CORPORATION"), "NEF"),
        (dng(1, 0, version=False, make="SONY"), "ARW"),
        (dng(None, None, version=False), "raw"),
        (b"II*\0\x10\0\0\0CR\2\0" + bytes(40), "CR2"),
        (b"\0\0\0\x18ftypcrx \0\0\0\1crx isom" + bytes(40), "CR3"),
        (b"FUJIFILMCCD-RAW 0201" + bytes(40), "RAF"),
    ],
)
def test_camera_raw_is_named_and_its_thumbnail_never_taken(enhance: Enhance, data: bytes, word: str) -> None:
    error = enhance(data, "a.dng", "photo", 1).record.error
    assert error is not None
    assert error.error_class == "unsupported"
    assert word in error.message
    assert "raw" in error.message
