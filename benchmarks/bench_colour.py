"""Restoration of faded colours against truth, beside classical methods: ``python -m benchmarks.bench_colour``.

Aged by chance (:mod:`enhancer.training.ageing`, each picture by a seed of its own) are the 60 pictures of
the folder ``train`` that training never saw, and CBSD68, which nothing was chosen on. PSNR is of RGB, nothing cut, 8
bits; CIEDE2000 the mean over every fourth pixel of every fourth row; SSIM scikit-image's. The best classical method is
the one with the best mean PSNR on the held-out pictures; on the other sets it stands alone beside the stages. The
held-out pictures are also made merely pale, which the net was not taught.

Unfaded pictures (set14, cbsd68, photos, scikit-image's photographs) count as untouched where the stage of the preset
``old-photo`` does nothing.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image
from skimage import data
from skimage.color import deltaE_ciede2000, rgb2lab
from skimage.exposure import equalize_adapthist, equalize_hist
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from benchmarks.common.results import print_table, write_results
from enhancer.image import FloatPixels, Metadata
from enhancer.recipe import preset
from enhancer.settings import Settings
from enhancer.stages.base import Context, Stage
from enhancer.stages.fading import Fading
from enhancer.stages.fading_stretch import FadingStretch
from enhancer.stages.light import from_linear, to_linear
from enhancer.stages.nets import Nets
from enhancer.training.ageing import aged, paled, random_ageing, random_paleness
from enhancer.training.colour import HELD_OUT
from enhancer.training.pictures import list_pictures, load_picture

SHARED = Path(__file__).parents[2] / "shared" / "data"
SIDE = 1024
"""Longest side that the unfaded pictures are reduced to, as a decoded preview would be."""
AS_GIVEN = "as given"
NOT_CLASSICAL = (AS_GIVEN, "learned stage")
SHIPPED: dict[str, Callable[[], np.ndarray]] = {
    "astronaut": data.astronaut,
    "brick": data.brick,
    "camera": data.camera,
    "cell": data.cell,
    "chelsea": data.chelsea,
    "coffee": data.coffee,
    "coins": data.coins,
    "gravel": data.gravel,
    "hubble": data.hubble_deep_field,
    "immunohistochemistry": data.immunohistochemistry,
    "moon": data.moon,
    "motorcycle": lambda: data.stereo_motorcycle()[0],
    "page": data.page,
    "retina": data.retina,
    "rocket": data.rocket,
    "text": data.text,
}


def context() -> Context:
    """Of the preset for aged prints."""
    return Context(recipe=preset("old-photo"), metadata=Metadata(), nets=Nets(Settings()))


def by(stage: Stage) -> Callable[[FloatPixels], FloatPixels]:
    """A stage as a function: the picture as it came where the stage does nothing."""

    def run(pixels: FloatPixels) -> FloatPixels:
        around = context()
        decision = stage.measure(pixels, around)
        return stage.apply(pixels, decision, around) if decision.applied else pixels

    return run


def stretch(low: float, high: float) -> Callable[[FloatPixels], FloatPixels]:
    """Each channel's percentiles to black and white, whatever they are."""

    def run(pixels: FloatPixels) -> FloatPixels:
        black, white = np.percentile(pixels.reshape(-1, 3), (low, high), axis=0).astype(np.float32)
        return np.clip((pixels - black) / np.maximum(white - black, 1e-3), 0, 1)

    return run


def grey_world(pixels: FloatPixels) -> FloatPixels:
    """Equal means of linear light."""
    light = to_linear(pixels)
    mean = light.reshape(-1, 3).mean(axis=0)
    return np.clip(from_linear(light * (mean.mean() / mean)), 0, 1)


def white_patch(pixels: FloatPixels) -> FloatPixels:
    """Each channel's 99th percentile of linear light to white."""
    light = to_linear(pixels)
    return np.clip(from_linear(light / np.percentile(light.reshape(-1, 3), 99, axis=0).astype(np.float32)), 0, 1)


def per_channel(function: Callable[..., np.ndarray]) -> Callable[[FloatPixels], FloatPixels]:
    """A scikit-image function of one channel, on each of them."""
    return lambda pixels: np.stack([function(pixels[..., c]) for c in range(3)], axis=2).astype(np.float32)


METHODS: dict[str, Callable[[FloatPixels], FloatPixels]] = {
    AS_GIVEN: lambda pixels: pixels,
    "grey world": grey_world,
    "white patch": white_patch,
    "histogram equalisation": per_channel(equalize_hist),
    "CLAHE": per_channel(lambda channel: equalize_adapthist(channel, clip_limit=0.01)),
    "stretch 1 to 99 %": stretch(1, 99),
    "stretch 0.5 to 99.5 %": stretch(0.5, 99.5),
    "stretch 0.1 to 99.9 %": stretch(0.1, 99.9),
    "stretch, then grey world": lambda pixels: grey_world(stretch(0.1, 99.9)(pixels)),
    "grey world, then stretch": lambda pixels: stretch(0.1, 99.9)(grey_world(pixels)),
    "classical stage": by(FadingStretch()),
    "learned stage": by(Fading()),
}


