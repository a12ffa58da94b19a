"""The pinned files, against what the pinned releases say of themselves."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, distribution, version
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

CHECKOUT = Path(__file__).parents[1]
FILES = ("requirements.txt", "requirements-dev.txt")
OLDEST = "3.11.2"
"""Debian 12's Python, the oldest 3.11 that people have."""


def pins(*files: str) -> dict[str, str]:
    lines = [line for name in files for line in (CHECKOUT / name).read_text().splitlines()]
    found = [Requirement(line) for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"==[^*,]+", str(pin.specifier)) for pin in found), "every line pins one release"
    assert len({canonicalize_name(pin.name) for pin in found}) == len(found), "no package is pinned twice"
    return {canonicalize_name(pin.name): str(pin.specifier)[2:] for pin in found}


PINS = pins(*FILES)
RUNTIME = pins(FILES[0])


def installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


@pytest.mark.parametrize("name", sorted(PINS))
def test_the_release_installs_on_the_oldest_python(name: str) -> None:
    if installed(name) != PINS[name]:
        pytest.skip(f"{name} {PINS[name]} is not what is installed here: {installed(name)}")
    python = distribution(name).metadata.get("Requires-Python")
    assert python is None or SpecifierSet(python).contains(OLDEST), f"{name} {PINS[name]} asks for Python {python}"


@pytest.mark.parametrize("name", sorted(PINS))
def test_whatever_the_release_needs_is_pinned_and_fits(name: str) -> None:
    """Without extras, which the pinned files resolve by hand: what pip would otherwise choose anew at each installation."""
    if installed(name) != PINS[name]:
        pytest.skip(f"{name} {PINS[name]} is not what is installed here: {installed(name)}")
    for line in distribution(name).requires or ():
        needed = Requirement(line)
        other = canonicalize_name(needed.name)
        if (needed.marker and not needed.marker.evaluate({"extra": ""})) or other.startswith(
            ("nvidia-", "cuda-", "triton")
        ):
            continue  # PyTorch pins CUDA's libraries itself
        assert other in (RUNTIME if name in RUNTIME else PINS), f"{name} needs {needed}"
        assert needed.specifier.contains(PINS[other], prereleases=True), (
            f"{name} needs {needed}, pinned is {PINS[other]}"
        )
