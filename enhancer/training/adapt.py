"""Fine-tune the denoiser on a user's noisy pictures, without a clean version of any; refuse a net that is no better.

The net learns by Neighbor2Neighbor (:mod:`enhancer.training.neighbours`), and is given the noise level that the
denoising stage would measure in each picture. Two checks decide whether it may replace the one it started from, both
on what it has not learned from:

* on held-out noisy pictures it must give one of two neighbouring half-size pictures from the other with less error,
  beyond what chance would give; this is unbiased without any truth, for noise that is independent from pixel to pixel;
* on clean photographs with noise like theirs put on (:mod:`enhancer.training.noise_model`) it must not lose. Where
  neighbouring pixels share their noise the first check would praise a net that keeps it; this one does not.
"""

from __future__ import annotations

import copy
import tempfile
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from skimage import data
from torch import Tensor, nn

from enhancer.errors import ModelError, RequestError
from enhancer.models.catalogue import ModelEntry
from enhancer.models.loading import load_module
from enhancer.models.store import ensure
from enhancer.quality.metrics import psnr
from enhancer.settings import Settings
from enhancer.stages.nets import denoiser_entry
from enhancer.training.degradations import as_bytes
from enhancer.training.loop import Schedule, train
from enhancer.training.neighbours import draw_pairs, neighbour_loss, residual
from enhancer.training.noise_model import NoiseModel
from enhancer.training.noisy_pictures import LEAST_SIDE, NoisyPicture, middle
from enhancer.training.pictures import Bytes, PatchSampler, split
from enhancer.training.trainable import AsIs

