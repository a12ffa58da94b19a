"""A format, a net and a store of another package, through command line and worker."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.extension.conftest import KEPT, SOFT, Installed, softened

NET = "e69cda44f8f9661394f69c21ced3ab47285c5b86136d59b40e680557fa597e08"
TWICE = {"scale": 2, "model": "nearest-x2", "colour_fix": {"mode": "off"}, "input": {"kind": "photograph"}}
"""Of a photograph nothing but the net; a drawing would get edges as drawn after it."""


def pixels_of(path: Path) -> np.ndarray:
    """By Pillow, which reads PPM too."""
    return np.asarray(Image.open(path)).astype(int)


def twice(pixels: np.ndarray) -> np.ndarray:
    """What the net makes of a picture."""
    return pixels.repeat(2, axis=0).repeat(2, axis=1)


def test_a_format_is_read_and_written(tiny: Installed, picture: Path, tmp_path: Path) -> None:
    ppm = picture.with_suffix(".ppm")
    Image.open(picture).save(ppm)
    asked = ["-o", tmp_path / "out", "--recipe", json.dumps(SOFT)]
    items = tiny.reply("enhance", ppm, *asked)["items"]
    assert Path(items[0]["output"]) == tmp_path / "out" / "a.ppm"
    assert Image.open(tmp_path / "out" / "a.ppm").format == "PPM"
    assert np.abs(pixels_of(tmp_path / "out" / "a.ppm") - softened(ppm, 0.75)).max() <= 1
    tiny.reply("enhance", picture, *asked, "--set", "output.format=PPM")
    np.testing.assert_array_equal(pixels_of(tmp_path / "out" / "a.png.ppm"), pixels_of(tmp_path / "out" / "a.ppm"))
    (inspected,) = tiny.reply("inspect", ppm)["items"]
    assert inspected["facts"]["format"] == "PPM"


def test_a_damaged_file_of_the_format_is_the_files_fault(tiny: Installed, tmp_path: Path) -> None:
    for name, data in {"short.ppm": b"P6\n9 9\n255\nabc", "odd.ppm": b"P6 nothing"}.items():
        (tmp_path / name).write_bytes(data)
        ran = tiny.cli("inspect", tmp_path / name, "--json")
        (item,) = json.loads(ran.stdout)["items"]
        assert (item["state"], item["error"]["class"], item["error"]["stage"]) == ("quarantined", "corrupt", "decode")


def test_without_the_package_its_format_and_store_are_refused(bare: Installed, picture: Path) -> None:
    ran = bare.cli("inspect", picture, "--set", "output.format=PPM")
    assert ran.returncode == 1
    assert "no format is called 'PPM'" in ran.stderr
    ran = bare.cli("inspect", "shelf://first/a.png")
    assert "stores on shelf:// are not known" in ran.stdout + ran.stderr


def test_a_net_of_the_catalogue_enlarges(tiny: Installed, bare: Installed, picture: Path, tmp_path: Path) -> None:
    asked = [picture, "-o", tmp_path / "out", "--recipe", json.dumps({**KEPT, **TWICE})]
    (item,) = tiny.reply("enhance", *asked)["items"]
    np.testing.assert_array_equal(pixels_of(tmp_path / "out" / "a.png"), twice(pixels_of(picture)))
    assert item["models"] == {"nearest-x2": NET}
    assert "nearest-x2" in tiny.cli("models", "list").stdout
    ran = bare.cli("enhance", *asked)
    assert ran.returncode == 1
    assert "nearest-x2" in ran.stderr


@pytest.mark.network
def test_a_run_has_stage_format_net_and_store_in_its_workers(tiny: Installed, picture: Path, tmp_path: Path) -> None:
    shelf = tmp_path / "shelves" / "first"
    shelf.mkdir(parents=True)
    Image.open(picture).save(shelf / "a.ppm")
    where = ["--input-url", "shelf://first", "--output-url", "shelf://second/made", "--work-url", tmp_path / "work"]
    run = [*where, "--recipe", json.dumps({**SOFT, **TWICE})]
    first = tiny.cli("batch", "run", *run, "--run-id", "night", "--json")
    assert first.returncode == 0, first.stdout + first.stderr
    made = tmp_path / "shelves" / "second" / "made"
    assert np.abs(pixels_of(made / "a.ppm") - twice(softened(picture, 0.75))).max() <= 1
    report = json.loads((made / "_enhancer" / "reports" / "night" / "report.json").read_text())
    (item,) = report["items"]
    assert (item["input"], item["output"]) == ("a.ppm", "a.ppm")
    assert item["models"] == {"nearest-x2": NET}
    assert [one["stage"] for one in item["decisions"] if one["applied"]] == ["soft-focus", "super-resolution"]
    assert tiny.reply("batch", "run", *run, "--run-id", "next")["summary"]["unchanged"] == 1
