"""Fit what reads damage off a picture's traces (enhancer/stages/damage_traces.py): ``make train-traces``.

Every training picture in every model of damage, at random strength, scale and size, and clean: one vector of features
each, computed once. Then a net of one hidden layer is fitted with cross-entropy for the odds of
damage and smooth L1 for noise and quality. A tenth of the pictures is held out for the curve.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from enhancer.image import to_unit
from enhancer.stages.damage_traces import LOSS_UNIT, NO_JPEG, NOISE_UNIT, SMALLEST_SIDE, features
from enhancer.training.held_out import training_pictures
from enhancer.training.pictures import Bytes, load_picture, split
from enhancer.training.real_damage import MODELS, STRENGTHS, Model, Strength, damaged

HELD_OUT_SHARE: Final = 10
SCALES: Final = (1, 2, 4)
CROPS: Final = (96, 192, 384)
"""Longest sides of what is looked at, drawn evenly."""
HIDDEN: Final = 32
CLEAN: Final = 2
"""Clean versions of each picture."""


def run(config: Mapping[str, Any], data: list[Path], out: Path) -> Path:
    """Fit as `config` says.

    Args:
        config: ``seed`` and ``schedule`` (``steps`` and ``rate``).
        data: folders of clean pictures.
        out: features, figures and weights go here; features that are there are used again.

    Returns:
        The file of the weights, float32.
    """
    seed = int(config["seed"])
    out.mkdir(parents=True, exist_ok=True)
    paths = training_pictures(*data)
    fitted_on, held_out = split(paths, max(1, len(paths) // HELD_OUT_SHARE))
    train, check = _examples(fitted_on, seed, out / "train.npz"), _examples(held_out, seed, out / "check.npz")
    mean, deviation = train[0].mean(axis=0), train[0].std(axis=0) + 1e-3
    torch.manual_seed(seed)
    first, second = nn.Linear(len(mean), HIDDEN), nn.Linear(HIDDEN, 3)
    net = nn.Sequential(first, nn.ReLU(), second)
    inputs, targets = _tensors(train, mean, deviation)
    steps, rate = int(config["schedule"]["steps"]), float(config["schedule"]["rate"])
    optimiser = torch.optim.AdamW(net.parameters(), lr=rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps)
    for step in range(steps):
        rows = torch.from_numpy(np.random.default_rng((seed, step)).integers(len(inputs), size=512))
        loss = _loss(net(inputs[rows]), targets[rows])
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
    figures = _figures(net, check, mean, deviation)
    (out / "figures.txt").write_text("".join(f"{name} {value:.4f}\n" for name, value in figures.items()))
    state = {
        "mean": torch.from_numpy(mean),
        "deviation": torch.from_numpy(deviation),
        "first.weight": first.weight,
        "first.bias": first.bias,
        "second.weight": second.weight,
        "second.bias": second.bias,
    }
    target = out / "weights.safetensors"
    save_file({name: tensor.detach().float().contiguous() for name, tensor in state.items()}, target)
    return target


Examples = tuple[NDArray[np.float32], NDArray[np.float32]]
"""Features, one row a picture, and what is true of it: damaged (0 or 1), noise, quality lost, in the net's units."""


def _examples(paths: list[Path], seed: int, kept: Path) -> Examples:
    if kept.exists():
        with np.load(kept) as found:
            return found["features"], found["truth"]
    rows, truth = [], []
    for place, path in enumerate(paths):
        random = np.random.default_rng((seed, place))
        picture = load_picture(path, 4)
        drawn: list[tuple[Model, Strength]] = [("camera", "clean")] * CLEAN
        drawn += [(model, STRENGTHS[1 + random.integers(len(STRENGTHS) - 1)]) for model in MODELS for _ in range(2)]
        for model, strength in drawn:
            possible = [scale for scale in SCALES if min(picture.shape[:2]) >= scale * SMALLEST_SIDE]
            scale = possible[random.integers(len(possible))]
            crop = _crop(picture, scale, random)
            # Noise and compression apart: if drawn together, each would predict the other, as in reality they do not.
            compression = STRENGTHS[random.integers(len(STRENGTHS))]
            given, damage = damaged(crop, scale, model, strength, random, compression=compression)
            rows.append(features(to_unit(given)))
            lost = NO_JPEG - min(damage.qualities, default=NO_JPEG)
            truth.append((strength != "clean", damage.noise / NOISE_UNIT, lost / LOSS_UNIT))
    result = np.array(rows, np.float32), np.array(truth, np.float32)
    np.savez(kept, features=result[0], truth=result[1])
    return result


def _crop(picture: Bytes, scale: int, random: np.random.Generator) -> Bytes:
    wanted = CROPS[random.integers(len(CROPS))] * scale
    height, width = (min(side, wanted) // scale * scale for side in picture.shape[:2])
    top, left = (int(random.integers(room + 1)) for room in (picture.shape[0] - height, picture.shape[1] - width))
    return np.ascontiguousarray(picture[top : top + height, left : left + width])


def _tensors(examples: Examples, mean: NDArray[np.float32], deviation: NDArray[np.float32]) -> tuple[Tensor, Tensor]:
    return torch.from_numpy((examples[0] - mean) / deviation), torch.from_numpy(examples[1])


def _loss(found: Tensor, truth: Tensor) -> Tensor:
    odds = functional.binary_cross_entropy_with_logits(found[:, 0], truth[:, 0])
    return odds + functional.smooth_l1_loss(found[:, 1:], truth[:, 1:])


@torch.no_grad()
def _figures(
    net: nn.Module, examples: Examples, mean: NDArray[np.float32], deviation: NDArray[np.float32]
) -> dict[str, float]:
    """How well it does on pictures that it was not fitted on."""
    inputs, truth = _tensors(examples, mean, deviation)
    found = net(inputs).numpy()
    which = {"clean": truth[:, 0].numpy() == 0, "damaged": truth[:, 0].numpy() == 1}
    noise_error = np.abs(found[:, 1] - truth[:, 1].numpy()) * NOISE_UNIT
    loss_error = np.abs(found[:, 2] - truth[:, 2].numpy()) * LOSS_UNIT
    return {
        "clean called damaged": float((found[which["clean"], 0] > 0).mean()),
        "damaged called clean": float((found[which["damaged"], 0] <= 0).mean()),
        "noise, median error in levels": float(np.median(noise_error[which["damaged"]])),
        "quality, median error": float(np.median(loss_error[which["damaged"]])),
    }
