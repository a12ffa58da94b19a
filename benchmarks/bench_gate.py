"""Whether the gate's default bounds pass what is good and refuse what is not: ``python -m benchmarks.bench_gate``.

Training pictures are damaged, repaired by the preset for it, and scored as in the nightly job. *Good*: the worst
of each figure that the gate looks at, by kind of damage, and how many results it passes without a reference and with
one. *Spoiled*: the results of the noisy ones spoiled on purpose, and how many it refuses without a reference.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from benchmarks.common.results import print_table, write_results
from enhancer.batch.worker.judging import fidelity_of
from enhancer.image import Document, FloatPixels, Image, Metadata
from enhancer.options import Gate
from enhancer.processing import ImageEnhancer
from enhancer.quality.gate import judge
from enhancer.quality.perceptual import LpipsScorer
from enhancer.quality.scoring import Scores, score_reference
from enhancer.recipe import Recipe, preset
from enhancer.settings import get_settings
from enhancer.stages.light import from_linear, to_linear
from enhancer.training.ageing import aged, random_ageing
from enhancer.training.degradations import as_bytes, through_jpeg, with_gaussian_noise, with_impulses
from enhancer.training.pictures import Bytes, list_pictures, load_picture, reduced

SEED: Final = 11
SIDE: Final = 256
EVERY: Final = 40
Damage = Callable[[Bytes, np.random.Generator], Bytes]


def _unit(pixels: Bytes) -> FloatPixels:
    return pixels.astype(np.float32) / np.float32(255)


KINDS: Final[dict[str, tuple[Damage, Recipe]]] = {
    "none": (lambda pixels, draw: pixels, preset("archive")),
    "noise 15": (
        lambda pixels, draw: as_bytes(with_gaussian_noise(_unit(pixels), 15 / 255, draw)),
        preset("archive", denoise_strength=0.5),
    ),
    "noise 40": (
        lambda pixels, draw: as_bytes(with_gaussian_noise(_unit(pixels), 40 / 255, draw)),
        preset("archive", denoise_strength=0.5),
    ),
    "impulses 5 %": (lambda pixels, draw: as_bytes(with_impulses(_unit(pixels), 0.05, draw)), preset("archive")),
    "JPEG 20": (lambda pixels, draw: through_jpeg(pixels, 20), preset("web-image", scale=1)),
    "small, 2x": (lambda pixels, draw: reduced(pixels, 2), preset("web-image", scale=2)),
    "small, 4x": (lambda pixels, draw: reduced(pixels, 4), preset("photo")),
    "-2 EV": (lambda pixels, draw: as_bytes(from_linear(to_linear(_unit(pixels)) / 4)), preset("low-light")),
    "aged": (
        lambda pixels, draw: as_bytes(aged(_unit(pixels), random_ageing(draw), draw)),
        preset("old-photo", scale=1),
    ),
}
SPOILED: Final[dict[str, Callable[[Bytes, np.random.Generator], Bytes]]] = {
    "blurred": lambda pixels, draw: cv2.GaussianBlur(pixels, (0, 0), 4),
    "darker": lambda pixels, draw: as_bytes(_unit(pixels) * 0.6),
    "noise added": lambda pixels, draw: as_bytes(with_gaussian_noise(_unit(pixels), 0.15, draw)),
    "blocks": lambda pixels, draw: through_jpeg(pixels, 4),
    "halos": lambda pixels, draw: as_bytes(4 * _unit(pixels) - 3 * cv2.GaussianBlur(_unit(pixels), (0, 0), 2)),
    "another picture": lambda pixels, draw: np.ascontiguousarray(pixels[::-1]),
}


def main() -> None:
    """Print both tables and write benchmarks/results/gate.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with train")
    parser.add_argument("--every", type=int, default=EVERY, help="take one picture of so many")
    options = parser.parse_args()
    started = time.monotonic()
    pictures = [load_picture(path)[:SIDE, :SIDE] for path in list_pictures(options.data / "train")[:: options.every]]
    settings = get_settings()
    enhancer, scorer, gate = ImageEnhancer(settings=settings), LpipsScorer(settings), Gate()
    good: list[list[Any]] = []
    passed, refused = [], []
    spoiled: dict[str, list[Scores]] = {name: [] for name in SPOILED}
    for kind, (damage, recipe) in KINDS.items():
        figures, here = [], []
        for number, truth in enumerate(pictures):
            draw = np.random.default_rng((SEED, number))
            file_format = "JPEG" if kind.startswith("JPEG") else "PNG"
            quality = 20 if file_format == "JPEG" else None
            before = Image(damage(truth, draw), metadata=Metadata(format=file_format, jpeg_quality=quality))
            done = enhancer.enhance_document(Document((before,)), recipe)
            details = {"decisions": [decision.model_dump(mode="json") for decision in done.decisions]}
            after = done.document.first
            fidelity = fidelity_of(before, after, details, recipe, enhancer.nets, scorer)
            reference = score_reference(after, Image(truth), scorer) if after.height == truth.shape[0] else None
            figures.append((fidelity, reference))
            here += [judge(gate, fidelity, None).passed, reference is None or judge(gate, fidelity, reference).passed]
            if kind == "noise 15":
                for name, spoil in SPOILED.items():
                    bad = after.with_pixels(spoil(np.asarray(after.pixels, np.uint8), draw))
                    spoiled[name].append(fidelity_of(before, bad, details, recipe, enhancer.nets, scorer))
        good.append([kind, *_worst(figures), f"{np.mean(here):.0%}"])
        passed += here
        print(f"{kind}: {time.monotonic() - started:.0f} s", flush=True)
    rows = []
    for name, results in spoiled.items():
        here = [not judge(gate, scores, None).passed for scores in results]
        refused += here
        rows.append([name, *_worst([(scores, None) for scores in results], median=True)[:3], f"{np.mean(here):.0%}"])
    heads = ["damage", "artefacts, most", "low-frequency shift, most", "residual, most", "score, least", "passed"]
    print_table(heads, good)
    spoiled_heads = ["spoiled", "artefacts, median", "low-frequency shift, median", "residual, median", "refused"]
    print_table(spoiled_heads, rows)
    write_results(
        "gate",
        {"good results passed": float(np.mean(passed)), "spoiled results refused": float(np.mean(refused))},
        {
            "pictures": len(pictures),
            "good": [dict(zip(heads, row, strict=True)) for row in good],
            "spoiled": [dict(zip(spoiled_heads, row, strict=True)) for row in rows],
        },
        started,
        whole=options.every <= EVERY,
        command="python -m benchmarks.bench_gate",
    )


def _worst(figures: list[tuple[Scores, Scores | None]], *, median: bool = False) -> list[Any]:
    """Of each figure that the gate looks at, the one nearest its bound or the median; ``-`` where it was never had."""
    artefacts = [scores.artifact_score for scores, _ in figures if scores.artifact_score is not None]
    shifts = [scores.low_frequency_shift for scores, _ in figures if scores.low_frequency_shift is not None]
    residuals = [scores.residual_ratio for scores, _ in figures if scores.residual_ratio is not None]
    references = [scores.score for _, scores in figures if scores is not None and scores.score is not None]
    worst = [(artefacts, np.max), (shifts, np.max), (residuals, np.max), (references, np.min)]
    return [round(float((np.median if median else pick)(values)), 4) if values else "-" for values, pick in worst]


if __name__ == "__main__":
    main()
