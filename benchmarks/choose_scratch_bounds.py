"""How the bounds of enhancer/stages/scratches.py were chosen: ``python -m benchmarks.choose_scratch_bounds``.

On the pictures of the training folder that were kept from the net, with the trained kinds of damage: what ``make
bench-scratch`` looks at beside them is not looked at here. Each picture is damaged by each kind alone and by one to
three together; undamaged, it is seen as it is, smaller, larger, turned and cut out, all of that scanned too.

Two tables. *Marks*: F1 at 2 pixels by MAYBE and SURE, on all damaged prints. *Floor*: by LEAST_EVIDENCE, the share of
undamaged views that are touched, and the shares of damaged prints, of all their damage, and of each kind alone that
are acted on. It takes five minutes of a core.
"""

from __future__ import annotations

import argparse
import itertools
import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.common.results import print_table
from enhancer.backends.base import Net
from enhancer.image import FloatPixels, to_unit
from enhancer.settings import get_settings
from enhancer.stages.nets import Nets
from enhancer.stages.scratches import MOST_AREA, damage_odds, find_marks
from enhancer.training.damage import TRAINED, Damaged
from enhancer.training.detection import Agreement, agreement
from enhancer.training.pictures import Bytes, list_pictures, load_picture, split
from enhancer.training.scratches import HELD_OUT_PICTURES, held_out_print

SCANS: Final = 4
TOGETHER: Final = 3
PROBABILITIES: Final = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99)
EVIDENCE: Final = (1.0, 2.0, 3.0, 4.0, 4.5, 5.0, 5.5, 6.0, 7.0, 10.0)


@dataclass(frozen=True, slots=True)
class Seen:
    """One view of a picture: what the net says about it, and the truth where it is damaged.

    Attributes:
        odds: H x W, float16 to hold hundreds of them.
        print_: the damaged print; None: it is undamaged.
        kind: of its damage, ``several``, or nothing.
    """

    odds: NDArray[np.float16]
    print_: Damaged | None = None
    kind: str = ""


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/train"), help="the training folder")
    parser.add_argument("--every", type=int, default=1, help="take one picture of so many, for a quick look")
    options = parser.parse_args()
    _, paths = split(list_pictures(options.data), HELD_OUT_PICTURES)
    net = Nets(get_settings()).damage_detector()
    pictures = [load_picture(path) for path in paths[:: options.every]]
    views = [view for number, picture in enumerate(pictures) for view in undamaged(picture, number, net)]
    prints = [view for number, picture in enumerate(pictures) for view in damaged(picture, number, net)]
    print("Marks: F1 of all damaged prints\n")
    print_table(["MAYBE", *(f"SURE {sure}" for sure in PROBABILITIES)], marks_table(prints))
    print("\nFloor: the share that is touched\n")
    columns = ["undamaged", "prints", "damage", *TRAINED]
    print_table(["LEAST_EVIDENCE", *columns], floor_table(views, prints))


def undamaged(picture: Bytes, number: int, net: Net) -> Iterator[Seen]:
    """The undamaged views of a picture."""

    def seen(pixels: FloatPixels) -> Seen:
        return Seen(damage_odds(net, pixels).astype(np.float16))

    yield seen(to_unit(picture))
    for scan in range(SCANS):
        yield seen(held_out_print(picture, 50_000 + 1000 * scan + number, ())[2])
    height, width = picture.shape[:2]
    middle = picture[height // 4 : height * 3 // 4, width // 4 : width * 3 // 4]
    others = (
        cv2.resize(picture, None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA),
        cv2.resize(picture, None, fx=1.6, fy=1.6, interpolation=cv2.INTER_CUBIC),
        cv2.resize(middle, None, fx=2.2, fy=2.2, interpolation=cv2.INTER_CUBIC),
        picture[:, ::-1],
        np.rot90(picture),
    )
    for index, other in enumerate(others):
        view = np.ascontiguousarray(other, np.uint8)
        yield seen(to_unit(view))
        yield seen(held_out_print(view, 80_000 + 1000 * index + number, ())[2])


def damaged(picture: Bytes, number: int, net: Net) -> Iterator[Seen]:
    """The damaged prints of a picture, scanned; those that chance left whole are left out."""
    draw = np.random.default_rng((7, number))
    wanted: list[tuple[str, int, tuple[str, ...]]] = [(kind, 60_000 + number, (kind,)) for kind in TRAINED]
    for which in range(TOGETHER):
        kinds = draw.choice(TRAINED, int(draw.integers(1, 4)), replace=False)
        wanted.append(("several", 70_000 + 1000 * which + number, tuple(kinds)))
    for name, seed, several in wanted:
        _, print_, scan = held_out_print(picture, seed, several)
        if print_.mask.any():
            yield Seen(damage_odds(net, scan).astype(np.float16), print_, name)


def marks_table(prints: list[Seen]) -> list[list[float | str]]:
    """F1 by both bounds; SURE is at least MAYBE."""
    total: defaultdict[tuple[float, float], Agreement] = defaultdict(Agreement)
    for view, maybe, sure in itertools.product(prints, PROBABILITIES, PROBABILITIES):
        if sure >= maybe and view.print_ is not None:
            mask = find_marks(view.odds.astype(np.float32), maybe=log_odds(maybe), sure=log_odds(sure)).mask
            total[maybe, sure] += agreement(mask, view.print_.mask, view.print_.traces)
    return [
        [maybe, *(total[maybe, sure].f1 if sure >= maybe else "" for sure in PROBABILITIES)] for maybe in PROBABILITIES
    ]


def floor_table(views: list[Seen], prints: list[Seen]) -> list[list[float]]:
    """What each floor touches."""

    def evidence(some: list[Seen]) -> NDArray[np.float64]:
        found = [find_marks(view.odds.astype(np.float32)) for view in some]
        return np.array([0.0 if marks.mask.mean() > MOST_AREA else marks.evidence for marks in found])

    whole, hurt = evidence(views), evidence(prints)
    damage = np.array([view.print_.mask.sum() if view.print_ is not None else 0 for view in prints])
    kinds = np.array([view.kind for view in prints])
    rows = []
    for floor in EVIDENCE:
        acted = hurt >= floor
        alone = [acted[kinds == kind].mean() for kind in TRAINED]
        shares = ((whole >= floor).mean(), acted.mean(), damage[acted].sum() / damage.sum(), *alone)
        rows.append([floor, *map(float, shares)])
    return rows


def log_odds(probability: float) -> float:
    """Those of a probability."""
    return math.log(probability / (1 - probability))


if __name__ == "__main__":
    main()
