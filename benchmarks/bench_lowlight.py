"""Photographs that lacked light: ``make bench-lowlight``, or a few, ``python -m benchmarks.bench_lowlight --quick``.

The middles of Set14, CBSD68 and 40 photographs that nothing trains on (enhancer/training/held_out.tsv), 2 to 5 stops
darker in linear light, are photographed by :mod:`enhancer.training.camera` (shot and read noise on a Bayer mosaic with
a black level, development, 8 bits) and saved as JPEG of quality 90; seeds are fixed. Every method is given the dark
file's pixels and nothing else. PSNR, PSNR of the colour differences (Cb, Cr) and LPIPS (alex) are of the result as it
is; with *gain*, after the one factor on all its linear light that has the highest PSNR. The plain gain is that of the
dark file.

The bounds of :mod:`enhancer.stages.low_light` were chosen on pictures at even places of each folder; those at odd
places are measured here.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
from PIL import Image

from benchmarks.bench_real import QUICK_SIDE, SETS, SHARED, SIDE
from benchmarks.common.results import print_table, write_results
from benchmarks.lowlight_peers import peers
from benchmarks.real_methods import by_recipe
from enhancer.image import FloatPixels, Metadata, to_unit
from enhancer.quality.metrics import psnr
from enhancer.quality.perceptual import LpipsScorer
from enhancer.recipe import preset
from enhancer.settings import Settings
from enhancer.stages.base import Context
from enhancer.stages.dynamic_range import analyse
from enhancer.stages.exposure import Exposure
from enhancer.stages.light import from_linear, to_linear
from enhancer.stages.nets import Nets
from enhancer.training.camera import Camera
from enhancer.training.held_out import held_out_hashes
from enhancer.training.pictures import Bytes, list_pictures, load_picture

STOPS: Final = (2, 3, 4, 5)
QUICK: Final = {"set14": 7, "cbsd68": 34, "photos_free": 20}
"""Of each set's odd places every so many-th is taken."""
NOISE: Final = (0.5, 2.0)
"""Levels of 255 of a middle grey's noise in the mosaic."""
PEERS: Final = SHARED.parent / "models" / "lowlight"
QUALITY: Final = 90
GAINS: Final = np.arange(-2, 6.01, 0.125)
"""Stops that are tried."""
PLAIN: Final = "as it came"
OURS: Final = "low-light"
FORMER: Final = "denoised, then exposed"
HEADS: Final = ("stops", "method", "PSNR", "chroma PSNR", "LPIPS", "PSNR, gain", "LPIPS, gain", "s/MP")
NIGHT: Final = 0.05
"""Median luminance below which a scene counts as dark."""
SHOWN: Final = ("IAT LOL", OURS)
Method = Callable[[Bytes], FloatPixels]


@dataclass(frozen=True, slots=True)
class Row:
    """One method on one picture."""

    stops: int
    picture: str
    method: str
    psnr: float
    chroma: float
    lpips: float
    psnr_gain: float
    lpips_gain: float
    seconds: float


def truths(*, quick: bool) -> Iterator[tuple[str, Bytes]]:
    """The middles of the pictures at odd places, by name."""
    held_out = set(held_out_hashes("photos_free").values())
    most = QUICK_SIDE if quick else SIDE
    for folder in SETS:
        paths = list_pictures(SHARED / folder)
        if folder == "photos_free":
            paths = [path for path in paths if path.name in held_out]
        for path in paths[1::2][:: QUICK[folder] if quick else 1]:
            picture = load_picture(path, 16)
            height, width = (min(side, most) for side in picture.shape[:2])
            top, left = (picture.shape[0] - height) // 2, (picture.shape[1] - width) // 2
            yield f"{folder}/{path.stem}", np.ascontiguousarray(picture[top : top + height, left : left + width])


def darkened(truth: Bytes, stops: float, random: np.random.Generator) -> Bytes:
    """What a camera makes of a scene with less light."""
    scene = from_linear(to_linear(to_unit(truth)) / np.float32(2**stops))
    made = np.rint(255 * Camera.drawn(NOISE, random).photographed(scene, random)).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(made).save(file, "JPEG", quality=QUALITY)
    return np.asarray(Image.open(file).convert("RGB"))


def best_gain(made: FloatPixels, truth: FloatPixels) -> FloatPixels:
    """The result times the factor on its linear light that brings it nearest to the truth."""
    light, few, there = to_linear(made), to_linear(made[::2, ::2]), truth[::2, ::2]
    errors = [float(np.square(_times(few, stops) - there).mean()) for stops in GAINS]
    return _times(light, float(GAINS[int(np.argmin(errors))]))


def _times(light: FloatPixels, stops: float) -> FloatPixels:
    return np.clip(from_linear(light * np.float32(2.0**stops)), 0, 1)


def chroma_psnr(made: FloatPixels, truth: FloatPixels) -> float:
    """PSNR of the two colour differences."""
    planes = [cv2.cvtColor(one, cv2.COLOR_RGB2YCrCb)[..., 1:] for one in (made, truth)]
    return float(-10 * np.log10(np.square(planes[0] - planes[1]).mean()))


def methods(folder: Path) -> dict[str, Method]:
    """Everything that is measured, by name."""

    def ours(**options: Any) -> Method:
        run = by_recipe(preset("low-light", **options))
        return lambda given: to_unit(run(given).pixels)

    former = {"exposure": {"mode": "auto", "max_ev": 5.0, "lift": "exposure"}}
    return {PLAIN: to_unit, **dict(peers(folder)), FORMER: ours(**former), OURS: ours()}


