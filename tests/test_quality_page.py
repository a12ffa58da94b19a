"""The pages have the figures that the benchmarks left, all of them and no others."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import pytest

from benchmarks.common.pages import BLOCK, PAGES, with_figures
from benchmarks.common.tables import TARGETS


@pytest.mark.parametrize("file", PAGES, ids=lambda file: file.name)
def test_the_page_is_what_the_results_say(file: Path) -> None:
    page = file.read_text(encoding="utf-8")
    assert page == with_figures(page), "run `python -m benchmarks.common.pages`"


def test_blocks_are_of_benchmarks_with_goals_and_each_stands_once() -> None:
    blocks = [block["name"] for page in PAGES for block in BLOCK.finditer(page.read_text(encoding="utf-8"))]
    assert len(set(blocks)) == len(blocks) >= 7
    assert set(blocks) <= set(tomllib.loads(TARGETS.read_text(encoding="utf-8")))


@pytest.mark.parametrize("met", [True, False])
def test_figures_goals_and_misses_are_told(tmp_path: Path, met: bool) -> None:
    goal = {"name": "sigma 0", "value": 51.25, "unit": "dB PSNR RGB", "target": 50.0, "met": met}
    record = {
        "command": "make bench-denoise",
        "commit": "abc1234",
        "time": "2026-11-25T18:00:00+00:00",
        "machine": {"cpu": "some processor", "cores": 2},
        "goals": [goal],
    }
    (tmp_path / "denoise.json").write_text(json.dumps(record))
    page = with_figures("above\n<!-- figures: denoise -->\nold 1.23\n<!-- end -->\nbelow\n", tmp_path)
    (row,) = [line for line in page.splitlines() if "sigma 0" in line]
    assert re.split(r" *\| *", row)[1:-1] == ["sigma 0", "51.25", "at least 50", "dB PSNR RGB", "yes" if met else "NO"]
    assert "abc1234" in page
    assert "1.23" not in page
    assert page.startswith("above\n")
    assert page.endswith("below\n")
    assert with_figures(page, tmp_path) == page
