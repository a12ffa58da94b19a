"""``enhancer models adapt`` on real photographs with noise that the bundled denoiser does not know."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors import safe_open
from skimage import data

from enhancer.processing import ImageEnhancer
from enhancer.quality.metrics import psnr
from enhancer.recipe import preset
from enhancer.settings import Settings
from enhancer.training.noise_model import NoiseModel
from tests.model_cache import MODEL_CACHE

FILM = NoiseModel(constant=0.0003, shot=0.012, correlation=0.2 * np.eye(3) + 0.8 * np.ones((3, 3)))
"""Grain that grows with the light and that the three colours share, as of a black-and-white print scanned in colour."""


def grainy(truth: np.ndarray, seed: int) -> np.ndarray:
    return np.rint(255 * FILM.drawn_on(truth.astype(np.float32) / 255, np.random.default_rng(seed))).astype(np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "scans"
    made.mkdir()
    left, right, _ = data.stereo_motorcycle()
    photographs = [left[100:356, 200:456], left[200:456, 450:706], right[:256, :256], data.retina()[500:756, 500:756]]
    for index, truth in enumerate([*photographs, data.immunohistochemistry()[:256, :256]]):
        Image.fromarray(grainy(truth, index)).save(made / f"{index}.png")
    return made


def test_the_adapted_denoiser_is_nearer_the_truth_on_a_picture_it_has_not_seen(run, folder: Path, tmp_path: Path):
    (folder / "broken.png").write_bytes(b"\x89PNG no more")
    out = tmp_path / "mine.safetensors"
    ran = run("models", "adapt", folder, "--out", out, "--from", "ffdnet-color", "--steps", "30", "--json")
    assert ran.code == 3, ran.stderr  # one file could not be read
    assert [record.input for record in ran.reply.items] == [str(folder / "broken.png")]
    summary = ran.reply.summary
    assert (summary["learned_from"], summary["held_out"]) == (4, 1)
    with safe_open(out, "pt") as file:
        assert file.metadata()["adapted_from"] == summary["adapted_from"]

    truth = data.coffee()[80:336, 200:456]
    given = grainy(truth, 99)
    settings = Settings(home=tmp_path / "home", model_dir=MODEL_CACHE)
    scores = []
    for net in ("ffdnet-color", str(out)):
        enhancer = ImageEnhancer(preset("archive", denoise_model=net), settings=settings)
        result = enhancer.enhance(given)
        scores.append(psnr(result.astype(np.float32) / 255, truth.astype(np.float32) / 255))
    assert scores[1] > scores[0] + 0.3, scores


def test_nothing_to_learn_from_is_told_before_anything_is_written(run, folder: Path, tmp_path: Path):
    empty = tmp_path / "empty"
    empty.mkdir()
    out = tmp_path / "mine.safetensors"
    ran = run("models", "adapt", empty, "--out", out)
    assert ran.code == 1
    assert "0 noisy pictures are too few" in ran.stderr
    assert "matches nothing" in ran.stdout

    Image.fromarray(data.astronaut()[:256, :256]).save(empty / "clean.png")
    ran = run("models", "adapt", empty, folder / "1.png", "--out", out, "--json")
    assert ran.code == 1
    assert ran.reply.summary["error"]["class"] == "too-few-pictures"
    assert ran.reply.summary["left_aside"][0]["input"] == str(empty / "clean.png")
    assert not out.exists()


def test_a_net_that_learned_nothing_is_refused(run, tmp_path: Path):
    """White noise is what the bundled net knows best: one step from two pictures of it makes no better net."""
    scans = tmp_path / "scans"
    scans.mkdir()
    for index, truth in enumerate((data.astronaut()[:256, :256], data.coffee()[:256, :256])):
        noise = np.random.default_rng(index).normal(0, 20, truth.shape)
        Image.fromarray(np.clip(np.rint(truth + noise), 0, 255).astype(np.uint8)).save(scans / f"{index}.png")
    out = tmp_path / "mine.safetensors"
    ran = run("models", "adapt", scans, "--out", out, "--steps", "1", "--json")
    assert ran.code == 1
    assert ran.reply.summary["error"]["class"] == "not-better"
    assert "standard errors" in ran.reply.summary["error"]["message"]
    assert not out.exists()


@pytest.mark.parametrize(("name", "told"), [("mine.pth", "ends in .safetensors"), ("no/mine.safetensors", "no does")])
def test_a_place_that_cannot_be_written_is_told_first(run, folder: Path, tmp_path: Path, name: str, told: str):
    ran = run("models", "adapt", folder, "--out", tmp_path / name)
    assert ran.code == 1
    assert told in ran.stderr
