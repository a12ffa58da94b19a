"""Really damaged pictures: ``make bench-real``, or a tenth of it, ``python -m benchmarks.bench_real --quick``.

Set14, CBSD68 and 40 photographs that nothing trains on (enhancer/training/held_out.tsv), the middle of each, damaged by
one of the three models of :mod:`enhancer.training.real_damage` in turn, in each strength, at 1x, 2x and 4x; seeds are
fixed. Every method is given the damaged pixels and nothing else. Scores are of RGB without a border cut: PSNR, SSIM,
LPIPS (alex) of the whole; seconds are the whole pipeline's on this machine, busy or not. Beside the means stands the
worst picture: most decibels lost against the picture untouched (1x) or enlarged by Pillow's bicubic filter.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.common.results import print_table, write_results
from benchmarks.real_methods import HEAVY_PEER, OURS, PEERS, PLAIN, Method, heavy_peer, methods, net_seconds
from enhancer.errors import ModelError
from enhancer.image import to_unit
from enhancer.quality.metrics import psnr, ssim
from enhancer.quality.perceptual import LpipsScorer
from enhancer.settings import Settings
from enhancer.training.held_out import held_out_hashes
from enhancer.training.pictures import Bytes, list_pictures, load_picture
from enhancer.training.real_damage import MODELS, STRENGTHS, Strength, damaged

SHARED: Final = Path(__file__).parents[2] / "shared" / "data"
SETS: Final = ("set14", "cbsd68", "photos_free")
SCALES: Final = (1, 2, 4)
SIDE: Final = 384
QUICK_SIDE: Final = 256
QUICK: Final = {"set14": 7, "cbsd68": 23, "photos_free": 8}
"""Of each set every so many-th picture is taken."""
HEAVY_EVERY: Final = 12
DAMAGED: Final = STRENGTHS[1:]
SHOWN: Final = 10
MODEL_HEADS: Final = ("scale", "model", "method", "PSNR", "LPIPS", "dB over plain")
WORST_HEADS: Final = ("scale", "strength", "worst of photo", "model", "dB over plain")
NET_HEADS: Final = ("net alone, 256 x 256 at 4x", "s")
HEADS: Final = ("scale", "strength", "method", "PSNR", "SSIM", "LPIPS", "worst dB", "worst picture", "s")


@dataclass(frozen=True, slots=True)
class Case:
    """A truth and what came of it."""

    name: str
    truth: Bytes
    given: Bytes
    model: str


@dataclass(frozen=True, slots=True)
class Row:
    """One method on one picture; `gain` is in dB over :data:`PLAIN`."""

    scale: int
    strength: str
    picture: str
    model: str
    method: str
    psnr: float
    ssim: float
    lpips: float
    gain: float
    seconds: float
    acted: bool
    restored: bool


def truths(*, quick: bool) -> Iterator[tuple[str, Bytes]]:
    """The middles of all pictures, by name; sides are multiples of 16."""
    held_out = set(held_out_hashes("photos_free").values())
    for folder in SETS:
        paths = list_pictures(SHARED / folder)
        if folder == "photos_free":
            paths = [path for path in paths if path.name in held_out]
        for path in paths[:: QUICK[folder] if quick else 1]:
            picture = load_picture(path, 16)
            height, width = (min(side, QUICK_SIDE if quick else SIDE) for side in picture.shape[:2])
            top, left = (picture.shape[0] - height) // 2, (picture.shape[1] - width) // 2
            middle = np.ascontiguousarray(picture[top : top + height, left : left + width])
            yield f"{folder}/{path.stem}", middle


def cases(scale: int, strength: Strength, pictures: Sequence[tuple[str, Bytes]]) -> list[Case]:
    """Every picture damaged, the models in turn."""
    made = []
    for number, (name, truth) in enumerate(pictures):
        model = MODELS[number % len(MODELS)]
        random = np.random.default_rng((scale, STRENGTHS.index(strength), number))
        made.append(Case(name, truth, damaged(truth, scale, model, strength, random)[0], model))
    return made


def measure(
    scale: int, strength: str, name: str, method: Method, some: Sequence[Case], lpips: LpipsScorer
) -> list[Row]:
    """One method on pictures of one strength, without its gain."""
    rows = []
    for case in some:
        result = method(case.given)
        made, truth = to_unit(result.pixels), to_unit(case.truth)
        rows.append(
            Row(
                scale,
                strength,
                case.name,
                case.model,
                name,
                round(psnr(made, truth), 3) if (result.pixels != case.truth).any() else math.inf,
                round(ssim(made, truth), 4),
                round(lpips.distance(made, truth, crops=0), 4),
                0.0,
                round(result.seconds, 3),
                result.acted,
                result.restored,
            )
        )
    return rows


def everything(*, quick: bool, scales: Sequence[int]) -> Iterator[Row]:
    """All rows; one scale's methods are loaded once."""
    lpips = LpipsScorer(Settings())
    pictures = list(truths(quick=quick))
    for scale in scales:
        found = dict(methods(scale, quick=quick))
        for strength in STRENGTHS:
            some = cases(scale, strength, pictures)
            plain = measure(scale, strength, PLAIN, found[PLAIN], some, lpips)
            yield from plain
            before = {row.picture: row.psnr for row in plain}
            for name, method in found.items():
                if name != PLAIN:
                    yield from _with_gain(measure(scale, strength, name, method, some, lpips), before)
            if scale == 4 and strength == "medium":
                try:
                    few = measure(scale, strength, HEAVY_PEER, heavy_peer(), some[::HEAVY_EVERY], lpips)
                except ModelError as error:
                    print(f"{HEAVY_PEER} is left out: {error.message}")
                    continue
                yield from _with_gain(few, before)


