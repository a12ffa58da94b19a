"""Nets on a CUDA device, from host to host and from file to file: ``make bench-gpu``.

Seconds are medians of `--runs` runs (at least 5 for the record) in turn, after three that do not count. "On the device"
is a net alone, from tensor to tensor, the picture in one tile; "host to host" is what the product does: tiles, pinned
copies, results in the host's memory. Pictures of the joined runs are in as many threads as there are pictures at once;
"each for itself" is the same without joining. From JPEG to JPEG OpenCV decodes and encodes, so that nothing is needed
but what nets need; where the whole package can be imported, its pipeline is measured beside it.

Where git is not at hand, ``--commit`` says what is measured.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.common.results import print_table, write_results
from benchmarks.gpu_nets import (
    RRDBNET,
    Candidate,
    candidates,
    encode,
    jpeg_steps,
    jpeg_to_jpeg,
    net_alone,
    peak_megabytes,
    pictures_a_second,
    planes_of,
    warm_medians,
)
from enhancer.backends.joining import RUNS_AT_ONCE, JoinedNet
from enhancer.backends.tiler import run_tiled
from enhancer.settings import Settings, get_settings

PICTURE: Final = Path(__file__).parents[2] / "shared/data/photos/lomiri16_Bridge_by_Sander_Klootwijk.jpg"
SIZES: Final = {"256x256": (256, 256), "960x540": (540, 960)}
FAST: Final = "fast-x4"
TOGETHER: Final = (1, 2, 4, 8)
JOINED: Final = {"256x256": (FAST, RRDBNET, "dat-light-x4"), "960x540": (FAST,)}
"""Nets of the joined runs, by size of the pictures."""
ROUNDS: Final = 6
"""Pictures a thread, in a joined run."""
TILES: Final = (256, 512, 1024)
PRECISIONS: Final = {"fp32": False, "fp16": True}
GOAL: Final = "960x540 JPEG to 4K JPEG, fast net"

Table = dict[str, Any]


def picture(file: Path | None) -> NDArray[np.uint8]:
    """The photograph at 960x540, RGB."""
    path = file or PICTURE
    if path.is_file():
        read = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    else:
        try:
            from skimage import data
        except ImportError:
            sys.exit(f"{path} is not here: give a photograph with --picture FILE")
        read = data.astronaut()
    height, width = SIZES["960x540"]
    return np.asarray(cv2.resize(read, (width, height), interpolation=cv2.INTER_AREA), np.uint8)


def nets_table(found: Mapping[str, Candidate], photo: NDArray[np.uint8], runs: int) -> Table:
    """Each net, precision and size: on the device, host to host, memory."""
    rows: list[list[Any]] = []
    for one in found.values():
        for half in PRECISIONS.values():
            for size, row in net_rows(one, photo, runs, half=half).items():
                rows.append([one.name, "fp16" if half else "fp32", size, *row])
                print(*rows[-1], flush=True)
    heads = ["net", "precision", "input", "on the device, ms", "TFLOP/s", "host to host, ms", "output MP/s", "peak MB"]
    return {"columns": heads, "rows": rows}


def net_rows(one: Candidate, photo: NDArray[np.uint8], runs: int, *, half: bool) -> dict[str, list[Any]]:
    """What :func:`nets_table` shows of one net in one precision, by size."""
    net = one.on(half=half)
    rows: dict[str, list[Any]] = {}
    for size, (height, width) in SIZES.items():
        planes = planes_of(photo[:height, :width], one.spec.in_channels)
        calls: dict[str, Callable[[], object]] = {"host": partial(run_tiled, net, planes)}
        peak = round(peak_megabytes(calls["host"]))
        if max(height, width) <= one.spec.max_tile:
            calls["device"] = net_alone(net, planes)
        times = warm_medians(calls, runs)
        pixels = height * width
        rate = pixels * one.spec.scale**2 / 1e6 / times["host"]
        alone: list[Any] = ["", ""]
        if "device" in times:
            alone = [times["device"] * 1e3, one.operations * pixels / times["device"] / 1e12]
        rows[size] = [*alone, times["host"] * 1e3, rate, peak]
    if net.half != half:
        print(f"{one.name} overflows in float16: its figures are float32's", flush=True)
    return rows


def jpeg_tables(fast: Candidate, photo: NDArray[np.uint8], runs: int) -> tuple[Table, Table, float]:
    """Steps from JPEG to JPEG by precision, whole ways, and the seconds of the product's default."""
    data = encode(photo)
    steps: dict[str, list[Any]] = {}
    ways: list[list[Any]] = []
    for precision, half in PRECISIONS.items():
        net = fast.on(half=half)
        passes = [jpeg_steps(net, data) for _ in range(runs + 3)][3:]
        for step in passes[0]:
            steps.setdefault(step, [step]).append(1e3 * float(np.median([one[step] for one in passes])))
        way = f"{FAST} in {precision}, OpenCV's codec"
        ways.append([way, warm_medians({way: partial(jpeg_to_jpeg, net, data)}, runs)[way]])
    seconds = float(ways[-1][1])
    for way, call in product_ways(data).items():
        ways.append([way, warm_medians({way: call}, runs)[way]])
    heads = ["step", *(f"{precision}, ms" for precision in PRECISIONS)]
    return (
        {"columns": heads, "rows": list(steps.values())},
        {"columns": ["960x540 JPEG to 4K JPEG", "s"], "rows": ways},
        seconds,
    )


