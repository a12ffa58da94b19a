"""Large results made tile by tile against the same made whole."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from enhancer.image import Document, FloatPixels, Image, image_from_array
from enhancer.processing import ImageEnhancer
from enhancer.stages import big_pictures
from enhancer.stages.base import Context, Decision, Stage
from enhancer.stages.sequence import STAGES

BARE = {
    "denoise_strength": 0,
    "repair_impulses": False,
    "jpeg": {"mode": "off"},
    "scratches": {"mode": "off"},
    "fading": {"mode": "off"},
    "exposure": {"mode": "off"},
    "cast": {"mode": "off"},
}


@pytest.fixture
def small_tiles(monkeypatch):
    """What is large, and a tile, small enough for a test."""
    monkeypatch.setattr(big_pictures, "LARGE", 1000)
    monkeypatch.setattr(big_pictures, "TILE", 48)


def picture(photo, depth: type = np.uint8, sides: tuple[int, int] = (131, 157)) -> Image:
    pixels = photo("coffee")[40 : 40 + sides[0], 100 : 100 + sides[1]]
    return image_from_array(np.rint(pixels * np.iinfo(depth).max).astype(depth))


def both(image: Image, monkeypatch, **recipe):
    """The result and the decisions, whole and in tiles."""
    enhancer = ImageEnhancer({**BARE, "scale": 4, **recipe})
    monkeypatch.setattr(big_pictures, "LARGE", 10**9)
    whole = enhancer.enhance_document(Document((image,)))
    monkeypatch.setattr(big_pictures, "LARGE", 1000)
    monkeypatch.setattr(big_pictures, "TILE", 48)
    return whole, enhancer.enhance_document(Document((image,)))


def test_int8_is_the_same_to_the_bit(photo, monkeypatch) -> None:
    whole, tiles = both(picture(photo), monkeypatch, colour_fix={"mode": "off"})
    np.testing.assert_array_equal(tiles.document.first.pixels, whole.document.first.pixels)
    assert tiles.decisions == whole.decisions


@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_with_the_colour_fix_no_value_is_a_level_away(photo, monkeypatch, depth) -> None:
    """A warm cast of the net's result cannot be had here: the fix is made to find more than rounding instead."""
    monkeypatch.setattr("enhancer.stages.colour_fix.DEPTHS", (16, 16))
    whole, tiles = both(picture(photo, depth), monkeypatch)
    fixes = [one for run in (whole, tiles) for one in run.decisions if one.stage == "colour-fix"]
    assert [one.applied for one in fixes] == [True, True]
    assert fixes[0].numbers == pytest.approx(fixes[1].numbers, abs=2e-6)
    first, second = (run.document.first.pixels.astype(int) for run in (whole, tiles))
    assert np.abs(first - second).max() <= 1
    assert (first != second).mean() < (0.001 if depth == np.uint8 else 0.1)
    assert [(d.stage, d.applied, d.reason) for d in tiles.decisions] == [
        (d.stage, d.applied, d.reason) for d in whole.decisions
    ]


def test_a_tile_that_knew_less_around_it_would_show(photo, monkeypatch) -> None:
    """So that the test above can fail: without what the colour fix looks at, seams are there."""
    monkeypatch.setattr("enhancer.stages.colour_fix.DEPTHS", (16, 16))
    monkeypatch.setattr(big_pictures, "REACH", 0)
    whole, tiles = both(picture(photo, np.uint16), monkeypatch)
    first, second = (run.document.first.pixels.astype(int) for run in (whole, tiles))
    assert np.abs(first - second).max() > 1


def test_grey_alpha_and_what_came_before(photo, monkeypatch) -> None:
    grey = picture(photo).pixels[..., :1]
    alpha = np.zeros(grey.shape[:2], np.uint8)
    alpha[10:90, 20:120] = 255
    image = replace(image_from_array(grey[..., 0]), alpha=alpha)
    whole, tiles = both(image, monkeypatch, colour_fix={"mode": "off"}, repair_impulses=True)
    np.testing.assert_array_equal(tiles.document.first.pixels, whole.document.first.pixels)
    np.testing.assert_array_equal(tiles.document.first.alpha, whole.document.first.alpha)


class Stamp(Stage):
    """Marks whatever comes to it; no list anywhere names it."""

    name = "stamp"

    def measure(self, pixels: FloatPixels, context: Context) -> Decision:
        return Decision(True, "always")

    def apply(self, block: FloatPixels, decision: Decision, context: Context) -> FloatPixels:
        return np.zeros_like(block)

    def halo(self, context: Context) -> int:
        return 0


class IdleStamp(Stamp):
    name = "idle-stamp"

    def idle(self, context: Context) -> str | None:
        return "never wanted"


def test_no_record_says_that_a_stage_was_applied_that_never_ran(photo, small_tiles, monkeypatch) -> None:
    """A stage that would act on whatever it sees was asked about one pixel, and recorded as applied."""
    monkeypatch.setattr("enhancer.stages.sequence.STAGES", (*STAGES, IdleStamp(), Stamp()))
    monkeypatch.setattr("enhancer.pipeline.STAGES", (*STAGES, IdleStamp(), Stamp()))
    image = picture(photo, sides=(40, 50))
    enhanced = ImageEnhancer({**BARE, "scale": 4}).enhance_document(Document((image,)))
    records = {one.stage: one for one in enhanced.decisions}
    assert records["stamp"].applied
    assert not enhanced.document.first.pixels.any()
    assert (records["idle-stamp"].applied, records["idle-stamp"].reason) == (False, "never wanted")


def test_stages_that_are_idle_let_a_large_result_be_made_in_tiles(photo, small_tiles, monkeypatch) -> None:
    monkeypatch.setattr("enhancer.stages.sequence.STAGES", (*STAGES, IdleStamp()))
    monkeypatch.setattr("enhancer.pipeline.STAGES", (*STAGES, IdleStamp()))
    made = []
    in_tiles = big_pictures.enlarge_in_tiles
    monkeypatch.setattr("enhancer.stages.sequence.enlarge_in_tiles", lambda *given: made.append(1) or in_tiles(*given))
    enhanced = ImageEnhancer({**BARE, "scale": 4}).enhance_document(Document((picture(photo, sides=(40, 50)),)))
    assert made
    assert [one.stage for one in enhanced.decisions] == [stage.name for stage in (*STAGES, IdleStamp())]
    assert {one.stage for one in enhanced.decisions if one.applied} <= {"super-resolution", "colour-fix"}


@pytest.mark.parametrize(
    "recipe",
    [
        {"sharpen": {"mode": "on"}},
        {"local_contrast": {"mode": "auto"}},
        {"tone": {"gamma": 1.2}},
        {"progressive": {"stages": 2}},
        {"scale": 3},
    ],
)
def test_what_must_see_the_whole_result_does(photo, small_tiles, monkeypatch, recipe) -> None:
    def never(*_arguments):
        raise AssertionError("made in tiles")

    monkeypatch.setattr("enhancer.stages.sequence.enlarge_in_tiles", never)
    enhancer = ImageEnhancer({**BARE, "scale": 4, **recipe})
    enhancer.enhance_document(Document((picture(photo, sides=(40, 50)),)))
