"""Recipes: presets, parsing, rules, and the text that identities hang on."""

from __future__ import annotations

import json

import pytest

from enhancer.errors import RequestError
from enhancer.recipe import (
    PRESETS,
    Recipe,
    parse_recipe,
    parse_rules,
    preset,
    resolve,
    rules_with_settings,
    with_settings,
)

GOLDEN = (
    '{"cast":{"mode":"auto","strength":1.0},"colour_fix":{"mode":"auto"},"denoise_model":null,"denoise_strength":0.5,'
    '"denoise_table":"measured",'
    '"exposure":{"ev":null,"max_ev":3.0,"mode":"auto"},"fading":{"method":"learned","mode":"off"},'
    '"gate":{"max_artifact_score":0.5,"max_low_frequency_shift":0.1,"max_residual_ratio":1.5,"min_score":0.25},'
    '"input":{"max_pixels":null,"max_side":null,"salvage":false},'
    '"jpeg":{"mode":"auto"},'
    '"lens":{"chromatic_aberration":true,"distortion":true,"mode":"off","vignetting":true},'
    '"local_contrast":{"clip_limit":2.0,"mode":"off","tiles":8},'
    '"model":null,"name":"photo",'
    '"output":{"colour_space":null,"convert":false,"format":null,"lossless":false,"quality":92,"strip_private":false},'
    '"precision":"auto","progressive":{"blend":0.7,"stages":1},"repair_impulses":true,'
    '"restoration":{"mode":"auto","model":null},"scale":4.0,'
    '"scratches":{"mode":"off"},'
    '"sharpen":{"amount":0.8,"kernel":3,"method":"adaptive","mode":"off","threshold":0.0},'
    '"super_resolution":{"blend":1.0,"guard":"auto"},'
    '"tone":{"black_point":0.0,"curve":null,"gamma":1.0,"points":[],"saturation":1.0,"white_point":1.0},"version":1}'
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
        "photo", "real", "scan", "old-photo", "document", "low-light", "medical-grey", "web-image", "archive",
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


def test_the_gentler_recipe_does_half_as_much_and_nothing_for_looks_alone() -> None:
    recipe = preset("old-photo", sharpen={"mode": "on"}, tone={"gamma": 1.2}, cast={"strength": 0.8})
    gentler = recipe.gentler()
    assert (recipe.denoise_strength, gentler.denoise_strength) == (0.6, pytest.approx(0.3))
    assert (gentler.cast.mode, gentler.cast.strength) == ("auto", pytest.approx(0.4))
    assert (gentler.sharpen.mode, gentler.local_contrast.mode, gentler.tone.gamma) == ("off", "off", 1.0)
    before, after = recipe.model_dump(), gentler.model_dump()
    changed = {key for key in before if before[key] != after[key]}
    assert changed == {"denoise_strength", "cast", "sharpen", "local_contrast", "tone"}


def test_a_nested_mapping_changes_only_what_it_names() -> None:
    recipe = parse_recipe({"name": "low-light", "exposure": {"ev": 1.5}, "output": {"quality": 80}})
    assert (recipe.exposure.mode, recipe.exposure.max_ev, recipe.exposure.ev) == ("auto", 4, 1.5)
    assert (recipe.output.quality, recipe.cast.mode) == (80, "auto")


def test_grey_diagnostic_pictures_and_masters_keep_their_values() -> None:
    for name in ("medical-grey", "archive"):
        recipe = preset(name)
        modes = {
            recipe.exposure.mode,
            recipe.cast.mode,
            recipe.lens.mode,
            recipe.sharpen.mode,
            recipe.local_contrast.mode,
            recipe.jpeg.mode,
            recipe.scratches.mode,
            recipe.fading.mode,
        }
        assert modes == {"off"}
        assert recipe.scale == 1


@pytest.mark.parametrize(
    ("assignment", "group", "field", "value"),
    [
        ("sharpen.amount=0.5", "sharpen", "amount", 0.5),
        ("sharpen.mode=on", "sharpen", "mode", "on"),
        ("output.format=PNG", "output", "format", "PNG"),
        ("output.format=null", "output", "format", None),
        ("lens.distortion = false", "lens", "distortion", False),
        ("tone.points=[[0, 0], [0.5, 0.6], [1, 1]]", "tone", "points", ((0, 0), (0.5, 0.6), (1, 1))),
    ],
)
def test_single_values_are_set(assignment: str, group: str, field: str, value: object) -> None:
    before = preset("old-photo")
    after = with_settings(before, [assignment])
    assert getattr(getattr(after, group), field) == value
    untouched = {group: getattr(before, group)}
    restored = getattr(after, group).model_copy(update={field: getattr(getattr(before, group), field)})
    assert {group: restored} == untouched
    assert after.model_copy(update=untouched) == before


def test_settings_add_up_and_the_last_of_a_name_wins() -> None:
    recipe = with_settings(preset("photo"), ["scale=2", "sharpen.mode=on", "sharpen.amount=1", "scale=3"])
    assert (recipe.scale, recipe.sharpen.mode, recipe.sharpen.amount) == (3, "on", 1)
    assert with_settings(recipe, []) is recipe


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("sharpness.amount=1", "no recipe has 'sharpness.amount'; did you mean 'sharpen.amount'"),
        ("sharpen.amonut=1", "did you mean 'sharpen.amount'"),
        ("denoise=1", "did you mean 'denoise_"),
        ("sharpen={}", "did you mean 'sharpen."),
        ("xyz=1", r"known: .*scale, .*sharpen\.\*"),
        ("sharpen.amount", "not of the form stage.param=value"),
        ("sharpen.amount=much", "sharpen.amount"),
        ("scale=9", "scale"),
    ],
)
def test_settings_that_are_not_valid_are_named(assignment: str, message: str) -> None:
    with pytest.raises(RequestError, match=message):
        with_settings(preset("photo"), [assignment])


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


def test_a_rule_may_hold_a_recipe_as_a_mapping() -> None:
    rules = parse_rules([{"match": "a/*", "recipe": {"name": "scan", "sharpen": {"mode": "auto"}}, "scale": 1}])
    recipe = resolve("a/b.png", rules)
    assert (recipe.name, recipe.scale, recipe.sharpen.mode, recipe.exposure.mode) == ("scan", 1, "auto", "off")


@pytest.mark.parametrize("recipe", [None, "web-image", {"name": "document", "tone": {"gamma": 1.1}}])
def test_settings_reach_every_key_of_a_run_with_rules(recipe: object) -> None:
    assignments = ["sharpen.amount=0.5", "output.quality=85"]
    changed = rules_with_settings(RULES, recipe, assignments)  # type: ignore[arg-type]
    for key in ("scans/raw/a.tif", "scans/d.gif", "web/d.gif", "other.jpg"):
        before = resolve(key, RULES, recipe)  # type: ignore[arg-type]
        assert resolve(key, parse_rules([rule.model_dump(mode="json") for rule in changed])) == with_settings(
            before, assignments
        )


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
