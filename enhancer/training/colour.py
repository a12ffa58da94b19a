"""Train the net that restores faded colours: ``make train-colour``.

Real photographs are aged by chance (:mod:`enhancer.training.ageing`); the net sees what the stage would see of them and
learns numbers whose function brings the pixels back, by the logarithm of the squared error, so that every picture
counts by its decibels. Its confidence learns whether the result was nearer the truth than the picture it was given,
from aged pictures and from unfaded ones under usual light, for which nothing is nearer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional

from enhancer.image import FloatPixels, to_unit
from enhancer.models.architectures.colour import ColourNet, restored
from enhancer.stages.fading import look_at
from enhancer.stages.light import from_linear, to_linear
from enhancer.training.ageing import aged, random_ageing
from enhancer.training.degradations import as_bytes
from enhancer.training.held_out import training_pictures
from enhancer.training.loop import Schedule, train
from enhancer.training.pictures import Bytes, load_picture, split, turned
from enhancer.training.trainable import AsIs
from enhancer.training.weights import save_half

HELD_OUT: Final = 60
"""The last pictures, by name, of the training folders; only the benchmark sees them."""
VALIDATION: Final = 40
UNFADED_SHARE: Final = 0.25
WORTH_DB: Final = 1.0
"""Gain from which restoring a picture was right."""
FLOOR: Final = 2e-4
"""Added to squared errors: below 37 dB nobody sees the difference."""


def run(config: Mapping[str, Any], data: list[Path], out: Path) -> Path:
    """Train as `config` says.

    Args:
        config: ``seed``, ``looks`` (crops of each picture), tables ``net`` and ``schedule``.
        data: folders of clean pictures.
        out: checkpoint, curve and weights go here.

    Returns:
        The file of the averaged weights, float16.
    """
    seed = int(config["seed"])
    torch.manual_seed(seed)
    schedule = Schedule(**config["schedule"])
    paths, validation = split(training_pictures(*data)[:-HELD_OUT], VALIDATION)
    draw = np.random.default_rng(seed)
    looks = [look for path in paths for look in _looks(load_picture(path), int(config["looks"]), draw)]
    checked = [look for path in validation for look in _looks(load_picture(path), 2, draw)]
    net = ColourNet(**config["net"])
    module = AsIs(net)
    unfaded = round(UNFADED_SHARE * schedule.batch)

    def draw_step(step: int) -> tuple[Tensor, Tensor]:
        return _batch(looks, schedule.batch, unfaded, np.random.default_rng((seed, step)))

    def loss(given: Tensor, truth: Tensor) -> Tensor:
        return _loss(module(given), given, truth, unfaded)

    validate, workers = _validator(net, checked, seed), int(config.get("workers", 0))
    weights = train(module, draw_step, loss, validate, schedule, out, seed=seed, workers=workers)
    return save_half(weights, out / "weights.safetensors")


def _looks(picture: Bytes, count: int, draw: np.random.Generator) -> list[Bytes]:
    """What the net may see of a picture: the whole of it first, then random parts."""
    height, width = picture.shape[:2]
    found = [picture]
    for _ in range(count - 1):
        h, w = (int(side * draw.uniform(0.45, 1)) for side in (height, width))
        top, left = int(draw.integers(height - h + 1)), int(draw.integers(width - w + 1))
        found.append(picture[top : top + h, left : left + w])
    return [as_bytes(look_at(to_unit(part))) for part in found]


def _batch(looks: Sequence[Bytes], count: int, unfaded: int, draw: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Given and true pictures, N x 3 x LOOK x LOOK; the first `unfaded` have not faded, their truth is as given."""
    given: list[FloatPixels] = []
    truth: list[FloatPixels] = []
    for place, index in enumerate(draw.choice(len(looks), count)):
        clean = to_unit(turned(looks[index], int(draw.integers(8))))
        if place < unfaded:
            clean = _as_taken(clean, draw)
            given.append(clean)
        else:
            given.append(aged(clean, random_ageing(draw), draw))
        truth.append(clean)
    return _tensor(given), _tensor(truth)


def _as_taken(pixels: FloatPixels, draw: np.random.Generator) -> FloatPixels:
    """An unfaded picture as it is, or darker or brighter, in warmer or colder light, of harder or softer contrast."""
    if draw.random() < 0.4:
        return pixels
    gains = 2.0 ** (draw.uniform(-1, 0.5) + draw.uniform(-0.15, 0.15, 3))
    light = np.clip(to_linear(pixels) * gains.astype(np.float32), 0, 1) ** np.float32(draw.uniform(0.85, 1.2))
    return to_unit(as_bytes(from_linear(light)))


def _tensor(pictures: Sequence[FloatPixels]) -> Tensor:
    return torch.from_numpy(np.stack(pictures).transpose(0, 3, 1, 2).copy())


def _loss(numbers: Tensor, given: Tensor, truth: Tensor, unfaded: int) -> Tensor:
    given, truth = given[..., ::2], truth[..., ::2]
    result = restored(given, numbers)
    shown = result.clamp(0, 1)
    errors = (shown - truth).square().mean((1, 2, 3)) + FLOOR
    before = (given - truth).square().mean((1, 2, 3)) + FLOOR
    # Beyond white there is no error, but without any there would be no way back either.
    beyond = (result - shown).square().mean((1, 2, 3))
    worth = (10 * torch.log10(before / errors.detach()) > WORTH_DB).float()
    aside = functional.binary_cross_entropy_with_logits(numbers[:, 15, 0, 0], worth)
    return torch.log10(errors + 0.1 * beyond)[unfaded:].mean() + 0.1 * aside


def _validator(net: ColourNet, looks: Sequence[Bytes], seed: int) -> Callable[[Mapping[str, Tensor]], dict[str, float]]:
    """Mean PSNR of held-out pictures, aged always the same, before and after, and the recognition of faded ones."""
    given, truth = _batch(looks, 4 * len(looks), 0, np.random.default_rng((seed, 0, 1)))
    clean = _tensor([to_unit(look) for look in looks])
    before = _psnr(given, truth)

    @torch.inference_mode()
    def validate(weights: Mapping[str, Tensor]) -> dict[str, float]:
        numbers = functional_call(net, dict(weights), (given,))
        wrongly = functional_call(net, dict(weights), (clean,))[:, 15]
        limit = torch.quantile(wrongly, 0.98)
        return {
            "psnr_aged": before,
            "psnr_restored": _psnr(restored(given, numbers).clamp(0, 1), truth),
            "found_at_2_percent_false": float((numbers[:, 15] > limit).float().mean()),
            "log_odds_at_2_percent_false": float(limit),
        }

    return validate


def _psnr(result: Tensor, truth: Tensor) -> float:
    return float(-10 * torch.log10((result - truth).square().mean((1, 2, 3))).mean().detach())
