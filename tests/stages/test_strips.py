"""Stages applied strip by strip to a large picture give what they give of the whole, and no second float picture."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from enhancer.image import Document, image_from_array
from enhancer.processing import ImageEnhancer
from enhancer.stages import strips
from enhancer.stages.base import Decision
from enhancer.stages.denoising import Denoising
from enhancer.stages.exposure import Exposure
from enhancer.stages.impulse_repair import ImpulseRepair
from enhancer.stages.sharpening import Sharpening
from enhancer.stages.strips import ALIGNED, apply_in_strips, in_strips
from enhancer.stages.tone import Tone


@pytest.fixture
def small_strips(monkeypatch):
    """As if 10,000 pixels were a large picture; with a halo a strip has one aligned halo's rows."""
    monkeypatch.setattr(strips, "LARGE", 10_000)
    monkeypatch.setattr(strips, "STRIP", 1)
    monkeypatch.setattr(strips, "HALOS", 1)


CASES = [
    (Exposure(), {"exposure": {"ev": 0.7}}, 0),
    (Tone(), {"tone": {"gamma": 1.3, "saturation": 1.2}}, 0),
    (ImpulseRepair(), {}, 0),
    (Sharpening(), {"sharpen": {"mode": "on"}}, 1e-6),
    (Denoising(), {}, 2e-3),
]


@pytest.mark.parametrize("height", [200, 67])
@pytest.mark.parametrize(("stage", "recipe", "tolerance"), CASES, ids=[stage.name for stage, _, _ in CASES])
@pytest.mark.usefixtures("small_strips")
def test_strips_give_what_the_whole_gives(photo, with_noise, context, stage, recipe, tolerance, height) -> None:
    pixels = with_noise(photo("coffee")[:height, :300], 12)
    struck = np.random.default_rng(1).random(pixels.shape[:2])
    pixels[struck < 0.01], pixels[struck > 0.99] = 0, 1
    made = context(**recipe)
    decision = made.decisions[stage.name] = stage.measure(pixels, made)
    assert decision.applied
    assert in_strips(stage, pixels, made)
    expected = stage.apply(pixels, decision, made)
    own = pixels.copy()
    assert apply_in_strips(stage, own, decision, made, into=own) is own
    np.testing.assert_allclose(own, expected, atol=tolerance)
    apart = apply_in_strips(stage, pixels, decision, made, into=np.empty_like(pixels))
    np.testing.assert_array_equal(apart, own)
    assert np.abs(expected - pixels).max() > 0.01  # so that an untouched picture would not pass


class Blur:
    """Mean of the rows a pixel's distance above and below: shows where a strip knew too little, or what was overwritten."""

    name = "blur"

    def apply(self, block, decision, context):
        framed = np.pad(block, ((3, 3), (0, 0), (0, 0)), mode="edge")
        return (framed[:-6] + framed[6:]) / 2

    def halo(self, context):
        return 3

    def scale(self, context):
        return 1.0


@pytest.mark.usefixtures("small_strips")
def test_rows_that_hold_the_result_already_are_not_read_as_input(context) -> None:
    pixels = np.random.default_rng(2).random((5 * ALIGNED + 7, 40, 3), dtype=np.float32)
    expected = Blur().apply(pixels, None, None)
    found = apply_in_strips(Blur(), pixels, Decision(True, ""), context(), into=pixels)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.usefixtures("small_strips")
def test_a_float_picture_that_came_is_not_written_to() -> None:
    came = np.linspace(0, 1, 120 * 150 * 3, dtype=np.float32).reshape(120, 150, 3)
    kept = came.copy()
    recipe = {"scale": 1, "denoise_strength": 0, "exposure": {"ev": -1}}
    result = ImageEnhancer(recipe).enhance_document(Document((image_from_array(came),))).document.first.pixels
    np.testing.assert_array_equal(came, kept)
    assert result.mean() < came.mean() - 0.05


def test_a_large_picture_takes_little_more_than_itself(context) -> None:
    pixels = np.full((4200, 4000, 3), 0.5, np.float32)
    made = context(exposure={"ev": 0.5})
    decision = Decision(True, "", {"ev": 0.5, "peak": 0.2})
    assert in_strips(Exposure(), pixels, made)
    tracemalloc.start()
    apply_in_strips(Exposure(), pixels, decision, made, into=pixels)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < pixels.nbytes / 2
