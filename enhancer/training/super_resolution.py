"""Train a super-resolution net: ``make train-fast-x4``.

L1 between the enlargement of bicubically reduced patches and the truth, mixed with a teacher's enlargement where there
is one (enhancer/training/teacher.py). Validation is PSNR of BT.601 luma on held-out training pictures, a border of
`scale` pixels cut.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from enhancer.image import to_unit
from enhancer.models.architectures.plain import COLOURS
from enhancer.quality.metrics import psnr
from enhancer.training.held_out import training_pictures
from enhancer.training.loop import Schedule, device, train
from enhancer.training.nets import build_net
from enhancer.training.patches import PatchesThere
from enhancer.training.pictures import Bytes, PatchSampler, load_picture, reduced, split
from enhancer.training.reparameterisation import Reparameterised
from enhancer.training.teacher import outputs_of
from enhancer.training.trainable import AsIs
from enhancer.training.weights import save_half

HELD_OUT: Final = 12


def run(
    config: Mapping[str, Any],
    data: list[Path],
    out: Path,
    *,
    teacher: Path | None = None,
    start: Path | None = None,
) -> Path:
    """Train as `config` says.

    Args:
        config: a parsed configuration file: ``seed``, ``teacher_share``, tables ``net`` and ``schedule``; ``bfloat16``
            and ``workers`` as the loop has them.
        data: folders of clean pictures.
        out: checkpoint, curve and weights go here.
        teacher: folder of a teacher's outputs; the held-out pictures' are not read.
        start: weights to start from: of the same net, of a smaller one whose parts it has, or of one that enlarges by a
            multiple of this one's scale.

    Returns:
        The file of the averaged weights, float16.
    """
    seed = int(config["seed"])
    torch.manual_seed(seed)
    schedule = Schedule(**config["schedule"])
    net = build_net(config["net"])
    scale = int(config["net"]["scale"])
    if start:
        given = at_scale({name: tensor.float() for name, tensor in load_file(start).items()}, scale)
        grown = net.load_state_dict(given, strict=False)
        if grown.unexpected_keys:
            raise ValueError(f"{start} is of another net: it has {grown.unexpected_keys[0]}")
    module = Reparameterised(net, started=start is not None) if config["reparameterise"] else AsIs(net)
    paths, held_out = split(training_pictures(*data), HELD_OUT)
    share = float(config.get("teacher_share", 0)) if teacher else 0.0
    versions = _with_teacher(paths, scale, teacher) if teacher and share else _from_truth(paths, scale)
    sampler = PatchSampler([(versions.small, 1)], schedule.patch, seed)
    small = PatchesThere(versions.small, 1, schedule.patch, device())
    large = PatchesThere(versions.truth, scale, schedule.patch, device())
    taught = PatchesThere(versions.taught, scale, schedule.patch, device()) if versions.taught else None

    def draw(step: int) -> list[Tensor]:
        return [torch.from_numpy(sampler.draw(step, schedule.batch))]

    def loss(chosen: Tensor) -> Tensor:
        target = large(chosen)
        if taught:
            target = (1 - share) * target + share * taught(chosen)
        return functional.l1_loss(module(small(chosen)), target)

    validate = validator(net, [load_picture(path, scale) for path in held_out], scale)
    workers, bfloat16 = int(config.get("workers", 0)), bool(config.get("bfloat16", False))
    weights = train(module, draw, loss, validate, schedule, out, seed=seed, workers=workers, bfloat16=bfloat16)
    return save_half(weights, out / "weights.safetensors")


class _Versions(NamedTuple):
    """Pictures as the net is given them, the truth, and a teacher's enlargements, if there is one."""

    small: list[Bytes]
    truth: list[Bytes]
    taught: list[Bytes]


def _from_truth(paths: list[Path], scale: int) -> _Versions:
    truth = [load_picture(path, scale) for path in paths]
    return _Versions([reduced(picture, scale) for picture in truth], truth, [])


def _with_teacher(paths: list[Path], scale: int, folder: Path) -> _Versions:
    """The same, and what the teacher made of other reductions of the pictures, of which it alone knows the truth."""
    versions = _Versions([], [], [])
    for path in paths:
        for factor, taught in outputs_of(path, folder):
            picture = load_picture(path, factor)
            versions.small.append(reduced(picture, factor))
            versions.truth.append(picture if factor == scale else taught)
            versions.taught.append(taught)
    return versions


def at_scale(state: Mapping[str, Tensor], scale: int) -> dict[str, Tensor]:
    """Weights for a net that enlarges by `scale`, from those of one that enlarges by a multiple of it.

    The last convolution's channels are the sub-pixels of a pixel shuffle; the means of those that fall into one larger
    sub-pixel are what the larger net shows at the smaller scale, and a good place to start from.

    Raises:
        ValueError: the net's scale is no multiple of `scale`.
    """
    last = max((name for name in state if name.startswith("convolutions.")), key=lambda name: int(name.split(".")[1]))
    stem = last.rsplit(".", 1)[0]
    had = math.isqrt(len(state[f"{stem}.bias"]) // COLOURS)
    if had % scale:
        raise ValueError(f"a net that enlarges by {had} is no start for one that enlarges by {scale}")
    if had == scale:
        return dict(state)
    share = had // scale
    changed = {}
    for name in (f"{stem}.weight", f"{stem}.bias"):
        tensor = state[name]
        cells = tensor.reshape(COLOURS, scale, share, scale, share, *tensor.shape[1:])
        changed[name] = cells.mean(dim=(2, 4)).reshape(COLOURS * scale**2, *tensor.shape[1:])
    return {**state, **changed}


def validator(net: nn.Module, pictures: list[Bytes], scale: int) -> Callable[[Mapping[str, Tensor]], dict[str, float]]:
    """A function from weights to the mean PSNR of luma on `pictures`."""

    @torch.inference_mode()
    def validate(weights: Mapping[str, Tensor]) -> dict[str, float]:
        scores = []
        for picture in pictures:
            small = torch.from_numpy(to_unit(reduced(picture, scale))).permute(2, 0, 1)[None]
            result = functional_call(net, dict(weights), (small,))[0].permute(1, 2, 0)
            rounded = np.rint(result.clamp(0, 1).numpy() * 255).astype(np.uint8)
            scores.append(psnr(to_unit(rounded), to_unit(picture), space="y", crop=scale))
        return {"psnr_y": float(np.mean(scores))}

    return validate
