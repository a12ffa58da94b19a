"""A package that adds a stage, a format, a net and a store, really installed, and the command line in processes that have it on their path."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from tests.model_cache import MODEL_CACHE

HERE = Path(__file__).parent
CHECKOUT = HERE.parents[1]

KEPT = {"name": "archive", "denoise_strength": 0, "impulse_repair": {"mode": "off"}}
"""A recipe under which no stage of this package does anything."""
SOFT = {**KEPT, "soft_focus": {"mode": "on", "amount": 0.75}}


@dataclass(frozen=True)
class Installed:
    """A folder with the package in it; None: an environment without it."""

    folder: Path | None
    home: Path

    def python(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        path = os.pathsep.join(str(part) for part in (self.folder, CHECKOUT) if part)
        environment = {
            **os.environ,
            "PYTHONPATH": path,
            "ENHANCER_HOME": str(self.home),
            "ENHANCER_MODEL_DIR": str(MODEL_CACHE),
            "ENHANCER_THREADS": "1",
            "ENHANCER_STORE_SHELVES": str(self.home / "shelves"),
            "COLUMNS": "200",
        }
        if self.folder is not None:
            environment["ENHANCER_CATALOGUE"] = str(self.folder / "enhancer_tiny" / "nets.toml")
        command = [sys.executable, *(str(argument) for argument in arguments)]
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, cwd=self.home, timeout=300
        )

    def cli(self, *arguments: object) -> subprocess.CompletedProcess[str]:
        return self.python("-m", "enhancer.cli", *arguments)

    def reply(self, *arguments: object) -> dict[str, Any]:
        ran = self.cli(*arguments, "--json")
        assert ran.returncode == 0, ran.stdout + ran.stderr
        found: dict[str, Any] = json.loads(ran.stdout)
        return found

    def evaluate(self, code: str) -> Any:
        ran = self.python("-c", f"import json\n{code}")
        assert ran.returncode == 0, ran.stderr
        return json.loads(ran.stdout)


@pytest.fixture(scope="session")
def install(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Installs a version of the package with pip into a folder of its own."""

    def made(version: str) -> Path:
        source = tmp_path_factory.mktemp("source") / "package"
        shutil.copytree(HERE / "package", source)
        project = source / "pyproject.toml"
        project.write_text(project.read_text().replace('version = "1.2"', f'version = "{version}"'))
        target = tmp_path_factory.mktemp("installed")
        options = [
            "--no-deps",
            "--no-build-isolation",
            "--disable-pip-version-check",
            "--quiet",
            "--target",
            str(target),
        ]
        subprocess.run([sys.executable, "-m", "pip", "install", *options, str(source)], check=True, capture_output=True)
        return target

    return made


@pytest.fixture(scope="session")
def package(install: Callable[[str], Path]) -> Path:
    return install("1.2")


@pytest.fixture
def tiny(package: Path, tmp_path: Path) -> Installed:
    """An environment that has the package."""
    return Installed(package, tmp_path)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    path = tmp_path / "in" / "a.png"
    path.parent.mkdir()
    Image.fromarray(np.random.default_rng(3).integers(0, 256, (40, 50, 3), dtype=np.uint8)).save(path)
    return path


def softened(path: Path, amount: float) -> np.ndarray:
    """What the stage makes of a file, by SciPy's mean filter."""
    pixels = np.asarray(Image.open(path)).astype(float)
    mean = ndimage.uniform_filter(pixels, (3, 3, 1), mode="nearest")
    return np.rint(pixels + amount * (mean - pixels))


@pytest.fixture
def bare(tmp_path: Path) -> Installed:
    """An environment that has not."""
    return Installed(None, tmp_path)
