"""Dark pictures: how dark, how noisy at each brightness, and denoising on the scale of the lifted picture."""

from __future__ import annotations

import numpy as np
import pytest
from skimage import data
from skimage.metrics import peak_signal_noise_ratio

from enhancer.image import FloatPixels, Metadata
from enhancer.recipe import preset
from enhancer.settings import Settings
from enhancer.stages.base import Context
from enhancer.stages.denoising import Denoising
from enhancer.stages.dynamic_range import analyse
from enhancer.stages.exposure import Exposure
from enhancer.stages.lift_curve import compensate, undo
from enhancer.stages.light import from_linear, to_linear
from enhancer.stages.low_light import Lift, as_it_came, denoised_as_lifted, in_words, noise_curve, stops_dark
from enhancer.stages.nets import Nets


def darker(picture: FloatPixels, stops: float) -> FloatPixels:
    """In linear light, as 8 bits."""
    return (np.rint(255 * from_linear(to_linear(picture) / np.float32(2**stops))) / 255).astype(np.float32)


def astronaut() -> FloatPixels:
    return data.astronaut()[:192, 128:320].astype(np.float32) / np.float32(255)


def context(name: str = "low-light", **options: object) -> Context:
    return Context(recipe=preset(name, **options), metadata=Metadata(), nets=Nets(Settings()))


@pytest.mark.parametrize(("ev", "peak"), [(1.0, 0.4), (3.0, 0.2), (5.0, 1.0)])
def test_the_lift_can_be_undone(ev: float, peak: float) -> None:
    light = np.linspace(0, peak, 1000, dtype=np.float32)
    assert np.abs(undo(compensate(light, ev, peak), ev, peak) - light).max() < 1e-4


def test_the_lift_clips_nothing_that_was_not_at_the_top() -> None:
    values = np.linspace(0, 1, 256, dtype=np.float32)
    lifted = Lift(4.0, 1.0).up(values)
    assert (np.diff(lifted) > 0).all()
    assert lifted[-2] < 1


@pytest.mark.parametrize("stops", [2, 3, 4])
def test_a_darkened_photograph_is_dark_by_its_stops(stops: int) -> None:
    assert stops_dark(analyse(darker(astronaut(), stops))) == pytest.approx(stops, abs=0.5)


def test_a_photograph_as_it_should_be_is_not_dark() -> None:
    assert stops_dark(analyse(astronaut())) == 0


def test_the_noise_curve_finds_noise_that_grows_with_the_light() -> None:
    ramp = np.broadcast_to(np.linspace(0.2, 0.8, 512, dtype=np.float32)[None, :, None], (256, 512, 3))
    sigma = 0.01 + 0.05 * ramp
    noise = np.random.default_rng(3).standard_normal(ramp.shape, dtype=np.float32)
    curve = noise_curve((ramp + sigma * noise).astype(np.float32))
    assert curve is not None
    assert curve.sigma == pytest.approx(0.01 + 0.05 * curve.light, rel=0.2)


def test_the_curve_on_the_scale_that_came_is_that_of_the_noise_that_was_added() -> None:
    flat = np.full((128, 128, 3), 0.2, np.float32)
    noisy = flat + np.random.default_rng(4).normal(0, 0.01, flat.shape).astype(np.float32)
    lift = Lift(2.0, 0.1)
    curve = noise_curve(lift.up(noisy))
    assert curve is not None
    assert float(as_it_came(curve, lift).sigma.mean()) == pytest.approx(0.01, rel=0.2)


def test_nothing_but_the_noise_is_lost_on_the_way_up_and_down() -> None:
    dark = darker(astronaut(), 3)
    lift = Lift(3.0, float(to_linear(dark).max()))
    curve = noise_curve(lift.up(dark))
    assert curve is not None
    same = denoised_as_lifted(dark, lift, curve, 1.0, lambda pixels, level: pixels)
    assert np.abs(same - dark).max() < 1e-4


@pytest.mark.parametrize("grey", [False, True])
def test_a_dark_noisy_picture_ends_nearer_the_truth_than_by_gain_alone(grey: bool) -> None:
    truth = astronaut().mean(axis=2, keepdims=True) if grey else astronaut()
    light = to_linear(truth) / 8
    noise = np.random.default_rng(5).standard_normal(light.shape, dtype=np.float32)
    noisy = light + np.sqrt(2e-4 * light + 1e-5).astype(np.float32) * noise
    dark = (np.rint(255 * np.clip(from_linear(noisy), 0, 1)) / 255).astype(np.float32)
    around = context()
    decision = Denoising().measure(dark, around)
    assert decision.applied
    assert decision.numbers["ev"] == pytest.approx(3, abs=0.6)
    result = Denoising().apply(dark, decision, around)
    gained, plain = (np.clip(from_linear(8 * to_linear(one)), 0, 1) for one in (result, dark))
    gain = peak_signal_noise_ratio(truth, gained, data_range=1) - peak_signal_noise_ratio(truth, plain, data_range=1)
    assert gain > 3


def night() -> FloatPixels:
    """A dark scene with a lamp in it."""
    scene = darker(astronaut(), 5)
    scene[20:40, 20:40] = 1
    return scene


def test_visibility_lifts_a_night_scene_with_a_lamp_and_keeps_the_lamp() -> None:
    scene, around = night(), context()
    decision = Exposure().measure(scene, around)
    assert decision.applied
    lifted = Exposure().apply(scene, decision, around)
    before, after = (np.median(to_linear(one)) for one in (scene, lifted))
    assert after > 2 * before
    assert (lifted >= 0.9999).sum() == (scene >= 0.9999).sum()


def test_photo_leaves_a_night_scene_with_a_lamp_alone() -> None:
    assert not Exposure().measure(night(), context("photo")).applied


def test_words_say_how_dark_and_how_noisy() -> None:
    dark = darker(astronaut(), 3)
    noisy = np.clip(dark + np.random.default_rng(6).normal(0, 6 / 255, dark.shape), 0, 1).astype(np.float32)
    words = in_words(analyse(noisy), noise_curve(noisy), noisy=True)
    assert words.startswith("dark by about ")
    assert "levels in the shadows" in words
    assert in_words(analyse(astronaut()), noise_curve(astronaut()), noisy=False) == "not too dark; no visible noise"
