"""Damage as real pictures have it: seeded, of the strength it says, and told truly."""

from __future__ import annotations

import numpy as np
import pytest
from skimage import data
from skimage.metrics import peak_signal_noise_ratio

from enhancer.image import to_unit
from enhancer.stages.jpeg_history import former_jpeg
from enhancer.training.blur_kernels import random_kernel, sinc_kernel
from enhancer.training.camera import Camera
from enhancer.training.degradations import through_jpeg
from enhancer.training.pictures import reduced
from enhancer.training.real_damage import MODELS, STRENGTHS, Model, Strength, damaged

PICTURE = np.ascontiguousarray(data.astronaut()[:256, :384])


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("scale", [1, 2, 4])
def test_the_same_seed_gives_the_same_and_another_one_something_else(model: Model, scale: int) -> None:
    first, told = damaged(PICTURE, scale, model, "medium", np.random.default_rng(3))
    again, told_again = damaged(PICTURE, scale, model, "medium", np.random.default_rng(3))
    other, _ = damaged(PICTURE, scale, model, "medium", np.random.default_rng(4))
    assert first.shape == (256 // scale, 384 // scale, 3)
    assert first.dtype == np.uint8
    assert (first == again).all()
    assert told == told_again
    assert (first != other).any()


@pytest.mark.parametrize("model", MODELS)
def test_clean_is_nothing_but_the_fields_bicubic_reduction(model: Model) -> None:
    for scale in (1, 2, 4):
        result, told = damaged(PICTURE, scale, model, "clean", np.random.default_rng(1))
        assert (result == (PICTURE if scale == 1 else reduced(PICTURE, scale))).all()
        assert (told.noise, told.blur, told.qualities) == (0, 0, ())


@pytest.mark.parametrize("model", MODELS)
def test_a_stronger_class_is_further_from_the_truth(model: Model) -> None:
    def mean_psnr(strength: Strength) -> float:
        results = [damaged(PICTURE, 1, model, strength, np.random.default_rng(seed))[0] for seed in range(6)]
        return float(np.mean([peak_signal_noise_ratio(PICTURE, result) for result in results]))

    light, medium, heavy = (mean_psnr(strength) for strength in STRENGTHS[1:])
    assert light > medium + 1 > heavy + 2


def test_the_noise_that_is_told_is_the_noise_that_is_there() -> None:
    flat = np.full((256, 256, 3), 128, np.uint8)
    seen = set()
    for seed in range(30):
        result, told = damaged(flat, 2, "first-order", "heavy", np.random.default_rng(seed))
        if not told.qualities:
            seen.add((told.grey, told.correlation > 0))
            assert result.std() == pytest.approx(told.noise, rel=0.03)
            assert (np.ptp(result, axis=2).max() == 0) == told.grey
    assert len(seen) > 1


def test_the_jpeg_that_is_told_is_found_in_the_pixels() -> None:
    picture = np.ascontiguousarray(data.astronaut())
    for seed in range(12):
        result, told = damaged(picture, 1, "camera", "heavy", np.random.default_rng(seed))
        history = former_jpeg(to_unit(result))
        assert history is not None
        assert history.quality == pytest.approx(told.qualities[-1], abs=2)
        assert history.offset == told.grid


def test_sides_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match="255 x 256 cannot be reduced by 4"):
        damaged(np.zeros((256, 255, 3), np.uint8), 4, "camera", "light", np.random.default_rng(1))


def test_a_camera_without_noise_develops_what_it_saw() -> None:
    scene = to_unit(reduced(data.coffee(), 2))[:199, :299]
    for edge_aware in (False, True):
        seen = Camera(0, 0, (1.8, 1.6), edge_aware, 0, 0).photographed(scene, np.random.default_rng(1))
        assert seen.shape == scene.shape
        # Demosaicing loses detail, but neither colours nor places.
        assert peak_signal_noise_ratio(scene, seen, data_range=1) > 27
        assert seen.mean(axis=(0, 1)) == pytest.approx(scene.mean(axis=(0, 1)), abs=0.01)


def test_a_cameras_noise_grows_with_the_light_as_photons_do() -> None:
    camera = Camera(0.002, 0.002, (1.0, 1.0), False, 0, 0)

    def variance(level: float) -> float:
        scene = np.full((400, 400, 3), level, np.float32)
        seen = camera.photographed(scene, np.random.default_rng(1)).astype(np.float64)[::2, ::2, 0]
        linear = np.where(seen <= 0.04045, seen / 12.92, ((seen + 0.055) / 1.055) ** 2.4)
        return float(linear.var())

    def light(level: float) -> float:
        return float(((level + 0.055) / 1.055) ** 2.4)

    for level in (0.3, 0.5, 0.8):  # red samples stand on even rows and columns, where nothing is interpolated
        assert variance(level) == pytest.approx(0.002 * light(level) + 0.002**2, rel=0.05)


@pytest.mark.parametrize("sigma", [0.1, 0.5, 1.5, 4.0])
def test_kernels_keep_the_brightness_and_are_as_wide_as_asked(sigma: float) -> None:
    for seed in range(10):
        kernel = random_kernel(sigma, np.random.default_rng(seed))
        assert kernel.shape[0] == kernel.shape[1] <= 21
        assert kernel.sum() == pytest.approx(1, abs=1e-5)
    if sigma < 0.2:
        assert kernel.max() == 1


def test_the_sinc_kernel_passes_what_is_below_its_cutoff_and_rings() -> None:
    kernel = sinc_kernel(np.pi / 2)
    assert kernel.sum() == pytest.approx(1, abs=1e-5)
    assert kernel.min() < 0
    response = np.abs(np.fft.fft2(kernel, (64, 64)))
    assert response[0, 8] > 0.9  # a quarter of the sampling rate's half
    assert response[0, 30] < 0.1


def test_small_pictures_can_be_damaged_too() -> None:
    for model in MODELS:
        assert damaged(PICTURE[:64, :64], 4, model, "heavy", np.random.default_rng(1))[0].shape == (16, 16, 3)


def test_a_file_on_the_corner_has_its_grid_there() -> None:
    # What `grid` counts from: the oracle for the shifted grids above.
    history = former_jpeg(to_unit(through_jpeg(data.astronaut(), 40)))
    assert history is not None
    assert history.offset == (0, 0)
