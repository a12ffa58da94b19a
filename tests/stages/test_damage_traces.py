"""Traces of damage: seen in plain pixels, wherever the blocks lie, and not seen where there are none."""

from __future__ import annotations

import numpy as np
import pytest
from skimage import data

from enhancer.image import to_unit
from enhancer.stages.damage_traces import damage_traces
from enhancer.training.degradations import as_bytes, through_jpeg, with_gaussian_noise
from enhancer.training.pictures import Bytes, reduced
from enhancer.training.real_damage import MODELS, Model, damaged

CLEAN = ("astronaut", "coffee", "chelsea", "rocket")


def _picture(name: str) -> Bytes:
    picture = np.asarray(getattr(data, name)())
    return np.ascontiguousarray(picture[: picture.shape[0] // 4 * 4, : picture.shape[1] // 4 * 4])


@pytest.mark.parametrize("name", CLEAN)
def test_clean_photographs_show_none(name: str) -> None:
    picture = _picture(name)
    for scale in (1, 2, 4):
        traces = damage_traces(to_unit(picture if scale == 1 else reduced(picture, scale)))
        assert not traces.restore
        assert not traces.enlarge


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("name", CLEAN)
def test_damaged_ones_do(name: str, model: Model) -> None:
    for strength in ("medium", "heavy"):
        given, _ = damaged(_picture(name), 2, model, strength, np.random.default_rng(5))  # type: ignore[arg-type]
        traces = damage_traces(to_unit(given))
        assert traces.damage > 0.9
        assert traces.restore or traces.quality >= 85  # weak noise without any JPEG is left to denoising


@pytest.mark.parametrize("cut", [(0, 0), (3, 5), (4, 4)])
def test_the_quality_of_a_jpeg_is_seen_wherever_its_blocks_lie(cut: tuple[int, int]) -> None:
    picture = _picture("coffee")
    for quality in (40, 60, 75):
        stored = through_jpeg(picture, quality)[cut[0] :, cut[1] :]
        assert damage_traces(to_unit(stored)).quality == pytest.approx(quality, abs=12)


def test_the_noise_below_a_jpeg_is_seen() -> None:
    def mean_noise(sigma: float) -> float:
        found = []
        for name in CLEAN:
            picture = to_unit(reduced(_picture(name), 2))
            noisy = as_bytes(with_gaussian_noise(picture, sigma / 255, np.random.default_rng(1)))
            found.append(damage_traces(to_unit(through_jpeg(noisy, 85))).noise)
        return float(np.mean(found))

    assert mean_noise(4) + 1 < mean_noise(8) < mean_noise(12) - 1


def test_flat_pictures_have_no_numbers_that_are_none() -> None:
    traces = damage_traces(np.full((80, 80, 3), 0.5, np.float32))
    assert np.isfinite([traces.damage, traces.noise, traces.quality]).all()


def test_a_picture_that_is_too_small_is_refused() -> None:
    with pytest.raises(ValueError, match="63 x 200 is too small"):
        damage_traces(np.zeros((200, 63, 3), np.float32))
