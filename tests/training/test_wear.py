"""Wear of real prints: overlays, wide cracks, sharpened scans; the truth about them is what they changed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from skimage import data

from enhancer.training.damage import Damaged
from enhancer.training.loop import Schedule
from enhancer.training.pictures import PatchSampler
from enhancer.training.scratches import Examples
from enhancer.training.wear import covered_with, crack, learned_overlays, overlay, rescanned, unseen_overlays, worn

SHARES = [np.pad(np.full((6, 40), 255, np.uint8), 20)]


def whole() -> Damaged:
    pixels = data.astronaut()[:96, :112].astype(np.float32) / np.float32(255)
    return Damaged(pixels, np.zeros(pixels.shape[:2], np.float32))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number in range(9):
        pixels = np.zeros((10, 12, 4), np.uint8)
        pixels[..., 3] = number
        Image.fromarray(pixels).save(tmp_path / f"dirt-{number}.png")
    return tmp_path


def test_no_overlay_is_both_learned_and_measured_on(folder: Path) -> None:
    learned, unseen = ({int(share[0, 0]) for share in some(folder)} for some in (learned_overlays, unseen_overlays))
    assert learned | unseen == set(range(9))
    assert not learned & unseen
    assert unseen == {0, 4, 8}


def test_a_folder_without_overlays_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=tmp_path.name):
        learned_overlays(tmp_path)


def test_an_overlay_is_a_share_of_the_print() -> None:
    share = overlay(SHARES, 60, 90, np.random.default_rng(3))
    assert share.shape == (60, 90)
    assert share.dtype == np.float32
    assert 0 <= share.min() < share.max() <= 1


@pytest.mark.parametrize("seed", range(6))
def test_a_crack_has_relief_along_its_rims_only(seed: int) -> None:
    share, relief = crack(80, 100, np.random.default_rng(seed))
    assert share.shape == relief.shape == (80, 100)
    assert 0 <= share.min() <= share.max() <= 1
    assert np.abs(relief).max() <= 1
    if share.any():
        assert np.abs(relief).max() > 0


def test_what_is_covered_is_what_changed() -> None:
    print_ = whole()
    share = np.zeros((96, 112), np.float32)
    share[40:50, 20:90] = 1
    result = covered_with(print_, share, np.random.default_rng(5))
    np.testing.assert_allclose(result.change, np.abs(result.pixels - print_.pixels).max(axis=2), atol=1e-6)
    np.testing.assert_allclose(result.pixels[share == 0], print_.pixels[share == 0], atol=1e-5)
    assert np.median(result.change[share == 1]) > 0.05


def test_wear_adds_to_the_damage_that_is_there() -> None:
    print_ = whole()
    print_.change[3, 3] = 0.7
    result = worn(print_, np.random.default_rng(6), SHARES)
    assert result.change[3, 3] >= 0.7
    assert (result.change >= print_.change).all()


def test_a_scan_has_whole_levels() -> None:
    for seed in range(5):
        scan = rescanned(whole().pixels, np.random.default_rng(seed))
        assert scan.dtype == np.float32
        np.testing.assert_allclose(scan * 255, np.rint(scan * 255), atol=1e-3)


def test_worn_patches_are_the_same_for_the_same_step_and_whole_ones_stay_whole() -> None:
    sampler = PatchSampler([([data.astronaut(), data.coffee()], 1)], 96, 7)
    schedule = Schedule(steps=1, batch=4, patch=64)
    first, again = (Examples(sampler, schedule, 0.3, 7, 1.0, SHARES).batch(2) for _ in range(2))
    for here, there in zip(first, again, strict=True):
        assert torch.equal(here, there)
    assert not Examples(sampler, schedule, 1.0, 7, 1.0, SHARES).batch(0)[1].any()
    assert Examples(sampler, schedule, 0.0, 7, 1.0, SHARES).batch(0)[1].any()
