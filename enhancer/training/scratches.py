"""Train the detector of scratches and dust: ``make train-scratches``.

Photographs become prints, most of them are damaged (:mod:`enhancer.training.damage`), all are scanned; the net learns
which pixels the marks changed. Binary cross-entropy, and the Dice loss (F. Milletari et al., "V-Net", 3DV 2016), since
damage is a few hundredths of the pixels. Those that a mark changed too little to see count for neither side.

A share of the patches has no damage at all: wires, grass, whiskers and window frames must be learned to be no
scratches. Validation is on held-out pictures with the kinds of damage that are trained; the kinds in
:data:`enhancer.training.damage.HELD_OUT` are seen by the benchmark alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn import functional

from enhancer.image import FloatPixels
from enhancer.models.architectures.damage import MULTIPLE
from enhancer.training.damage import FAINT, TRAINED, VISIBLE, Damaged, Draw, damaged, printed, scanned
from enhancer.training.detection import Agreement, agreement
from enhancer.training.held_out import training_pictures
from enhancer.training.loop import Schedule, train
from enhancer.training.nets import build_net
from enhancer.training.pictures import Bytes, PatchSampler, load_picture, split
from enhancer.training.trainable import AsIs
from enhancer.training.wear import Shares, learned_overlays, rescanned, worn
from enhancer.training.weights import save_half

HELD_OUT_PICTURES: Final = 40
ZOOM: Final = 1.5
"""A patch is cut up to so much larger than the net gets it, and reduced; or as much smaller, and enlarged."""
SURE: Final = 0.5
"""Probability from which a pixel counts as found in validation."""

Batch = tuple[Tensor, Tensor, Tensor]


def run(config: Mapping[str, Any], data: list[Path], out: Path, *, start: Path | None = None) -> Path:
    """Train as `config` says.

    Args:
        config: a parsed configuration file: ``seed``, ``whole_share`` (of the patches without damage), tables ``net``
            and ``schedule``; maybe ``worn_share`` (of the damaged patches that get overlays and wide cracks) and
            ``overlays``, the folder of overlays for them.
        data: folders of clean pictures.
        out: checkpoint, curve and weights go here.
        start: weights of the same net to start from.

    Returns:
        The file of the averaged weights, float16.
    """
    seed = int(config["seed"])
    torch.manual_seed(seed)
    schedule = Schedule(**config["schedule"])
    net = build_net(config["net"], start)
    paths, held_out = split(training_pictures(*data), HELD_OUT_PICTURES)
    side = round(schedule.patch * ZOOM)
    sampler = PatchSampler([([load_picture(path) for path in paths], 1)], side, seed)
    overlays = learned_overlays(Path(config["overlays"])) if "overlays" in config else []
    worn_share = float(config.get("worn_share", 0))
    examples = Examples(sampler, schedule, float(config["whole_share"]), seed, worn_share, overlays)
    module = AsIs(net)

    def loss(given: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        odds = module(given.contiguous(memory_format=torch.channels_last))
        entropy = functional.binary_cross_entropy_with_logits(odds, target, reduction="none")
        # Every damaged pixel counts as much as four whole ones, and the hardest whole ones are what is worth learning.
        entropy = (entropy * weight * (1 + 3 * target)).sum() / weight.sum()
        found = torch.sigmoid(odds) * weight
        dice = 1 - (2 * (found * target).sum() + 1) / (found.sum() + (target * weight).sum() + 1)
        return torch.add(entropy, 0.3 * dice)

    validate = validator(net, [load_picture(path) for path in held_out], seed)
    workers = int(config.get("workers", 0))
    weights = train(module, examples.batch, loss, validate, schedule, out, seed=seed, workers=workers)
    return save_half(weights, out / "weights.safetensors")


class Examples:
    """Batches of scanned prints with the truth about their damage.

    Args:
        sampler: of patches :data:`ZOOM` times as large as the net gets them.
        schedule: size of patch and batch.
        whole_share: of the patches without damage.
        seed: of the draw.
        worn_share: of the damaged patches that get overlays and wide cracks (:mod:`enhancer.training.wear`), and of
            all that are scanned as such prints are.
        overlays: for them.
    """

    def __init__(
        self,
        sampler: PatchSampler,
        schedule: Schedule,
        whole_share: float,
        seed: int,
        worn_share: float = 0.0,
        overlays: Sequence[Shares] = (),
    ) -> None:
        self._sampler, self._schedule, self._whole_share, self._seed = sampler, schedule, whole_share, seed
        self._worn_share, self._overlays = worn_share, overlays

    def batch(self, step: int) -> Batch:
        """The batch of a step, the same at every call.

        Returns:
            Prints (N x 3 x side x side), truth (N x 1 x side x side, 1 where damaged), and what each pixel counts.
        """
        (patches,) = self._sampler.batch(step, self._schedule.batch)
        draw = np.random.default_rng((self._seed, 1, step))
        made = [self._example(patch.transpose(1, 2, 0), draw) for patch in patches]
        given = torch.from_numpy(np.stack([pixels for pixels, _ in made])).permute(0, 3, 1, 2)
        change = torch.from_numpy(np.stack([change for _, change in made]))[:, None]
        target = (change > VISIBLE).float()
        return given, target, ((change > VISIBLE) | (change < FAINT)).float()

    def _example(self, patch: FloatPixels, draw: Draw) -> tuple[FloatPixels, FloatPixels]:
        side = self._schedule.patch
        cut = round(side * ZOOM ** draw.uniform(-1, 1))
        top, left = draw.integers(0, patch.shape[0] - cut + 1, 2)
        window = np.ascontiguousarray(patch[top : top + cut, left : left + cut])
        sized = cv2.resize(window, (side, side), interpolation=cv2.INTER_AREA if cut > side else cv2.INTER_CUBIC)
        whole = draw.random() < self._whole_share
        wear = draw.random() < self._worn_share if self._worn_share else False
        kinds = () if whole else draw.choice(TRAINED, int(draw.integers(0 if wear else 1, 4 - wear)), replace=False)
        print_ = damaged(printed(np.clip(sized, 0, 1), draw), draw, tuple(kinds))
        if wear and not whole:
            print_ = worn(print_, draw, self._overlays)
        return (rescanned if wear else scanned)(print_.pixels, draw), print_.change


def probabilities(net: nn.Module, weights: Mapping[str, Tensor], pixels: FloatPixels) -> FloatPixels:
    """H x W probabilities of damage in an H x W x 3 picture, whose sides need not be multiples of anything."""
    height, width = pixels.shape[:2]
    given = torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))[None]
    padded = functional.pad(given, (0, -width % MULTIPLE, 0, -height % MULTIPLE), mode="replicate")
    with torch.inference_mode():
        odds = functional_call(net, dict(weights), (padded,))
    found: FloatPixels = torch.sigmoid(odds)[0, 0, :height, :width].numpy()
    return found


def held_out_print(picture: Bytes, seed: int, kinds: tuple[str, ...]) -> tuple[FloatPixels, Damaged, FloatPixels]:
    """One test picture: the print while it was whole, the damaged print, and its scan; the same for the same seed."""
    draw = np.random.default_rng((seed, 2))
    whole = printed(picture.astype(np.float32) / np.float32(255), draw)
    print_ = damaged(whole, draw, kinds)
    return whole, print_, scanned(print_.pixels, draw)


def validator(net: nn.Module, pictures: list[Bytes], seed: int) -> Callable[[Mapping[str, Tensor]], dict[str, float]]:
    """A function from weights to F1 on damaged pictures (every other one) and how many whole pixels are found."""
    tests = [
        held_out_print(picture, seed + number, TRAINED[: 1 + number % len(TRAINED)] if number % 2 else ())
        for number, picture in enumerate(pictures)
    ]

    def validate(weights: Mapping[str, Tensor]) -> dict[str, float]:
        total, wrong, whole = Agreement(), 0, 0
        for _, print_, scan in tests:
            found = probabilities(net, weights, scan) > SURE
            if print_.mask.any():
                total += agreement(found, print_.mask, print_.traces)
            else:
                wrong, whole = wrong + int(found.sum()), whole + found.size
        return {
            "f1": total.f1,
            "precision": total.precision,
            "recall": total.recall,
            "false_per_10000": 1e4 * wrong / whole,
        }

    return validate
