"""CLAHE against a naive loop and OpenCV, L* against scikit-image, and pictures that need none."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from PIL import Image as PillowImage
from skimage import color

from enhancer.stages.local_contrast import LocalContrast, clahe, lightness, local_contrast, tile_grid, with_lightness

STAGE = LocalContrast()


def equalised(picture, context):
    decision = STAGE.measure(picture, context)
    assert decision.applied
    return STAGE.apply(picture, decision, context)


def naive_clahe(values, clip_limit, tiles):
    """Pixel by pixel, straight from the definition; sides must divide by the tiles."""
    height, width = values.shape[0] // tiles[0], values.shape[1] // tiles[1]
    curves = {}
    for row in range(tiles[0]):
        for column in range(tiles[1]):
            histogram = [0.0] * 256
            for value in values[row * height : (row + 1) * height, column * width : (column + 1) * width].ravel():
                histogram[round(255 * float(value))] += 1 / (height * width)
            excess = sum(max(0.0, share - clip_limit / 256) for share in histogram)
            total, curve = 0.0, []
            for share in histogram:
                total += min(share, clip_limit / 256) + excess / 256
                curve.append(total)
            curves[row, column] = curve
    result = np.empty(values.shape)
    for y in range(values.shape[0]):
        for x in range(values.shape[1]):
            down = min(max((y - (height - 1) / 2) / height, 0), tiles[0] - 1)
            across = min(max((x - (width - 1) / 2) / width, 0), tiles[1] - 1)
            total = 0.0
            for row in {int(down), min(int(down) + 1, tiles[0] - 1)}:
                for column in {int(across), min(int(across) + 1, tiles[1] - 1)}:
                    level = 255 * float(values[y, x])
                    curve = curves[row, column]
                    below = min(int(level), 254)
                    mapped = curve[below] + (level - below) * (curve[below + 1] - curve[below])
                    total += (1 - abs(down - row)) * (1 - abs(across - column)) * mapped
            result[y, x] = total
    return result


@pytest.mark.parametrize("clip_limit", [1.5, 4, 40])
def test_agrees_with_a_naive_loop_on_values_of_any_depth(clip_limit):
    rng = np.random.default_rng(8)
    values = np.clip(rng.normal(0.5, 0.1, (48, 60)) + np.linspace(-0.3, 0.3, 60), 0, 1).astype(np.float32)
    assert np.abs(clahe(values, clip_limit, (3, 4)) - naive_clahe(values, clip_limit, (3, 4))).max() < 1e-5


@pytest.mark.parametrize("name", ["camera", "moon", "gravel"])
@pytest.mark.parametrize("clip_limit", [2, 10])
def test_agrees_with_opencv_on_8_bits(photo, name, clip_limit):
    picture = photo(name)[..., 0]
    theirs = cv2.createCLAHE(clip_limit, (8, 8)).apply(np.rint(255 * picture).astype(np.uint8))
    difference = np.abs(255 * clahe(picture, clip_limit, (8, 8)) - theirs)
    assert difference.mean() < 1.5
    assert difference.max() < 6


def test_16_bits_and_8_bits_come_out_alike(photo):
    """Which OpenCV's own 16-bit form does not do."""
    eight = np.rint(255 * photo("camera")[..., 0]).astype(np.uint8)
    sixteen = (eight.astype(np.uint16) * 257) + np.random.default_rng(1).integers(-120, 120, eight.shape)
    sixteen = np.clip(sixteen, 0, 65535).astype(np.uint16)
    ours = [clahe((picture / top).astype(np.float32), 2, (8, 8)) for picture, top in ((eight, 255), (sixteen, 65535))]
    engine = cv2.createCLAHE(2, (8, 8))
    theirs = [engine.apply(eight) / 255, engine.apply(sixteen) / 65535]
    assert np.abs(ours[0] - ours[1]).max() < 0.02
    assert np.abs(theirs[0] - theirs[1]).max() > 0.2


def test_lightness_is_that_of_cielab(photo):
    picture = photo("astronaut")
    assert np.abs(lightness(picture) - color.rgb2lab(picture)[..., 0]).max() < 0.01
    assert np.abs(with_lightness(picture, lightness(picture)) - picture).max() < 2e-4
    grey = photo("camera")
    assert np.abs(lightness(grey) - color.rgb2lab(np.repeat(grey, 3, axis=2))[..., 0]).max() < 0.01
    assert np.abs(with_lightness(grey, lightness(grey)) - grey).max() < 1e-5


@pytest.mark.parametrize("name", ["chelsea", "coffee"])
def test_contrast_rises_and_colour_stays(photo, context, name):
    picture = (0.35 + 0.15 * photo(name)).astype(np.float32)
    auto = context(local_contrast={"mode": "auto"})
    result = equalised(picture, auto)
    assert local_contrast(result) > 1.4 * local_contrast(picture)
    before, after = color.rgb2lab(picture), color.rgb2lab(result)
    assert np.abs(after[..., 1:] - before[..., 1:]).max() < 0.1


def test_grey_stays_one_channel_and_16_bit_fine(context):
    ramp = np.tile(np.linspace(0.4, 0.5, 4096, dtype=np.float32), (64, 1))[..., None]
    result = equalised(ramp, context(local_contrast={"mode": "on"}))
    assert result.shape == ramp.shape
    assert np.unique(np.rint(65535 * result)).size > 2000


@pytest.mark.parametrize("name", ["astronaut", "coffee", "chelsea", "rocket", "motorcycle", "retina", "camera", "coins",
                                  "moon", "page", "text", "brick", "gravel", "cell"])  # fmt: skip
def test_auto_leaves_clean_pictures_alone(photo, context, name):
    assert not STAGE.measure(photo(name), context(local_contrast={"mode": "auto"})).applied


@pytest.mark.parametrize("folder", ["set14", "photos"])
def test_auto_leaves_clean_photographs_alone(shared_data, context, folder):
    paths = sorted(path for path in (shared_data / folder).iterdir() if path.suffix in (".bmp", ".png", ".jpg"))
    assert len(paths) >= 5
    for path in paths:
        with PillowImage.open(path) as file:
            file.draft("RGB", (1024, 1024))
            pixels = np.asarray(file.convert("RGB")).astype(np.float32) / np.float32(255)
        assert not STAGE.measure(pixels, context(local_contrast={"mode": "auto"})).applied, path.name


def test_auto_leaves_blank_and_noisy_pictures_alone(photo, context, with_noise):
    auto = context(local_contrast={"mode": "auto"})
    assert not STAGE.measure(np.full((300, 300, 3), 0.9, np.float32), auto).applied
    flat = (0.35 + 0.15 * photo("coffee")).astype(np.float32)
    assert STAGE.measure(with_noise(flat, 0), auto).applied
    assert not STAGE.measure(with_noise(flat, 8), auto).applied


def test_what_a_recipe_may_say(photo, context):
    assert not STAGE.measure(photo("coins"), context()).applied
    asked = context(local_contrast={"mode": "on", "tiles": 6, "clip_limit": 3})
    decision = STAGE.measure(photo("coffee")[:200, :400], asked)
    assert decision.numbers["tiles"] == [3, 6]
    assert decision.numbers["clip_limit"] == 3
    assert tile_grid(1, 1000, asked.recipe.local_contrast) == (1, 6)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 7, 3), (2, 2, 3), (5, 300, 1), (67, 101, 3)])
def test_odd_sizes_pass(context, shape):
    pixels = np.random.default_rng(0).random(shape, np.float32)
    result = equalised(pixels, context(local_contrast={"mode": "on"}))
    assert result.shape == shape
    assert np.isfinite(result).all()
