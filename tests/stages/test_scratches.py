"""Scratches found and mended on photographs that were damaged by kinds of damage the detector was not trained on."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy import ndimage
from skimage.filters import apply_hysteresis_threshold

from enhancer.stages import scratches
from enhancer.stages.base import WHOLE_PICTURE, Decision
from enhancer.stages.scratches import (
    LEAST_AREA,
    MAYBE,
    MOST_AREA,
    RIM,
    SURE,
    ScratchRepair,
    damage_probability,
    find_marks,
    widened,
)
from enhancer.training.damage import HELD_OUT, KINDS
from enhancer.training.degradations import as_bytes
from enhancer.training.detection import Agreement, agreement
from enhancer.training.scratches import held_out_print

STAGE = ScratchRepair()
PHOTOS = ("astronaut", "coffee", "chelsea", "rocket")
UNDAMAGED = (*PHOTOS, "motorcycle", "retina", "immunohistochemistry", "camera", "coins", "moon", "page", "text",
             "brick", "gravel", "cell")  # fmt: skip


@pytest.fixture
def scan(context):
    return lambda **options: context(scratches={"mode": "auto", **options})


@pytest.fixture(scope="module")
def prints(photo):
    """Name and kind to a print while it was whole, its damage, and its scan."""
    return {
        (name, kind): held_out_print(as_bytes(photo(name)[:320, :320]), seed, (kind,))
        for seed, name in enumerate(PHOTOS)
        for kind in HELD_OUT
    }


def test_kinds_of_damage_that_were_not_trained_are_found(prints, nets):
    """Regression: the goal is 0.8 (benchmarks/results/scratch.json, bundled/scratches.md)."""
    total = Agreement()
    for _, print_, scanned in prints.values():
        found = find_marks(damage_probability(nets.damage_detector(), scanned))
        total += agreement(found.mask, print_.mask, print_.traces)
    assert total.f1 > 0.55


def test_marks_are_mended_and_nothing_else_changes(prints, scan):
    gains = []
    for whole, print_, scanned in prints.values():
        before, decided = scanned.copy(), scan()
        result = STAGE.apply(scanned, Decision(True, "asked for"), decided)
        np.testing.assert_array_equal(scanned, before)
        marks = find_marks(damage_probability(decided.nets.damage_detector(), scanned)).mask
        touched = ndimage.binary_dilation(marks, np.ones((2 * RIM + 1, 2 * RIM + 1)))
        np.testing.assert_array_equal(result[~touched], scanned[~touched])
        errors = [np.square(picture - whole)[print_.mask].mean() for picture in (scanned, result)]
        gains.append(10 * np.log10(errors[0] / errors[1]))
    assert np.mean(gains) > 3


def test_a_badly_damaged_print_is_known_and_the_record_says_so(photo, scan):
    _, _, scanned = held_out_print(as_bytes(photo("astronaut")[:320, :320]), 2, tuple(KINDS))
    decision = STAGE.measure(scanned, scan())
    assert decision.applied
    assert decision.numbers["model"] == "scratches"
    assert decision.numbers["marks"] >= 1
    assert LEAST_AREA <= decision.numbers["evident_area"] <= decision.numbers["area"]
    assert json.loads(json.dumps(decision.numbers)) == decision.numbers


@pytest.mark.parametrize("name", UNDAMAGED)
def test_of_undamaged_pictures_not_one_pixel_is_touched(photo, scan, name):
    assert not STAGE.measure(photo(name), scan()).applied


def test_marks_are_those_of_hysteresis():
    probability = ndimage.gaussian_filter(np.random.default_rng(5).random((90, 110)), 1.5).astype(np.float32)
    probability = ((probability - probability.min()) / np.ptp(probability)) ** 0.1  # a share of it above both bounds
    # SciPy's labels in scikit-image's function join sides only; ours join corners too, so corners are filled first.
    labels, count = ndimage.label(probability > MAYBE, np.ones((3, 3)))
    expected = np.isin(labels, np.setdiff1d(np.unique(labels[probability > SURE]), 0))
    marks = find_marks(probability)
    np.testing.assert_array_equal(marks.mask, expected)
    assert 1 <= marks.count <= count
    assert not (apply_hysteresis_threshold(probability, MAYBE, SURE) & ~marks.mask).any()


def test_what_is_transparent_is_no_scratch():
    probability = np.zeros((40, 40), np.float32)
    probability[10, 5:35] = 0.999
    visible = np.ones((40, 40), bool)
    assert find_marks(probability, visible).count == 1
    visible[8:12] = False
    assert find_marks(probability, visible).count == 0


def test_the_floor():
    probability = np.zeros((400, 400), np.float32)
    probability[10, 5:95] = 0.999
    assert find_marks(probability).evident == 90
    assert not find_marks(probability).convincing  # 90 of 160 000 pixels
    assert find_marks(probability[:100, :100]).convincing
    probability[10, 5:95] = 0.97
    probability[10, 5] = 0.999
    assert find_marks(probability[:100, :100]).count == 1
    assert find_marks(probability[:100, :100]).evident == 0  # likely, but not beyond doubt


@pytest.mark.parametrize("by", [1, 2])
def test_marks_are_widened_as_scipy_does(by):
    mask = np.random.default_rng(6).random((30, 40)) > 0.97
    np.testing.assert_array_equal(widened(mask, by), ndimage.binary_dilation(mask, np.ones((2 * by + 1, 2 * by + 1))))


def test_so_many_marks_are_texture():
    probability = np.zeros((100, 100), np.float32)
    probability[:, ::9] = 0.999
    assert find_marks(probability).convincing
    probability[:, ::5] = 0.999
    assert find_marks(probability).mask.mean() > MOST_AREA
    assert not find_marks(probability).convincing


def test_a_grey_scan_stays_one_channel(prints, scan):
    _, _, scanned = prints["rocket", "cracks"]
    grey = scanned.mean(axis=2, keepdims=True)
    result = STAGE.apply(grey, Decision(True, "asked for"), scan())
    assert result.shape == grey.shape
    assert (result != grey).any()


def test_reasons(photo, scan, context):
    assert "off" in STAGE.measure(photo("coffee"), context()).reason
    assert "small" in STAGE.measure(photo("coffee")[:31], scan()).reason
    assert STAGE.measure(np.full((64, 64, 3), 0.5, np.float32), scan()).reason == "no scratches"
    assert STAGE.halo(scan()) == WHOLE_PICTURE


def test_a_picture_is_looked_at_once_and_another_one_anew(photo, scan, monkeypatch):
    _, _, scanned = held_out_print(as_bytes(photo("astronaut")[:320, :320]), 2, tuple(KINDS))
    looked, detect = [], scratches.damage_probability
    monkeypatch.setattr(scratches, "damage_probability", lambda net, pixels: looked.append(1) or detect(net, pixels))
    around = scan()
    decision = STAGE.measure(scanned, around)
    assert decision.applied
    result = STAGE.apply(scanned, decision, around)
    assert len(looked) == 1
    np.testing.assert_array_equal(STAGE.apply(scanned.copy(), decision, around), result)
    assert len(looked) == 2