def scores(truth: FloatPixels, result: FloatPixels) -> tuple[float, float, float]:
    """PSNR of RGB, mean CIEDE2000, SSIM; of 8 bits."""
    rounded = (np.rint(result * 255) / 255).astype(np.float32)
    difference = deltaE_ciede2000(rgb2lab(truth[::4, ::4]), rgb2lab(rounded[::4, ::4]))
    return (
        float(peak_signal_noise_ratio(truth, rounded, data_range=1)),
        float(difference.mean()),
        float(structural_similarity(truth, rounded, channel_axis=2, data_range=1)),
    )


def by_age(truth: FloatPixels, draw: np.random.Generator) -> FloatPixels:
    """Aged as training has it."""
    return aged(truth, random_ageing(draw), draw)


def by_paleness(truth: FloatPixels, draw: np.random.Generator) -> FloatPixels:
    """Merely pale."""
    return paled(truth, random_paleness(draw))


def restoration(
    paths: list[Path],
    seed: int,
    damage: Callable[[FloatPixels, np.random.Generator], FloatPixels],
    methods: dict[str, Callable[[FloatPixels], FloatPixels]],
) -> dict[str, list[float]]:
    """Mean PSNR, CIEDE2000, SSIM, and the share of pictures that came no further from the truth, by method."""
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in methods}
    for index, path in enumerate(paths):
        draw = np.random.default_rng((seed, index))
        truth = load_picture(path).astype(np.float32) / 255
        given = damage(truth, draw)
        for name, method in methods.items():
            found[name].append(scores(truth, method(given)))
    before = np.array(found[AS_GIVEN])[:, 0]
    table = {}
    for name, rows in found.items():
        each = np.array(rows)
        table[name] = [*each.mean(axis=0).tolist(), float((each[:, 0] >= before).mean())]
    return table


def unfaded() -> dict[str, dict[str, bool]]:
    """Whether each unfaded picture was left alone, by set and name."""
    sets = {"scikit-image": {name: Image.fromarray(load()) for name, load in SHIPPED.items()}}
    for folder in ("set14", "cbsd68", "photos"):
        files = [path for path in sorted((SHARED / folder).glob("*")) if path.suffix in (".bmp", ".jpg", ".png")]
        sets[folder] = {path.stem: Image.open(path) for path in files}
    around, stage = context(), Fading()
    left = {}
    for name, pictures in sets.items():
        left[name] = {key: not stage.measure(_unit(picture), around).applied for key, picture in pictures.items()}
    return left


def _unit(picture: Image.Image) -> FloatPixels:
    picture = picture.convert("L" if picture.mode == "L" else "RGB")
    picture.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
    pixels = np.asarray(picture, dtype=np.float32) / 255
    return pixels[..., None] if pixels.ndim == 2 else pixels


def main() -> None:
    """Print the tables and write benchmarks/results/colour.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=int, help="only so many pictures of each set; writes no results")
    options = parser.parse_args()
    started = time.monotonic()
    held_out_paths = list_pictures(SHARED / "train")[-HELD_OUT:]
    few = {name: METHODS[name] for name in (AS_GIVEN, "stretch 0.1 to 99.9 %", "classical stage", "learned stage")}
    sets = {
        "held out": (held_out_paths, by_age, METHODS),
        "cbsd68": (list_pictures(SHARED / "cbsd68"), by_age, few),
        "held out, merely pale": (held_out_paths, by_paleness, few),
    }
    tables: dict[str, object] = {}
    for name, (paths, damage, methods) in sets.items():
        table = restoration(paths[: options.limit], 7, damage, methods)
        tables[name] = table
        print(f"\n{name}, {len(paths[: options.limit])} pictures")
        rows = [[method, *(round(value, 3) for value in row)] for method, row in table.items()]
        print_table(["method", "PSNR RGB", "CIEDE2000", "SSIM", "not worse"], rows)
    left = unfaded()
    tables["unfaded, left alone"] = {name: [sum(one.values()), len(one)] for name, one in left.items()}
    print()
    print_table(["unfaded", "left alone", "of"], [[name, sum(one.values()), len(one)] for name, one in left.items()])
    touched = [f"{name}/{key}" for name, one in left.items() for key, alone in one.items() if not alone]
    tables["unfaded, touched"] = touched
    print(f"touched: {', '.join(touched) or 'none'}\n")
    held_out = tables["held out"]
    assert isinstance(held_out, dict)
    best = max(row[0] for method, row in held_out.items() if method not in NOT_CLASSICAL)
    every = [alone for one in left.values() for alone in one.values()]
    figures = {
        "over the aged input": held_out["learned stage"][0] - held_out[AS_GIVEN][0],
        "over the best classical stage": held_out["learned stage"][0] - best,
        "unfaded pictures untouched": sum(every) / len(every),
    }
    write_results("colour", figures, tables, started, whole=options.limit is None)


if __name__ == "__main__":
    main()
