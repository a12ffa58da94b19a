"""Pictures for a net's purpose, with and without what it repairs: to calibrate by, and to check on.

Unless others are given, they are photographs that come with scikit-image, so that a build is the same everywhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from enhancer.codecs.jpeg import mean_step
from enhancer.errors import ModelError, RequestError
from enhancer.image import FloatPixels, to_unit
from enhancer.models.catalogue import ModelEntry
from enhancer.stages.fading import look_at
from enhancer.training.degradations import as_bytes, through_jpeg, with_gaussian_noise
from enhancer.training.pictures import Bytes, list_pictures, load_picture, reduced
from enhancer.training.real_damage import MODELS, Strength, damaged

CALIBRATION: Final = (
    "astronaut.png",
    "motorcycle_left.png",
    "rocket.jpg",
    "ihc.png",
    "retina.jpg",
    "hubble_deep_field.jpg",
)
CHECK: Final = ("chelsea.png", "coffee.png")
"""Of scikit-image; none shows what one of the others shows."""
SIDE: Final = 96
"""Of a calibration sample, in pixels of the net's input."""
CROPS: Final = 10
"""Calibration samples of one picture, at most."""
CHECK_SIDE: Final = 400
"""Longest side of a picture to check on, in pixels of the truth: enough for a mean, little enough for any net."""
SIGMAS: Final = (5, 15, 25, 50)
QUALITIES: Final = (10, 30, 60)
DAMAGE: Final[tuple[Strength, ...]] = ("clean", "light", "medium", "heavy")
CHECKED: Final = ("fidelity", "perceptual", "restoration", "denoise", "jpeg")
"""Purposes whose result is a picture, so that PSNR can say what quantising costs."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What a net is given, in_channels x H x W float32, and what it should give, 3 x sH x sW on [0, 1]."""

    name: str
    given: FloatPixels
    truth: FloatPixels


def pictures(folder: Path | None) -> tuple[dict[str, Bytes], dict[str, Bytes]]:
    """Pictures to calibrate by and pictures to check on, by name.

    Args:
        folder: of pictures, every fifth of which is kept for the check; None: scikit-image's.

    Raises:
        RequestError: the folder holds too few pictures (reason ``bad-folder``).
    """
    if folder is None:
        from skimage import data

        home = Path(data.__file__).parent
        return {name: load_picture(home / name) for name in CALIBRATION}, {
            name: load_picture(home / name) for name in CHECK
        }
    try:
        paths = list_pictures(folder)
    except FileNotFoundError as error:
        raise RequestError(f"{folder} holds no pictures to calibrate by", reason="bad-folder") from error
    if len(paths) < 10:
        raise RequestError(f"{folder} holds {len(paths)} pictures; a calibration needs 10", reason="bad-folder")
    kept = [path for place, path in enumerate(paths) if place % 5]
    return _load(kept), _load(paths[::5][:8])


def _load(paths: Sequence[Path]) -> dict[str, Bytes]:
    return {str(path): load_picture(path) for path in paths[:100]}


def calibration_samples(entry: ModelEntry, given: dict[str, Bytes], multiple: int) -> list[Sample]:
    """Crops of the pictures, damaged as the net expects it."""
    random = np.random.default_rng(1)
    side = SIDE * entry.scale
    samples = []
    for name, picture in given.items():
        height, width = picture.shape[:2]
        places = [(top, left) for top in range(0, height - 1, side) for left in range(0, width - 1, side)]
        for top, left in [places[index] for index in random.permutation(len(places))[:CROPS]]:
            crop = picture[top : top + side, left : left + side]
            if min(crop.shape[:2]) >= 32 * entry.scale:
                samples += _samples(entry, name, crop, multiple, random, one=True)
    return samples


def check_samples(entry: ModelEntry, given: dict[str, Bytes], multiple: int) -> list[Sample]:
    """The middle of each picture, damaged in every way that the net is measured by."""
    random = np.random.default_rng(2)
    samples = []
    for name, picture in given.items():
        top, left = ((side - min(side, CHECK_SIDE)) // 2 for side in picture.shape[:2])
        middle = picture[top : top + CHECK_SIDE, left : left + CHECK_SIDE]
        samples += _samples(entry, name, middle, multiple, random, one=False)
    return samples


def _samples(
    entry: ModelEntry, name: str, picture: Bytes, multiple: int, random: np.random.Generator, *, one: bool
) -> list[Sample]:
    """The picture in each kind of damage, or in `one` of them drawn at random."""
    step = entry.scale * multiple
    height, width = (side // step * step for side in picture.shape[:2])
    picture = picture[:height, :width]
    truth = to_unit(picture).transpose(2, 0, 1)
    match entry.purpose:
        case "fidelity" | "perceptual":
            return [Sample(name, to_unit(reduced(picture, entry.scale)).transpose(2, 0, 1), truth)]
        case "restoration":
            strengths = [DAMAGE[random.integers(len(DAMAGE))]] if one else DAMAGE
            return [_damaged(entry, name, picture, truth, strength, random) for strength in strengths]
        case "denoise":
            sigmas = random.choice(SIGMAS, 1) if one else SIGMAS
            return [_noisy(name, picture, truth, float(sigma) / 255, random) for sigma in sigmas]
        case "jpeg":
            qualities = random.choice(QUALITIES, 1) if one else QUALITIES
            return [_compressed(name, picture, truth, int(quality)) for quality in qualities]
        case "colour":
            look = np.ascontiguousarray(look_at(truth.transpose(1, 2, 0)).transpose(2, 0, 1))
            return [Sample(name, look, look)]
        case _:
            return [Sample(name, truth, truth)]


def _damaged(
    entry: ModelEntry, name: str, picture: Bytes, truth: FloatPixels, strength: Strength, random: np.random.Generator
) -> Sample:
    given, damage = damaged(picture, entry.scale, MODELS[random.integers(len(MODELS))], strength, random)
    return Sample(f"{name}, {damage.model}, {strength}", to_unit(given).transpose(2, 0, 1), truth)


def _noisy(name: str, picture: Bytes, truth: FloatPixels, sigma: float, random: np.random.Generator) -> Sample:
    noisy = to_unit(as_bytes(with_gaussian_noise(to_unit(picture), sigma, random))).transpose(2, 0, 1)
    sigma_map = np.full((1, *noisy.shape[1:]), sigma, np.float32)
    return Sample(f"{name}, sigma {255 * sigma:.0f}", np.concatenate([noisy, sigma_map]), truth)


def _compressed(name: str, picture: Bytes, truth: FloatPixels, quality: int) -> Sample:
    given = to_unit(through_jpeg(picture, quality)).transpose(2, 0, 1)
    step = np.full((1, *given.shape[1:]), mean_step(quality), np.float32)
    return Sample(f"{name}, quality {quality}", np.concatenate([given, step]), truth)


def refuse_unless_checkable(entry: ModelEntry) -> None:
    """Refuse a net that gives no picture.

    Raises:
        ModelError: PSNR means nothing for it, so what int8 costs cannot be measured (reason ``wrong-purpose``).
    """
    if entry.purpose not in CHECKED:
        raise ModelError(
            f"{entry.name} ({entry.purpose}) gives no picture, so what int8 costs cannot be measured: build it in fp32",
            reason="wrong-purpose",
        )
