"""Train the net that enlarges what was drawn, written or rendered: ``make train-drawn-x4 DATA=/usr/share/fonts``.

Its pictures are painted at random from fonts (:mod:`enhancer.training.drawn_material`) before the first step, the same
ones for the same seed and fonts. The loss is L1 to the rendering at four times the size. Validation is PSNR of RGB on
drawings of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from enhancer.image import to_unit
from enhancer.quality.metrics import psnr
from enhancer.training.drawn_material import SCALE, drawn_pair, fonts_in
from enhancer.training.loop import Schedule, device, train
from enhancer.training.nets import build_net
from enhancer.training.patches import PatchesThere
from enhancer.training.pictures import Bytes, PatchSampler
from enhancer.training.reparameterisation import Reparameterised
from enhancer.training.trainable import AsIs
from enhancer.training.weights import save_half

SIDE: Final = 128
"""Of a small drawing, in pixels."""
HELD_OUT: Final = 24


def run(config: Mapping[str, Any], data: list[Path], out: Path, *, start: Path | None = None) -> Path:
    """Train as `config` says.

    Args:
        config: a parsed configuration file: ``seed``, ``drawings`` (how many are painted), ``reparameterise``, tables
            ``net`` (of 4x) and ``schedule``.
        data: folders of fonts.
        out: checkpoint, curve and weights go here.
        start: weights of the same net to start from.

    Returns:
        The file of the averaged weights, float16.
    """
    seed, fonts = int(config["seed"]), fonts_in(*data)
    torch.manual_seed(seed)
    schedule = Schedule(**config["schedule"])
    net = build_net(config["net"])
    if start:
        net.load_state_dict({name: tensor.float() for name, tensor in load_file(start).items()})
    module = Reparameterised(net, started=start is not None) if config["reparameterise"] else AsIs(net)
    pairs = [
        drawn_pair(np.random.default_rng((seed, number)), fonts, SIDE) for number in range(int(config["drawings"]))
    ]
    smalls, larges = ([pair[place] for pair in pairs[HELD_OUT:]] for place in (0, 1))
    sampler = PatchSampler([(smalls, 1)], schedule.patch, seed)
    small = PatchesThere(smalls, 1, schedule.patch, device())
    large = PatchesThere(larges, SCALE, schedule.patch, device())

    def draw(step: int) -> list[Tensor]:
        return [torch.from_numpy(sampler.draw(step, schedule.batch))]

    def loss(chosen: Tensor) -> Tensor:
        return functional.l1_loss(module(small(chosen)), large(chosen))

    weights = train(module, draw, loss, validator(net, pairs[:HELD_OUT]), schedule, out, seed=seed)
    return save_half(weights, out / "weights.safetensors")


def validator(net: nn.Module, pairs: list[tuple[Bytes, Bytes]]) -> Callable[[Mapping[str, Tensor]], dict[str, float]]:
    """A function from weights to the mean PSNR of RGB on `pairs`."""

    @torch.inference_mode()
    def validate(weights: Mapping[str, Tensor]) -> dict[str, float]:
        scores = []
        for given, truth in pairs:
            planes = torch.from_numpy(to_unit(given)).permute(2, 0, 1)[None]
            result = functional_call(net, dict(weights), (planes,))[0].permute(1, 2, 0).clamp(0, 1)
            scores.append(psnr(result.numpy(), to_unit(truth)))
        return {"psnr": float(np.mean(scores))}

    return validate
