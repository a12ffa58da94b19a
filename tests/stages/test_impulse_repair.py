"""Impulse repair against the truth, a plain median filter, and clean pictures that must be left alone."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import median_filter, minimum_filter
from skimage.metrics import peak_signal_noise_ratio as psnr
from skimage.util import random_noise

from enhancer.image import from_unit, to_unit
from enhancer.stages.base import Decision
from enhancer.stages.impulse_evidence import isolated_extremes
from enhancer.stages.impulse_repair import ImpulseRepair, repair_channel
from tests.cases.drawn import DRAWINGS, music, table, text, with_salt_and_pepper

CLEAN = ["astronaut", "coffee", "chelsea", "rocket", "motorcycle", "retina", "immunohistochemistry", "camera", "coins",
         "moon", "page", "text", "brick", "gravel", "cell"]  # fmt: skip
STAGE = ImpulseRepair()


def salt_and_pepper(pixels, amount, **options):
    return random_noise(pixels, "s&p", amount=amount, rng=3, **options).astype(np.float32)


@pytest.mark.parametrize("name", ["astronaut", "rocket", "coins"])
@pytest.mark.parametrize("amount", [0.01, 0.05, 0.2])
def test_beats_a_median_filter_by_3_db(photo, context, name, amount):
    truth = photo(name)[100:300, 100:300]
    struck = salt_and_pepper(truth, amount)
    decision = STAGE.measure(struck, context())
    repaired = STAGE.apply(struck, decision, context())
    filtered = median_filter(struck, size=(3, 3, 1))
    assert decision.applied
    assert repaired.dtype == np.float32
    assert psnr(truth, repaired, data_range=1) > psnr(truth, filtered, data_range=1) + 3
    assert psnr(truth, repaired, data_range=1) > psnr(truth, struck, data_range=1) + 15


@pytest.mark.parametrize("name", ["astronaut", "chelsea", "camera", "page"])
def test_the_measured_rates_are_those_added(photo, context, name):
    decision = STAGE.measure(salt_and_pepper(photo(name), 0.06, salt_vs_pepper=1 / 3), context())
    assert decision.numbers["salt"] == pytest.approx([0.02] * len(decision.numbers["salt"]), rel=0.2)
    assert decision.numbers["pepper"] == pytest.approx([0.04] * len(decision.numbers["pepper"]), rel=0.2)


@pytest.mark.parametrize("name", CLEAN)
def test_clean_pictures_are_left_alone(photo, context, name):
    assert not STAGE.measure(photo(name), context()).applied


@pytest.mark.parametrize("sigma", [10, 25, 50])
def test_gaussian_noise_is_not_taken_for_impulses(photo, context, with_noise, sigma):
    for name in ("astronaut", "moon"):
        assert not STAGE.measure(with_noise(photo(name), sigma), context()).applied


def test_a_night_sky_keeps_its_stars(context):
    rng = np.random.default_rng(5)
    sky = np.clip(rng.normal(0.04, 0.01, (256, 256, 1)), 0, 1).astype(np.float32)
    for y, x in rng.integers(0, 256, (40, 2)):
        sky[y, x] = 1
    assert not STAGE.measure(sky, context()).applied


def test_only_struck_pixels_change(photo, context):
    truth = photo("astronaut")[100:300, 100:300]
    struck = salt_and_pepper(truth, 0.05)
    repaired = STAGE.apply(struck, STAGE.measure(struck, context()), context())
    changed = repaired != struck
    extreme = (struck <= 1.5 / 255) | (struck >= 253.5 / 255)
    assert not (changed & ~extreme).any()
    assert changed.sum() <= 1.1 * (struck != truth).sum()


def test_black_letters_survive_the_repair():
    page = np.full((128, 128), 0.9, np.float32)
    page[20:110:9, 10:118] = 0
    page[21:110:9, 10:118] = 0
    struck = salt_and_pepper(page, 0.02)
    repaired = repair_channel(struck, pepper=0.01, salt=0.01)
    assert (repaired[page == 0] < 0.1).mean() > 0.99
    assert (np.abs(repaired - page) < 0.1).mean() > 0.995


def test_pepper_in_a_burnt_out_sky_is_repaired():
    sky = np.ones((64, 64), np.float32)
    struck = sky.copy()
    struck[8::16, 8::16] = 0
    assert np.array_equal(repair_channel(struck, pepper=0.01, salt=0.01), sky)


def test_a_hand_computed_pixel():
    values = np.array([[0.2, 0.3, 0.4], [0.5, 1.0, 0.5], [0.6, 0.7, 0.0]], np.float32)
    repaired = repair_channel(values, pepper=0.1, salt=0.1)
    # 0 and 1 are suspects; the other seven are 0.2 0.3 0.4 0.5 0.5 0.6 0.7
    assert repaired[1, 1] == np.float32(0.5)
    assert np.array_equal(repaired[:2, 0], values[:2, 0])


def test_the_halo_makes_blocks_exact(photo, context):
    struck = salt_and_pepper(photo("coffee")[:160, :160], 0.3)
    decision = STAGE.measure(struck, context())
    whole = STAGE.apply(struck, decision, context())
    halo = STAGE.halo(context())
    block = STAGE.apply(struck[40 - halo : 120 + halo, 40 - halo : 120 + halo], decision, context())
    assert np.array_equal(block[halo:-halo, halo:-halo], whole[40:120, 40:120])


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 7, 3), (2, 2, 3), (5, 300, 1)])
def test_tiny_pictures_pass(context, shape):
    pixels = np.zeros(shape, np.float32)
    pixels[0, 0] = 1
    decision = STAGE.measure(pixels, context())
    assert not decision.applied
    assert repair_channel(pixels[..., 0], pepper=0.1, salt=0.1).shape == shape[:2]


def test_the_recipe_can_turn_it_off(photo, context):
    struck = salt_and_pepper(photo("coins"), 0.05)
    assert not STAGE.measure(struck, context(repair_impulses=False)).applied


def test_no_evidence_is_no_rate():
    assert isolated_extremes([np.zeros((64, 64), np.float32)], [np.zeros((64, 64), np.float32)]).rate == 0


@pytest.mark.parametrize("name", ["astronaut", "coffee", "camera"])
def test_impulses_on_top_of_gaussian_noise_are_found_in_every_channel(photo, context, with_noise, name):
    decision = STAGE.measure(salt_and_pepper(with_noise(photo(name), 20), 0.05), context())
    for polarity in ("salt", "pepper"):
        assert decision.numbers[polarity] == pytest.approx([0.025] * len(decision.numbers[polarity]), rel=0.3)


def plain_rates(channel):
    """Pepper's shares block by block: struck and nearly struck, of the pixels all of whose neighbours are far from it."""
    median = median_filter(channel, size=3, mode="mirror")
    ring = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]])
    clear = minimum_filter(channel, footprint=ring, mode="mirror") > np.maximum(
        np.float32(0.35), median - np.float32(0.3)
    )
    rates = []
    for rows in np.array_split(np.arange(channel.shape[0]), max(1, channel.shape[0] // 64)):
        for columns in np.array_split(np.arange(channel.shape[1]), max(1, channel.shape[1] // 64)):
            values = channel[np.ix_(rows, columns)]
            seen = clear[np.ix_(rows, columns)]
            if seen.sum() >= 256:
                black = (values <= np.float32(1.5 / 255)) & seen
                dark = (values <= np.float32(12 / 255)) & seen & ~black
                rates.append((black.sum() / seen.sum(), dark.sum() / seen.sum()))
    return np.array(rates)


@pytest.mark.parametrize("side", [(512, 512), (333, 401), (130, 65)])
def test_the_rates_are_those_of_blocks_counted_one_by_one(photo, context, side):
    struck = salt_and_pepper(photo("astronaut")[: side[0], : side[1]], 0.04)
    decision = STAGE.measure(struck, context())
    for channel in range(3):
        for polarity, values in (("pepper", struck[..., channel]), ("salt", 1 - struck[..., channel])):
            black, dark = plain_rates(values).T
            rate = (
                np.median(black) if np.percentile(black, 25) >= 1e-3 and np.median(dark) <= np.median(black) / 4 else 0
            )
            assert decision.numbers[polarity][channel] == round(float(rate), 5)
    assert decision.applied


@pytest.mark.parametrize("name", DRAWINGS)
@pytest.mark.parametrize("light_on_dark", [False, True])
def test_what_was_drawn_is_no_impulse(context, name, light_on_dark):
    pixels = DRAWINGS[name]()
    drawn = to_unit(255 - pixels if light_on_dark else pixels)
    assert not STAGE.measure(drawn, context()).applied
    assert not STAGE.measure(np.ascontiguousarray(drawn[..., :1]), context()).applied


@pytest.mark.parametrize("density", [0.002, 0.02])
def test_stars_on_an_empty_sky_and_stippling_stay(context, density):
    sky = np.zeros((300, 400, 3), np.float32)
    sky[np.random.default_rng(9).random((300, 400)) < density] = 1
    assert not STAGE.measure(sky, context()).applied
    assert not STAGE.measure(1 - sky, context()).applied


def test_snow_of_one_polarity_stays(context):
    scene = np.full((300, 400, 3), (0.1, 0.2, 0.45), np.float32)
    scene[:150] += 0.3
    scene[np.random.default_rng(9).random((300, 400)) < 0.01] = 1
    assert not STAGE.measure(scene, context()).applied


def test_a_photograph_may_have_impulses_of_one_polarity(photo, context):
    truth = photo("coffee")[:200, :200]
    struck = truth.copy()
    struck[np.random.default_rng(9).random((200, 200)) < 0.02] = 1
    known = context()
    known.decisions["picture-kind"] = Decision(False, "a photograph", {"kind": "photograph"})
    decision = STAGE.measure(struck, known)
    assert decision.applied
    assert psnr(truth, STAGE.apply(struck, decision, known), data_range=1) > psnr(truth, struck, data_range=1) + 10


@pytest.mark.parametrize("amount", [0.01, 0.02, 0.05])
@pytest.mark.parametrize(
    "page", [text(12, 20, 235), text(16), text(24, 10, 235), music(), table()], ids=["12", "16", "24", "music", "table"]
)
def test_impulses_leave_a_page_and_no_stroke_does(context, page, amount):
    struck = with_salt_and_pepper(page, amount)
    decision = STAGE.measure(to_unit(struck), context())
    repaired = from_unit(STAGE.apply(to_unit(struck), decision, context()), np.dtype(np.uint8))
    assert decision.applied
    assert psnr(page, repaired) > psnr(page, struck) + 1
    ink = (page.max(axis=2) < 64) & (struck == page).all(axis=2)
    assert (repaired[ink] > 128).any(axis=1).mean() < 0.005
    specks = (page.min(axis=2) > 200) & (struck.max(axis=2) == 0)
    alone = specks & (minimum_filter(page.min(axis=2), size=5) > 200)
    assert (repaired[alone].min(axis=1) > 200).mean() > 0.95
