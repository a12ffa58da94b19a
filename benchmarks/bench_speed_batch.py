"""Mixed pictures through a worker: ``make bench-speed-batch``.

500 parts of photographs (128x96 to 480x270, JPEG and PNG) are enlarged four times by fast-x4, 20 small ones by
DAT-light, in a worker process, from folder to folder with the ledger in SQLite; 50 more go the whole way: planned,
enhanced, scored in a worker of their own, published and reported. Every stage but super-resolution is off, so that the
rest is what a worker adds. End to end is the enhance task from its worker's readiness to its end; net only is the same
net on the same pictures, one after the other, in a process that does nothing else, afterwards. Either loads the net,
and what runs it, once. The worker's seconds by step are of its own
clock; its memory is sampled five times a second.
"""

from __future__ import annotations

import argparse
import io
import math
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image as PillowImage

from benchmarks.common.results import print_table, write_results
from benchmarks.common.speed import NET_ALONE, SCALE, machines
from benchmarks.common.speed_site import SIZES, Site, Usage
from enhancer.backends.tiler import run_tiled
from enhancer.image import to_unit
from enhancer.settings import Settings, get_settings
from enhancer.stages.nets import Nets

COUNT, SLOW_COUNT, WHOLE_COUNT = 500, 20, 50
SMALL: Final = ((64, 48),)
SLOW: Final = "dat-light-x4"
RUN: Final = "speed"


def net_only(model: str | None, folder: Path) -> float:
    """Seconds of the net alone over all pictures of a folder, in a process of its own; with its loading, once."""
    command = [sys.executable, "-m", "benchmarks.bench_speed_batch", "--net-only", str(folder), "--model", model or ""]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return float(done.stdout.split()[-1])


def net_here(model: str | None, folder: Path) -> float:
    """The same in this process."""
    begin = time.perf_counter()
    net = Nets(get_settings()).super_resolution(SCALE, model)
    spent = time.perf_counter() - begin
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


def measure(
    root: Path, count: int, recipe: dict[str, Any], sizes: tuple[tuple[int, int], ...], *, only_enhance: bool
) -> Site:
    """One run, in which no picture may fail."""
    root.mkdir()
    site = Site(root, recipe, settings_for(root))
    site.fill(count, sizes)
    counts = site.run(RUN, only_enhance=only_enhance)
    if counts != {"enhanced" if only_enhance else "published": count}:
        raise RuntimeError(f"of {count} pictures became {counts}")
    return site


def by_step(site: Site) -> dict[str, float]:
    """Seconds of the worker by step, summed over the pictures; the stages under ``enhance`` apart."""
    spent: dict[str, float] = {}
    for row in site.items(RUN):
        for step, seconds in (row.details or {})["timings"].items():
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
    parser.add_argument("--whole-count", type=int, default=WHOLE_COUNT)
    parser.add_argument("--net-only", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--model", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.net_only:
        print(net_here(options.model or None, options.net_only))
        return
    started = time.monotonic()
    rows, ratios = [], {}
    with tempfile.TemporaryDirectory(prefix="speed-batch-") as name:
        cases: tuple[tuple[str, int, dict[str, Any], tuple[tuple[int, int], ...]], ...] = (
            ("fast-x4", options.count, NET_ALONE, SIZES),
            ("DAT-light", options.slow_count, {**NET_ALONE, "model": SLOW}, SMALL),
        )
        for net, count, recipe, sizes in cases:
            site = measure(Path(name) / net, count, recipe, sizes, only_enhance=True)
            alone = net_only(recipe.get("model"), site.root / "in")
            worked = site.seconds["enhance"] - site.ready_s["enhance"]
            ratios[net] = worked / alone
            row: list[Any] = [net, count, alone, worked, ratios[net], site.ready_s["enhance"]]
            rows.append([*row, round(count / worked * 3600), machines(count / worked)])
            if net == "fast-x4":
                fast, steps = site, [[step, took, took / count * 1e3] for step, took in by_step(site).items()]
        whole = measure(Path(name) / "whole", options.whole_count, NET_ALONE, SIZES, only_enhance=False)
    report(rows, steps, fast, whole, ratios, options, started)


def report(
    rows: list[list[Any]],
    steps: list[list[Any]],
    fast: Site,
    whole: Site,
    ratios: dict[str, float],
    options: argparse.Namespace,
    started: float,
) -> None:
    """Print and write."""
    heads = ["net", "pictures", "net only, s", "worker, s", "worker / net", "worker's start, s", "pictures an hour"]
    usage = fast.usage["enhance"]
    took = sum(whole.seconds.values())
    tables: dict[str, dict[str, Any]] = {
        "runs": {"columns": [*heads, "such machines for 2 M a day"], "rows": rows},
        "steps": {"columns": ["step of fast-x4's worker", "s in all", "ms a picture"], "rows": steps},
        "processes": {
            "columns": ["worker", "pictures", "wall-clock s", "processor s", "peak MB"],
            "rows": [
                ["enhance", options.count, fast.seconds["enhance"], usage.cpu_s, round(max(usage.rss_mb))],
                [
                    "evaluate",
                    options.whole_count,
                    whole.seconds["evaluate"],
                    whole.usage["evaluate"].cpu_s,
                    round(max(whole.usage["evaluate"].rss_mb)),
                ],
            ],
        },
        "whole": {
            "columns": ["step of a whole run", "s", "share"],
            "rows": [
                *([step, seconds, f"{100 * seconds / took:.0f} %"] for step, seconds in whole.seconds.items()),
                [f"{options.whole_count} pictures", took, "100 %"],
                ["such machines for 2 M a day", float(machines(options.whole_count / took)), ""],
            ],
        },
    }
    for table in tables.values():
        print_table(table["columns"], table["rows"])
        print()
    figures = {
        "fast net, end to end over net only": ratios["fast-x4"],
        "DAT-light, end to end over net only": ratios["DAT-light"],
        "peak memory, last quarter over first quarter": growth(usage),
    }
    counts = (options.count, options.slow_count, options.whole_count)
    write_results("speed-batch", figures, tables, started, whole=counts == (COUNT, SLOW_COUNT, WHOLE_COUNT))


if __name__ == "__main__":
    main()
