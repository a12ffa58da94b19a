"""Fitting what reads damage off traces: on a few pictures it learns to tell them, and uses its features again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image
from safetensors.numpy import load_file
from skimage import data

from enhancer.stages.damage_traces import WEIGHTS
from enhancer.training.traces import run


def test_it_fits_and_uses_its_features_again(tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for index in range(12):
        Image.fromarray(data.coffee()[index * 16 :][:208, index * 20 :][:, :320]).save(folder / f"{index:02}.png")
    config = {"seed": 1, "schedule": {"steps": 300, "rate": 5e-3}}
    weights = run(config, [folder], tmp_path / "out")
    shapes = {name: array.shape for name, array in load_file(weights).items()}
    assert shapes == {name: array.shape for name, array in load_file(WEIGHTS).items()}
    figures = dict(line.rsplit(" ", 1) for line in (tmp_path / "out" / "figures.txt").read_text().splitlines())
    assert float(figures["damaged called clean"]) < 0.4
    kept = (tmp_path / "out" / "train.npz").stat().st_mtime_ns
    again = load_file(run(config, [folder], tmp_path / "out"))
    assert (tmp_path / "out" / "train.npz").stat().st_mtime_ns == kept
    assert all(np.array_equal(array, again[name]) for name, array in load_file(weights).items())
