"""Scripts of others that lie in this repository are what their publishers released, with their licences."""

from __future__ import annotations

import hashlib
import tomllib
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
VENDORED = [
    REPOSITORY / "enhancer/viewer/static/vendor/openseadragon",
    REPOSITORY / "tests/plugins/vendor/axe-core",
]


@pytest.mark.parametrize("folder", VENDORED, ids=lambda folder: folder.name)
def test_vendored_files_are_the_published_ones(folder: Path) -> None:
    described = tomllib.loads((folder / "vendor.toml").read_text(encoding="utf-8"))
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir() if path.suffix != ".toml"
    }
    assert found == described["sha256"]
    assert any(name.startswith("LICENSE") for name in found)
    assert described["licence"]
    assert described["integrity"].startswith("sha512-")
    assert described["version"].encode() in b"".join(path.read_bytes()[:200] for path in folder.glob("*.js"))


def test_no_other_folder_holds_scripts_of_others() -> None:
    assert sorted(path.parent for path in REPOSITORY.glob("[ept]*/**/vendor/*/*.js")) == VENDORED
