"""The specified hardware table, measured on this CPU and computed for two GPUs: ``make bench-hardware-table``.

The specification names sides of 1024, 512 and 256 pixels without saying of what: each is read once as that of the
input, once as that of the output, at 4x, for RRDBNet-23 (which it means) and for fast-x4. This CPU runs int8 in
OpenVINO; RRDBNet on more than one tile of 256 pixels is its time on one tile times the tiles, and says so. No GPU was
there: their columns are a net's operations over the card's published peak times UTILISATION, a share that plain
convolutions reach in practice; neither copying to the card nor decoding is in them.
"""

from __future__ import annotations

import argparse
import time
from typing import Any, Final

import numpy as np

from benchmarks.common.results import print_table, write_results
from benchmarks.common.speed import medians, operations
from benchmarks.common.speed_nets import Workshop, call
from enhancer.backends.base import Net
from enhancer.backends.tiler import run_tiled
from enhancer.settings import get_settings

SIDES: Final = (1024, 512, 256)
SCALE: Final = 4
TILE: Final = 256
UTILISATION: Final = 0.5
PEAKS: Final = {
    ("RTX 3090", "fp16"): 71e12,
    ("RTX 3090", "int8"): 284e12,
    ("T4", "fp16"): 65e12,
    ("T4", "int8"): 130e12,
}
"""Operations a second of the tensor cores, dense, as NVIDIA publishes them (GA102 white paper, fp16 with fp32 sums; T4
data sheet). A T4 does not hold its peak at 70 W."""
SPECIFIED: Final = {("RTX 3090", 1024): 120, ("T4", 512): 210, ("Xeon Gold 6248", 256): 1850}
"""Milliseconds that the specification gives, by machine and side."""


def roofline_ms(operations: float, peak: float) -> str:
    """Computed milliseconds of a card."""
    milliseconds = operations / peak / UTILISATION * 1e3
    return f"{milliseconds:.0f}" if milliseconds >= 10 else f"{milliseconds:.2g}"


def whole_picture(net: Net, side: int) -> Any:
    """One run of a square picture in the product's tiles."""
    planes = np.moveaxis(np.random.default_rng(1).random((side, side, 3), np.float32), 2, 0)
    return lambda: run_tiled(net, planes)


def main() -> None:
    """Print the table and write benchmarks/results/hardware-table.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    started = time.monotonic()
    workshop = Workshop(get_settings())
    big, fast = workshop.rrdbnet(), workshop.ours()
    nets = {one.name: workshop.net(one, "OpenVINO int8") for one in (big, fast)}
    inputs = sorted({side for size in SIDES for side in (size, size // SCALE)})
    calls = {
        f"{one.name} {side}": call(nets[one.name], side) if one is big else whole_picture(nets[one.name], side)
        for one in (big, fast)
        for side in inputs
        if one is fast or side <= TILE
    }
    times = medians(calls, options.runs)
    heads = ["net", "side", "is that of the", "this CPU, int8, ms"]
    heads += [f"{card} {precision}, computed ms" for card, precision in PEAKS]
    rows: list[list[Any]] = []
    for one in (big, fast):
        done = operations(one.module, 64) / 64**2
        for size in SIDES:
            for reading, side in (("input", size), ("output", size // SCALE)):
                measured = times.get(f"{one.name} {side}")
                tiles = (side // TILE) ** 2
                timing = (
                    f"{measured * 1e3:.0f}"
                    if measured is not None
                    else f"{times[f'{one.name} {TILE}'] * tiles * 1e3:.0f} (one tile x {tiles})"
                )
                computed = [roofline_ms(done * side**2, peak) for peak in PEAKS.values()]
                rows.append([one.name, size, reading, timing, *computed])
    print_table(heads, rows)
    specified = [[machine, side, milliseconds] for (machine, side), milliseconds in SPECIFIED.items()]
    tables = {
        "times": {"columns": heads, "rows": rows},
        "specified": {"columns": ["machine", "side", "specified ms"], "rows": specified},
    }
    write_results("hardware-table", {}, tables, started, whole=options.runs >= 5)


if __name__ == "__main__":
    main()