def everything(folder: Path, *, quick: bool, stops: Sequence[int]) -> Iterator[Row]:
    """All rows."""
    lpips = LpipsScorer(Settings())
    found = methods(folder)
    for number, (name, truth) in enumerate(truths(quick=quick)):
        there = to_unit(truth)
        for dark in stops:
            given = darkened(truth, dark, np.random.default_rng((dark, number)))
            for method, run in found.items():
                started = time.perf_counter()
                made = run(given)
                seconds = time.perf_counter() - started
                gained = best_gain(made, there)
                yield Row(
                    dark,
                    name,
                    method,
                    psnr(made, there),
                    chroma_psnr(made, there),
                    lpips.distance(made, there, crops=0),
                    psnr(gained, there),
                    lpips.distance(gained, there, crops=0),
                    seconds / (truth.shape[0] * truth.shape[1] / 1e6),
                )


def table(rows: Sequence[Row]) -> list[list[Any]]:
    """A line for each number of stops and method: means, of seconds the median."""
    groups: dict[tuple[int, str], list[Row]] = {}
    for row in sorted(rows, key=lambda row: row.stops):
        groups.setdefault((row.stops, row.method), []).append(row)
    fields = ("psnr", "chroma", "lpips", "psnr_gain", "lpips_gain")
    return [
        [
            *key,
            *(round(float(np.mean([getattr(row, of) for row in some])), 3) for of in fields),
            round(float(np.median([row.seconds for row in some])), 2),
        ]
        for key, some in groups.items()
    ]


def figures(lines: Sequence[Sequence[Any]]) -> dict[str, float]:
    """The goals' figures: margins over the best peer, the narrowest of all stops."""
    by_key = {(line[0], line[1]): line[2:] for line in lines}
    stops = sorted({line[0] for line in lines})
    others = {line[1] for line in lines} - {PLAIN, OURS, FORMER}

    def narrowest(place: int, sign: int) -> float:
        margins = [
            sign * by_key[dark, OURS][place] - max(sign * by_key[dark, peer][place] for peer in others)
            for dark in stops
        ]
        return float(min(margins))

    result = {
        "PSNR over the best peer": narrowest(0, 1),
        "LPIPS below the best peer": narrowest(2, -1),
        "PSNR over the best peer, best gain": narrowest(3, 1),
        "LPIPS below the best peer, best gain": narrowest(4, -1),
        "low-light: seconds over denoising and exposure apart": float(
            np.median([by_key[dark, OURS][5] / by_key[dark, FORMER][5] for dark in stops])
        ),
    }
    if 3 in stops:
        result["3 stops: PSNR over the plain gain"] = by_key[3, OURS][3] - by_key[3, PLAIN][3]
    return {name: round(value, 3) for name, value in result.items()}


def nights() -> list[list[Any]]:
    """Held-out scenes of photos_free whose middle is dark: stops that `photo` and `low-light` change each by."""
    lines = []
    held_out = set(held_out_hashes("photos_free").values())
    for path in (path for path in list_pictures(SHARED / "photos_free") if path.name in held_out):
        pixels = to_unit(load_picture(path))
        if analyse(pixels).median >= NIGHT:
            continue
        contexts = [Context(preset(name), Metadata(), nets=Nets(Settings())) for name in ("photo", OURS)]
        made = [Exposure().measure(pixels, context) for context in contexts]
        lines.append([path.stem, *(round(one.numbers["ev"], 1) if one.applied else 0 for one in made)])
    return lines


def sheet(folder: Path, file: Path) -> None:
    """One picture, 3 stops too dark, at 100 %: as it came, by each method of :data:`SHOWN`, and the truth."""
    truth = next(truth for name, truth in truths(quick=True) if name.startswith("photos_free"))
    given = darkened(truth, 3, np.random.default_rng(3))
    found = methods(folder)
    made = [to_unit(given), best_gain(to_unit(given), to_unit(truth)), *(found[name](given) for name in SHOWN)]
    row = np.hstack([*made, to_unit(truth)])
    Image.fromarray(np.rint(255 * row).astype(np.uint8)).save(file, quality=90)


def main() -> None:
    """Print the table; write benchmarks/results/lowlight.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="three pictures, 256 pixels of each")
    parser.add_argument("--stops", type=int, nargs="+", default=STOPS, choices=STOPS, help="writes no results")
    parser.add_argument(
        "--peers", type=Path, default=SHARED.parent / "models" / "lowlight", help="folder of their files"
    )
    parser.add_argument("--nights", action="store_true", help="only the table of night scenes under both presets")
    parser.add_argument("--sheet", type=Path, help="only a sheet of one picture at 100 %%, written to this file")
    options = parser.parse_args()
    if options.nights:
        print_table(["scene", "photo, EV", "low-light, EV"], nights())
        return
    if options.sheet is not None:
        sheet(options.peers, options.sheet)
        return
    started = time.monotonic()
    rows = list(everything(options.peers, quick=options.quick, stops=options.stops))
    lines = table(rows)
    print_table(HEADS, lines)
    whole = tuple(options.stops) == STOPS
    command = "python -m benchmarks.bench_lowlight --quick" if options.quick else None
    pictures = len({row.picture for row in rows})
    tables = {"means": {"columns": HEADS, "rows": lines}, "pictures": pictures}
    write_results("lowlight", figures(lines), tables, started, whole=whole, command=command)


if __name__ == "__main__":
    main()
