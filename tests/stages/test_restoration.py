"""Restoration: where it acts, who then does what, and that its result is the net's own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image
from skimage import data
from skimage.metrics import peak_signal_noise_ratio

from enhancer.image import Document, image_from_array, to_unit
from enhancer.models.catalogue import load_catalogue
from enhancer.models.loading import load_module
from enhancer.models.store import ensure
from enhancer.pipeline import Enhanced, Pipeline
from enhancer.quality.metrics import psnr
from enhancer.recipe import preset
from enhancer.settings import Settings
from enhancer.stages.damage_traces import Traces
from enhancer.stages.resize import resize
from enhancer.stages.restoration import ENLARGED_SHARE, LEAST_SHARE, share_at_its_size
from enhancer.training.degradations import as_bytes, through_jpeg, with_gaussian_noise
from enhancer.training.pictures import Bytes, reduced
from enhancer.training.real_damage import Strength, damaged

PICTURE = np.ascontiguousarray(data.astronaut()[:256, 128:384])
AS_IT_IS = {
    "exposure": {"mode": "off"},
    "colour_cast": {"mode": "off"},
    "colour_fix": {"mode": "off"},
    "precision": "fp32",
}


def _damaged(scale: int) -> Bytes:
    return damaged(PICTURE, scale, "first-order", "medium", np.random.default_rng(8))[0]


def _enhanced(settings: Settings, given: Bytes, **recipe: object) -> Enhanced:
    pipeline = Pipeline(preset("photo", **recipe), settings=settings)
    return pipeline.enhance_document(Document((image_from_array(given),)))


def _by(enhanced: Enhanced) -> dict[str, str]:
    """Stages that did something, with their nets."""
    return {one.stage: str(one.numbers.get("model", "")) for one in enhanced.decisions if one.applied}


def _by_net(name: str, given: Bytes, settings: Settings) -> NDArray[np.float32]:
    """By torch alone, on [0, 1], not clipped."""
    entry = load_catalogue().get(name)
    module = load_module(entry, ensure(entry, settings))
    with torch.inference_mode():
        made = module(torch.from_numpy(to_unit(given)).permute(2, 0, 1)[None])
    return np.asarray(made[0].permute(1, 2, 0))


def test_at_its_own_size_a_damaged_picture_is_restored_once(settings: Settings) -> None:
    given = _damaged(1)
    enhanced = _enhanced(settings, given, scale=1, **AS_IT_IS)
    assert _by(enhanced) == {"restoration": "restore-x1"}
    assert enhanced.models.keys() == {"restore-x1"}
    share = next(one for one in enhanced.decisions if one.stage == "restoration").numbers["share"]
    expected = given + share * (255 * _by_net("restore-x1", given, settings).clip(0, 1) - given)
    assert np.abs(enhanced.document.first.pixels - expected).max() < 0.6
    truth = to_unit(PICTURE)
    assert psnr(to_unit(enhanced.document.first.pixels), truth) > psnr(to_unit(given), truth)


def test_where_it_is_enlarged_the_same_net_does_both(settings: Settings) -> None:
    enhanced = _enhanced(settings, _damaged(4), scale=4, **AS_IT_IS)
    assert _by(enhanced) == {"super-resolution": "restore-x4"}
    decisions = {one.stage: one for one in enhanced.decisions}
    assert decisions["restoration"].numbers["by"] == "super-resolution"
    assert "left to super-resolution" in decisions["jpeg-artifacts"].reason
    assert "left to super-resolution" in decisions["denoising"].reason


def test_what_is_enlarged_has_a_share_of_bicubic_unless_the_recipe_asks_for_restoration(settings: Settings) -> None:
    given = _damaged(4)
    net = 255 * _by_net("restore-x4", given, settings)
    planes = [Image.fromarray(given[..., channel].astype(np.float32)) for channel in range(3)]
    plain = np.dstack([np.asarray(plane.resize((256, 256), Image.Resampling.BICUBIC)) for plane in planes])
    for recipe, share in (({}, ENLARGED_SHARE), ({"restoration": {"mode": "on"}}, 1.0)):
        enhanced = _enhanced(settings, given, scale=4, **recipe, **AS_IT_IS)
        made = enhanced.document.first.pixels
        assert np.abs(made - (plain + share * (net - plain)).clip(0, 255)).max() < 0.6
        numbers = next(one for one in enhanced.decisions if one.stage == "super-resolution").numbers
        assert numbers.get("restored_share", 1.0) == share


def test_the_more_a_jpeg_lost_the_more_of_the_net_is_taken() -> None:
    qualities = (84, 75, 65, 55, 45, 20)
    shares = [share_at_its_size(Traces(damage=1.0, noise=5.0, quality=quality)) for quality in qualities]
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (LEAST_SHARE, 1.0)
    assert share_at_its_size(Traces(damage=1.0, noise=12.0, quality=95.0)) == 1.0  # noise alone, far above a grain


@pytest.mark.parametrize("strength", ["light", "medium", "heavy"])
def test_a_share_of_the_input_is_nearer_to_the_truth_than_untouched(settings: Settings, strength: Strength) -> None:
    given = damaged(PICTURE, 1, "second-order", strength, np.random.default_rng(3))[0]
    made = _enhanced(settings, given, scale=1, **AS_IT_IS).document.first.pixels
    assert peak_signal_noise_ratio(PICTURE, made) >= peak_signal_noise_ratio(PICTURE, given)


def test_weak_damage_is_restored_where_it_would_be_enlarged() -> None:
    weak = Traces(damage=0.99, noise=2.5, quality=88.0)
    assert not weak.restore
    assert weak.enlarge
    for clean in (Traces(0.9, 2.5, 88.0), Traces(0.99, 2.5, 95.0)):
        assert not clean.enlarge


def test_a_clean_picture_and_one_with_white_noise_alone_are_as_before(settings: Settings) -> None:
    clean = reduced(data.astronaut(), 2)
    noisy = as_bytes(with_gaussian_noise(to_unit(clean), 15 / 255, np.random.default_rng(1)))
    for given in (clean, noisy):
        found = _enhanced(settings, given, scale=2)
        before = _enhanced(settings, given, scale=2, restoration={"mode": "off"})
        assert (found.document.first.pixels == before.document.first.pixels).all()
    assert "denoising" in _by(found)


def test_strong_noise_is_denoised_even_where_its_traces_are_taken_for_less(settings: Settings) -> None:
    """Clipped highlights make the traces of 25 levels look like those of 13: the blind net left half of it."""
    truth = data.coffee()[90:346, 180:436]
    noise = np.random.default_rng(25).normal(0, 25, truth.shape)
    given = np.clip(np.rint(truth + noise), 0, 255).astype(np.uint8)
    enhanced = _enhanced(settings, given, scale=1)
    applied = {one.stage for one in enhanced.decisions if one.applied}
    assert "denoising" in applied
    assert "restoration" not in applied
    gained = peak_signal_noise_ratio(truth, enhanced.document.first.pixels) - peak_signal_noise_ratio(truth, given)
    assert gained >= 8


def test_a_jpeg_alone_is_left_to_the_net_that_is_told_its_quality(settings: Settings) -> None:
    enhanced = _enhanced(settings, through_jpeg(PICTURE, 30), scale=1, **AS_IT_IS)
    assert _by(enhanced) == {"jpeg-artifacts": "jpeg"}


@pytest.mark.parametrize(
    ("recipe", "why"),
    [
        ({"restoration": {"mode": "off"}}, "leaves restoration off"),
        ({"denoise_strength": 0}, "strength is 0"),
        ({"scale": 4, "model": "fast-x4"}, "names another net"),
    ],
)
def test_who_asks_for_something_else_gets_it(settings: Settings, recipe: dict[str, object], why: str) -> None:
    enhanced = _enhanced(settings, _damaged(4), **{"scale": 4, **recipe})
    assert why in next(one.reason for one in enhanced.decisions if one.stage == "restoration")
    assert _by(enhanced).get("super-resolution") == "fast-x4"


def test_grey_and_tiny_pictures_are_left_to_the_others(settings: Settings) -> None:
    grey = Pipeline(preset("photo", scale=1), settings=settings)
    for given, why in ((_damaged(1)[..., :1], "grey"), (_damaged(4)[:40], "too small")):
        enhanced = grey.enhance_document(Document((image_from_array(given.squeeze()),)))
        assert why in next(one.reason for one in enhanced.decisions if one.stage == "restoration")


def test_the_denoising_strength_says_how_much_of_it(settings: Settings) -> None:
    given = _damaged(1)
    asked = {"scale": 1, "restoration": {"mode": "on"}, **AS_IT_IS}
    whole, half = (
        _enhanced(settings, given, denoise_strength=strength, **asked).document.first.pixels.astype(float)
        for strength in (0.5, 0.25)
    )
    assert np.abs(half - (whole + given) / 2).max() <= 1


def test_a_net_of_four_times_is_reduced_to_the_size_that_is_asked_for(settings: Settings) -> None:
    given = _damaged(2)[:64, :80]
    asked = {"restoration": {"mode": "on", "model": "restore-x4"}, **AS_IT_IS}
    large = _by_net("restore-x4", given, settings)
    for scale in (1, 2):
        found = _enhanced(settings, given, scale=scale, **asked).document.first.pixels
        expected = resize(large, 64 * scale, 80 * scale).clip(0, 1)
        assert np.abs(found - 255 * expected).max() < 0.6


def test_the_identity_knows_the_net() -> None:
    from enhancer.identity import weights_for

    assert "restore-x4" in weights_for(preset("photo"))
    assert "restore-x1" in weights_for(preset("photo", scale=1))
    assert "general-half-x4v3" in weights_for(preset("real"))
    assert not any("restore" in name for name in weights_for(preset("archive")))
