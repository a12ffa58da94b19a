"""Mixed pictures through a worker: ``make bench-speed-batch``.

500 parts of photographs (128x96 to 480x270, JPEG and PNG) are enlarged four times by fast-x4, 20 small ones by
DAT-light: planned, enhanced in a worker process, scored in another, published and reported, from folder to folder with
the ledger in SQLite. Every stage but super-resolution is off, so that the rest is what a worker adds. End to end is the
enhance task from its worker's readiness to its end; net only is the same net on the same pictures in this process, one
after the other, afterwards. The worker's seconds by step are of its own clock; its memory is sampled five times a
second.
"""

from __future__ import annotations

import argparse
import io
import math
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image as PillowImage

from benchmarks.bench_speed_4k import NET_ALONE
from benchmarks.results import print_table, write_results
from benchmarks.speed import machines
from benchmarks.speed_site import SIZES, Site, Usage
from enhancer.backends.base import Net
from enhancer.backends.tiler import run_tiled
from enhancer.image import to_unit
from enhancer.settings import Settings, get_settings
from enhancer.stages.nets import Nets

COUNT, SLOW_COUNT = 500, 20
SMALL: Final = ((64, 48),)
SLOW: Final = "dat-light-x4"
RUN: Final = "speed"


def net_only(net: Net, folder: Path) -> float:
    """Seconds of the net alone over all pictures of a folder."""
    spent = 0.0
    for path in sorted(folder.rglob("*.*")):
        with PillowImage.open(io.BytesIO(path.read_bytes())) as opened:
            planes = np.moveaxis(to_unit(np.asarray(opened.convert("RGB"))), 2, 0)
        begin = time.perf_counter()
        run_tiled(net, planes)
        spent += time.perf_counter() - begin
    return spent


def settings_for(root: Path) -> Settings:
    """A home of its own, the machine's model cache, one shard."""
    return get_settings().model_copy(
        update={"home": root, "model_dir": get_settings().models_path, "shard_minutes": 1e6, "min_shards": 1}
    )


def measure(root: Path, count: int, recipe: dict[str, Any], sizes: tuple[tuple[int, int], ...]) -> Site:
    """One run; its pictures must all be published."""
    root.mkdir()
    site = Site(root, recipe, settings_for(root))
    site.fill(count, sizes)
    counts = site.run(RUN)
    if counts != {"published": count}:
        raise RuntimeError(f"of {count} pictures became {counts}")
    return site


def by_step(site: Site) -> dict[str, float]:
    """Seconds of the worker by step, summed over the pictures; the stages under ``enhance`` apart."""
    spent: dict[str, float] = {}
    for row in site.items(RUN):
        for step, seconds in row["details"]["timings"].items():
            spent[step] = spent.get(step, 0.0) + seconds
    stages = {step: seconds for step, seconds in spent.items() if step.startswith("enhance.")}
    if "enhance" in spent:
        spent["enhance, outside of its stages"] = spent.pop("enhance") - sum(stages.values())
    return {step: seconds for step, seconds in spent.items() if seconds >= 0.01}


def growth(usage: Usage) -> float:
    """Largest resident memory in the last quarter of a worker's time over that in the first, its start left out."""
    working = usage.rss_mb[len(usage.rss_mb) // 10 :]
    quarter = len(working) // 4
    return max(working[-quarter:]) / max(working[:quarter]) if quarter else math.nan


def main() -> None:
    """Print the tables and write benchmarks/results/speed-batch.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=COUNT)
    parser.add_argument("--slow-count", type=int, default=SLOW_COUNT)
    options = parser.parse_args()
    started = time.monotonic()
    nets = Nets(get_settings())
    rows, ratios = [], {}
    with tempfile.TemporaryDirectory(prefix="speed-batch-") as name:
        cases: tuple[tuple[str, int, dict[str, Any], tuple[tuple[int, int], ...]], ...] = (
            ("fast-x4", options.count, NET_ALONE, SIZES),
            ("DAT-light", options.slow_count, {**NET_ALONE, "model": SLOW}, SMALL),
        )
        sites = {net: measure(Path(name) / net, count, recipe, sizes) for net, count, recipe, sizes in cases}
        for net, count, recipe, _ in cases:
            site = sites[net]
            alone = net_only(nets.super_resolution(4, recipe.get("model")), site.root / "in")
            worked = site.seconds["enhance"] - site.ready_s["enhance"]
            whole = sum(site.seconds.values())
            ratios[net] = worked / alone
            scoring = site.seconds["evaluate"] / (site.seconds["enhance"] + site.seconds["evaluate"])
            row: list[Any] = [net, count, alone, worked, ratios[net], site.ready_s["enhance"]]
            row += [site.seconds["evaluate"], f"{100 * scoring:.0f} %"]
            row += [round(count / worked * 3600), round(count / whole * 3600), machines(count / whole)]
            rows.append(row)
        fast = sites["fast-x4"]
        steps = [[step, seconds, seconds / options.count * 1e3] for step, seconds in by_step(fast).items()]
        report(rows, steps, fast, ratios, options, started)


def report(
    rows: list[list[Any]],
    steps: list[list[Any]],
    fast: Site,
    ratios: dict[str, float],
    options: argparse.Namespace,
    started: float,
) -> None:
    """Print and write."""
    heads = ["net", "pictures", "net only, s", "worker, s", "worker / net", "worker's start, s", "scoring, s"]
    heads += ["scoring's share", "pictures/h, worker", "pictures/h, whole run", "such machines for 2 M a day"]
    usage = fast.usage["enhance"]
    processes = [
        [mode, fast.seconds[mode], fast.usage[mode].cpu_s, max(fast.usage[mode].rss_mb, default=math.nan)]
        for mode in ("enhance", "evaluate")
    ]
    processes += [[step, fast.seconds[step], "", ""] for step in ("plan", "publish", "report")]
    tables: dict[str, dict[str, Any]] = {
        "runs": {"columns": heads, "rows": rows},
        "steps": {"columns": ["step of fast-x4's worker", "s in all", "ms a picture"], "rows": steps},
        "processes": {"columns": ["task", "wall-clock s", "processor s", "peak MB"], "rows": processes},
    }
    for table in tables.values():
        print_table(table["columns"], table["rows"])
        print()
    figures = {
        "fast net, end to end over net only": ratios["fast-x4"],
        "DAT-light, end to end over net only": ratios["DAT-light"],
        "peak memory, last quarter over first quarter": growth(usage),
    }
    whole = (options.count, options.slow_count) == (COUNT, SLOW_COUNT)
    write_results("speed-batch", figures, tables, started, whole=whole)


if __name__ == "__main__":
    main()
