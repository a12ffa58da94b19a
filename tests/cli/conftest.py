"""The real command line in this process, and small real pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import skimage.data
import structlog
from PIL import Image
from typer.testing import CliRunner

from enhancer.cli.app import app
from enhancer.contract import Envelope
from tests.model_cache import MODEL_CACHE


class Ran:
    """What a command left: exit status, both streams, and the reply where it was JSON."""

    def __init__(self, code: int, stdout: str, stderr: str) -> None:
        self.code, self.stdout, self.stderr = code, stdout, stderr

    @property
    def reply(self) -> Envelope:
        """Standard output as the contract; fails if there is anything else on it."""
        return Envelope.model_validate_json(self.stdout)


Run = Callable[..., Ran]


def environment(folder: Path) -> dict[str, str]:
    """Settings of a test: its own ledger, the weights of this run of the tests."""
    return {"ENHANCER_HOME": str(folder / "home"), "ENHANCER_MODEL_DIR": str(MODEL_CACHE), "COLUMNS": "200"}


def invoke(*arguments: object, env: dict[str, str]) -> Ran:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], env=env)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return Ran(result.exit_code, result.stdout, result.stderr)


@pytest.fixture(scope="session")
def cli() -> Run:
    """``cli("enhance", path, env={...})``: the command in this process."""
    return invoke


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """``run("enhance", path, "-o", folder, ENHANCER_OFFLINE="1")``."""

    def call(*arguments: object, **env: str) -> Ran:
        return invoke(*arguments, env={**environment(tmp_path), **env})

    return call


@pytest.fixture(autouse=True)
def _own_log() -> Iterator[None]:
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session")
def crop() -> Callable[[int], np.ndarray]:
    """A square of scikit-image's astronaut of so many pixels a side."""
    picture = skimage.data.astronaut()
    return lambda side: picture[60 : 60 + side, 180 : 180 + side].copy()


@pytest.fixture
def pictures(tmp_path: Path, crop: Callable[[int], np.ndarray]) -> Path:
    """A folder with two good pictures, one in a sub-folder with a difficult name, and one that is cut short."""
    folder = tmp_path / "in"
    (folder / "sub dir").mkdir(parents=True)
    Image.fromarray(crop(16)).save(folder / "small.png")
    Image.fromarray(crop(24)).save(folder / "sub dir" / "größe ☂ [red]x.jpg", quality=90)
    whole = (folder / "small.png").read_bytes()
    (folder / "bad.png").write_bytes(whole[: len(whole) // 2])
    return folder
