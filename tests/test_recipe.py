"""Recipes: presets, parsing, rules, and the text that identities hang on."""

from __future__ import annotations

import json

import pytest

from enhancer.errors import RequestError
from enhancer.recipe import PRESETS, Recipe, parse_recipe, parse_rules, preset, resolve

GOLDEN = (
    '{"denoise_model":null,"denoise_strength":0.5,'
    '"gate":{"max_artifact_score":0.5,"max_low_frequency_shift":0.1,"max_residual_ratio":3.0,"min_score":0.25},'
    '"model":null,"name":"photo","output":{"format":null,"lossless":false,"quality":92},'
    '"precision":"fp32","repair_impulses":true,"scale":4.0,"version":1}'
)
"""Changing this text changes the identity of every stored result: raise the recipe's version knowingly."""


def test_the_canonical_text_of_the_default_recipe_never_changes_unnoticed() -> None:
    assert parse_recipe(None).canonical_json() == GOLDEN


def test_equal_recipes_have_equal_text_however_they_were_written() -> None:
    written = [
        '{"scale": 2, "name": "photo"}',
        {"name": "photo", "scale": 2.0},
        Recipe(scale=2),
        preset("photo", scale=2),
    ]
    assert len({parse_recipe(value).canonical_json() for value in written}) == 1
    assert len({parse_recipe(value).digest() for value in written}) == 1


def test_the_canonical_text_reads_back_as_the_same_recipe() -> None:
    for name in PRESETS:
        assert parse_recipe(preset(name).canonical_json()) == preset(name)


def test_presets_are_those_of_the_design_and_valid() -> None:
    assert set(PRESETS) == {
        "photo", "scan", "old-photo", "document", "low-light", "medical-grey", "web-image", "archive",
    }  # fmt: skip
    for name in PRESETS:
        assert preset(name).name == name
    assert (preset("photo").scale, preset("photo").denoise_strength) == (4, 0.5)
    assert preset("archive").scale == 1


def test_a_misspelt_preset_is_suggested() -> None:
    with pytest.raises(RequestError, match="did you mean 'medical-grey'") as caught:
        parse_recipe("medical-gray")
    assert caught.value.reason == "unknown-recipe"


@pytest.mark.parametrize(
    ("value", "named"),
    [
        ({"scale": 9}, "scale"),
        ({"scale": 0.5}, "scale"),
        ({"scale": float("nan")}, "scale"),
        ({"denoise_strength": 1.1}, "denoise_strength"),
        ({"colour": True}, "colour"),
        ({"output": {"quality": 0}}, "output.quality"),
        ("{not json", "JSON"),
        ("[1]", "no recipe is called"),
        (["photo"], "JSON object"),
    ],
)
def test_what_is_wrong_is_named(value: object, named: str) -> None:
    with pytest.raises(RequestError, match=named.replace(".", r"\.")):
        parse_recipe(value)  # type: ignore[arg-type]


def test_a_mapping_builds_on_the_preset_it_names() -> None:
    recipe = parse_recipe({"name": "old-photo", "scale": 3})
    assert (recipe.scale, recipe.denoise_strength) == (3, PRESETS["old-photo"][1]["denoise_strength"])


def test_a_recipe_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        preset("photo").scale = 2  # type: ignore[misc]


def test_the_gentler_recipe_denoises_half_as_much_and_nothing_else() -> None:
    before, after = preset("old-photo").model_dump(), preset("old-photo").gentler().model_dump()
    assert {key for key in before if before[key] != after[key]} == {"denoise_strength"}
    assert after["denoise_strength"] == pytest.approx(0.3)


RULES = parse_rules(
    json.dumps(
        [
            {"match": "scans/raw/*", "recipe": "archive"},
            {"match": "scans/*", "recipe": "scan", "scale": 3},
            {"match": "*.gif", "scale": 2, "denoise_strength": 0},
        ]
    )
)


def test_the_first_matching_rule_decides() -> None:
    assert resolve("scans/raw/a.tif", RULES).name == "archive"
    assert resolve("scans/raw/a.tif", RULES).scale == 1
    assert (resolve("scans/b/c.png", RULES).name, resolve("scans/b/c.png", RULES).scale) == ("scan", 3)
    assert resolve("scans/d.gif", RULES).denoise_strength == 0.5
    assert (resolve("web/d.gif", RULES).name, resolve("web/d.gif", RULES).denoise_strength) == ("photo", 0)


def test_a_key_that_no_rule_matches_takes_the_runs_recipe() -> None:
    assert resolve("other.jpg", RULES) == preset("photo")
    assert resolve("Scans/a.jpg", RULES, recipe="web-image") == preset("web-image")


def test_explicit_params_override_rules_and_recipe() -> None:
    recipe = resolve("scans/a.png", RULES, overrides={"scale": 8, "denoise_strength": None, "model": None})
    assert (recipe.name, recipe.scale, recipe.denoise_strength) == ("scan", 8, 0.5)
    recipe = resolve("scans/a.png", RULES, recipe="low-light")
    assert (recipe.name, recipe.scale, recipe.denoise_strength) == ("low-light", 3, 0.6)


def test_params_are_validated_like_recipes() -> None:
    with pytest.raises(RequestError, match="scale"):
        resolve("a.png", overrides={"scale": 16})


@pytest.mark.parametrize(
    ("rules", "message"),
    [
        ("{", "JSON"),
        ('{"match": "*"}', "list"),
        ([{"match": "*"}, {"recipe": "scan"}], "rule 2: match"),
        ([{"match": "*", "recipe": "scam"}], "rule 1: .*did you mean 'scan'"),
        ([{"match": "*", "scale": 10}], "rule 1: scale"),
        ([{"match": ""}], "rule 1: match"),
    ],
)
def test_bad_rules_are_named_before_any_picture_is_read(rules: object, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        parse_rules(rules)  # type: ignore[arg-type]


def test_no_rules_are_no_rules() -> None:
    assert parse_rules(None) == ()
    assert parse_rules("[]") == ()
