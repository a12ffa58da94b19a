"""Train the denoiser: ``make train-denoise``.

The noise2noise way (J. Lehtinen et al., ICML 2018): the net gets one noisy version of a picture and is to give another
one, whose noise is independent. It cannot guess that noise, so the least squared error is its mean, the clean picture,
though no clean picture is ever in the loss. That holds for noise of mean zero only, so it is not clipped in training.
The second version has less noise than the first, as a longer exposure has: the mean is the same, and the gradient, in
which a target's noise would drown what is left to learn, is steadier.

Noise and its strength are drawn here, on pictures that serve as clean; only the validation compares with these.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from enhancer.image import FloatPixels, to_unit
from enhancer.quality.metrics import psnr
from enhancer.training.degradations import as_bytes, noise_map, with_gaussian_noise
from enhancer.training.held_out import training_pictures
from enhancer.training.loop import Schedule, train
from enhancer.training.nets import build_net
from enhancer.training.pictures import Bytes, PatchSampler, load_picture, split
from enhancer.training.reparameterisation import Reparameterised
from enhancer.training.trainable import AsIs
from enhancer.training.weights import save_half

HELD_OUT: Final = 10
VALIDATION_SIDE: Final = 192
VALIDATION_SIGMAS: Final = (0, 5, 15, 25, 50)
"""In levels of 255."""
WEIGHT_OFFSET: Final = 2 / 255
"""Squared errors are divided by sigma plus this, so that all strengths count about alike in decibels."""
WANTED_SHARE: Final = 0.25
"""Strength of the second version's noise, of the first one's: that of 16 times the exposure."""


def run(config: Mapping[str, Any], data: list[Path], out: Path, *, start: Path | None = None) -> Path:
    """Train as `config` says.

    Args:
        config: a parsed configuration file: ``seed``, ``highest_sigma`` (levels of 255), tables ``net``, ``schedule``.
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
    sampler = PatchSampler([([load_picture(path) for path in paths], 1)], schedule.patch, seed)
    highest = config["highest_sigma"] / 255

    def draw(step: int) -> list[Tensor]:
        (patches,) = sampler.batch(step, schedule.batch)
        pair = noisy_pair(patches, highest, np.random.default_rng((seed, step, 1)))
        return [torch.from_numpy(array) for array in pair]

    def loss(given: Tensor, wanted: Tensor, sigma: Tensor) -> Tensor:
        error = (module(torch.cat([given, sigma], dim=1)) - wanted).square()
        return torch.mean(error / (sigma + WEIGHT_OFFSET))

    validate = validator(net, [load_picture(path)[:VALIDATION_SIDE, :VALIDATION_SIDE] for path in held_out])
    weights = train(module, draw, loss, validate, schedule, out, seed=seed, workers=int(config.get("workers", 0)))
    return save_half(weights, out / "weights.safetensors")


def noisy_pair(
    patches: FloatPixels, highest: float, random: np.random.Generator
) -> tuple[FloatPixels, FloatPixels, FloatPixels]:
    """Two noisy versions of each patch, and how strong their noise is.

    Args:
        patches: N x 3 x side x side on [0, 1].
        highest: standard deviation on the same scale.
        random: of the draw.

    Returns:
        Two arrays of that shape whose noise is independent, `WANTED_SHARE` as strong in the second, and the strength in
        the first, N x 1 x side x side.
    """
    sigma = np.stack([noise_map(patches.shape[-1], highest, random)[None] for _ in patches])
    given = with_gaussian_noise(patches, sigma, random)
    return given, with_gaussian_noise(patches, WANTED_SHARE * sigma, random), sigma


def validator(net: nn.Module, pictures: list[Bytes]) -> Callable[[Mapping[str, Tensor]], dict[str, float]]:
    """A function from weights to the mean PSNR of RGB on `pictures` at each strength, noise clipped as in a file."""
    given = {}
    for sigma in VALIDATION_SIGMAS:
        random = np.random.default_rng(sigma)
        given[sigma] = [as_bytes(with_gaussian_noise(to_unit(picture), sigma / 255, random)) for picture in pictures]

    @torch.inference_mode()
    def validate(weights: Mapping[str, Tensor]) -> dict[str, float]:
        figures = {}
        for sigma, noisy in given.items():
            scores = []
            for picture, clean in zip(noisy, pictures, strict=True):
                planes = torch.from_numpy(to_unit(picture)).permute(2, 0, 1)[None]
                strength = torch.full_like(planes[:, :1], sigma / 255)
                result = functional_call(net, dict(weights), (torch.cat((planes, strength), dim=1),))[0]
                scores.append(psnr(result.clamp(0, 1).permute(1, 2, 0).numpy(), to_unit(clean)))
            figures[f"psnr_{sigma}"] = float(np.mean(scores))
        return figures

    return validate
