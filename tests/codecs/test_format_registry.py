"""Formats of this package and of others: found by entry point, used like our own, and named when they are broken."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from structlog.testing import capture_logs

from enhancer.codecs import Limits, choose_format, content_type, decode, encode, sniff, target_key
from enhancer.codecs.formats import registry
from enhancer.errors import RequestError
from enhancer.image import Document, Image
from enhancer.options import OutputOptions
from enhancer.recipe import parse_recipe

LIMITS = Limits(max_bytes=1 << 20, max_pixels=1 << 20, max_pages=3)

RAW_MODULE = """
import numpy as np
from enhancer.codecs import FormatSpec

def read(data, name, limits):
    from enhancer.codecs.raster import split
    height, width = data[4], data[5]
    limits.check_size(width, height, name)
    return [split(np.frombuffer(data[6:], np.uint8).reshape(height, width, 3))]

def write(document, options, warnings):
    page = document.first
    return b"TINY" + bytes([page.height, page.width]) + page.pixels.tobytes()

SPEC = FormatSpec(name="TINY", title="Tiny", recognises=lambda data: data.startswith(b"TINY"), read=read, write=write,
                  content_type="image/x-tiny", extensions=(".tiny",), alpha=False)
"""


def install(place: Path, package: str, entry_point: str, module: str, source: str) -> None:
    """A package as an installer leaves it: a module and its metadata."""
    (place / f"{module}.py").write_text(source)
    metadata = place / f"{package}-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text(f"[enhancer.formats]\n{entry_point}\n")


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(str(tmp_path))
    registry.forget()
    yield tmp_path
    monkeypatch.undo()
    for module in ("tiny_format", "broken_format", "greedy_format"):
        sys.modules.pop(module, None)
    registry.forget()


def test_each_format_is_one_module_and_has_its_own_extensions_and_types() -> None:
    specs = registry.listed_formats()
    assert {spec.name for spec in specs} >= {"JPEG", "PNG", "TIFF", "WEBP", "AVIF", "BMP", "GIF", "JPEG2000", "HEIF"}
    written = [spec for spec in specs if spec.write is not None]
    for of in (lambda spec: [spec.content_type], lambda spec: spec.extensions):
        values = [value for spec in written for value in of(spec)]
        assert len(values) == len(set(values))


def test_another_packages_format_is_read_written_and_chosen(packages: Path) -> None:
    install(packages, "tiny-pictures", "TINY = tiny_format:SPEC", "tiny_format", RAW_MODULE)
    pixels = np.random.default_rng(1).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    data = b"TINY" + bytes([5, 7]) + pixels.tobytes()
    assert sniff(data) == "TINY"
    document = decode(data, name="a", limits=LIMITS)
    np.testing.assert_array_equal(document.first.pixels, pixels)
    assert document.first.metadata.format == "TINY"
    assert choose_format(document, OutputOptions()) == "TINY"
    made = encode(document, options=OutputOptions())
    assert (made.data, made.content_type) == (data, "image/x-tiny")
    assert target_key("a.png", "PNG", "TINY") == "a.png.tiny"
    assert parse_recipe({"output": {"format": "TINY"}}).output.format == "TINY"
    with pytest.raises(RequestError, match="TINY cannot hold floating"):
        encode(Document((Image(pixels / np.float32(255)),)), options=OutputOptions(format="TINY"))


@pytest.mark.parametrize(
    ("entry_point", "source", "said"),
    [
        ("BROKEN = broken_format:SPEC", "raise OSError('no library')", "OSError: no library"),
        ("BROKEN = broken_format:SPEC", "SPEC = 3", "not an enhancer.codecs.FormatSpec"),
        ("TINY = broken_format:SPEC", RAW_MODULE.replace('"TINY"', '"PNG"'), "its format PNG"),
        ("PNG = broken_format:SPEC", RAW_MODULE.replace('"TINY"', '"PNG"'), "the name PNG is taken"),
    ],
)
def test_a_broken_one_is_named_where_formats_are_listed_and_logged_elsewhere(
    packages: Path, entry_point: str, source: str, said: str
) -> None:
    install(packages, "broken-pictures", entry_point, "broken_format", source)
    with pytest.raises(RequestError, match="broken-pictures") as raised:
        registry.listed_formats()
    assert said in raised.value.message
    assert "uninstall broken-pictures" in raised.value.message
    with capture_logs() as logs:
        assert sniff(b"GIF89a") == "GIF"
        assert content_type("PNG") == "image/png"
    assert [entry["event"] for entry in logs] == ["format not available"]
    assert "broken-pictures" in logs[0]["reason"]


def test_an_unknown_format_is_refused_with_the_known_ones() -> None:
    with pytest.raises(RequestError, match=r"no format is called 'TGA'.*JPEG"):
        parse_recipe({"output": {"format": "TGA"}})


def test_recognising_a_file_loads_no_imaging_library() -> None:
    code = (
        "import sys; from enhancer.codecs import sniff; sniff(b'GIF89a')\n"
        "print([m for m in ('PIL', 'tifffile', 'imagecodecs', 'cv2', 'torch') if m in sys.modules])"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_the_command_lists_them() -> None:
    code = "from enhancer.cli.app import app; app(['formats', '--json'])"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    rows = {row["name"]: row for row in json.loads(ran.stdout)["summary"]["formats"]}
    assert rows["PNG"]["content_type"] == "image/png"
    assert not rows["GIF"]["written"]
