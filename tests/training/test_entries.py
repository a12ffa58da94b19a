"""Every bundled net can be trained again by its name."""

from __future__ import annotations

import importlib
import inspect
import sys
import tomllib
from pathlib import Path

import pytest
from PIL import Image
from safetensors.torch import load_file
from skimage import data

from enhancer.models.catalogue import BUNDLED
from enhancer.training.__main__ import CONFIGS, ENTRIES, main


@pytest.mark.parametrize("name", ENTRIES)
def test_a_net_has_a_configuration_with_seed_and_steps_and_an_entry(name: str) -> None:
    config = tomllib.loads((CONFIGS / f"{name}.toml").read_text())
    assert config["seed"] > 0
    assert config["schedule"]["steps"] > 0
    run = importlib.import_module(f"enhancer.training.{ENTRIES[name]}").run
    assert list(inspect.signature(run).parameters)[:3] == ["config", "data", "out"]


def test_whatever_is_bundled_has_an_entry() -> None:
    assert {path.stem for path in BUNDLED.glob("*.safetensors")} <= set(ENTRIES)


def test_the_command_trains_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index in range(12):
        Image.fromarray(data.astronaut()[index * 20 :][:64, :64]).save(folder / f"{index:02}.png")
    out = tmp_path / "out"
    for steps in (1, 2):
        options = ["denoise", "--data", str(folder), "--out", str(out), "--steps", str(steps)]
        monkeypatch.setattr(sys, "argv", ["train", *options])
        main()
    assert capsys.readouterr().out.endswith(f"{out / 'weights.safetensors'}\n")
    assert [row.split(",")[0] for row in (out / "curve.csv").read_text().splitlines()] == ["step", "1", "2"]
    assert load_file(out / "weights.safetensors")["convolutions.0.weight"].shape == (64, 13, 3, 3)


def test_an_option_that_a_net_does_not_know_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["colour", "--data", str(tmp_path), "--out", str(tmp_path), "--start", "some.safetensors"]
    monkeypatch.setattr(sys, "argv", ["train", *options])
    with pytest.raises(SystemExit):
        main()
    assert "colour knows no --start" in capsys.readouterr().err
