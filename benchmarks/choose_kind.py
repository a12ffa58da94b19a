"""Choose the weights of :mod:`enhancer.stages.picture_kind`: ``python -m benchmarks.choose_kind``.

Photographs: every second of the 400 in the folder ``train``, every fourth of photos_free, as they are and damaged
(grey, dark, pale, tinted, blurred, reduced, noisy, with impulses, as JPEG), because a damaged photograph is one still.
Others: :mod:`benchmarks.kind_material`. Of some of both, small cuts as JPEG of any quality too: blocks make small
photographs as flat as renderings. Every fifth of all is held back to check for overfitting. A net of
one hidden layer is fitted by cross entropy; it is written with the means and deviations of the features.
"""

from __future__ import annotations

import argparse
import io
import json
from multiprocessing import Pool
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from benchmarks.kind_material import make
from enhancer.stages.kind_features import FEATURES, kind_features
from enhancer.stages.kinds import KINDS
from enhancer.stages.picture_kind import WEIGHTS

HIDDEN, STEPS, EVERY = 24, 3000, 5


def main() -> None:
    """Measure the features, fit, say what is held back is taken for, write the weights."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--drawn", type=int, default=300, help="pictures of each kind but photographs")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--features", type=Path, help="file that keeps the measured features between runs")
    options = parser.parse_args()
    if options.features and options.features.exists():
        kept = np.load(options.features)
        features, kinds = kept["features"], kept["kinds"]
    else:
        features, kinds = measured(options.data, options.drawn, options.processes)
        if options.features:
            np.savez(options.features, features=features, kinds=kinds)
    fit(features, kinds)


def measured(data: Path, drawn: int, processes: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Features and kinds of all pictures."""
    trained, free = sorted((data / "train").iterdir()), sorted((data / "photos_free").glob("*.jpg"))
    numbered = [(kind, number) for number in range(drawn) for kind in KINDS[1:]]
    few = numbered[: 2 * (drawn * 11 // 30)]
    with Pool(processes) as pool:
        taken = pool.map(of_photograph, enumerate(trained[::2] + free[::4]), chunksize=8)
        made = pool.starmap(of_drawn, numbered, chunksize=8)
        taken_cuts = pool.map(of_cut_photograph, enumerate(trained[::4] + free[::12]), chunksize=8)
        made_cuts = pool.starmap(of_cut_drawing, few, chunksize=8)
    parts = [
        ([row for rows in taken for row in rows], [0] * sum(map(len, taken))),
        (made, [KINDS.index(kind) for kind, _ in numbered]),
        ([row for rows in taken_cuts for row in rows], [0] * sum(map(len, taken_cuts))),
        ([row for rows in made_cuts for row in rows], [KINDS.index(kind) for kind, _ in few for _ in range(2)]),
    ]
    return np.concatenate([rows for rows, _ in parts]), np.concatenate([kinds for _, kinds in parts])


def of_photograph(numbered: tuple[int, Path]) -> list[NDArray[np.float64]]:
    """Features of a photograph as it is and damaged."""
    number, path = numbered
    image = opened_photograph(path)
    return [kind_features(as_unit(one)) for one in (image, damaged(np.random.default_rng(number), image))]


def of_cut_photograph(numbered: tuple[int, Path]) -> list[NDArray[np.float64]]:
    """Features of three small cuts, and of a damaged one that is a poor JPEG."""
    number, path = numbered
    image = opened_photograph(path)
    random = np.random.default_rng(10_000 + number)
    cuts = [small_cut(image, random) for _ in range(3)]
    spoiled = damaged(random, cut(image, random, int(2 ** random.uniform(6, 9))))
    return [kind_features(as_unit(one)) for one in (*cuts, as_jpeg(spoiled, int(random.integers(8, 40))))]


def of_cut_drawing(kind: str, number: int) -> list[NDArray[np.float64]]:
    """Features of two small cuts of a picture that is no photograph."""
    image = Image.fromarray(make(kind, number))
    random = np.random.default_rng(20_000 + 2 * number + KINDS.index(kind))
    return [kind_features(as_unit(small_cut(image, random))) for _ in range(2)]


def opened_photograph(path: Path) -> Image.Image:
    """At most 900 pixels a side."""
    with Image.open(path) as opened:
        opened.draft("RGB", (900, 900))  # photos_free is large
        image = opened.convert("RGB")
    image.thumbnail((900, 900))
    return image


def small_cut(image: Image.Image, random: np.random.Generator) -> Image.Image:
    """A place of 48 to 512 pixels a side, three times of four as JPEG."""
    taken = cut(image, random, int(2 ** random.uniform(5.6, 9)))
    return as_jpeg(taken, int(random.integers(8, 96))) if random.random() < 0.75 else taken


def cut(image: Image.Image, random: np.random.Generator, side: int) -> Image.Image:
    """A place of at most that side."""
    width, height = min(side, image.width), min(side, image.height)
    left, top = int(random.integers(0, image.width - width + 1)), int(random.integers(0, image.height - height + 1))
    return image.crop((left, top, left + width, top + height))


def as_jpeg(image: Image.Image, quality: int) -> Image.Image:
    """What a JPEG of that quality gives back."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer).convert(image.mode)


def of_drawn(kind: str, number: int) -> NDArray[np.float64]:
    """Features of a picture that is none."""
    return kind_features(as_unit(Image.fromarray(make(kind, number))))


def as_unit(image: Image.Image) -> NDArray[np.float32]:
    """H x W x C in [0, 1]."""
    values = np.asarray(image, np.float32) / np.float32(255)
    return values[..., None] if values.ndim == 2 else values


def damaged(random: np.random.Generator, image: Image.Image) -> Image.Image:
    """A photograph with one to three things that happen to photographs."""
    for fault in random.choice(9, int(random.integers(1, 4)), replace=False):
        values = np.asarray(image.convert("RGB"), float)
        if fault == 0:
            image = image.convert("L")
        elif fault == 1:
            image = as_image(values * random.uniform(0.08, 0.5))
        elif fault == 2:
            low = random.uniform(20, 110)
            image = as_image(low + values * random.uniform(0.25, 0.55))
        elif fault == 3:
            image = as_image(values * random.uniform(0.6, 1.2, 3))
        elif fault == 4:
            image = image.filter(ImageFilter.GaussianBlur(random.uniform(0.5, 3)))
        elif fault == 5:
            share = random.uniform(0.25, 2)
            image = image.resize((max(64, round(image.width * share)), max(64, round(image.height * share))))
        elif fault == 6:
            image = as_image(values + random.normal(0, random.uniform(2, 40), values.shape))
        elif fault == 7:
            struck = random.random(values.shape[:2])
            rate = random.uniform(0.005, 0.1)
            values[struck < rate], values[struck > 1 - rate] = 0, 255
            image = as_image(values)
        else:
            buffer = io.BytesIO()
            image.save(buffer, "JPEG", quality=int(random.integers(8, 96)))
            image = Image.open(buffer)
    return image if image.mode == "L" else image.convert("RGB")


def as_image(values: NDArray[np.float64]) -> Image.Image:
    """Clipped and rounded."""
    return Image.fromarray(np.clip(np.rint(values), 0, 255).astype(np.uint8))


def fit(features: NDArray[np.float64], kinds: NDArray[np.int64]) -> None:
    """Fit the net and write it."""
    torch.manual_seed(0)
    held = np.arange(len(kinds)) % EVERY == 0
    mean, deviation = features[~held].mean(axis=0), features[~held].std(axis=0) + 1e-3
    inputs = torch.tensor((features - mean) / deviation, dtype=torch.float32)
    targets = torch.tensor(kinds)
    net = torch.nn.Sequential(
        torch.nn.Linear(len(FEATURES), HIDDEN), torch.nn.Tanh(), torch.nn.Linear(HIDDEN, len(KINDS))
    )
    counts = np.bincount(kinds, minlength=len(KINDS))
    balance = torch.tensor(len(kinds) / counts / len(KINDS), dtype=torch.float32)
    optimiser = torch.optim.AdamW(net.parameters(), lr=3e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, STEPS)
    loss_of = torch.nn.CrossEntropyLoss(weight=balance, label_smoothing=0.02)
    chosen = torch.tensor(~held)
    for _ in range(STEPS):
        optimiser.zero_grad()
        loss_of(net(inputs[chosen] + 0.05 * torch.randn_like(inputs[chosen])), targets[chosen]).backward()
        optimiser.step()
        schedule.step()
    with torch.no_grad():
        taken = net(inputs).argmax(dim=1).numpy()
    for which, part in (("fitted", ~held), ("held back", held)):
        table = np.zeros((len(KINDS), len(KINDS)), int)
        np.add.at(table, (kinds[part], taken[part]), 1)
        print(which, table.tolist())
    first, second = (layer for layer in net if isinstance(layer, torch.nn.Linear))
    weights = {
        "features": list(FEATURES),
        "mean": mean.round(5).tolist(),
        "deviation": deviation.round(5).tolist(),
        "hidden": [[round(v, 4) for v in row] for row in first.weight.tolist()],
        "hidden_bias": [round(v, 4) for v in first.bias.tolist()],
        "out": [[round(v, 4) for v in row] for row in second.weight.tolist()],
        "out_bias": [round(v, 4) for v in second.bias.tolist()],
    }
    WEIGHTS.write_text(json.dumps(weights).replace("], [", "],\n [").replace('], "', '],\n"') + "\n")


if __name__ == "__main__":
    main()
