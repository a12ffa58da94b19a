"""Exposure and colour cast against truth, picture by picture: ``python -m benchmarks.bench_tone``.

Real photographs (scikit-image's; those of ../shared/data where they are) are shifted in linear light by -2, -1, +1 and
+1.5 EV, or lit with 2500 to 10000 K, clipped and rounded to 8 bits as a file would be. Printed is how many dB nearer
the truth the result ends than the shifted input, and how many degrees the light's colour is missed by (0: neutral
again), beside grey-world's miss and that of doing nothing. The columns ``0`` and ``6504`` are the pictures as they
came: there, everything but ``-`` is a false alarm.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage import data
from skimage.metrics import peak_signal_noise_ratio

from enhancer.image import FloatPixels, Metadata
from enhancer.recipe import preset
from enhancer.settings import Settings
from enhancer.stages.base import Context, Stage
from enhancer.stages.cast import ColourCast, illuminant
from enhancer.stages.exposure import Exposure
from enhancer.stages.light import from_linear, to_linear
from enhancer.stages.nets import Nets

SHARED = Path(__file__).parents[2] / "shared" / "data"
FOLDERS = ("set14", "photos", "cbsd68")
SIDE = 480
SHIFTS = (0.0, -2.0, -1.0, 1.0, 1.5)
LIGHTS = (2500, 3000, 3500, 4000, 5000, 5800, 6504, 7500, 8500, 10000)
CLEAN = 6504


def photographs() -> dict[str, dict[str, FloatPixels]]:
    """Pictures by set and name, H x W x C in [0, 1], at most :data:`SIDE` a side."""
    own: dict[str, Callable[[], NDArray[np.uint8]]] = {
        "astronaut": data.astronaut,
        "camera": data.camera,
        "chelsea": data.chelsea,
        "coffee": data.coffee,
        "motorcycle": lambda: data.stereo_motorcycle()[0],
        "rocket": data.rocket,
    }
    sets = {"scikit-image": {name: _unit(Image.fromarray(load())) for name, load in own.items()}}
    for folder in FOLDERS:
        files = [path for path in sorted((SHARED / folder).glob("*")) if path.suffix in (".bmp", ".jpg", ".png")]
        if files:
            sets[folder] = {path.stem[:20]: _unit(Image.open(path)) for path in files}
    return sets


def _unit(image: Image.Image) -> FloatPixels:
    image = image.convert("L" if image.mode == "L" else "RGB")
    image.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
    return np.atleast_3d(np.asarray(image, dtype=np.float32) / np.float32(255))


def stored(light: FloatPixels) -> FloatPixels:
    """What an 8-bit file keeps of linear light."""
    return (np.rint(from_linear(np.clip(light, 0, 1)) * 255) / 255).astype(np.float32)


def gain(truth: FloatPixels, ev: float, context: Context) -> float | None:
    """How many dB nearer the truth than the shifted picture (at 0 EV: PSNR); None where it was left alone."""
    worse = stored(to_linear(truth) * np.float32(2**ev)) if ev else truth
    stage: Stage = Exposure()
    decision = stage.measure(worse, context)
    if not decision.applied:
        return None
    result = np.rint(stage.apply(worse, decision, context) * 255) / 255
    after = peak_signal_noise_ratio(truth, result.astype(np.float32), data_range=1)
    return float(after - peak_signal_noise_ratio(truth, worse, data_range=1)) if ev else float(after)


def misses(truth: FloatPixels, cct: int, context: Context) -> tuple[float, float, float, bool]:
    """Degrees between true and estimated light: ours, grey-world's, doing nothing; and whether the stage acted."""
    light = illuminant(cct)
    worse = stored(to_linear(truth) * (light / light.max()).astype(np.float32))
    decision = ColourCast().measure(worse, context)
    found = illuminant(decision.numbers["cct"]) if decision.applied else np.ones(3)
    grey_world = to_linear(worse).reshape(-1, 3).mean(axis=0, dtype=np.float64)
    return angle(found, light), angle(grey_world, light), angle(np.ones(3), light), decision.applied


def angle(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Degrees between two colours of light."""
    cosine = float(one @ other / (np.linalg.norm(one) * np.linalg.norm(other)))
    return math.degrees(math.acos(min(1.0, cosine)))


def print_exposure(name: str, pictures: dict[str, FloatPixels], context: Context) -> None:
    """The exposure table of one set."""
    table = {key: [gain(picture, ev, context) for ev in SHIFTS] for key, picture in pictures.items()}
    print(f"\nexposure, {name}: dB nearer the truth by EV (-: left alone, which is 0)")
    print(f"{'':22}" + "".join(f"{ev:>8g}" for ev in SHIFTS))
    for key, row in table.items():
        print(f"{key:22}" + "".join(f"{'-' if db is None else f'{db:.1f}':>8}" for db in row))
    columns = list(zip(*table.values(), strict=True))
    medians = [float(np.median(np.array([db or 0.0 for db in column]))) for column in columns]
    touched = [sum(db is not None for db in column) for column in columns]
    print(f"{'median':22}" + "".join(f"{db:8.1f}" for db in medians))
    print(f"{f'corrected, of {len(table)}':22}" + "".join(f"{count:8d}" for count in touched))


def print_cast(name: str, pictures: dict[str, FloatPixels], context: Context) -> None:
    """The colour cast table of one set."""
    table = {
        key: [misses(picture, cct, context) for cct in LIGHTS]
        for key, picture in pictures.items()
        if picture.shape[2] == 3 and np.ptp(picture, axis=2).max() > 0.02
    }
    print(f"\ncast, {name}: degrees missed by kelvins (-: left alone, which is the last row)")
    print(f"{'':22}" + "".join(f"{cct:>8}" for cct in LIGHTS))
    for key, row in table.items():
        print(f"{key:22}" + "".join(f"{f'{ours:.1f}' if acted else '-':>8}" for ours, _, _, acted in row))
    print(f"{'doing nothing':22}" + "".join(f"{nothing:8.1f}" for _, _, nothing, _ in next(iter(table.values()))))
    every = [miss for row in table.values() for miss in row]
    ours, grey_world, nothing = np.array([miss[:3] for miss in every]).T
    false_alarms = sum(row[LIGHTS.index(CLEAN)][3] for row in table.values())
    print(
        f"median {np.median(ours):.2f}, grey-world {np.median(grey_world):.2f} "
        f"({1 - np.median(ours) / np.median(grey_world):.0%} lower), doing nothing {np.median(nothing):.2f}; "
        f"worse than nothing by more than 1 degree: {np.mean(ours > nothing + 1):.1%}, "
        f"at most by {(ours - nothing).max():.1f}; corrected as they came: {false_alarms} of {len(table)}"
    )


def main() -> int:
    """Print both tables for every set."""
    recipe = preset("photo", exposure={"mode": "auto"}, cast={"mode": "auto"})
    context = Context(recipe=recipe, metadata=Metadata(), nets=Nets(Settings()))
    sets = photographs()
    everything = {
        f"{name}/{key}"[-22:]: p for name, pictures in sets.items() if name != "cbsd68" for key, p in pictures.items()
    }
    print_exposure("scikit-image, set14, photos", everything, context)
    print_cast("scikit-image, set14, photos", everything, context)
    if "cbsd68" in sets:
        print_exposure("cbsd68", sets["cbsd68"], context)
        print_cast("cbsd68", sets["cbsd68"], context)
    return 0


if __name__ == "__main__":
    sys.exit(main())
