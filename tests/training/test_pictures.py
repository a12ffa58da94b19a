"""Patches for training: aligned, turned alike, and the same for the same seed and step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from enhancer.training.patches import PatchesThere
from enhancer.training.pictures import PatchSampler, list_pictures, split


def ramp(height: int, width: int, step: int) -> np.ndarray:
    """Each pixel holds its place on a grid of `step`, so that a patch tells where it was cut."""
    rows, columns = np.mgrid[:height, :width] // step
    return np.stack([rows, columns, np.zeros_like(rows)], axis=-1).astype(np.uint8)


def test_versions_of_a_picture_are_cut_and_turned_alike() -> None:
    small = [ramp(30, 40, 1), ramp(25, 20, 1)]
    large = [ramp(120, 160, 4), ramp(100, 80, 4)]
    sampler = PatchSampler([(small, 1), (large, 4)], 8, seed=3)
    for step in range(20):
        given, wanted = sampler.batch(step, 4)
        assert given.shape == (4, 3, 8, 8)
        np.testing.assert_array_equal(wanted[:, :, ::4, ::4], given)


@pytest.mark.parametrize(
    "device",
    [
        "cpu",
        pytest.param(
            "cuda",
            marks=[pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")],
        ),
    ],
)
def test_patches_cut_on_a_device_are_those_that_the_sampler_cuts(device: str) -> None:
    random = np.random.default_rng(1)
    small = [random.integers(0, 256, (*side, 3), dtype=np.uint8) for side in ((30, 40), (25, 20), (8, 9))]
    large = [picture.repeat(4, axis=0).repeat(4, axis=1) ^ 5 for picture in small]
    sampler = PatchSampler([(small, 1), (large, 4)], 8, seed=3)
    there = [PatchesThere(pictures, ratio, 8, torch.device(device)) for pictures, ratio in ((small, 1), (large, 4))]
    for step in range(6):
        chosen = torch.from_numpy(sampler.draw(step, 8)).to(device)
        for expected, cut in zip(sampler.batch(step, 8), there, strict=True):
            torch.testing.assert_close(cut(chosen).cpu(), torch.from_numpy(expected), rtol=0, atol=1e-7)


def test_every_place_and_every_way_is_drawn_alike() -> None:
    sampler = PatchSampler([([np.zeros((10, 9, 3), np.uint8), np.zeros((8, 8, 3), np.uint8)], 1)], 8, seed=2)
    drawn = np.concatenate([sampler.draw(step, 50) for step in range(100)])
    places, counts = np.unique(drawn[:, :3], axis=0, return_counts=True)
    assert places.tolist() == [[0, top, left] for top in range(3) for left in range(2)] + [[1, 0, 0]]
    assert counts == pytest.approx(np.full(7, 5000 / 7), rel=0.15)
    assert np.bincount(drawn[:, 3]) == pytest.approx(np.full(8, 625), rel=0.2)


def test_the_same_step_gives_the_same_patches_and_another_gives_others() -> None:
    pictures = [np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)]
    first, again = (PatchSampler([(pictures, 1)], 16, seed=1).batch(5, 4)[0] for _ in range(2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, PatchSampler([(pictures, 1)], 16, seed=1).batch(6, 4)[0])


def test_pictures_too_small_for_a_patch_are_passed_over() -> None:
    sampler = PatchSampler([([np.zeros((4, 4, 3), np.uint8), np.full((9, 9, 3), 255, np.uint8)], 1)], 8, seed=0)
    assert sampler.batch(0, 16)[0].min() == 1
    with pytest.raises(ValueError, match="no training picture"):
        PatchSampler([([np.zeros((4, 4, 3), np.uint8)], 1)], 8, seed=0)


def test_held_out_pictures_are_spread_and_not_trained_on() -> None:
    kept, held_out = split([Path(f"{index:03}") for index in range(100)], 10)
    assert (len(held_out), len(kept)) == (10, 90)
    assert not set(kept) & set(held_out)
    assert np.ptp(np.diff([int(path.name) for path in held_out])) <= 1


def test_an_empty_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=str(tmp_path)):
        list_pictures(tmp_path)
