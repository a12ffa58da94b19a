"""Faded prints brought back, on photographs aged by the model of enhancer/training/ageing.py; the truth is the picture."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from skimage.metrics import peak_signal_noise_ratio

from enhancer.models.architectures import colour as net
from enhancer.stages.fading import (
    LOOK,
    Fading,
    colourfulness,
    ends_in_white,
    is_pale,
    look_at,
    of_one_tone,
    restore,
)
from enhancer.training.ageing import DENSEST, Ageing, Paleness, aged, paled, random_ageing, random_paleness

STAGE = Fading()
PHOTOS = ("astronaut", "coffee", "chelsea", "motorcycle")
UNFADED = (*PHOTOS, "rocket", "retina", "immunohistochemistry", "camera", "coins", "moon", "page", "text", "brick")
SEPIA = np.float32([1.0, 0.84, 0.62])


def psnr(truth, pixels):
    return peak_signal_noise_ratio(truth, pixels, data_range=1)


def aged_by_chance(pixels, seed):
    draw = np.random.default_rng((seed, 40))
    return aged(pixels, random_ageing(draw), draw)


@pytest.fixture
def old_photo(context):
    return lambda **options: context(fading={"mode": "auto", **options})


def test_aged_photographs_come_nearer_the_truth(photo, old_photo):
    gains = []
    for name in PHOTOS:
        truth = photo(name)
        for seed in range(3):
            given, decided = aged_by_chance(truth, seed), old_photo()
            decision = STAGE.measure(given, decided)
            result = STAGE.apply(given, decision, decided) if decision.applied else given
            gains.append(psnr(truth, result) - psnr(truth, given))
    assert np.mean(gains) > 5
    assert min(gains) >= 0  # where it is not sure, it does nothing


def test_pale_photographs_come_nearer_the_truth(photo, old_photo):
    """They have lost contrast, but not as dyes fade: stretched where that is better than what the net knows."""
    gains, methods = [], set()
    for name in PHOTOS:
        truth = photo(name)
        for seed in range(4):
            given, decided = paled(truth, random_paleness(np.random.default_rng((seed, 41)))), old_photo()
            decision = STAGE.measure(given, decided)
            result = STAGE.apply(given, decision, decided) if decision.applied else given
            gains.append(psnr(truth, result) - psnr(truth, given))
            methods.add(decision.numbers["method"] if decision.applied else None)
    assert np.mean(gains) > 3
    assert "stretch" in methods


def test_a_pale_print_is_one_without_brightness_that_the_net_is_not_quite_sure_of():
    black, white, even = np.array([0.2, 0.2, 0.15]), np.array([0.8, 0.75, 0.7]), 1.35 * np.eye(3)
    assert is_pale(black, white, even, 2.0)
    assert not is_pale(black, white + 0.1, even, 2.0)
    assert not is_pale(black, white, even, 4.0)
    assert not is_pale(black, white, np.diag([1.8, 1.1, 1.3]), 2.0)  # each dye at its own pace
    assert not is_pale(black + 0.4, white, even, 2.0)  # too little is left to stretch


def test_white_is_where_values_pile_up_at_the_end():
    black, bright, white = np.array([0.2, 0.2, 0.15]), np.array([0.8, 0.7, 0.6]), np.array([0.805, 0.75, 0.7])
    assert ends_in_white(black, bright, white)
    assert not ends_in_white(black, bright - 0.1, white)


def test_the_stretch_brings_each_channels_ends_back(photo, old_photo):
    """Of the demo's faded picture, whose ends are known; what is measured differs by the picture's own."""
    truth = photo("motorcycle")[160:416, 250:506]
    paleness = Paleness(black=(0.222, 0.16, 0.131), white=(0.811, 0.78, 0.64))
    given, decided = paled(truth, paleness), old_photo()
    decision = STAGE.measure(given, decided)
    assert (decision.applied, decision.numbers["method"], decision.numbers["model"]) == (True, "stretch", "colour")
    result = STAGE.apply(given, decision, decided)
    assert psnr(truth, given) < 22
    assert psnr(truth, result) > 30
    np.testing.assert_allclose(decision.numbers["black"], paleness.black, atol=0.03)
    np.testing.assert_allclose(decision.numbers["white"], paleness.white, atol=0.03)


@pytest.mark.parametrize("name", UNFADED)
def test_unfaded_pictures_are_left_alone(photo, old_photo, name):
    assert not STAGE.measure(photo(name), old_photo()).applied


def test_the_function_undoes_a_print_whose_history_is_known(photo):
    """Ageing without grain, inverted by hand: the veil, white and matrix that it implies give the picture back."""
    truth = photo("astronaut")
    ageing = Ageing(fading=(0.4, 0.1, 0.2), stain=(0.02, 0.05, 0.12), haze=(0.03, 0.02, 0.03), gains=(1.0, 0.9, 0.95))
    fading, stain, haze, gains = (np.array(v) for v in (ageing.fading, ageing.stain, ageing.haze, ageing.gains))
    absorptions = np.array([[1.0, 0.10, 0.02], [0.18, 1.0, 0.10], [0.07, 0.22, 1.0]])
    dyes = absorptions @ np.diag(1 - fading) @ np.linalg.inv(absorptions)
    black = 10**-DENSEST
    veil = gains * (haze - (1 - haze) * black / (1 - black))
    white = stain - np.log10(gains * (1 - haze) / (1 - black))
    given = aged(truth, ageing)
    result = restore(given, veil, white, np.linalg.inv(dyes))
    assert psnr(truth, given) < 20
    unclipped = (given < 1).all(axis=2) & (truth > 0.1).all(axis=2)  # 8 bits hold little of what is darker
    assert unclipped.mean() > 0.4
    assert np.abs(result - truth)[unclipped].mean() < 0.01


def test_the_stage_and_the_net_mean_the_same_function(photo):
    draw = np.random.default_rng(3)
    pixels = photo("coffee")[::4, ::4]
    veil, white = draw.uniform(0, 0.03, 3), draw.uniform(-0.1, 0.3, 3)
    matrix = np.eye(3) * 1.3 + draw.uniform(-0.2, 0.2, (3, 3))
    numbers = torch.from_numpy(np.concatenate([veil, white, matrix.ravel(), [0]]).astype(np.float32))
    planes = torch.from_numpy(pixels.transpose(2, 0, 1).copy())[None]
    expected = net.restored(planes, numbers[None, :, None, None]).clamp(0, 1)[0].permute(1, 2, 0).numpy()
    np.testing.assert_allclose(restore(pixels, veil, white, matrix), expected, atol=2e-4)


def test_a_picture_may_be_restored_block_by_block(photo, old_photo):
    given, decided = aged_by_chance(photo("coffee"), 1), old_photo()
    decision = STAGE.measure(given, decided)
    assert decision.applied
    whole = STAGE.apply(given, decision, decided)
    blocks = [STAGE.apply(given[top : top + 100], decision, decided) for top in range(0, given.shape[0], 100)]
    np.testing.assert_array_equal(np.concatenate(blocks), whole)
    assert STAGE.halo(decided) == 0


def test_the_record_tells_what_was_done_and_can_be_done_again(photo, old_photo):
    given, decided = aged_by_chance(photo("coffee"), 0), old_photo()
    decision = STAGE.measure(given, decided)
    assert (decision.numbers["method"], decision.numbers["model"]) == ("learned", "colour")
    assert 0.5 < decision.numbers["confidence"] <= 1
    read = type(decision)(True, decision.reason, json.loads(json.dumps(decision.numbers)))
    np.testing.assert_array_equal(STAGE.apply(given, read, decided), STAGE.apply(given, decision, decided))


@pytest.mark.parametrize("name", PHOTOS)
@pytest.mark.parametrize("tone", ["grey", "sepia"])
def test_pictures_of_one_tone_are_told_from_colour(photo, name, tone):
    pixels = photo(name)
    grey = pixels.mean(axis=2, keepdims=True)
    toned = grey**1.1 * (SEPIA if tone == "sepia" else np.float32([1, 1, 1]))
    assert of_one_tone(*colourfulness(0.15 + 0.6 * toned))
    assert not of_one_tone(*colourfulness(pixels))


def test_a_tone_is_kept_and_nothing_is_colourised(photo, old_photo):
    given = 0.15 + 0.6 * photo("astronaut").mean(axis=2, keepdims=True) * SEPIA
    decided = old_photo()
    decision = STAGE.measure(given, decided)
    assert (decision.applied, decision.numbers["method"]) == (True, "tone")
    result = STAGE.apply(given, decision, decided)
    black, white = decision.numbers["black"][0], decision.numbers["white"][0]
    inside = (result > 0).all(axis=2) & (result < 1).all(axis=2)
    assert inside.mean() > 0.85
    np.testing.assert_allclose(  # differences between the channels are those of the print, all stretched alike
        (result[..., 0] - result[..., 2])[inside],
        ((given[..., 0] - given[..., 2]) / (white - black))[inside],
        atol=1e-5,
    )


def test_grey_pictures_stay_grey(photo, old_photo):
    grey = np.repeat(0.2 + 0.5 * photo("camera"), 3, axis=2)
    decided = old_photo()
    decision = STAGE.measure(grey, decided)
    result = STAGE.apply(grey, decision, decided) if decision.applied else grey
    assert np.ptp(result, axis=2).max() == 0
    assert "method" not in STAGE.measure(grey[..., :1], decided).numbers


def test_who_does_not_want_the_net_does_not_get_it(photo, old_photo, context):
    given = aged_by_chance(photo("coffee"), 1)
    assert "confidence" not in STAGE.measure(given, old_photo(method="classical")).numbers
    assert not STAGE.measure(given, context()).applied
    assert "small" in STAGE.measure(given[:16, :16], old_photo()).reason


def test_what_is_transparent_is_not_looked_at(photo):
    pixels = photo("coffee")
    hidden = pixels.copy()
    visible = np.ones(pixels.shape[:2], bool)
    visible[:, :200] = False
    hidden[:, :200] = (1, 0, 1)
    look = look_at(hidden, visible)
    assert look.shape == (LOOK, LOOK, 3)
    assert LOOK == net.LOOK
    assert not (look == np.float32([1, 0, 1])).all(axis=2).any()
    assert colourfulness(hidden, visible)[0] < colourfulness(hidden)[0]
