"""Damaged scans of text through every preset: no stroke goes, and the result is no farther from the page than the scan.

The page is rendered by Pillow, dark brown on cream, and its scan has noise, blur or impulses. Ink is how much darker than
the paper the page is, summed over the strokes and two pixels around them; no ruled line has less.
"""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage
from skimage.metrics import peak_signal_noise_ratio

from enhancer.processing import ImageEnhancer
from enhancer.recipe import PRESETS, preset
from enhancer.settings import Settings
from tests.model_cache import MODEL_CACHE

INK, PAPER = (58, 46, 40), (238, 232, 218)
WORDS = "Soundings were taken by hand, at intervals of fifty yards; 1,284 in the first season: see plate IV (ill.)"
LEAST_INK, MOST_INK = 0.97, 1.03
RULES = range(66, 320, 62)


@cache
def page() -> np.ndarray:
    """Ten lines in three sizes, a ruled line every other: H x W x 3 uint8."""
    image = Image.new("RGB", (420, 320), PAPER)
    draw = ImageDraw.Draw(image)
    for number in range(10):
        y, size = 8 + 31 * number, (12, 16, 22)[number % 3]
        draw.text((10, y), WORDS[5 * number :], fill=INK, font=ImageFont.load_default(size))
    for row in RULES:
        draw.line([(10, row), (410, row)], fill=INK)
    return np.asarray(image)


def blank() -> np.ndarray:
    return np.broadcast_to(np.array(PAPER, np.uint8), page().shape)


def noise(pixels: np.ndarray, random: np.random.Generator, sigma: float = 10.0) -> np.ndarray:
    return pixels + random.normal(0, sigma, pixels.shape)


def grain(pixels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Noise that the channels have in common."""
    return pixels + random.normal(0, 12, (*pixels.shape[:2], 1))


def blur(pixels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return noise(ndimage.gaussian_filter(pixels, (0.8, 0.8, 0)), random, 1.0)


def blur_and_noise(pixels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    return noise(ndimage.gaussian_filter(pixels, (0.7, 0.7, 0)), random, 7.0)


def impulses(pixels: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """2 % salt and pepper."""
    struck = random.random(pixels.shape[:2])
    pixels = np.where((struck < 0.01)[..., None], 0, pixels)
    return np.where((struck > 0.99)[..., None], 255, pixels)


DAMAGES = {one.__name__: one for one in (noise, grain, blur, blur_and_noise, impulses)}


@cache
def scan(damage: str) -> np.ndarray:
    random = np.random.default_rng([3, sorted(DAMAGES).index(damage)])
    scanned = DAMAGES[damage](page().astype(float), random)
    return np.clip(np.rint(scanned), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    return Settings(home=tmp_path_factory.mktemp("home"), model_dir=MODEL_CACHE, device="cpu")


def as_given(name: str, pixels: np.ndarray) -> np.ndarray:
    """As the preset gets it: `medical-grey` grey."""
    return np.asarray(Image.fromarray(pixels).convert("L"))[..., None] if name == "medical-grey" else pixels


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", [name for name in PRESETS if name != "real"])  # which redraws whatever it gets
def test_no_stroke_is_lost_and_no_page_gets_worse(name: str, damage: str, settings: Settings) -> None:
    truth, given, paper = (as_given(name, pixels) for pixels in (page(), scan(damage), blank()))
    enhancer = ImageEnhancer(preset(name, scale=1), settings=settings)
    result = enhancer.enhance(given.squeeze()).reshape(truth.shape)
    darkness = (paper.astype(float) - result).sum(axis=2) / (paper.astype(float) - truth).sum(axis=2).max()
    wanted = (paper.astype(float) - truth).sum(axis=2) / (paper.astype(float) - truth).sum(axis=2).max()
    near = ndimage.binary_dilation(wanted > 0.05, iterations=2)
    assert LEAST_INK <= darkness[near].sum() / wanted[near].sum() <= MOST_INK
    for row in RULES:
        line = np.s_[row - 2 : row + 3, 20:400]
        assert darkness[line].sum() / wanted[line].sum() >= LEAST_INK  # an impulse that touches it may stay
    before, after = (peak_signal_noise_ratio(truth, pixels) for pixels in (given, result))
    assert after >= before


@pytest.mark.parametrize("damage", ["noise", "grain"])
@pytest.mark.parametrize("name", ["photo", "scan", "document", "archive", "old-photo"])
def test_visible_noise_goes_from_a_page(name: str, damage: str, settings: Settings) -> None:
    given = scan(damage)
    result = ImageEnhancer(preset(name, scale=1), settings=settings).enhance(given)
    before, after = (peak_signal_noise_ratio(page(), pixels) for pixels in (given, result))
    assert after >= before + 3
