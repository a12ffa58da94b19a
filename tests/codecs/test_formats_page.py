"""docs/formats.md is true: its table is the code's, and each mark in it is kept by a round trip."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PillowImage

from enhancer.codecs import Limits, decode, encode
from enhancer.codecs.formats.registry import listed_formats
from enhancer.codecs.formats.spec import FormatSpec
from enhancer.codecs.formats.table import markdown
from enhancer.codecs.profiles import profile_for
from enhancer.image import Document, Image, Metadata, Tag
from enhancer.options import OutputOptions

PAGE = (Path(__file__).parents[2] / "docs" / "formats.md").read_text(encoding="utf-8")
WRITTEN = [spec for spec in listed_formats() if spec.write is not None]
LIMITS = Limits(max_bytes=1 << 20, max_pixels=1 << 16, max_pages=5)
IPTC = b"\x1c\x02\x05\x00\x05title"
FILLED = {
    "icc": profile_for("display-p3"),
    "iptc": IPTC,
    "dpi": (300.0, 300.0),
    "texts": ((b"tEXt", b"Title\0kept"),),
    "comments": (b"kept",),
    "tags": (Tag(285, 2, b"recto\0"), Tag(33550, 12, (10.0, 10.0, 0.0))),
}


def filled(**more: object) -> Metadata:
    exif = PillowImage.Exif()
    exif[0x010F] = "Maker"
    return Metadata(exif=exif.tobytes().removeprefix(b"Exif\0\0"), **FILLED, **more)  # type: ignore[arg-type]


def test_the_table_is_the_codes_own() -> None:
    assert markdown(listed_formats()) in PAGE, "run python -m enhancer.codecs.formats.table and put its table in"


@pytest.mark.parametrize("spec", WRITTEN, ids=lambda spec: spec.name)
def test_what_a_format_is_said_to_keep_comes_back_and_nothing_else(spec: FormatSpec) -> None:
    pixels = np.random.default_rng(3).integers(0, 256, (20, 30, 3), np.uint8)
    document = Document((Image(pixels, metadata=filled(format=spec.name)),))
    made = encode(document, options=OutputOptions(format=spec.name), processing="x")
    again = decode(made.data, name="a", limits=LIMITS).first.metadata
    for kind in ("icc", "iptc", "texts", "comments", "tags"):
        assert getattr(again, kind) == (FILLED[kind] if kind in spec.keeps else getattr(Metadata(), kind))
    assert (again.exif is not None) == ("exif" in spec.keeps)
    assert (again.xmp is not None) == ("xmp" in spec.keeps)
    assert (again.dpi is not None) == ("dpi" in spec.keeps)
    lost = {"iptc": "IPTC", "texts": "Title", "comments": "comments", "tags": "285"}
    for kind, word in lost.items():
        assert any(word in warning for warning in made.warnings) == (kind not in spec.keeps)


@pytest.mark.parametrize("spec", WRITTEN, ids=lambda spec: spec.name)
@pytest.mark.parametrize("depth", ["uint8", "uint16", "float32"])
def test_the_depths_are_those_that_are_held(spec: FormatSpec, depth: str) -> None:
    values = np.random.default_rng(4).random((20, 30, 3))
    pixels = values.astype(np.float32) if depth == "float32" else (values * np.iinfo(depth).max).astype(depth)
    document = Document((Image(pixels, metadata=Metadata(format=spec.name)),))
    if depth not in spec.depths:
        with pytest.raises(Exception, match=spec.name):
            encode(document, options=OutputOptions(format=spec.name))
        return
    again = decode(encode(document, options=OutputOptions(format=spec.name)).data, name="a", limits=LIMITS).first
    assert again.pixels.dtype == pixels.dtype
    assert np.array_equal(again.pixels, pixels) == (spec.lossless == "always")
