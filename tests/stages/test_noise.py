"""The noise estimate against noise that was really added."""

from __future__ import annotations

import numpy as np
import pytest

from enhancer.stages.denoising import FLOOR, common_share
from enhancer.stages.noise import estimate_noise
from enhancer.stages.sampling import evenly_spread_crops

CLEAN = ["astronaut", "coffee", "chelsea", "rocket", "motorcycle", "retina", "immunohistochemistry", "camera", "coins",
         "moon", "page", "text", "brick", "grass", "gravel", "cell"]  # fmt: skip


@pytest.mark.parametrize("name", CLEAN)
def test_clean_pictures_are_below_the_floor_whatever_their_texture(photo, name):
    assert max(estimate_noise(photo(name))) < FLOOR


@pytest.mark.parametrize("name", ["astronaut", "coffee", "chelsea", "camera", "moon", "gravel", "page", "text"])
@pytest.mark.parametrize("sigma", [5, 10, 25])
def test_added_noise_is_measured_within_a_fifth(photo, with_noise, name, sigma):
    measured = 255 * np.array(estimate_noise(with_noise(photo(name), sigma)))
    assert measured == pytest.approx(np.full(measured.shape, sigma), rel=0.2)


def test_each_channel_is_measured_by_itself(photo, with_noise):
    pixels = photo("coffee").copy()
    pixels[..., 1] = with_noise(pixels[..., 1], 12)
    red, green, blue = (255 * sigma for sigma in estimate_noise(pixels))
    assert green == pytest.approx(12, rel=0.15)
    assert max(red, blue) < 2.5


@pytest.mark.parametrize("texture", ["grass", "gravel"])
def test_noise_that_each_channel_has_of_its_own_is_measured_on_any_texture(photo, texture):
    picture = np.repeat(photo(texture), 3, axis=2)
    sigmas = np.array([4, 5, 8])
    noisy = picture + np.random.default_rng(5).normal(0, sigmas / 255, picture.shape).astype(np.float32)
    assert 255 * np.array(estimate_noise(noisy)) == pytest.approx(sigmas, rel=0.1)


def test_weak_noise_that_a_colour_pictures_channels_share_may_be_texture(photo):
    pixels = photo("coffee")
    for sigma, low, high in ((3, 0, 1.5), (8, 7, 10)):
        noise = np.random.default_rng(6).normal(0, sigma / 255, (*pixels.shape[:2], 1)).astype(np.float32)
        assert all(low <= 255 * found <= high for found in estimate_noise(pixels + noise))


def test_dense_texture_is_not_noise(photo):
    assert estimate_noise(photo("grass"))[0] < FLOOR
    rng = np.random.default_rng(3)
    # As sparse as texture, as white as noise: a tenth of independent pixels differs.
    speckled = np.where(rng.random((256, 256, 1)) < 0.1, rng.normal(0.5, 0.1, (256, 256, 1)), 0.5).astype(np.float32)
    assert estimate_noise(speckled) == [0]


def test_noise_stronger_than_any_texture_is_found_on_it(photo, with_noise):
    for sigma in (15, 25):
        assert 255 * estimate_noise(with_noise(photo("grass"), sigma))[0] == pytest.approx(sigma, rel=0.25)


def test_a_checkerboard_of_sampling_is_not_noise(with_noise):
    rows, columns = np.indices((256, 256, 1))[:2]
    board = (0.5 + 0.02 * (-1.0) ** (rows + columns)).astype(np.float32)
    assert estimate_noise(with_noise(board, 2)) == [0]


def test_an_even_border_does_not_hide_that_the_rest_is_noisy_or_textured(photo, with_noise):
    for pixels, low, high in ((with_noise(photo("camera"), 10), 8, 12), (photo("grass"), 0, 0)):
        framed = np.pad(pixels, ((32, 32), (32, 32), (0, 0)), constant_values=240 / 255)
        assert low <= 255 * estimate_noise(framed)[0] <= high


def test_small_crops_work_and_hopeless_ones_say_so(photo, with_noise):
    (sigma,) = estimate_noise(with_noise(photo("camera")[:96, :96], 15))
    assert 255 * sigma == pytest.approx(15, rel=0.25)
    assert estimate_noise(np.zeros((256, 256, 3), np.float32)) is None
    assert estimate_noise(np.full((8, 8, 1), 0.5, np.float32)) is None


def test_what_is_transparent_does_not_count(photo, with_noise):
    pixels = with_noise(photo("moon")[:256, :256], 20)
    pixels[:160] = 0.5
    visible = np.ones(pixels.shape[:2], bool)
    assert estimate_noise(pixels)[0] < FLOOR
    visible[:160] = False
    assert 255 * estimate_noise(pixels, visible)[0] == pytest.approx(20, rel=0.15)


def test_noise_that_the_channels_share_is_told_from_their_own(photo, with_noise):
    own = with_noise(photo("coffee"), 20)
    common = np.repeat(with_noise(photo("camera"), 20), 3, axis=2)
    for pixels, expected in ((own, 1), (common, 3**0.5), (common[..., :1], 3**0.5)):
        sigma = float(np.sqrt(np.mean(np.square(estimate_noise(pixels)))))
        assert common_share(pixels, sigma) == pytest.approx(expected, rel=0.05)


@pytest.mark.parametrize("shape", [(20_000, 30_000, 3), (100, 50_000, 1), (2048, 2048, 3)])
def test_measuring_is_bounded_and_reaches_all_corners(shape):
    huge = np.broadcast_to(np.float32(0), shape)  # takes no memory
    crops = evenly_spread_crops(huge)
    assert sum(crop.shape[0] * crop.shape[1] for crop in crops) <= 2048**2
    ends = np.arange(5000).reshape(1, 5000, 1).astype(np.float32)
    crops = evenly_spread_crops(ends)
    assert crops[0].min() == 0
    assert crops[-1].max() == 4999
