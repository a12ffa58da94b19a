"""Train a net that restores really damaged pictures and, above a scale of 1, enlarges them: ``make train-restore-x4``.

The damage of :mod:`enhancer.training.real_damage` is drawn anew in every step. The loss is L1 to the truth,
which rewards what can be known, and beside it what rewards what looks right: L1 to a better net's result (a teacher),
and LPIPS by VGG or AlexNet on windows that begin anywhere. Much weight of AlexNet's makes a grid that it alone likes;
what shows of it as steps between the blocks of one input pixel each can be held against the steps inside (``grid``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from enhancer.backends.tiler import run_tiled
from enhancer.image import FloatPixels, to_unit
from enhancer.models.catalogue import load_catalogue
from enhancer.models.store import ensure
from enhancer.quality.metrics import psnr
from enhancer.settings import Settings
from enhancer.stages.nets import Nets
from enhancer.stages.resize import resize
from enhancer.training.degradations import as_bytes
from enhancer.training.held_out import training_pictures
from enhancer.training.loop import Schedule, device, train
from enhancer.training.nets import build_net
from enhancer.training.perceptual_loss import LpipsLoss
from enhancer.training.pictures import Bytes, PatchSampler, load_picture, split
from enhancer.training.real_damage import MODELS, STRENGTHS, damaged
from enhancer.training.reparameterisation import Reparameterised
from enhancer.training.super_resolution import at_scale
from enhancer.training.trainable import AsIs
from enhancer.training.weights import save_half

HELD_OUT: Final = 12
VALIDATION_SIDE: Final = 256
MODEL_ODDS: Final = (0.4, 0.3, 0.3)
"""Of :data:`MODELS`."""
STRENGTH_ODDS: Final = (0.1, 0.3, 0.35, 0.25)
"""Of :data:`STRENGTHS`."""
JITTER: Final = 8
"""Pixels by which the perceptual windows of a step are moved at most."""


def run(config: Mapping[str, Any], data: list[Path], out: Path, *, start: Path | None = None) -> Path:
    """Train as `config` says.

    Args:
        config: a parsed configuration file: ``seed``, tables ``net`` and ``schedule``; where wanted, of LPIPS by each
            net, ``vgg`` and ``alex``: ``weight`` beside L1's 1, how many ``windows`` of a batch and of which ``side``;
            of ``grid`` its ``weight``; and of a ``teacher`` its name as ``net`` and the ``share`` of L1 that is held
            against its result.
        data: folders of clean pictures.
        out: checkpoint, curve and weights go here.
        start: weights to start from: of the same net, of one that enlarges by a multiple of this one's scale, or of
            one with conditions, which are then taken as :data:`ASSUMED`.

    Returns:
        The file of the averaged weights, float16.
    """
    seed = int(config["seed"])
    torch.manual_seed(seed)
    schedule = Schedule(**config["schedule"])
    net, scale = build_net(config["net"]), int(config["net"].get("scale", 1))
    if start:
        net.load_state_dict(fitting({name: tensor.float() for name, tensor in load_file(start).items()}, net, scale))
    module = Reparameterised(net, started=start is not None) if config["reparameterise"] else AsIs(net)
    paths, held_out = split(training_pictures(*data), HELD_OUT)
    sampler = PatchSampler([([load_picture(path) for path in paths], 1)], schedule.patch * scale, seed)

    teacher = _Teacher(config["teacher"], scale) if "teacher" in config else None

    def draw(step: int) -> list[Tensor]:
        (patches,) = sampler.batch(step, schedule.batch)
        random = np.random.default_rng((seed, step, 1))
        moved = random.integers(JITTER, size=2)
        given, wanted = damaged_pair(patches, scale, random)
        taught = teacher.results(given) if teacher else wanted
        return [torch.from_numpy(array) for array in (given, wanted, taught, moved)]

    measure = _Loss(config)

    def loss(given: Tensor, wanted: Tensor, taught: Tensor, moved: Tensor) -> Tensor:
        return measure(module(given), wanted, taught, moved)

    validate = validator(net, [load_picture(path, 16) for path in held_out], scale, _distance())
    weights = train(module, draw, loss, validate, schedule, out, seed=seed, workers=int(config.get("workers", 0)))
    return save_half(weights, out / "weights.safetensors")


ASSUMED: Final = 8 / 255
"""Value of the conditions of a net to start from, such as the strength of the noise, that this one is not given."""


def fitting(state: Mapping[str, Tensor], net: nn.Module, scale: int) -> dict[str, Tensor]:
    """Weights of a related net as a start for `net`.

    Args:
        state: of a plain net of the same width and depth, float32.
        net: whose weights are wanted.
        scale: by which it enlarges.

    Raises:
        ValueError: the shapes have nothing to do with each other.
    """
    first, wanted = state["convolutions.0.weight"], net.state_dict()["convolutions.0.weight"]
    fitted = dict(state) if scale == 1 else at_scale(state, scale)
    further = first.shape[1] - wanted.shape[1]
    if further > 0:
        planes = first[:, -further:]
        fitted["convolutions.0.weight"] = first[:, :-further]
        fitted["convolutions.0.bias"] = state["convolutions.0.bias"] + ASSUMED * planes.sum(dim=(1, 2, 3))
    for name, tensor in net.state_dict().items():
        if name not in fitted or fitted[name].shape != tensor.shape:
            raise ValueError(f"the weights to start from do not fit: {name} should be {tuple(tensor.shape)}")
    return fitted


def damaged_pair(patches: FloatPixels, scale: int, random: np.random.Generator) -> tuple[FloatPixels, FloatPixels]:
    """Patches with damage of random model and strength, and what the net is to make of them.

    Args:
        patches: N x 3 x side x side on [0, 1]; `scale` divides the side.
        scale: by how much the damaged ones are smaller.
        random: of the draw.

    Returns:
        N x 3 x side / scale x side / scale, and the patches themselves.
    """
    given = []
    for patch in patches:
        model = MODELS[random.choice(len(MODELS), p=MODEL_ODDS)]
        strength, compression = (STRENGTHS[random.choice(len(STRENGTHS), p=STRENGTH_ODDS)] for _ in range(2))
        clean = as_bytes(np.ascontiguousarray(patch.transpose(1, 2, 0)))
        given.append(
            to_unit(damaged(clean, scale, model, strength, random, compression=compression)[0]).transpose(2, 0, 1)
        )
    return np.stack(given), patches


class _Teacher:
    """A restoring net of 4x, whose results are to be learned from: what looks right without a guess of one's own."""

    def __init__(self, table: Mapping[str, Any], scale: int) -> None:
        settings = Settings(threads=torch.get_num_threads())
        self._net, self._scale = Nets(settings).restoration(scale, table["net"]), scale

    def results(self, given: FloatPixels) -> FloatPixels:
        """Of N x 3 x side x side on [0, 1]: N x 3 x scale * side x scale * side."""
        side = self._scale * given.shape[-1]
        results = []
        for planes in given:
            large = np.clip(run_tiled(self._net, planes), 0, 1).transpose(1, 2, 0)
            results.append(resize(large, side, side, Image.Resampling.BOX).transpose(2, 0, 1))
        return np.stack(results)


