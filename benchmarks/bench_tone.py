"""Exposure and colour cast against truth: ``make bench-tone``, or ``python -m benchmarks.bench_tone``.

Photographs are shifted in linear light by -2, -1, +1 and +1.5 EV, or lit with 2500 to 10000 K, clipped and rounded to 8
bits as a file would be. Printed is how many dB nearer the truth the result ends than the shifted picture (the median;
what is left alone gains 0), beside what the same curve gains when given the shift, and how many degrees the light's
colour is missed by (0: neutral again), beside grey-world's miss and that of doing nothing. *As they came* counts the
pictures that are corrected though nothing was done to them.

The stages' bounds were chosen on the even places of the folder ``train``. The goals are held against the odd ones,
which nothing was chosen on; the other sets, on which earlier bounds were compared, are printed beside them.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage import data
from skimage.metrics import peak_signal_noise_ratio

from benchmarks.common.results import print_table, write_results
from enhancer.image import FloatPixels, Metadata
from enhancer.recipe import preset
from enhancer.settings import Settings
from enhancer.stages.base import Context
from enhancer.stages.colour_cast import ColourCast, illuminant
from enhancer.stages.exposure import Exposure
from enhancer.stages.lift_curve import compensate
from enhancer.stages.light import from_linear, to_linear
from enhancer.stages.nets import Nets
from enhancer.training.pictures import list_pictures

SIDE: Final = 480
CAST_SIDE: Final = 240
"""The cast's estimators reduce any picture to that."""
SHIFTS: Final = (-2.0, -1.0, 1.0, 1.5)
LIGHTS: Final = (2500, 3000, 3500, 4000, 5000, 5800, 6504, 7500, 8500, 10000)
CLEAN: Final = 6504
HELD_OUT: Final = "train, odd places"
OWN: Final[dict[str, Callable[[], NDArray[np.uint8]]]] = {
    "astronaut": data.astronaut,
    "camera": data.camera,
    "chelsea": data.chelsea,
    "coffee": data.coffee,
    "motorcycle": lambda: data.stereo_motorcycle()[0],
    "rocket": data.rocket,
}
Pictures = dict[str, Image.Image]


