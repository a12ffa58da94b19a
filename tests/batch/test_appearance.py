"""Noise and sharpness of a picture before and after, on pictures of which both are known."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.data
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageFilter

from enhancer.batch.worker.appearance import appearance_of
from enhancer.image import Image


def astronaut(sigma: float = 0, seed: int = 1) -> NDArray[np.uint8]:
    pixels = skimage.data.astronaut().astype(np.float64)
    noise = np.random.default_rng(seed).normal(0, sigma, pixels.shape) if sigma else 0
    return np.clip(pixels + noise, 0, 255).round().astype(np.uint8)


@pytest.mark.parametrize("sigma", [5.0, 12.0, 25.0])
def test_noise_is_the_noise_that_was_added(sigma: float) -> None:
    seen = appearance_of(Image(pixels=astronaut(sigma)), Image(pixels=astronaut()))
    assert seen["noise_before"] == pytest.approx(sigma, rel=0.25)
    assert seen["noise_after"] < 3
    deep = appearance_of(Image(pixels=astronaut(sigma).astype(np.uint16) * 257), Image(pixels=astronaut()))
    assert deep["noise_before"] == pytest.approx(seen["noise_before"], rel=0.05)


def test_a_blurred_picture_is_less_sharp_and_a_sharpened_one_more() -> None:
    plain = Pillow.fromarray(astronaut())
    for made, sharper in (
        (plain.filter(ImageFilter.GaussianBlur(2)), False),
        (plain.filter(ImageFilter.SHARPEN), True),
    ):
        seen = appearance_of(Image(pixels=np.asarray(plain)), Image(pixels=np.asarray(made)))
        assert (seen["sharpness_after"] > seen["sharpness_before"]) is sharper


def test_a_larger_result_is_held_against_the_enlarged_input() -> None:
    """Plain enlargement is no sharper than itself; the true picture at that size is."""
    truth = Pillow.fromarray(astronaut())
    small = truth.resize((128, 128), Pillow.Resampling.BICUBIC)
    enlarged = small.resize((512, 512), Pillow.Resampling.BICUBIC)
    before = Image(pixels=np.asarray(small))
    plain = appearance_of(before, Image(pixels=np.asarray(enlarged)))
    assert plain["sharpness_after"] == pytest.approx(plain["sharpness_before"], rel=0.05)
    right = appearance_of(before, Image(pixels=np.asarray(truth)))
    assert right["sharpness_after"] > 1.3 * right["sharpness_before"]


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 900, 3), (15, 15, 3), (40, 3000, 1), (16, 16, 3)])
def test_a_picture_of_any_shape_is_measured_or_left_out(shape: tuple[int, int, int]) -> None:
    pixels = np.full(shape, 128, np.uint8)
    seen = appearance_of(Image(pixels=pixels), Image(pixels=pixels.repeat(2, axis=0).repeat(2, axis=1)))
    assert all(np.isfinite(value) for value in seen.values())
    assert set(seen) <= {"noise_before", "noise_after", "sharpness_before", "sharpness_after"}


def test_values_that_are_no_numbers_and_mixed_channels_do_not_break_it() -> None:
    broken = np.full((64, 64, 3), np.nan, np.float32)
    grey = Image(pixels=astronaut()[:, :, :1])
    assert appearance_of(grey, Image(pixels=broken)).keys() <= {"noise_before", "sharpness_before"}
    assert "sharpness_after" in appearance_of(grey, Image(pixels=astronaut()))


def test_a_result_far_smaller_than_its_input_has_no_sharpness_to_speak_of() -> None:
    large = Image(pixels=np.zeros((4000, 4000, 1), np.uint8))
    assert "sharpness_after" not in appearance_of(large, Image(pixels=np.zeros((300, 300, 1), np.uint8)))
