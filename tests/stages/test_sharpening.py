"""Sharpening on slanted edges (ISO 12233's figure), its bound, its filters by hand, and clean pictures left alone."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image as PillowImage
from pydantic import ValidationError
from scipy import ndimage

from enhancer.options import SharpeningOptions
from enhancer.stages.sharpening import OVERSHOOT, Sharpening, gaussian_sigma, measure_sharpness

STAGE = Sharpening()


def slanted_edge(blur, low=0.2, high=0.8, size=128):
    """An edge 5 degrees off the vertical, blurred by a Gaussian of `blur` pixels; analytic, hence free of aliasing."""
    from scipy.special import erf

    y, x = np.indices((size, size)) - size / 2
    across = x * np.cos(np.radians(5)) + y * np.sin(np.radians(5))
    step = (1 + erf(across / (blur * np.sqrt(2)))) / 2
    return (low + (high - low) * step)[..., None].astype(np.float32)


def rise_distance(picture, low=0.2, high=0.8):
    """Mean distance in pixels, over the rows, between 10 % and 90 % of the edge."""
    widths = []
    for row in picture[16:-16, :, 0]:
        share = (row - low) / (high - low)
        ends = []
        for level in (0.1, 0.9):
            after = int(np.argmax(share > level))
            ends.append(after - (share[after] - level) / (share[after] - share[after - 1]))
        widths.append(ends[1] - ends[0])
    return float(np.mean(widths))


def sharpened(picture, context):
    decision = STAGE.measure(picture, context)
    assert decision.applied
    return STAGE.apply(picture, decision, context)


@pytest.mark.parametrize("method", ["frequency", "adaptive", "unsharp"])
@pytest.mark.parametrize("blur", [1.0, 2.0])
def test_an_edge_gets_steeper(context, method, blur):
    edge = slanted_edge(blur)
    assert rise_distance(edge) == pytest.approx(2.5631 * blur / np.cos(np.radians(5)), rel=0.1)
    result = sharpened(edge, context(sharpen={"mode": "on", "method": method}))
    assert rise_distance(result) < (0.9 if blur == 1 else 0.97) * rise_distance(edge)


@pytest.mark.parametrize("amount", [0.8, 5])
@pytest.mark.parametrize("kernel", [3, 9])
def test_adaptive_stays_within_its_bound(photo, context, kernel, amount):
    for picture in (slanted_edge(1.5), slanted_edge(0.3), photo("camera")):
        result = sharpened(picture, context(sharpen={"mode": "on", "kernel": kernel, "amount": amount}))
        low = ndimage.minimum_filter(picture[..., 0], kernel, mode="nearest")
        high = ndimage.maximum_filter(picture[..., 0], kernel, mode="nearest")
        margin = OVERSHOOT * (high - low) + 1e-6
        assert (result[..., 0] >= low - margin).all()
        assert (result[..., 0] <= high + margin).all()
    edge = sharpened(slanted_edge(1.5), context(sharpen={"mode": "on", "kernel": kernel, "amount": amount}))
    assert edge.max() <= 0.8 + 0.6 * OVERSHOOT + 1e-6
    if (kernel, amount) == (9, 5):  # what the bound holds back
        options = {"mode": "on", "method": "unsharp", "kernel": kernel, "amount": amount}
        assert sharpened(slanted_edge(1.5), context(sharpen=options)).max() > 0.9


def test_adaptive_leaves_flat_areas_and_noise_alone(context):
    rng = np.random.default_rng(4)
    edge = slanted_edge(1.0, size=256)
    noisy = (edge + rng.normal(0, 4 / 255, edge.shape)).astype(np.float32)
    flat = np.s_[:, :90]
    adaptive = sharpened(noisy, context(sharpen={"mode": "on"}))
    plain = sharpened(noisy, context(sharpen={"mode": "on", "method": "frequency"}))
    assert np.std(adaptive[flat]) < 1.01 * np.std(noisy[flat])
    assert np.std(plain[flat]) > 1.3 * np.std(noisy[flat])
    assert (adaptive[flat] == noisy[flat]).mean() > 0.95


@pytest.mark.parametrize(("method", "threshold"), [("frequency", 0.0), ("unsharp", 0.0), ("unsharp", 0.02)])
def test_the_filters_by_hand(photo, context, method, threshold):
    picture = photo("camera")[:100, :120]
    options = {"mode": "on", "method": method, "threshold": threshold}
    result = sharpened(picture, context(sharpen=options))
    beside = np.exp(-1 / (2 * 0.8**2))  # kernel 3: a Gaussian of 0.8 pixels, sampled at -1, 0, 1
    weights = np.array([beside, 1, beside]) / (1 + 2 * beside)
    values = picture[..., 0].astype(np.float64)
    high = values - ndimage.correlate(values, np.outer(weights, weights), mode="reflect")
    expected = np.clip(values + 0.8 * high * (np.abs(high) >= threshold), 0, 1)
    near_threshold = np.abs(np.abs(high) - threshold) < 1e-6
    assert np.abs(result[..., 0] - expected)[~near_threshold].max() < 1e-5


def test_colour_differences_stay(photo, context):
    picture = 0.25 + 0.5 * photo("chelsea")
    result = sharpened(picture, context(sharpen={"mode": "on"}))
    change = result - picture
    assert np.abs(change).max() > 0.01
    assert np.ptp(change, axis=2).max() < 1e-6


@pytest.mark.parametrize("blur", [1.0, 1.5, 2.0, 3.0])
def test_the_measured_blur_is_that_of_the_edge(blur):
    picture = slanted_edge(blur, size=1400)[:, 560:840]
    assert measure_sharpness(picture).blur == pytest.approx(blur, rel=0.2)


@pytest.mark.parametrize("name", ["astronaut", "coffee", "chelsea", "rocket", "motorcycle", "retina", "camera", "coins",
                                  "moon", "page", "text", "brick", "gravel", "cell"])  # fmt: skip
def test_auto_leaves_clean_pictures_alone(photo, context, name):
    assert not STAGE.measure(photo(name), context(sharpen={"mode": "auto"})).applied


@pytest.mark.parametrize("folder", ["set14", "photos"])
def test_auto_leaves_clean_photographs_alone(shared_data, context, folder):
    paths = sorted(path for path in (shared_data / folder).iterdir() if path.suffix in (".bmp", ".png", ".jpg"))
    assert len(paths) >= 5
    for path in paths:
        with PillowImage.open(path) as file:
            pixels = np.asarray(file.convert("RGB"))[-1024:, -1024:].astype(np.float32) / np.float32(255)
        decision = STAGE.measure(pixels, context(sharpen={"mode": "auto"}))
        assert not decision.applied, path.name


@pytest.mark.parametrize("name", ["astronaut", "chelsea", "coins", "motorcycle", "rocket"])
def test_auto_brings_a_soft_picture_nearer_the_truth(photo, context, with_noise, name):
    truth = photo(name)
    soft = with_noise(ndimage.gaussian_filter(truth, (2, 2, 0)), 0)
    auto = context(sharpen={"mode": "auto"})
    decision = STAGE.measure(soft, auto)
    assert decision.applied
    assert decision.numbers["kernel"] > 3
    result = STAGE.apply(soft, decision, auto)
    assert np.mean((result - truth) ** 2) < np.mean((soft - truth) ** 2)
    noisy = with_noise(soft, 6)
    assert not STAGE.measure(noisy, auto).applied


def test_what_a_recipe_may_say(photo, context):
    assert not STAGE.measure(photo("coins"), context()).applied
    assert not STAGE.measure(photo("coins"), context(sharpen={"mode": "on", "amount": 0})).applied
    with pytest.raises(ValidationError, match="odd"):
        SharpeningOptions(kernel=4)
    decision = STAGE.measure(photo("coins"), context(sharpen={"mode": "on"}))
    assert (decision.numbers["kernel"], decision.numbers["amount"]) == (3, 0.8)
    assert gaussian_sigma(3) == pytest.approx(0.8)


def test_the_halo_makes_blocks_exact(photo, context):
    picture = photo("coffee")[:160, :160]
    asked = context(sharpen={"mode": "on", "kernel": 7})
    asked.decisions[STAGE.name] = decision = STAGE.measure(picture, asked)
    halo = STAGE.halo(asked)
    assert halo == 3
    whole = STAGE.apply(picture, decision, asked)
    block = STAGE.apply(picture[40 - halo : 120 + halo, 40 - halo : 120 + halo], decision, asked)
    assert np.abs(block[halo:-halo, halo:-halo] - whole[40:120, 40:120]).max() < 1e-6


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 7, 3), (2, 2, 3), (5, 300, 1)])
def test_tiny_pictures_pass(context, shape):
    pixels = np.full(shape, 0.5, np.float32)
    assert not STAGE.measure(pixels, context(sharpen={"mode": "auto"})).applied
    assert np.array_equal(sharpened(pixels, context(sharpen={"mode": "on"})), pixels)
