"""docs/performance.md: its plots are those of the results, and what its benchmarks are made of does what it says."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.common.pages import IMAGES, PAGES, with_figures
from benchmarks.common.plot import Point, bars, scatter
from benchmarks.common.speed import LONG_S, machines, medians, operations
from benchmarks.common.speed_plots import PLOTS, drawn
from enhancer.models.catalogue import load_catalogue
from enhancer.models.loading import load_net
from enhancer.models.store import ensure
from enhancer.settings import Settings

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("name", PLOTS)
def test_the_plots_are_what_the_results_say(name: str) -> None:
    page = next(page for page in PAGES if page.name == "performance.md").read_text(encoding="utf-8")
    assert (f"images/{name}.svg" in page) == (name in drawn())
    if name in drawn():
        assert (IMAGES / f"{name}.svg").read_text(encoding="utf-8") == drawn()[name], (
            "run `python -m benchmarks.common.pages`"
        )


def test_points_lie_where_their_values_say() -> None:
    points = [Point("slow", 0.1, 30.0), Point("fast", 10.0, 32.0, own=True), Point("between & <", 1.0, 31.0)]
    root = ElementTree.fromstring(scatter(points, "MP/s", "dB"))
    slow, between, fast = sorted((float(c.attrib["cx"]), float(c.attrib["cy"])) for c in root.iter(f"{SVG}circle"))
    assert between[0] - slow[0] == pytest.approx(fast[0] - between[0], abs=0.2)  # each ten times the one before
    assert slow[1] > between[1] > fast[1]  # better is higher, and y counts downwards
    assert "between & <" in [text.text for text in root.iter(f"{SVG}text")]


def test_bars_are_as_long_as_their_values() -> None:
    root = ElementTree.fromstring(bars([("a", 1.0), ("b", 4.0), ("c", -1.0)], "s"))
    widths = [float(bar.attrib["width"]) for bar in list(root.iter(f"{SVG}rect"))[1:]]
    assert widths[1] == pytest.approx(4 * widths[0], rel=0.01)
    assert widths[2] == 0


def test_a_table_is_shown_and_a_missing_one_said(tmp_path: Path) -> None:
    empty = "<!-- table: speed-net/nets -->\n<!-- end -->\n"
    assert "make bench-speed-net" in with_figures(empty, tmp_path)
    (tmp_path / "speed-net.json").write_text(
        json.dumps({"tables": {"nets": {"columns": ["net", "ms"], "rows": [["one", 12.5]]}}})
    )
    assert "| one | 12.5 |" in with_figures(empty, tmp_path)


def test_peers_run_in_turn_and_what_takes_long_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    clock = 0.0

    def run(name: str, *seconds: float) -> None:
        nonlocal clock
        clock += seconds[calls.count(name)]
        calls.append(name)

    monkeypatch.setattr("benchmarks.common.speed.time.perf_counter", lambda: clock)
    found = medians({"a": lambda: run("a", 50, 1, 9, 2), "b": lambda: run("b", LONG_S + 1)}, 3)
    assert calls == ["a", "b", "a", "a", "a"]
    assert found == {"a": 2, "b": LONG_S + 1}


def test_machines_are_whole_ones() -> None:
    assert machines(2e6 / 86_400) == 1
    assert machines(2e6 / 86_400 - 1e-6) == 2


def test_operations_are_counted_twice_a_product() -> None:
    assert operations(torch.nn.Conv2d(3, 5, 3, padding=1, bias=False), 8) == 2 * 3 * 5 * 9 * 8 * 8


def test_a_plain_net_in_ncnn_gives_what_torch_does(tmp_path: Path) -> None:
    pytest.importorskip("ncnn")
    from benchmarks.common.ncnn_net import NcnnNet, write_plain
    from enhancer.backends.torch_backend import TorchNet
    from enhancer.models.architectures.plain import PlainNet

    entry = load_catalogue().get("fast-x4")
    net = load_net(entry, ensure(entry, Settings(home=tmp_path)))
    module = net.module
    assert isinstance(module, PlainNet)
    write_plain(module, tmp_path / "net.param", tmp_path / "net.bin")
    spec = net.spec
    given = np.random.default_rng(3).random((1, 3, 19, 27), np.float32)
    found = NcnnNet(tmp_path / "net.param", tmp_path / "net.bin", spec).run(given)
    expected = TorchNet(module, spec, "cpu").run(given)
    assert np.abs(found - expected).max() < 2e-3  # ncnn keeps some of its values in 16 bits
