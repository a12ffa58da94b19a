"""The plots of docs/performance.md, drawn from benchmarks/results."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from benchmarks.common.plot import Point, bars, scatter
from benchmarks.common.tables import RESULTS

OUTPUT_MEGAPIXELS: Final = 3840 * 2160 / 1e6
Tables = Mapping[str, Any]


def nets(tables: Tables) -> str:
    """Each net in its fastest runtime and in torch: Set5 against output megapixels a second."""
    quality = {(net, precision): psnr for net, precision, psnr in tables["quality"]["rows"]}
    best: dict[tuple[str, str], Point] = {}
    for net, runtime, _, _, speed, *_ in tables["nets"]["rows"]:
        precision = "int8" if runtime.endswith("int8") else "fp32"
        key = (net, precision)
        if speed and key in quality and (key not in best or speed > best[key].x):
            best[key] = Point(f"{net}, {runtime}", speed, quality[key], own="ours" in net)
    return scatter(list(best.values()), "output megapixels a second, net only", "PSNR Y on Set5, dB")


def ways(tables: Tables) -> str:
    """Every way from a 960x540 JPEG to 4K: Set5 against output megapixels a second, end to end."""
    measured = [(way, s, psnr) for way, s, psnr, *_ in tables["ways"]["rows"] if not isinstance(psnr, str)]
    points = [Point(way, OUTPUT_MEGAPIXELS / s, psnr, own="ours" in way) for way, s, psnr in measured]
    return scatter(points, "output megapixels a second, file to file", "PSNR Y on Set5, dB")


def batch(tables: Tables) -> str:
    """Milliseconds a picture by step of the worker."""
    return bars([(step, each) for step, _, each in tables["steps"]["rows"]], "ms")


def airflow(tables: Tables) -> str:
    """Seconds that Airflow takes more than the loop, by step."""
    return bars([(step, more) for step, _, _, more in tables["steps"]["rows"]], "s more")


def hardware(tables: Tables) -> str:
    """Milliseconds of this CPU where the sizes are the output's."""
    rows = [
        (f"{net}, {side} pixels out", float(row[0].split()[0]))
        for net, side, reading, *row in tables["times"]["rows"]
        if reading == "output"
    ]
    return bars(rows, "ms")


PLOTS: Final[dict[str, Callable[[Tables], str]]] = {
    "speed-net": nets,
    "speed-4k": ways,
    "speed-batch": batch,
    "speed-airflow": airflow,
    "hardware-table": hardware,
}


def drawn(results: Path = RESULTS) -> dict[str, str]:
    """SVG by name of benchmark, of those that left results."""
    found = {name: results / f"{name}.json" for name in PLOTS}
    return {
        name: PLOTS[name](json.loads(file.read_text(encoding="utf-8"))["tables"])
        for name, file in found.items()
        if file.exists()
    }
