"""Exposure against truth: real photographs shifted in linear light, scored by scikit-image."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from skimage import data
from skimage.metrics import peak_signal_noise_ratio

from enhancer.image import FloatPixels
from enhancer.stages.base import Context, Decision
from enhancer.stages.dynamic_range import analyse
from enhancer.stages.exposure import Exposure, mis_exposure
from enhancer.stages.lift_curve import compensate
from enhancer.stages.light import from_linear, to_linear

PHOTOGRAPHS = ("astronaut", "coffee", "chelsea", "motorcycle", "rocket", "camera")
OTHER_PICTURES = ("retina", "immunohistochemistry", "coins", "moon", "page", "text", "brick", "gravel", "cell")
ON = {"mode": "auto"}


def shifted(pixels: FloatPixels, ev: float) -> FloatPixels:
    """As an 8-bit file would hold the same scene exposed by `ev` more."""
    light = np.clip(to_linear(pixels) * np.float32(2**ev), 0, 1)
    return (np.rint(from_linear(light) * 255) / 255).astype(np.float32)


@pytest.fixture
def corrected(context: Callable[..., Context]) -> Callable[..., FloatPixels]:
    """Runs the stage, rounds to 8 bits; the input itself where the stage does nothing."""

    def run(pixels: FloatPixels, **options: object) -> FloatPixels:
        stage, around = Exposure(), context(exposure=options or ON)
        decision = stage.measure(pixels, around)
        if not decision.applied:
            return pixels
        return (np.rint(stage.apply(pixels, decision, around) * 255) / 255).astype(np.float32)

    return run


@pytest.mark.parametrize("ev", [-2, -1])
def test_under_exposed_photographs_come_5_db_nearer_the_truth(
    ev: float, photo: Callable[[str], FloatPixels], corrected: Callable[..., FloatPixels]
) -> None:
    gains = [_gain(photo(name), ev, corrected) for name in PHOTOGRAPHS]
    assert np.median(gains) >= 5
    assert min(gains) >= 0


@pytest.mark.parametrize("ev", [1, 1.5])
def test_over_exposed_photographs_come_5_db_nearer_the_truth_or_stay(
    ev: float,
    photo: Callable[[str], FloatPixels],
    corrected: Callable[..., FloatPixels],
    shared_data: Path,
) -> None:
    paths = sorted((shared_data / "photos").glob("*.jpg")) + sorted((shared_data / "set14").glob("*.bmp"))
    pictures = [photo(name) for name in PHOTOGRAPHS]
    for path in paths:
        with Image.open(path) as file:
            file.thumbnail((300, 300))
            pictures.append(np.asarray(file.convert("RGB"), dtype=np.float32) / 255)
    gains = [_gain(picture, ev, corrected) for picture in pictures]
    assert np.median(gains) >= 5
    assert min(gains) >= -1


@pytest.mark.parametrize("name", PHOTOGRAPHS + OTHER_PICTURES)
def test_pictures_as_they_came_are_left_alone(
    name: str, photo: Callable[[str], FloatPixels], context: Callable[..., Context]
) -> None:
    decision = Exposure().measure(photo(name), context(exposure=ON))
    assert not decision.applied, decision.reason


@pytest.mark.parametrize("ev", [-3, -1, 0.5, 2, 5])
@pytest.mark.parametrize("peak", [0.4, 0.9, 1.0])
def test_nothing_newly_clips_and_order_is_kept(ev: float, peak: float) -> None:
    light = np.linspace(0, peak, 2001, dtype=np.float32).astype(np.float64)
    out = np.asarray(compensate(light, ev, peak))
    assert out[0] == 0
    assert np.all(np.diff(out) > 0)
    assert out[-1] <= 1 + 1e-6
    assert np.all(out[:-1] < 1)


def test_below_the_knee_exposure_is_the_plain_factor() -> None:
    light = np.linspace(0, 0.19, 50, dtype=np.float32)
    np.testing.assert_allclose(compensate(light, 2), 4 * light, rtol=1e-6)
    np.testing.assert_allclose(compensate(light, -1), light / 2, rtol=1e-4)


def test_the_shoulder_joins_without_a_kink() -> None:
    light = np.linspace(0.3, 0.5, 20_001)  # 2 EV: the knee lies at 0.2 of the input, 1 EV: at 0.4
    slope = np.gradient(np.asarray(compensate(light, 1)), light)
    assert np.abs(np.diff(slope)).max() < 1e-3


@pytest.mark.parametrize("numbers", [{"by": "restoration"}, {"damage": 0.95, "noise": 2.0, "quality": 88}])
def test_a_picture_that_shows_damage_is_not_judged(
    photo: Callable[[str], FloatPixels], context: Callable[..., Context], numbers: dict[str, object]
) -> None:
    """Restored or not: blur and compression alone took the top of the scale from these."""
    around = context(exposure=ON)
    dark = shifted(photo("astronaut"), -2)
    assert Exposure().measure(dark, around).applied
    around.decisions["restoration"] = Decision(False, "as measured", numbers)
    assert "damaged" in Exposure().measure(dark, around).reason
    around.decisions["restoration"] = Decision(False, "as measured", {"damage": 0.5})
    assert Exposure().measure(dark, around).applied


def test_an_explicit_value_holds_in_any_mode(
    photo: Callable[[str], FloatPixels], corrected: Callable[..., FloatPixels]
) -> None:
    picture = photo("coffee")
    np.testing.assert_array_equal(corrected(picture, mode="off"), picture)
    np.testing.assert_array_equal(corrected(picture, mode="auto", ev=0.0), picture)
    brighter = corrected(picture, mode="off", ev=1.0)
    dark = to_linear(picture) < 0.35
    np.testing.assert_allclose(to_linear(brighter)[dark], 2 * to_linear(picture)[dark], atol=0.004)


def test_the_recipes_limit_holds(photo: Callable[[str], FloatPixels], context: Callable[..., Context]) -> None:
    decision = Exposure().measure(shifted(photo("astronaut"), -2), context(exposure={"mode": "auto", "max_ev": 0.5}))
    assert decision.numbers["ev"] == 0.5
    assert decision.numbers["headroom"] == pytest.approx(2, abs=0.1)


def test_grey_pictures_are_mended_too(
    photo: Callable[[str], FloatPixels], corrected: Callable[..., FloatPixels]
) -> None:
    assert photo("camera").shape[2] == 1
    assert _gain(photo("camera"), -1, corrected) >= 5


def test_a_document_on_white_paper_is_not_darkened(context: Callable[..., Context]) -> None:
    paper = np.ones((100, 100, 1), dtype=np.float32)
    paper[20:80:4, 10:90] = 0.1
    assert not Exposure().measure(paper, context(exposure=ON)).applied


def _gain(truth: FloatPixels, ev: float, corrected: Callable[..., FloatPixels]) -> float:
    """How many dB the correction brings."""
    worse = shifted(truth, ev)
    before = peak_signal_noise_ratio(truth, worse, data_range=1)
    return float(peak_signal_noise_ratio(truth, corrected(worse), data_range=1) - before)


def test_hard_contrast_is_not_taken_for_too_much_light() -> None:
    """A slide: a white ground, black letters and a photograph, which more light would not have left black."""
    photograph = (data.astronaut()[:256, :256] / 255).astype(np.float32)
    page = np.ones((256, 384, 3), np.float32)
    page[:, :256] = photograph
    page[:, 300:320] = 0
    page[::16, 256:] = 0
    measured = analyse(page, None)
    assert measured.any_highlight_clipped > 0.2
    assert mis_exposure(measured)[0] == 0
