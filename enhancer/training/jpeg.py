"""Train the net against JPEG artefacts: ``make train-jpeg``.

L1 between what the net makes of a JPEG and the picture before it. The net is given the mean step of the luminance
quantisation (:func:`enhancer.codecs.jpeg.mean_step`), as FFDNet is given the noise (K. Zhang et al., IEEE TIP 2018), so
that one net serves every quality. The block grid lies anywhere in a patch: the net finds it by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from enhancer.codecs.jpeg import mean_step
from enhancer.image import FloatPixels, to_unit
from enhancer.quality.metrics import luma, psnr
from enhancer.training.degradations import as_bytes, through_jpeg
from enhancer.training.held_out import training_pictures
from enhancer.training.loop import Schedule, train
from enhancer.training.nets import build_net
from enhancer.training.pictures import Bytes, PatchSampler, load_picture, split
from enhancer.training.reparameterisation import Reparameterised
from enhancer.training.trainable import AsIs
from enhancer.training.weights import save_half

HELD_OUT: Final = 10
VALIDATION_SIDE: Final = 192
VALIDATION_QUALITIES: Final = (10, 30, 60)
MARGIN: Final = 16
"""Pixels by which an encoded patch is larger than what is cut of it: a chroma block of 4:2:0, so that the grid may lie
anywhere."""
SUBSAMPLED: Final = 2 / 3
"""Share of patches with 4:2:0; the rest has 4:4:4."""
GREY: Final = 1 / 8
"""Share of patches without colour, which a grey picture is to the net."""


def run(config: Mapping[str, Any], data: list[Path], out: Path, *, start: Path | None = None) -> Path:
    """Train as `config` says.

    Args:
        config: a parsed configuration file: ``seed``, ``lowest_quality``, ``highest_quality``, tables ``net`` and
            ``schedule``.
        data: folders of pictures.
        out: checkpoint, curve and weights go here.
        start: weights of the same net to start from.

    Returns:
        The file of the averaged weights, float16.
    """
    seed = int(config["seed"])
    torch.manual_seed(seed)
    schedule = Schedule(**config["schedule"])
    net = build_net(config["net"], start)
    module = Reparameterised(net, started=start is not None) if config["reparameterise"] else AsIs(net)
    paths, held_out = split(training_pictures(*data), HELD_OUT)
    sampler = PatchSampler([([load_picture(path) for path in paths], 1)], schedule.patch + MARGIN, seed)
    qualities = (int(config["lowest_quality"]), int(config["highest_quality"]))

    def draw(step: int) -> list[Tensor]:
        (patches,) = sampler.batch(step, schedule.batch)
        pair = compressed(patches, qualities, np.random.default_rng((seed, step, 1)))
        return [torch.from_numpy(array) for array in pair]

    def loss(given: Tensor, wanted: Tensor) -> Tensor:
        return functional.l1_loss(module(given), wanted)

    validate = validator(net, [load_picture(path)[:VALIDATION_SIDE, :VALIDATION_SIDE] for path in held_out])
    weights = train(module, draw, loss, validate, schedule, out, seed=seed, workers=int(config.get("workers", 0)))
    return save_half(weights, out / "weights.safetensors")


def compressed(
    patches: FloatPixels, qualities: tuple[int, int], random: np.random.Generator
) -> tuple[FloatPixels, FloatPixels]:
    """Patches through JPEG files of random quality.

    Args:
        patches: N x 3 x side x side on [0, 1].
        qualities: lowest and highest, drawn evenly.
        random: of the draw.

    Returns:
        What the net gets, N x 4 x (side - 16) x (side - 16) with the mean quantiser step after the colours, and what
        it is to give, without that plane.
    """
    given, wanted = [], []
    side = patches.shape[-1] - MARGIN
    for patch in patches:
        coloured = patch.transpose(1, 2, 0)
        clean = as_bytes(luma(coloured).repeat(3, axis=2) if random.random() < GREY else coloured)
        quality = int(random.integers(qualities[0], qualities[1] + 1))
        damaged = through_jpeg(clean, quality, "4:2:0" if random.random() < SUBSAMPLED else "4:4:4")
        top, left = random.integers(MARGIN, size=2)
        window = np.s_[top : top + side, left : left + side]
        given.append(with_step(to_unit(damaged[window]), mean_step(quality)))
        wanted.append(to_unit(clean[window]).transpose(2, 0, 1))
    return np.stack(given), np.stack(wanted)


def with_step(pixels: FloatPixels, step: float) -> FloatPixels:
    """H x W x 3 as the net takes it: 4 x H x W, the last plane full of `step`."""
    plane = np.full((1, *pixels.shape[:2]), step, np.float32)
    return np.concatenate([pixels.transpose(2, 0, 1), plane])


def validator(net: nn.Module, pictures: list[Bytes]) -> Callable[[Mapping[str, Tensor]], dict[str, float]]:
    """A function from weights to the mean gain in PSNR of RGB over 4:2:0 JPEGs of `pictures` at each quality."""
    given = {quality: [through_jpeg(picture, quality) for picture in pictures] for quality in VALIDATION_QUALITIES}

    @torch.inference_mode()
    def validate(weights: Mapping[str, Tensor]) -> dict[str, float]:
        figures = {}
        for quality, damaged in given.items():
            gains = []
            for picture, clean in zip(damaged, pictures, strict=True):
                planes = torch.from_numpy(with_step(to_unit(picture), mean_step(quality)))[None]
                result = functional_call(net, dict(weights), (planes,))[0].clamp(0, 1).permute(1, 2, 0).numpy()
                gains.append(psnr(result, to_unit(clean)) - psnr(to_unit(picture), to_unit(clean)))
            figures[f"gain_{quality}"] = float(np.mean(gains))
        return figures

    return validate