def _with_gain(rows: Sequence[Row], before: dict[str, float]) -> Iterator[Row]:
    for row in rows:
        plain = before[row.picture]
        gain = 0.0 if row.psnr == plain else row.psnr - plain
        # Against a truth that came unharmed any change is a loss; 60 dB is less than a rounding error.
        gain = min(row.psnr, 60.0) - 60.0 if math.isinf(plain) else gain
        yield Row(**{**asdict(row), "gain": round(gain, 3)})


def table(rows: Sequence[Row]) -> list[list[Any]]:
    """A line for each scale, strength and method."""
    groups: dict[tuple[int, str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.scale, row.strength, row.method), []).append(row)
    lines = []
    for (scale, strength, method), some in groups.items():
        worst = min(some, key=lambda row: row.gain)
        means = [
            _mean([row.psnr for row in some]),
            _mean([row.ssim for row in some]),
            _mean([row.lpips for row in some]),
        ]
        seconds = round(_mean([row.seconds for row in some]), 3)
        shown = [round(mean, 4) if math.isfinite(mean) else "same" for mean in means]
        lines.append([scale, strength, method, *shown, worst.gain, worst.picture, seconds])
    return lines


def of_models(rows: Sequence[Row]) -> list[list[Any]]:
    """A line for each scale, model of damage and method, over the damaged strengths."""
    groups: dict[tuple[int, str, str], list[Row]] = {}
    for row in rows:
        if row.strength in DAMAGED and row.method in (PLAIN, "photo", OURS, PEERS[2]):
            groups.setdefault((row.scale, row.model, row.method), []).append(row)
    return [
        [*key, *(round(_mean([getattr(row, of) for row in some]), 4) for of in ("psnr", "lpips", "gain"))]
        for key, some in sorted(groups.items())
    ]


def _mean(values: Sequence[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return float(np.mean(finite)) if finite else math.inf


def figures(rows: Sequence[Row], seconds: dict[str, float]) -> dict[str, float]:
    """The goals' figures: over the damaged strengths, all pictures alike."""

    def mean(scale: int, method: str, of: str) -> float:
        some = [
            getattr(row, of) for row in rows if (row.scale, row.method) == (scale, method) and row.strength in DAMAGED
        ]
        return _mean(some) if some else math.nan

    result = {}
    for scale in SCALES:
        best = min((mean(scale, peer, "lpips") for peer in PEERS), key=lambda value: (math.isnan(value), value))
        result[f"{scale}x: LPIPS of photo over general's best blend"] = mean(scale, "photo", "lpips") - best
        result[f"{scale}x: PSNR of photo over plain"] = mean(scale, "photo", "psnr") - mean(scale, PLAIN, "psnr")
    photo = [row for row in rows if row.method == "photo"]
    hurt = [row for row in photo if row.strength in DAMAGED]
    result["photo: worst picture over plain"] = min(row.gain for row in hurt)
    result["photo: share of pictures that lose more than 0.1 dB"] = _mean([row.gain < -0.1 for row in hurt])
    result["photo: share of damaged pictures left untouched at 1x"] = _mean(
        [not row.acted for row in hurt if row.scale == 1] or [math.nan]
    )
    result["photo: share of clean pictures restored"] = _mean(
        [row.restored for row in photo if row.strength == "clean"]
    )
    ours = next(value for name, value in seconds.items() if name.startswith("restore-x4"))
    for what, marker in (("as its users run it (torch)", "torch fp32"), ("as built here", "as built here")):
        peer = next((value for name, value in seconds.items() if marker in name), math.nan)
        result[f"restore-x4: times as fast as general {what}"] = peer / ours
    return result


def main() -> None:
    """Print the tables; write benchmarks/results/real.json, which says whether all was measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one picture in eleven, 256 pixels of each, fewer peers")
    parser.add_argument("--scales", type=int, nargs="+", default=SCALES, choices=SCALES, help="writes no results")
    options = parser.parse_args()
    started = time.monotonic()
    rows = list(everything(quick=options.quick, scales=options.scales))
    lines = table(rows)
    print_table(HEADS, lines)
    by_model = of_models(rows)
    print_table(MODEL_HEADS, by_model)
    hurt = sorted((row for row in rows if row.method == "photo" and row.strength in DAMAGED), key=lambda row: row.gain)
    worst = [[row.scale, row.strength, row.picture, row.model, row.gain] for row in hurt[:SHOWN]]
    print_table(WORST_HEADS, worst)
    seconds = net_seconds()
    print_table(NET_HEADS, [list(pair) for pair in seconds.items()])
    whole = tuple(options.scales) == SCALES
    tables = {
        "means": {"columns": HEADS, "rows": lines},
        "models": {"columns": MODEL_HEADS, "rows": by_model},
        "worst": {"columns": WORST_HEADS, "rows": worst},
        "nets": {"columns": NET_HEADS, "rows": [[name, round(value, 4)] for name, value in seconds.items()]},
    }
    command = "python -m benchmarks.bench_real --quick" if options.quick else None
    write_results("real", figures(rows, seconds), tables, started, whole=whole, command=command)


if __name__ == "__main__":
    main()