class _Loss:
    """L1 and LPIPS by both nets, weighted."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        settings = Settings()
        self._tables = {name: config[name] for name in ("alex", "vgg") if name in config}
        self._share = float(config["teacher"]["share"]) if "teacher" in config else 0.0
        self._grid = float(config["grid"]["weight"]) if "grid" in config else 0.0
        self._scale = int(config["net"].get("scale", 1))
        self._nets = {
            name: LpipsLoss(name, ensure(load_catalogue().get(f"lpips-{name}"), settings)).to(device())
            for name in self._tables
        }

    def __call__(self, made: Tensor, wanted: Tensor, taught: Tensor, moved: Tensor) -> Tensor:
        total = (1 - self._share) * functional.l1_loss(made, wanted)
        if self._share:
            total = total + self._share * functional.l1_loss(made, taught)
        if self._grid:
            total = total + self._grid * grid(made, self._scale)
        for name, table in self._tables.items():
            if table["weight"] and table["windows"]:
                seen = (window(pictures[: table["windows"]], moved, table["side"]) for pictures in (made, wanted))
                total = total + table["weight"] * self._nets[name](*seen)
        return total


def grid(pictures: Tensor, scale: int) -> Tensor:
    """How far the steps between neighbours depend on their place within the block that one input pixel became.

    Args:
        pictures: N x C x H x W; the first block begins at the corner.
        scale: side of a block, 2 or more.

    Returns:
        The mean over both directions and all places of the steps' deviation from their mean, relative to it.
    """
    deviations = []
    for steps in (pictures.diff(dim=3), pictures.diff(dim=2).transpose(2, 3)):
        whole = steps.shape[3] // scale * scale
        means = steps[..., :whole].abs().reshape(-1, scale).mean(dim=0)
        deviations.append((means / means.mean() - 1).abs().mean())
    return torch.stack(deviations).mean()


def window(pictures: Tensor, moved: Tensor, side: int) -> Tensor:
    """A part of each picture whose corner is a tensor's value: a CUDA device records the step once for all corners.

    Args:
        pictures: N x C x H x W.
        moved: row and column of the corner, integers on the pictures' device.
        side: of the part; one that ends beyond the picture begins as much earlier.

    Returns:
        N x C x side x side, or as far as the picture goes.
    """
    for dimension, begin in zip((2, 3), moved, strict=True):
        length = pictures.shape[dimension]
        wanted = min(side, length)
        places = begin.clamp(max=length - wanted) + torch.arange(wanted, device=pictures.device)
        pictures = pictures.index_select(dimension, places)
    return pictures


def validator(
    net: nn.Module, pictures: list[Bytes], scale: int, distance: LpipsLoss
) -> Callable[[Mapping[str, Tensor]], dict[str, float]]:
    """A function from weights to the mean PSNR of RGB and LPIPS on the damaged middles of `pictures`, by strength."""
    middles = [_middle(picture) for picture in pictures]
    given = {
        strength: [
            damaged(picture, scale, MODELS[place % len(MODELS)], strength, np.random.default_rng((7, place)))[0]
            for place, picture in enumerate(middles)
        ]
        for strength in STRENGTHS
    }

    @torch.inference_mode()
    def validate(weights: Mapping[str, Tensor]) -> dict[str, float]:
        figures = {}
        for strength, pictures_given in given.items():
            scores, distances = [], []
            for small, clean in zip(pictures_given, middles, strict=True):
                planes = torch.from_numpy(to_unit(small)).permute(2, 0, 1)[None]
                result = functional_call(net, dict(weights), (planes,)).clamp(0, 1)
                scores.append(psnr(result[0].permute(1, 2, 0).numpy(), to_unit(clean)))
                truth = torch.from_numpy(to_unit(clean)).permute(2, 0, 1)[None]
                distances.append(distance(result, truth).item())
            figures[f"psnr_{strength}"], figures[f"lpips_{strength}"] = (
                float(np.mean(scores)),
                float(np.mean(distances)),
            )
        return figures

    return validate


def _distance() -> LpipsLoss:
    """LPIPS alex on the CPU."""
    return LpipsLoss("alex", ensure(load_catalogue().get("lpips-alex"), Settings()))


def _middle(picture: Bytes) -> Bytes:
    height, width = (min(VALIDATION_SIDE, side) for side in picture.shape[:2])
    top, left = (picture.shape[0] - height) // 2, (picture.shape[1] - width) // 2
    return np.ascontiguousarray(picture[top : top + height, left : left + width])