CONFIG: Final = Path(__file__).parent / "configs" / "adapt.toml"
HELD_OUT_SHARE: Final = 0.2
OFFSET: Final = 2 / 255
"""As in :mod:`enhancer.training.denoise`: squared errors count over sigma plus this."""
SIGMA_STEPS: Final = 3
"""In which a patch's sigma is kept, per level of 255."""
CHECK_SIDE: Final = 96
CHECKS: Final = 48
"""Crops of held-out pictures that are compared, in all."""
LIKE_NOISE_FROM: Final = 8
"""Pictures from which the kind of noise is read."""
LEAST_ERRORS: Final = 2.0
"""Standard errors by which the held-out loss must have fallen."""
MOST_LOST_DB: Final = 0.1
"""PSNR that may be lost on clean photographs with such noise, which are not the pictures for which it has learned."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """How a net and the one it started from compare on what neither has learned from.

    Attributes:
        held_out: mean fall of the held-out loss, in standard errors; above 0 is better.
        held_out_share: the same as a share of the loss, most of which is the noise itself.
        psnr_before, psnr_after: mean PSNR of RGB on clean photographs with such noise.
    """

    held_out: float
    held_out_share: float
    psnr_before: float
    psnr_after: float

    @property
    def fault(self) -> str | None:
        """Why the net must not be used; None: it may be."""
        if not self.held_out >= LEAST_ERRORS:
            return (
                f"on held-out pictures it is no better: their loss fell by {100 * self.held_out_share:.2f} %, "
                f"{self.held_out:.1f} standard errors, and {LEAST_ERRORS:g} are needed"
            )
        if not self.psnr_after >= self.psnr_before - MOST_LOST_DB:
            return (
                f"on clean photographs with such noise put on it is worse: {self.psnr_after:.2f} dB instead of "
                f"{self.psnr_before:.2f}"
            )
        return None


@dataclass(frozen=True, slots=True)
class Adapted:
    """A net that may be used: its weights in float32, and the figures that speak for it."""

    weights: dict[str, Tensor]
    base: ModelEntry
    judgement: Judgement
    learned_from: int
    held_out: int


def configuration() -> dict[str, Any]:
    """enhancer/training/configs/adapt.toml: ``seed``, ``regulariser``, table ``schedule``."""
    return tomllib.loads(CONFIG.read_text(encoding="utf-8"))


def adapt(
    pictures: Sequence[NoisyPicture],
    settings: Settings,
    *,
    base: str | None = None,
    config: dict[str, Any] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Adapted:
    """A denoiser for pictures like these.

    Args:
        pictures: at least two; a fifth of them is held out and never learned from.
        settings: where weights are.
        base: catalogue name of the denoiser to start from, one that takes a noise map; None: the default one.
        config: as :func:`configuration` gives it; None: that.
        progress: called before each step with the steps done and those in all.

    Raises:
        RequestError: fewer than two pictures.
        ModelError: the net cannot be had, or what was learned is no better (``not-better``).
    """
    if len(pictures) < 2:
        raise RequestError(
            f"{len(pictures)} noisy pictures are too few to adapt a denoiser: it takes one to learn from and another "
            "one to check it with, and ten or more to be of use",
            reason="too-few-pictures",
        )
    config = config or configuration()
    seed, schedule = int(config["seed"]), Schedule(**config["schedule"])
    entry = denoiser_entry(base)
    before = load_module(entry, ensure(entry, settings))
    places = list(range(len(pictures)))
    learned, held_out = split(places, max(1, round(HELD_OUT_SHARE * len(places))))
    try:
        weights = _learn(before, [pictures[place] for place in learned], config, schedule, seed, progress)
    except FloatingPointError as error:
        raise ModelError(f"the adaptation went astray: {error}", reason="not-better") from error
    after = copy.deepcopy(before)
    after.load_state_dict({name: tensor.half().float() for name, tensor in weights.items()})  # as it will be used
    judgement = judge(before, after, [pictures[place] for place in held_out], seed)
    if judgement.fault:
        raise ModelError(f"the adapted denoiser is refused: {judgement.fault}; keep {entry.name}", reason="not-better")
    return Adapted(weights, entry, judgement, len(learned), len(held_out))


@torch.inference_mode()
def judge(before: nn.Module, after: nn.Module, held_out: Sequence[NoisyPicture], seed: int) -> Judgement:
    """Compare two denoisers on noisy pictures that neither has seen, and on clean photographs with such noise."""
    falls, losses = [], []
    random = np.random.default_rng((seed, 2))
    for picture in held_out:
        for crop in _crops(picture.pixels, max(1, CHECKS // len(held_out))):
            noisy, sigma = _planes(crop, picture.sigma)
            pairs = draw_pairs(noisy.shape, random)
            first, second = (
                float(residual(net, noisy, sigma, pairs).square().mean()) / (picture.sigma + OFFSET)
                for net in (before, after)
            )
            falls.append(first - second)
            losses.append(first)
    fall, error = float(np.mean(falls)), float(np.std(falls, ddof=1) / np.sqrt(len(falls))) if len(falls) > 1 else 0.0
    in_errors = fall / error if error else LEAST_ERRORS * np.sign(fall)
    scores = _with_like_noise(before, after, held_out, random)
    return Judgement(float(in_errors), fall / float(np.mean(losses)), *scores)


def _learn(
    base: nn.Module,
    pictures: Sequence[NoisyPicture],
    config: dict[str, Any],
    schedule: Schedule,
    seed: int,
    progress: Callable[[int, int], None] | None,
) -> dict[str, Tensor]:
    pixels = [picture.pixels for picture in pictures]
    maps = [_sigma_bytes(picture) for picture in pictures]
    sampler = PatchSampler([(pixels, 1), (maps, 1)], schedule.patch, seed)
    module = AsIs(copy.deepcopy(base).requires_grad_(True))

    def draw(step: int) -> list[Tensor]:
        if progress:
            progress(step, schedule.steps)
        noisy, kept = sampler.batch(step, schedule.batch)
        pairs = draw_pairs(noisy.shape, np.random.default_rng((seed, step, 1)))
        return [torch.from_numpy(noisy), torch.from_numpy(kept[:, :1] / np.float32(SIGMA_STEPS)), pairs]

    def loss(given: Tensor, sigma: Tensor, pairs: Tensor) -> Tensor:
        return neighbour_loss(module, given, sigma, pairs, regulariser=config["regulariser"], offset=OFFSET)

    with tempfile.TemporaryDirectory(prefix="enhancer-adapt-") as folder:
        return train(module, draw, loss, lambda _: {}, schedule, Path(folder), seed=seed)


def _sigma_bytes(picture: NoisyPicture) -> Bytes:
    """Its sigma in the form in which patches are drawn: bytes, the same for every pixel, without their memory."""
    return np.broadcast_to(np.uint8(min(255, round(255 * SIGMA_STEPS * picture.sigma))), picture.pixels.shape)


def _with_like_noise(
    before: nn.Module, after: nn.Module, pictures: Sequence[NoisyPicture], random: np.random.Generator
) -> tuple[float, float]:
    """Mean PSNR of both nets on photographs of scikit-image with noise like that of `pictures`."""
    sigma = float(np.sqrt(np.mean([picture.sigma**2 for picture in pictures])))
    model = NoiseModel.of(
        [picture.pixels.astype(np.float32) / np.float32(255) for picture in pictures[:LIKE_NOISE_FROM]], sigma
    )
    scores: list[list[float]] = [[], []]
    for photograph in (data.astronaut(), data.coffee(), data.chelsea(), data.rocket()):
        truth = middle(photograph.astype(np.float32) / np.float32(255), LEAST_SIDE)
        noisy, strength = _planes(as_bytes(model.drawn_on(truth, random)), sigma)
        for net, into in zip((before, after), scores, strict=True):
            result = net(torch.cat((noisy, strength), dim=1))[0].clamp(0, 1).permute(1, 2, 0).numpy()
            into.append(psnr(result, truth))
    return float(np.mean(scores[0])), float(np.mean(scores[1]))


def _crops(pixels: Bytes, count: int) -> list[Bytes]:
    """At most `count` squares of :data:`CHECK_SIDE`, spread over the picture, none over another."""
    rows = range(0, pixels.shape[0] - CHECK_SIDE + 1, CHECK_SIDE)
    columns = range(0, pixels.shape[1] - CHECK_SIDE + 1, CHECK_SIDE)
    corners = [(top, left) for top in rows for left in columns]
    chosen, _ = split(corners, max(0, len(corners) - count))
    return [pixels[top : top + CHECK_SIDE, left : left + CHECK_SIDE] for top, left in chosen]


def _planes(pixels: Bytes, sigma: float) -> tuple[Tensor, Tensor]:
    """A picture as 1 x 3 x H x W and its sigma as 1 x 1 x H x W."""
    noisy = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)[None])).float() / 255
    return noisy, torch.full_like(noisy[:, :1], sigma)
