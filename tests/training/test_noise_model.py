"""The model finds the noise that was put in, and puts in what it found."""

from __future__ import annotations

import numpy as np
import pytest
from skimage import data

from enhancer.training.noise_model import NoiseModel

PHOTO = data.astronaut()[:384, :384].astype(np.float32) / 255
COMMON = np.ones((3, 3))


def noisy(constant: float, shot: float, correlation: np.ndarray, seed: int = 0) -> np.ndarray:
    return NoiseModel(constant, shot, correlation).drawn_on(PHOTO, np.random.default_rng(seed))


def test_drawn_noise_is_as_the_model_says() -> None:
    grey = np.full((200, 200, 3), 0.5, np.float32)
    drawn = NoiseModel(0.0004, 0.002, np.array([[1, 0.5, 0], [0.5, 1, 0], [0, 0, 1]])).drawn_on(
        grey, np.random.default_rng(0)
    )
    np.testing.assert_allclose(drawn * 255, np.rint(drawn * 255), atol=1e-4)
    noise = (drawn - grey).reshape(-1, 3)
    assert noise.mean() == pytest.approx(0, abs=0.001)
    assert noise.var(axis=0) == pytest.approx(np.full(3, 0.0014), rel=0.03)
    assert np.corrcoef(noise.T)[0, 1] == pytest.approx(0.5, abs=0.02)
    assert np.corrcoef(noise.T)[0, 2] == pytest.approx(0, abs=0.02)


@pytest.mark.parametrize("photo", [data.coffee(), data.chelsea()], ids=["coffee", "chelsea"])
def test_white_noise_is_told_from_shot_noise(photo: np.ndarray) -> None:
    clean = photo.astype(np.float32) / 255
    mean = float(clean.mean())
    white = NoiseModel(0.004, 0, np.eye(3)).drawn_on(clean, np.random.default_rng(0))
    shot = NoiseModel(0, 0.004 / mean, np.eye(3)).drawn_on(clean, np.random.default_rng(0))
    found = NoiseModel.of([white], 0.004**0.5)
    assert found.constant > 0.8 * 0.004
    found = NoiseModel.of([shot], 0.004**0.5)
    assert found.shot * mean > 0.6 * 0.004
    assert found.constant + found.shot * mean == pytest.approx(0.004, rel=0.1)


def test_what_the_colours_share_is_found() -> None:
    shared = NoiseModel.of([noisy(0.003, 0, COMMON)], 0.055)
    apart = NoiseModel.of([noisy(0.003, 0, np.eye(3))], 0.055)
    assert shared.correlation[0, 2] > 0.9
    assert abs(apart.correlation[0, 2]) < 0.35


def test_a_picture_without_flat_blocks_gives_plain_noise() -> None:
    model = NoiseModel.of([np.zeros((64, 64, 3), np.float32)], 0.1)
    assert model.constant == pytest.approx(0.01)
    assert model.shot == 0
    np.testing.assert_array_equal(model.correlation, np.eye(3))
