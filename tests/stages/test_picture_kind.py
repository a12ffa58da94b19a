"""What pictures are taken for, and that stages made for photographs leave the others alone."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image
from skimage import data
from skimage.util import random_noise

from enhancer.image import to_unit
from enhancer.stages.kind_features import FEATURES, kind_features
from enhancer.stages.kinds import KINDS, no_photograph
from enhancer.stages.picture_kind import PictureKind, has_sensor_noise, measure_kind, noisy_ground
from enhancer.stages.sequence import STAGES
from tests.cases.drawn import DRAWINGS, SCREENS, text

PHOTOGRAPHS = ["astronaut", "coffee", "chelsea", "rocket", "camera", "coins", "moon", "gravel"]
STAGE = PictureKind()


@pytest.mark.parametrize("name", PHOTOGRAPHS)
def test_photographs_are_photographs(photo, name):
    kind = measure_kind(photo(name))
    assert kind.name == "photograph"
    assert sum(kind.odds.values()) == pytest.approx(1, abs=0.01)
    assert kind.confidence == max(kind.odds.values())


@pytest.mark.parametrize("name", ["astronaut", "coffee", "chelsea"])
@pytest.mark.parametrize("fault", ["dark", "grey", "noisy", "struck", "pale"])
def test_damaged_photographs_are_photographs_still(photo, with_noise, name, fault):
    pixels = photo(name)
    damaged = {
        "dark": pixels * 0.25,
        "grey": pixels.mean(axis=2, keepdims=True),
        "noisy": with_noise(pixels, 25),
        "struck": random_noise(pixels, "s&p", amount=0.05, rng=3),
        "pale": 0.3 + 0.4 * pixels,
    }[fault].astype(np.float32)
    assert measure_kind(np.round(damaged * 255) / np.float32(255)).name == "photograph"


@pytest.mark.parametrize(("side", "quality"), [(64, 20), (64, 50), (64, 95), (128, 20), (256, 10), (256, 95)])
@pytest.mark.parametrize("name", ["astronaut", "coffee", "chelsea"])
def test_a_small_photograph_is_one_as_a_poor_jpeg(name, side, quality):
    """Blocks make it flat, as renderings are; at 64 pixels and quality 10 nothing else may be left of a photograph."""
    buffer = io.BytesIO()
    Image.fromarray(getattr(data, name)()[:256, 100:356][:side, -side:]).save(buffer, "JPEG", quality=quality)
    assert measure_kind(to_unit(np.asarray(Image.open(buffer)))).name == "photograph"


@pytest.mark.parametrize("name", [*DRAWINGS, *SCREENS])
def test_what_was_drawn_is_no_photograph(name):
    pixels = to_unit({**DRAWINGS, **SCREENS}[name]())
    assert measure_kind(pixels).name != "photograph"
    assert measure_kind(np.ascontiguousarray(pixels[..., :1])).name != "photograph"


def test_the_features_of_a_plain_picture_can_be_told_by_hand():
    features = dict(zip(FEATURES, kind_features(np.full((64, 64, 3), 0.2, np.float32)), strict=True))
    assert features["equal"] == features["flat1"] == features["top1"] == features["mode1"] == features["grey"] == 1
    assert features["entropy"] == features["strong"] == features["contrasty"] == features["colours"] == 0


def test_equal_neighbours_are_those_of_a_loop(photo):
    pixels = np.round(photo("coffee")[:40, :50] * 63).astype(np.uint8) * 4
    equal = [
        (pixels[y, x] == pixels[y + down, x + 1 - down]).all()
        for down in (0, 1)
        for y in range(40 - down)
        for x in range(50 - (1 - down))
    ]
    assert kind_features(to_unit(pixels))[FEATURES.index("equal")] == pytest.approx(np.mean(equal))


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 300, 3), (15, 15, 3), (16, 16, 1), (48, 64, 3), (2000, 17, 3)])
def test_odd_sizes_are_measured(context, shape):
    decision = STAGE.measure(np.random.default_rng(1).random(shape, np.float32), context())
    assert decision.numbers["kind"] in KINDS
    assert not decision.applied


def test_a_sensors_noise_tells_a_small_dark_photograph_from_a_page(photo, context):
    """The net alone takes the noisy night sky for paper (0.62)."""
    whole = Image.fromarray(data.rocket()[80:380, 160:460]).resize((128, 128), Image.Resampling.BICUBIC)
    noise = np.random.default_rng(7).normal(0, 10, (128, 128, 3))
    pixels = to_unit(np.clip(np.rint(np.asarray(whole) + noise), 0, 255).astype(np.uint8))
    assert STAGE.measure(pixels, context()).numbers["kind"] == "photograph"
    assert has_sensor_noise(pixels)


@pytest.mark.parametrize("name", [*DRAWINGS, *SCREENS])
def test_nothing_drawn_has_a_sensors_noise(name):
    assert not has_sensor_noise(to_unit({**DRAWINGS, **SCREENS}[name]()))


def test_what_cannot_be_seen_does_not_count(photo):
    pixels = np.concatenate([to_unit(SCREENS["logo"]())[:200], photo("astronaut")[:200, :400]])
    visible = np.arange(400)[:, None] < np.full((1, 400), 200)
    assert measure_kind(pixels, visible).name == "screen"


def test_the_recipe_may_say_the_kind(photo, context):
    said = context(input={"kind": "document"})
    decision = STAGE.measure(photo("astronaut"), said)
    assert decision.numbers == {"kind": "document", "confidence": 1.0}
    said.decisions[STAGE.name] = decision
    assert "made for photographs" in no_photograph(said)


def test_stages_made_for_photographs_leave_a_drawing_alone(context):
    asked = {"mode": "auto"}
    groups = ("scratches", "fading", "exposure", "cast", "local_contrast", "jpeg")
    drawn = context(scale=1, **dict.fromkeys(groups, asked))
    pixels = to_unit(DRAWINGS["music"]()) * np.float32(0.3)
    for stage in STAGES:
        drawn.decisions[stage.name] = stage.measure(pixels, drawn)
    made = {name for name, one in drawn.decisions.items() if "made for photographs" in one.reason}
    assert made == {stage.name for stage in STAGES if stage.for_photographs}
    assert not any(one.applied for one in drawn.decisions.values())


def test_who_names_a_correction_gets_it(context):
    named = context(scale=1, exposure={"mode": "auto", "ev": 1.0})
    pixels = to_unit(SCREENS["logo"]())
    for stage in STAGES:
        named.decisions[stage.name] = stage.measure(pixels, named)
    assert [name for name, one in named.decisions.items() if one.applied] == ["exposure"]


def test_noisy_paper_is_told_from_a_screen_of_dots():
    page = text(14, 30, 225)
    noisy = np.clip(page + np.random.default_rng(2).normal(0, 6, page.shape), 0, 255).astype(np.uint8)
    assert noisy_ground(to_unit(noisy))
    assert not noisy_ground(to_unit(page))
    assert not noisy_ground(to_unit(DRAWINGS["screened"]()))
    assert not noisy_ground(to_unit(DRAWINGS["engraved"]()))
