from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from skimage import data

from enhancer.errors import ModelError
from enhancer.image import FloatPixels, to_unit
from enhancer.models.catalogue import load_catalogue
from enhancer.models.store import ensure
from enhancer.quality.perceptual import LpipsScorer
from enhancer.settings import Settings


@pytest.fixture(scope="session")
def pictures_folder() -> Path:
    folder = Path(__file__).parents[2].parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the shared pictures are not here")
    return folder


@pytest.fixture(scope="session")
def scorer_of() -> Callable[[str], LpipsScorer]:
    return _scorer


def _scorer(net: str) -> LpipsScorer:
    settings = Settings(lpips_net=net)
    try:
        ensure(load_catalogue().get(f"lpips-{net}"), settings)
    except ModelError as error:
        pytest.skip(f"the LPIPS weights cannot be had here: {error}")
    return LpipsScorer(settings)


@pytest.fixture(scope="session")
def scorer() -> LpipsScorer:
    return _scorer("alex")


@pytest.fixture(scope="session")
def photos() -> dict[str, FloatPixels]:
    """Parts of real photographs, sides divisible by 8, in [0, 1]."""
    colour = {name: getattr(data, name)() for name in ("astronaut", "coffee", "chelsea", "rocket")}
    pictures = {name: to_unit(pixels[:256, 64:384]) for name, pixels in colour.items()}
    pictures["camera"] = to_unit(data.camera()[:256, :256, np.newaxis])
    return pictures
