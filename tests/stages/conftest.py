"""What the stages' tests share: real photographs, and the context a pipeline would give."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from enhancer.image import FloatPixels, Metadata
from enhancer.recipe import preset
from enhancer.settings import Settings
from enhancer.stages.base import Context
from enhancer.stages.nets import Nets
from tests.model_cache import MODEL_CACHE
from tests.photographs import SHIPPED


@pytest.fixture(scope="session")
def photo() -> Callable[[str], FloatPixels]:
    """Gives a picture that ships with scikit-image as H x W x C float32 in [0, 1], at most 512 pixels a side."""

    def load(name: str) -> FloatPixels:
        pixels = SHIPPED[name]()[:512, :512]
        return np.atleast_3d(pixels).astype(np.float32) / np.float32(255)

    return load


@pytest.fixture(scope="session")
def nets(tmp_path_factory: pytest.TempPathFactory) -> Nets:
    """Nets of the test run's model cache, loaded once for all tests."""
    home = tmp_path_factory.mktemp("home")
    return Nets(Settings(home=home, model_dir=MODEL_CACHE, device="cpu"))


@pytest.fixture
def context(nets: Nets) -> Callable[..., Context]:
    """Gives a context for the photo preset with overrides."""
    return lambda **overrides: Context(recipe=preset("photo", **overrides), metadata=Metadata(), nets=nets)


@pytest.fixture(scope="session")
def with_noise() -> Callable[[FloatPixels, float], FloatPixels]:
    """Adds Gaussian noise of `sigma` levels, always the same, and rounds and clips to 8 bits as a file would."""

    def add(pixels: FloatPixels, sigma: float) -> FloatPixels:
        noisy = pixels * 255 + np.random.default_rng(20).normal(0, sigma, pixels.shape)
        return (np.clip(np.rint(noisy), 0, 255) / 255).astype(np.float32)

    return add
