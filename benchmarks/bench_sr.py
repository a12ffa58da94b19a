"""Super-resolution beside bicubic enlargement and peers: ``python -m benchmarks.bench_sr``.

Set5 at 2x, 3x, 4x and 8x, Set14 at 4x; DAT-light, which takes minutes, and the peers on Set5 at 4x alone, DAT-light
at its other scales with ``--slow``. The field's protocol: sides cut to multiples of the scale, reduction by the
antialiased bicubic filter to 8 bits (Pillow's is MATLAB's; the official low-resolution pictures where they are there),
the result rounded to 8 bits, PSNR of BT.601 luma (Y) and of RGB, SSIM of luma, a border of `scale` pixels cut, LPIPS
(alex) of the whole picture. What is measured is the stage, so that factors without a net of their own are what a user
gets; seconds are the stage's on this machine, busy or not, per megapixel of what it is given.

Bicubic enlargement of Set5 at 4x is published as 28.43 dB: where that does not come out, the run is void.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from benchmarks.common.picture_sets import pictures
from benchmarks.common.results import print_table, write_results
from benchmarks.common.tables import SHARED
from enhancer.errors import ModelError
from enhancer.image import FloatPixels, Metadata
from enhancer.models.catalogue import load_catalogue
from enhancer.quality.metrics import psnr, ssim
from enhancer.quality.perceptual import LpipsScorer
from enhancer.recipe import preset
from enhancer.settings import Settings
from enhancer.stages.base import Context
from enhancer.stages.nets import Nets
from enhancer.stages.resize import resize
from enhancer.stages.super_resolution import SuperResolution

PUBLISHED_BICUBIC = 28.43
TOLERANCE = 0.05
PEERS = {"SAFMN": "safmn_x4.pth", "SAFMN++": "safmnpp_x4.pth"}
"""Weights beside the checkout whose architecture spandrel knows."""
HEADS = ("set", "scale", "method", "PSNR Y", "PSNR RGB", "SSIM Y", "LPIPS", "s per LR MP")

Enlarge = Callable[[FloatPixels, float], FloatPixels]


@dataclass
class Scores:
    """What one method got at one scale of one set, a row a picture, and the time it took."""

    rows: list[tuple[float, float, float, float]] = field(default_factory=list)
    seconds: float = 0.0
    megapixels: float = 0.0

    @property
    def mean(self) -> list[float]:
        """PSNR Y, PSNR RGB, SSIM Y, LPIPS, seconds per megapixel."""
        return [*(round(float(value), 4) for value in np.mean(self.rows, axis=0)), self.seconds / self.megapixels]


def bicubic(small: FloatPixels, scale: float) -> FloatPixels:
    """What every viewer does."""
    return resize(small, round(small.shape[0] * scale), round(small.shape[1] * scale), Image.Resampling.BICUBIC)


def by_stage(nets: Nets, model: str | None = None) -> Enlarge:
    """The stage of the pipeline, with a net of the catalogue or with its choice."""
    stage = SuperResolution()

    def run(small: FloatPixels, scale: float) -> FloatPixels:
        context = Context(recipe=preset("photo", scale=scale, model=model), metadata=Metadata(), nets=nets)
        return stage.apply(small, stage.measure(small, context), context)

    return run


def methods(folder: str, scale: int, *, slow: bool) -> Iterator[tuple[str, Enlarge]]:
    """What is measured on one set at one scale, the slow only where it is bearable."""
    yield "bicubic", bicubic
    nets = Nets(Settings())
    default = nets.super_resolution(scale).spec.name
    names = [default, *(entry.name for entry in load_catalogue().entries if entry.purpose == "fidelity")]
    for name in dict.fromkeys(names):
        entry = load_catalogue().get(name)
        bearable = entry.bundled is not None or (folder == "set5" and (slow or scale == 4))
        if name == default or (entry.scale == scale and bearable):
            yield name, by_stage(nets, name)
    if (folder, scale) == ("set5", 4):
        for name, file in PEERS.items():
            path = SHARED / "models" / file
            if path.exists():
                yield f"{name} (peer)", by_stage(Nets(Settings(), sr_path=path))


def measure(folder: str, scale: int, options: argparse.Namespace, lpips: LpipsScorer) -> dict[str, Scores]:
    """Every method on every picture of a set; a net that cannot be had is said and left out."""
    tests = list(pictures(folder, scale, options.limit))
    found: dict[str, Scores] = {}
    for name, enlarge in methods(folder, scale, slow=options.slow):
        scores = Scores()
        try:
            enlarge(tests[0][1][:16, :16], scale)  # what is done once, such as loading, is not timed
        except ModelError as error:
            print(f"{name} is left out: {error.message}")
            continue
        for truth, small in tests:
            started = time.perf_counter()
            large = enlarge(small, scale)
            scores.seconds += time.perf_counter() - started
            scores.megapixels += small.shape[0] * small.shape[1] / 1e6
            result = (np.rint(np.clip(large, 0, 1) * 255) / 255).astype(np.float32)
            scores.rows.append(
                (
                    psnr(result, truth, space="y", crop=scale),
                    psnr(result, truth, crop=scale),
                    ssim(result, truth, space="y", crop=scale),
                    lpips.distance(result, truth, crops=0),
                )
            )
        found[name] = scores
    return found


def main() -> None:
    """Print the tables and write benchmarks/results/sr.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=int, help="only so many pictures of each set; writes no results")
    parser.add_argument("--slow", action="store_true", help="DAT-light at every scale that it has")
    options = parser.parse_args()
    started = time.monotonic()
    lpips = LpipsScorer(Settings())
    found = {
        (folder, scale): measure(folder, scale, options, lpips)
        for folder, scale in (("set5", 2), ("set5", 3), ("set5", 4), ("set5", 8), ("set14", 4))
    }
    rows = [
        [folder, scale, name, *scores.mean]
        for (folder, scale), table in found.items()
        for name, scores in table.items()
    ]
    print_table(HEADS, rows)
    set5 = {scale: {name: one.mean[0] for name, one in found["set5", scale].items()} for scale in (2, 3, 4, 8)}
    deviation = abs(set5[4]["bicubic"] - PUBLISHED_BICUBIC)
    if options.limit is None and deviation > TOLERANCE:
        sys.exit(f"void: bicubic on Set5 at 4x has {set5[4]['bicubic']:.2f} dB, published are {PUBLISHED_BICUBIC}")
    default = Nets(Settings()).super_resolution(8).spec.name
    figures = {
        "bicubic x4 Set5, deviation from the published 28.43": deviation,
        "fast x4 Set5": set5[4].get("fast-x4", math.nan),
        "balanced x4 Set5": set5[4].get("balanced-x4", math.nan),
        "x8 Set5 over bicubic": set5[8][default] - set5[8]["bicubic"],
    }
    write_results("sr", figures, {"columns": HEADS, "rows": rows}, started, whole=options.limit is None)


if __name__ == "__main__":
    main()
