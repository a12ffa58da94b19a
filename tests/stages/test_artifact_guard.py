"""The artefact guard: damage put into a result goes, the rest stays bit for bit, and a fidelity net is not watched.

The fidelity net is the package's own; what a perceptual net would give is made by hand, so that the truth is known.
"""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest

from benchmarks.injected_artifacts import exploded_texture, reduced, uneven_blocks
from enhancer.backends.base import NetSpec
from enhancer.errors import PictureError
from enhancer.image import Image
from enhancer.stages.artifact_guard import ArtifactGuard, inspect
from enhancer.stages.sequence import enhance_page
from enhancer.stages.super_resolution import SuperResolution, fidelity_result

GUARD = ArtifactGuard()


@pytest.fixture
def enlarged(photo, context):
    """Gives a context as it is behind super-resolution by a perceptual net, and the fidelity net's result."""

    def make(name="astronaut", **overrides):
        truth = photo(name)[:192, 100:292]
        around = context(scale=4, **{"model": "realsr-x4", **overrides})
        around.source = reduced(truth, 4)
        return around, fidelity_result(around.source, around) if around.recipe.model == "realsr-x4" else truth

    return make


def one_patch(pixels):
    """Texture of the strength that a runaway GAN makes, in a disc around (60, 120)."""
    y, x = np.mgrid[: pixels.shape[0], : pixels.shape[1]]
    inside = np.hypot(y - 60, x - 120) < 24
    noise = np.random.default_rng(5).normal(0, 0.2, (*pixels.shape[:2], 1))
    return np.where(inside[:, :, None], pixels + noise, pixels).astype(np.float32), inside


@pytest.mark.parametrize("name", ["astronaut", "coffee", "camera"])
def test_a_patch_of_texture_is_put_back_and_the_rest_stays(enlarged, name):
    around, fidelity = enlarged(name)
    result, inside = one_patch(fidelity)
    decision = GUARD.measure(result, around)
    assert decision.applied
    assert (decision.numbers["action"], decision.numbers["model"]) == ("blend", "fast-x4")
    assert decision.numbers["texture"] > 0.01
    mended = GUARD.apply(result, decision, around)
    before, after = (np.abs(picture - fidelity)[inside].mean() for picture in (result, mended))
    assert after < 0.3 * before
    y, x = np.mgrid[: result.shape[0], : result.shape[1]]
    far = np.hypot(y - 60, x - 120) > 24 + 40
    np.testing.assert_array_equal(mended[far], result[far])


def test_the_rim_is_soft(enlarged):
    around, fidelity = enlarged()
    result, _ = one_patch(fidelity)
    mask = inspect(result, around.source, fidelity).mask
    assert mask.max() == pytest.approx(1, abs=1e-6)
    assert np.abs(np.diff(mask[150:])).max() == 0
    outside = mask[60, 150:]  # from the rim of what was found to the right
    assert np.all(np.diff(outside) <= 1e-6)
    assert np.abs(np.diff(outside)).max() < 0.2


def test_values_that_are_no_numbers_are_mended(enlarged):
    around, fidelity = enlarged()
    result = fidelity.copy()
    result[10, 20, 1] = np.nan
    result[100:110, 50] = np.inf
    decision = GUARD.measure(result, around)
    assert decision.applied
    assert decision.numbers["non_finite"] == pytest.approx(11 / 192**2, abs=1e-5)
    np.testing.assert_allclose(GUARD.apply(result, decision, around), fidelity, atol=1e-6)


@pytest.mark.parametrize("damage", ["noise", "blocks", "no number anywhere"])
def test_a_picture_that_is_damaged_all_over_falls_back(enlarged, damage):
    around, fidelity = enlarged()
    random = np.random.default_rng(1)
    if damage == "noise":
        result = fidelity + random.normal(0, 0.4, fidelity.shape).astype(np.float32)
    elif damage == "blocks":
        result = uneven_blocks(fidelity, 0.08, random)
    else:
        result = np.full_like(fidelity, np.nan)
    decision = GUARD.measure(result, around)
    assert decision.numbers["action"] == "fall-back"
    assert GUARD.apply(result, decision, around) is fidelity


@pytest.mark.parametrize("name", ["astronaut", "coffee", "chelsea", "rocket", "camera"])
def test_good_results_are_left_alone(photo, enlarged, name):
    """The fidelity net's own result altogether; a perfect one but for a few places."""
    around, fidelity = enlarged(name)
    assert not GUARD.measure(fidelity, around).applied
    assert inspect(photo(name)[:192, 100:292], around.source, fidelity).shares["all"] < 0.05


def test_it_costs_nothing_where_it_is_not_wanted(photo, enlarged):
    for overrides in (
        {"model": None},
        {"model": "fast-x4"},
        {"super_resolution": {"guard": "off"}},
        {"super_resolution": {"blend": 0}},
    ):
        around, _ = enlarged(**overrides)
        around.fidelity = None
        assert not GUARD.measure(np.full((192, 192, 3), np.nan, np.float32), around).applied
        assert around.fidelity is None


class Flawed:
    """Repeats each pixel four times along both sides, and one value of its result is no number."""

    spec = NetSpec("flawed", 4, 3, 3, halo=0)

    def run(self, batch):
        result = batch.repeat(4, 2).repeat(4, 3)
        result[0, 0, 7, 9] = np.nan
        return result


@pytest.fixture
def flawed(context, monkeypatch):
    """Gives a context whose perceptual net is :class:`Flawed`."""

    def make(**overrides):
        made = context(scale=4, model="realsr-x4", denoise_strength=0, jpeg={"mode": "off"}, **overrides)
        monkeypatch.setattr(made.nets, "super_resolution", lambda scale, name=None, precision="auto": Flawed())
        return made

    return make


def test_a_flaw_of_the_net_reaches_the_guard_and_no_further(photo, flawed):
    page = Image(pixels=np.rint(photo("coffee")[:40, :36] * 255).astype(np.uint8))
    around, timings = flawed(), defaultdict(float)
    result = enhance_page(page, around, timings)
    assert result.pixels.shape == (160, 144, 3)
    assert around.decisions["artifact-guard"].numbers["non_finite"] > 0
    with pytest.raises(PictureError, match="not finite"):
        enhance_page(page, flawed(super_resolution={"guard": "off"}), timings)


@pytest.mark.parametrize("blend", [0, 0.25, 1])
def test_the_slider_goes_from_fidelity_to_perception(photo, flawed, blend):
    around = flawed(super_resolution={"blend": blend})
    small = photo("coffee")[:24, :20]
    decision = SuperResolution().measure(small, around)
    found = SuperResolution().apply(small, decision, around)
    fidelity = fidelity_result(small, around)
    repeated = small.repeat(4, 0).repeat(4, 1)
    known = np.isfinite(found)
    np.testing.assert_allclose(found[known], ((1 - blend) * fidelity + blend * repeated)[known], atol=1e-6)
    assert known.all() == (blend == 0)
    assert decision.numbers["model"] == ("fast-x4" if blend == 0 else "flawed")
    assert decision.numbers.get("fidelity_model") == ("fast-x4" if blend == 0.25 else None)


def test_the_fidelity_result_is_made_once(enlarged):
    around, fidelity = enlarged()
    assert fidelity_result(around.source, around) is fidelity
    assert fidelity_result(around.source.copy(), around) is not fidelity


def test_streaks_of_a_gan_are_found(enlarged):
    around, fidelity = enlarged("coffee")
    result = exploded_texture(fidelity, 0.2, np.random.default_rng(2))
    found = inspect(result, around.source, fidelity)
    assert not found.falls_back
    assert found.shares["all"] > 0.01