def product_ways(data: bytes) -> dict[str, Callable[[], object]]:
    """The package's own decoder, pipeline and encoder, where all that they import is here."""
    try:
        from enhancer.codecs import Limits, decode
        from enhancer.processing import ImageEnhancer, encode_result
        from enhancer.recipe import parse_recipe
    except ImportError as error:
        print(f"the package's pipeline is left out: {error}")
        return {}
    off = {stage: {"mode": "off"} for stage in ("jpeg", "exposure", "cast", "colour_fix")}
    recipes: dict[str, dict[str, Any]] = {
        "nothing but the net": {"scale": 4, "denoise_strength": 0, "repair_impulses": False, **off},
        "recipe photo": {"scale": 4},
    }

    def way(enhancer: ImageEnhancer) -> bytes:
        before = decode(data, name="small.jpg", limits=Limits.from_settings(enhancer.settings))
        enhanced = enhancer.enhance_document(before)
        return encode_result(data, before, enhanced, enhancer.recipe.output, enhanced.processing).data

    settings = Settings(runtime="torch")
    return {
        f"the package, {name}": partial(way, ImageEnhancer(parse_recipe(recipe), settings=settings))
        for name, recipe in recipes.items()
    }


def joined_table(found: Mapping[str, Candidate], photo: NDArray[np.uint8], runs: int) -> Table:
    """Pictures a second by how many are processed at once, each separately and in joint batches."""
    rows: list[list[Any]] = []
    for size, names in JOINED.items():
        height, width = SIZES[size]
        for one in (found[name] for name in names if name in found):
            net = one.on(half=True)
            planes = planes_of(photo[:height, :width], one.spec.in_channels)
            for count in TOGETHER:
                rates = [
                    pictures_a_second(partial(run_tiled, way, planes), count, count * ROUNDS, runs)
                    for way in (net, JoinedNet(net, at_once=1), JoinedNet(net, at_once=RUNS_AT_ONCE))
                ]
                rows.append([one.name, size, count, *rates])
                print(*rows[-1], flush=True)
            del net
            torch.cuda.empty_cache()
    heads = ["net, fp16", "input", "pictures at once", "each for itself, a second", "joined, one run at once"]
    return {"columns": [*heads, f"joined, {RUNS_AT_ONCE} runs at once"], "rows": rows}


def tiles_table(fast: Candidate, photo: NDArray[np.uint8], runs: int) -> Table:
    """What the longest side of a tile costs, and what cudnn.benchmark would gain."""
    net, planes = fast.on(half=True), planes_of(photo)
    calls = {f"tiles of at most {side}": partial(run_tiled, net, planes, max_tile=side) for side in TILES}
    times = warm_medians(calls, runs)
    torch.backends.cudnn.benchmark = True
    try:
        tuned = warm_medians(calls, runs)
    finally:
        torch.backends.cudnn.benchmark = False
    rows = [[way, 1e3 * times[way], 1e3 * tuned[way]] for way in calls]
    return {"columns": [f"{FAST}, fp16, 960x540, host to host", "ms", "with cudnn.benchmark, ms"], "rows": rows}


def main() -> None:
    """Print the tables and write benchmarks/results/gpu.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--weights", action="append", default=[], metavar="NAME=FILE", help="of a net of the catalogue")
    parser.add_argument("--picture", type=Path, help="a photograph; else one of ../shared, or scikit-image's")
    parser.add_argument("--commit", help="what is measured, where git is not at hand")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        sys.exit("torch sees no CUDA device here: this benchmark needs one")
    started = time.monotonic()
    weights = {name: Path(file) for name, _, file in (one.partition("=") for one in options.weights)}
    found = {one.name: one for one in candidates(weights, get_settings())}
    photo = picture(options.picture)
    steps, ways, seconds = jpeg_tables(found[FAST], photo, options.runs)
    tables = {
        "steps": steps,
        "ways": ways,
        "tiles": tiles_table(found[FAST], photo, options.runs),
        "joined": joined_table(found, photo, options.runs),
        "nets": nets_table(found, photo, options.runs),
    }
    for table in tables.values():
        print_table(table["columns"], table["rows"])
        print()
    write_results(
        "gpu",
        {GOAL: seconds},
        tables,
        started,
        whole=options.runs >= 5,
        gpu=f"{torch.cuda.get_device_name()}, torch {torch.__version__}",
        commit=options.commit,
    )


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
