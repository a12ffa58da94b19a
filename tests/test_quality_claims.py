"""The specified quality tests, against truth: PSNR above 30 dB with the recipe that fits the damage, few artefacts.

The means are over the test set; docs/quality.md says for which damage such a claim cannot hold.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data

from enhancer.codecs import Limits, decode
from enhancer.processing import ImageEnhancer
from enhancer.quality.artifacts import artifact_score
from enhancer.quality.metrics import psnr
from enhancer.recipe import preset
from enhancer.settings import Settings
from enhancer.training.degradations import as_bytes, with_gaussian_noise, with_impulses
from enhancer.training.pictures import Bytes, list_pictures, load_picture, reduced
from tests.model_cache import MODEL_CACHE

LEAST_DB = 30.0
MOST_ARTIFACTS = 0.05
Damage = Callable[[Bytes, np.random.Generator], bytes]


def unit(pixels: Bytes) -> np.ndarray:
    return pixels.astype(np.float32) / np.float32(255)


def saved(pixels: Bytes, kind: str = "PNG", **options: int) -> bytes:
    """The picture as a file, for what a file says of itself counts too."""
    made = io.BytesIO()
    Image.fromarray(pixels).save(made, kind, **options)
    return made.getvalue()


DAMAGES: dict[str, tuple[float, float, Damage]] = {
    "noise of sigma 15": (1, 5, lambda p, random: saved(as_bytes(with_gaussian_noise(unit(p), 15 / 255, random)))),
    "impulses of 5 %": (1, 8, lambda p, random: saved(as_bytes(with_impulses(unit(p), 0.05, random)))),
    "JPEG of quality 30": (1, -0.01, lambda p, random: saved(p, "JPEG", quality=30)),
    "half the size": (2, 1, lambda p, random: saved(reduced(p, 2))),
}
"""Kinds of damage, each with the scale that mends it under the default recipe, and the least gain in dB. What is gained
on JPEGs, `make bench-jpeg` measures."""


@pytest.fixture(scope="module")
def enhancer(tmp_path_factory: pytest.TempPathFactory) -> ImageEnhancer:
    return ImageEnhancer("photo", settings=Settings(home=tmp_path_factory.mktemp("home"), model_dir=MODEL_CACHE))


def photographs() -> list[Bytes]:
    """Parts of photographs of scikit-image, on which nothing here was trained."""
    return [
        data.astronaut()[:256, 128:384],
        data.coffee()[72:328, 172:428],
        data.chelsea()[22:278, 97:353],
        data.rocket()[80:336, 192:448],
    ]


def check(enhancer: ImageEnhancer, pictures: list[Bytes], damage: str) -> None:
    scale, gain, harm = DAMAGES[damage]
    before, after, artifacts = [], [], []
    for index, truth in enumerate(pictures):
        file = harm(truth, np.random.default_rng(index))
        with Image.open(io.BytesIO(file)) as opened:
            given = np.asarray(opened)
        result = enhancer.enhance_document(
            decode(file, name=damage, limits=Limits.from_settings(enhancer.settings)), preset("photo", scale=scale)
        ).document.first.pixels
        enlarged = Image.fromarray(given).resize((truth.shape[1], truth.shape[0]), Image.Resampling.BICUBIC)
        before.append(psnr(unit(np.asarray(enlarged)), unit(truth)))
        after.append(psnr(unit(result), unit(truth)))
        artifacts.append(artifact_score(unit(result), unit(given)).score)
    assert np.mean(after) > LEAST_DB, (before, after)
    assert np.mean(after) >= np.mean(before) + gain, (before, after)
    assert max(artifacts) < MOST_ARTIFACTS, artifacts


@pytest.mark.parametrize("damage", DAMAGES)
def test_photographs(enhancer: ImageEnhancer, damage: str) -> None:
    check(enhancer, photographs(), damage)


@pytest.mark.parametrize("damage", DAMAGES)
def test_set5(enhancer: ImageEnhancer, shared_data: Path, damage: str) -> None:
    check(enhancer, [load_picture(path, 2) for path in list_pictures(shared_data / "set5")], damage)
