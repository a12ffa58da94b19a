"""Scratches, dust and folds: what is found, repaired and left alone: ``python -m benchmarks.bench_scratch``.

Three tables. *Found*: precision, recall and F1 with a tolerance of 2 pixels, by kind of damage, on pictures that were
not trained on; of the kinds, cracks and hairs were not either. They are the detector's, on all pictures; beside them
stand the share of the pictures that the stage acts on, and the F1 on those. *Repaired*: PSNR inside the damage against
the print while it was whole, before and after, by method of inpainting, given the true mask, and as the stage does it.
*Left alone*: how many undamaged pictures the stage does not touch at all, as they are and as prints that were scanned.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from skimage.restoration import inpaint_biharmonic

from benchmarks.common.results import print_table, write_results
from enhancer.image import FloatPixels, Metadata
from enhancer.recipe import preset
from enhancer.settings import get_settings
from enhancer.stages.base import Context
from enhancer.stages.inpainting import by_navier_stokes, by_patches, by_telea, inpaint
from enhancer.stages.nets import Nets
from enhancer.stages.scratches import RIM, Scratches, damage_odds, find_marks, widened
from enhancer.training.damage import HELD_OUT, TRAINED, Damaged
from enhancer.training.detection import Agreement, agreement
from enhancer.training.pictures import Bytes, list_pictures, load_picture, split
from enhancer.training.scratches import HELD_OUT_PICTURES, held_out_print

SEED: Final = 1000
STAGE: Final = Scratches()
METHODS: Final[dict[str, Callable[[FloatPixels, NDArray[np.bool_]], FloatPixels]]] = {
    "telea": by_telea,
    "navier-stokes": by_navier_stokes,
    "biharmonic": lambda pixels, holes: inpaint_biharmonic(pixels, holes, channel_axis=-1, split_into_regions=True),
    "patches": lambda pixels, holes: by_patches(pixels, holes, holes),
    "chosen": inpaint,
}


def main() -> None:
    """Print the tables and write benchmarks/results/scratch.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with train, set14 and cbsd68")
    parser.add_argument("--every", type=int, default=1, help="take one picture of so many, for a quick look")
    options = parser.parse_args()
    started = time.monotonic()
    _, held_out = split(list_pictures(options.data / "train"), HELD_OUT_PICTURES)
    paths = {
        "train, held out": held_out,
        "cbsd68": list_pictures(options.data / "cbsd68"),
        "set14": list_pictures(options.data / "set14"),
    }
    pictures = {name: [load_picture(path) for path in some[:: options.every]] for name, some in paths.items()}
    recipe = preset("old-photo", scale=1)
    context = Context(recipe=recipe, metadata=Metadata(), nets=Nets(get_settings()))

    everything = [picture for some in pictures.values() for picture in some]
    found = {kind: found_table(everything, kind, context) for kind in (*HELD_OUT, *TRAINED)}
    print("Found, of all pictures; the kinds with a star were not trained on\n")
    print_table(
        ["kind", "precision", "recall", "F1", "acted on", "F1 there"],
        [
            [f"{kind}{' *' * (kind in HELD_OUT)}", one.precision, one.recall, one.f1, share, there.f1 if share else "-"]
            for kind, (one, there, share) in found.items()
        ],
    )
    mended = {kind: mended_table(everything[::8], kind, context) for kind in (*HELD_OUT, *TRAINED)}
    print("\nRepaired: PSNR in dB inside the damage; `stage` with what it found, the methods given the true mask\n")
    columns = list(next(iter(mended.values())))
    print_table(["kind", *columns], [[kind, *row.values()] for kind, row in mended.items()])
    alone = {name: alone_table(some, context) for name, some in pictures.items()}
    print("\nLeft alone: undamaged pictures of which not one pixel is touched\n")
    print_table(["set", *next(iter(alone.values()))], [[name, *row.values()] for name, row in alone.items()])
    print()
    figures = {
        "F1 at 2 pixels, held-out kinds and pictures": sum((found[kind][0] for kind in HELD_OUT), Agreement()).f1,
        "undamaged pictures without one pixel touched": sum(row["as they are"] for row in alone.values())
        / sum(row["pictures"] for row in alone.values()),
    }
    tables = {
        "found": {
            kind: {
                "precision": one.precision,
                "recall": one.recall,
                "f1": one.f1,
                "acted": share,
                "f1_acted": there.f1 if share else None,
            }
            for kind, (one, there, share) in found.items()
        },
        "mended": mended,
        "left alone": alone,
    }
    write_results("scratch", figures, tables, started, whole=options.every == 1)


def prints(pictures: list[Bytes], kinds: tuple[str, ...]) -> Iterator[tuple[FloatPixels, Damaged, FloatPixels]]:
    """Each picture as a print, damaged, and scanned."""
    for number, picture in enumerate(pictures):
        yield held_out_print(picture, SEED + number, kinds)


def found_table(pictures: list[Bytes], kind: str, context: Context) -> tuple[Agreement, Agreement, float]:
    """Agreement of the marks with the truth, on all pictures and where the stage acts, and the share where it does."""
    total, there, acted, damaged = Agreement(), Agreement(), 0, 0
    for _, print_, scan in prints(pictures, (kind,)):
        marks = find_marks(damage_odds(context.nets.damage_detector(), scan))
        one = agreement(marks.mask, print_.mask, print_.traces)
        total += one
        damaged += bool(print_.mask.any())
        if marks.convincing:
            acted, there = acted + 1, there + one
    return total, there, acted / max(1, damaged)


def mended_table(pictures: list[Bytes], kind: str, context: Context) -> dict[str, float]:
    """Mean PSNR inside the damage: of the scan, of each method given the true mask, of the stage."""
    scores: defaultdict[str, list[float]] = defaultdict(list)
    for whole, print_, scan in prints(pictures, (kind,)):
        if not print_.mask.any():
            continue
        holes = widened(print_.mask, RIM)

        def score(result: FloatPixels, whole: FloatPixels = whole, inside: NDArray[np.bool_] = print_.mask) -> float:
            return float(-10 * np.log10(np.mean((np.clip(result, 0, 1) - whole)[inside] ** 2)))

        scores["damaged"].append(score(scan))
        for name, method in METHODS.items():
            scores[name].append(score(method(scan, holes)))
        decision = STAGE.measure(scan, context)
        scores["stage"].append(score(STAGE.apply(scan, decision, context) if decision.applied else scan))
    return {name: round(float(np.mean(values)), 2) for name, values in scores.items()}


def alone_table(pictures: list[Bytes], context: Context) -> dict[str, int]:
    """How many undamaged pictures the stage leaves alone."""
    whole = [picture.astype(np.float32) / np.float32(255) for picture in pictures]
    scans = (scan for _, _, scan in prints(pictures, ()))
    return {
        "pictures": len(whole),
        "as they are": sum(not STAGE.measure(pixels, context).applied for pixels in whole),
        "as scanned prints": sum(not STAGE.measure(pixels, context).applied for pixels in scans),
    }


if __name__ == "__main__":
    main()
