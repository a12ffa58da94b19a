"""A virtual environment with this package's wheel and the requirements of chosen extras, and no other library.

The libraries are links into the environment that runs the tests, so that making one takes seconds and no network;
``make dist`` makes one by a real installation.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

PROJECT = "airflow-image-enhancer"
BUNDLES = ("nvidia-", "cuda-", "triton")
"""PyTorch's CUDA libraries, which a machine without a GPU may leave out."""


@dataclass(frozen=True)
class SlimEnvironment:
    """The environment in `folder`."""

    folder: Path

    def run(self, *arguments: object, **env: str) -> subprocess.CompletedProcess[str]:
        """``python ARGUMENTS`` in it, in its folder, without the caller's Python path and settings."""
        return subprocess.run(
            [str(self.folder / "bin" / "python"), *map(str, arguments)],
            cwd=self.folder,
            env={"PATH": os.defpath, "HOME": str(self.folder), "COLUMNS": "200", **env},
            capture_output=True,
            text=True,
            check=False,
        )


def build_wheel(checkout: Path, folder: Path) -> Path:
    """The project's wheel; built from a copy of what belongs to it, for setuptools leaves a folder beside its sources."""
    import shutil

    source = folder / "source"
    for name in ("enhancer", "plugins"):
        shutil.copytree(checkout / name, source / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(checkout / name, source)
    command = ["wheel", "-q", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", folder, source]
    subprocess.run([sys.executable, "-m", "pip", *map(str, command)], check=True, capture_output=True)
    [wheel] = folder.glob("*.whl")
    return wheel


def slim_environment(wheel: Path, folder: Path, *extras: str) -> SlimEnvironment:
    """An environment in `folder` with the wheel and what it requires with `extras`."""
    venv.create(folder, with_pip=False, symlinks=True)
    [site] = folder.glob("lib/python*/site-packages")
    install = ["install", "-q", "--no-deps", "--no-index", "--no-compile", "--target", site, wheel]
    subprocess.run([sys.executable, "-m", "pip", *map(str, install)], check=True, capture_output=True)
    [metadata] = site.glob("airflow_image_enhancer-*.dist-info")
    for needed in _closure(Distribution.at(metadata), extras):
        _link(needed, site)
    return SlimEnvironment(folder)


def _closure(root: Distribution, extras: tuple[str, ...]) -> list[Distribution]:
    found: dict[str, Distribution] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [(root, extra) for extra in ("", *extras)]
    while waiting:
        dist, extra = waiting.pop()
        for line in dist.requires or ():
            needed = Requirement(line)
            name = canonicalize_name(needed.name)
            if (needed.marker and not needed.marker.evaluate({"extra": extra})) or name.startswith(BUNDLES):
                continue
            if name == PROJECT:
                other = root
            else:
                try:
                    other = found.setdefault(name, distribution(name))
                except PackageNotFoundError as error:
                    raise LookupError(f"{dist.name} needs {name}, which is not installed here") from error
            for wanted in ("", *needed.extras):
                if (name, wanted) not in seen:
                    seen.add((name, wanted))
                    waiting.append((other, wanted))
    return list(found.values())


def _link(dist: Distribution, site: Path) -> None:
    for top in {file.parts[0] for file in dist.files or () if file.parts[0] not in ("..", "__pycache__")}:
        target = site / top
        if not target.exists():
            target.symlink_to(Path(str(dist.locate_file(top))))