def main() -> None:
    """Print both tables and write benchmarks/results/tone.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, default=Path("../shared/data"), help="folder with train, set14, photos, ..."
    )
    parser.add_argument("--every", type=int, default=1, help="take one picture of so many, for a quick look")
    options = parser.parse_args()
    started = time.monotonic()
    recipe = preset("photo", exposure={"mode": "auto"}, cast={"mode": "auto"})
    context = Context(recipe=recipe, metadata=Metadata(), nets=Nets(Settings()))
    sets = {name: dict(list(some.items())[:: options.every]) for name, some in photographs(options.data).items()}
    exposure = {name: exposure_row(some, context) for name, some in sets.items()}
    print("Exposure: median dB nearer the truth by EV, (given the shift), share corrected\n")
    print_table(
        ["set", "pictures", *(f"{ev:+g}" for ev in SHIFTS), "as they came"],
        [
            [name, row["pictures"], *(_told(row["shifts"][f"{ev:+g}"]) for ev in SHIFTS), len(row["as they came"])]
            for name, row in exposure.items()
        ],
    )
    cast = {name: cast_row(some, context) for name, some in sets.items()}
    print("\nColour cast: degrees missed, medians over all lights\n")
    heads = ["pictures", "ours", "grey-world", "nothing", "worse by more than 1", "at most by"]
    print_table(
        ["set", *heads, "as they came"],
        [[name, *(row[head] for head in heads), len(row["as they came"])] for name, row in cast.items()],
    )
    print()
    light, colour = exposure[HELD_OUT], cast[HELD_OUT]
    figures = {f"{ev:+g} EV, nearer the truth": light["shifts"][f"{ev:+g}"]["gain"] for ev in SHIFTS} | {
        "exposure, pictures as they came left alone": 1 - len(light["as they came"]) / light["pictures"],
        "cast, median error below grey-world's": 1 - colour["ours"] / colour["grey-world"],
        "cast, worse than doing nothing by more than 1 degree": colour["worse by more than 1"],
        "cast, pictures as they came left alone": 1 - len(colour["as they came"]) / colour["pictures"],
    }
    write_results("tone", figures, {"exposure": exposure, "cast": cast}, started, whole=options.every == 1)


def photographs(folder: Path) -> dict[str, Pictures]:
    """Pictures by set and name, at most :data:`SIDE` a side.

    Raises:
        FileNotFoundError: a set is missing.
    """
    files = {
        HELD_OUT: list_pictures(folder / "train")[1::2],
        "cbsd68": list_pictures(folder / "cbsd68"),
        "photos": list_pictures(folder / "photos"),
        "set14": sorted((folder / "set14").glob("*.bmp")),
    }
    sets = {name: {path.stem: _small(Image.open(path)) for path in paths} for name, paths in files.items()}
    return sets | {"scikit-image": {name: _small(Image.fromarray(load())) for name, load in OWN.items()}}


def _small(image: Image.Image) -> Image.Image:
    image = image.convert("L" if image.mode == "L" else "RGB")
    image.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
    return image


def _unit(image: Image.Image) -> FloatPixels:
    return np.atleast_3d(np.asarray(image, dtype=np.float32) / np.float32(255))


def _told(cell: dict[str, float]) -> str:
    return f"{cell['gain']:.1f} ({cell['told the shift']:.1f}) {cell['corrected']:.0%}"


def stored(light: FloatPixels) -> FloatPixels:
    """What an 8-bit file keeps of linear light."""
    return (np.rint(from_linear(np.clip(light, 0, 1)) * 255) / 255).astype(np.float32)


def exposure_row(pictures: Pictures, context: Context) -> dict[str, Any]:
    """The exposure figures of one set: by shift the median gain in dB, that of the true shift, the share corrected."""
    units = {name: _unit(picture) for name, picture in pictures.items()}
    shifts = {}
    for ev in SHIFTS:
        gains, known_gains, corrected, reached = [], [], 0, 0
        for truth in units.values():
            worse = stored(to_linear(truth) * np.float32(2**ev))
            before = peak_signal_noise_ratio(truth, worse, data_range=1)
            decision = Exposure().measure(worse, context)
            result = Exposure().apply(worse, decision, context) if decision.applied else worse
            gain = peak_signal_noise_ratio(truth, _rounded(result), data_range=1) - before if decision.applied else 0.0
            light = to_linear(worse)
            known = stored(compensate(light, -ev, float(light.max())))
            gains.append(gain)
            known_gains.append(peak_signal_noise_ratio(truth, known, data_range=1) - before)
            corrected += decision.applied
            reached += gain >= 5
        shifts[f"{ev:+g}"] = {
            "gain": round(float(np.median(gains)), 2),
            "told the shift": round(float(np.median(known_gains)), 2),
            "corrected": round(corrected / len(units), 3),
            "at least 5 dB": round(reached / len(units), 3),
            "least": round(float(min(gains)), 2),
        }
    alarms = [name for name, truth in units.items() if Exposure().measure(truth, context).applied]
    return {"pictures": len(units), "shifts": shifts, "as they came": alarms}


def _rounded(pixels: FloatPixels) -> FloatPixels:
    return (np.rint(pixels * 255) / 255).astype(np.float32)


def cast_row(pictures: Pictures, context: Context) -> dict[str, Any]:
    """The cast figures of one set's coloured pictures, over all lights."""
    errors, alarms, coloured = [], [], 0
    for name, picture in pictures.items():
        small = picture.copy()
        small.thumbnail((CAST_SIDE, CAST_SIDE), Image.Resampling.BOX)
        truth = _unit(small)
        if truth.shape[2] == 1 or np.ptp(truth, axis=2).max() <= 0.02:
            continue
        coloured += 1
        light = to_linear(truth)
        for cct in LIGHTS:
            lamp = illuminant(cct)
            worse = stored(light * (lamp / lamp.max()).astype(np.float32))
            decision = ColourCast().measure(worse, context)
            found = illuminant(decision.numbers["cct"]) if decision.applied else np.ones(3)
            grey_world = to_linear(worse).reshape(-1, 3).mean(axis=0, dtype=np.float64)
            errors.append([angle(estimate, lamp) for estimate in (found, grey_world, np.ones(3))])
            if cct == CLEAN and decision.applied:
                alarms.append(name)
    ours, others, nothing = np.array(errors).T
    return {
        "pictures": coloured,
        "ours": round(float(np.median(ours)), 2),
        "grey-world": round(float(np.median(others)), 2),
        "nothing": round(float(np.median(nothing)), 2),
        "worse by more than 1": round(float(np.mean(ours > nothing + 1)), 4),
        "at most by": round(float((ours - nothing).max()), 1),
        "as they came": alarms,
    }


def angle(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Degrees between two colours of light."""
    cosine = float(one @ other / (np.linalg.norm(one) * np.linalg.norm(other)))
    return math.degrees(math.acos(min(1.0, cosine)))


if __name__ == "__main__":
    main()
