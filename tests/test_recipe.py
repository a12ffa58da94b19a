"""Recipes: presets, parsing, rules, and the text that identities hang on."""

from __future__ import annotations

import copy
import json
from hashlib import sha256
from typing import Any, Literal

import pytest
from blake3 import blake3

from enhancer import recipe as recipe_module
from enhancer.errors import RequestError
from enhancer.options import StageOptions
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

VALUES = "4c338c"
"""Changing a default or a preset's value makes other pictures of the same request, while nothing published is redone:
raise PIPELINE_VERSION knowingly. A new option changes this too, and needs that only where it is on by default."""


def test_defaults_and_presets_never_change_unnoticed() -> None:
    values = {"": Recipe().model_dump(mode="json")} | {name: preset(name).model_dump(mode="json") for name in PRESETS}
    assert sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()[:6] == VALUES


CANONICAL = [
    (None, '{"name":"photo"}'),
    ("scan", '{"name":"scan"}'),
    ({"name": "scan", "scale": 2, "exposure": {"mode": "off"}}, '{"name":"scan"}'),
    ({"name": "scan", "exposure": {"mode": "auto"}}, '{"exposure":{"mode":"auto"},"name":"scan"}'),
    ({"name": "ours"}, '{"name":"ours"}'),
    ({"name": "ours", "scale": 4, "gate": {"min_score": 0.25, "max_residual_ratio": 2}},
     '{"gate":{"max_residual_ratio":2.0},"name":"ours"}'),
    ({"tone": {"points": [[0, 0], [1, 1]]}, "version": 1}, '{"name":"photo","tone":{"points":[[0.0,0.0],[1.0,1.0]]}}'),
]  # fmt: skip


@pytest.mark.parametrize(("value", "text"), CANONICAL)
def test_the_canonical_text_is_the_name_and_what_differs_from_its_preset(value: Any, text: str) -> None:
    assert parse_recipe(value).canonical_json() == text
    assert parse_recipe(value).digest() == blake3(text.encode()).hexdigest()


def test_an_option_that_a_later_version_adds_changes_no_digest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever value its presets give it."""

    class Polish(StageOptions):
        mode: Literal["off", "auto"] = "off"

    class Later(Recipe):
        polish: Polish = Polish()

    asked = [{"name": name, "sharpening": {"mode": "on"}} for name in (*PRESETS, "ours")]
    before = [parse_recipe(one).canonical_json() for one in asked]
    text, values = PRESETS["scan"]
    monkeypatch.setattr(recipe_module, "Recipe", Later)
    monkeypatch.setitem(PRESETS, "scan", (text, {**values, "polish": {"mode": "auto"}}))
    recipe_module._values_of.cache_clear()
    try:
        assert parse_recipe("scan").polish.mode == "auto"  # type: ignore[attr-defined]
        assert [parse_recipe(one).canonical_json() for one in asked] == before
    finally:
        recipe_module._values_of.cache_clear()


FORMER = [
    ({"repair_impulses": False}, {"impulse_repair": {"mode": "off"}}),
    ({"repair_impulses": True, "name": "medical-grey"}, {"impulse_repair": {"mode": "auto"}, "name": "medical-grey"}),
    ({"lens": {"mode": "auto", "vignetting": False}}, {"lens_correction": {"mode": "auto", "vignetting": False}}),
    ({"jpeg": {"mode": "off"}}, {"jpeg_artifacts": {"mode": "off"}}),
    ({"cast": {"strength": 0.5}}, {"colour_cast": {"strength": 0.5}}),
    ({"sharpen": {"mode": "on", "amount": 1}}, {"sharpening": {"mode": "on", "amount": 1}}),
    ({"input": {"max_side": 40, "salvage": True}}, {"input": {"salvage": True}, "size_limit": {"max_side": 40}}),
    ({"input": {"max_pixels": 9}}, {"size_limit": {"max_pixels": 9}}),
    ({"super_resolution": {"guard": "off", "blend": 0.5}},
     {"super_resolution": {"blend": 0.5}, "artifact_guard": {"mode": "off"}}),
]  # fmt: skip


@pytest.mark.parametrize(("former", "current"), FORMER)
def test_former_names_are_the_same_request(former: dict[str, Any], current: dict[str, Any]) -> None:
    assert parse_recipe(former) == parse_recipe(current) == parse_recipe(json.dumps(former))
    assert parse_recipe(former).digest() == parse_recipe(current).digest() != parse_recipe(None).digest()
    kept = copy.deepcopy(former)
    parse_recipe(former)
    assert former == kept  # the caller's mapping is as it was


def test_former_names_of_settings_are_the_same_setting() -> None:
    given = ["sharpen.amount=0.5", "repair_impulses=false", "input.max_side=9", "super_resolution.guard=off"]
    recipe = with_settings(preset("photo"), given)
    assert (recipe.sharpening.amount, recipe.impulse_repair.mode) == (0.5, "off")
    assert (recipe.size_limit.max_side, recipe.artifact_guard.mode) == (9, "off")
    assert with_settings(recipe, ["sharpening.amount=1", "sharpen.amount=2"]).sharpening.amount == 2


def test_a_value_under_both_its_names_is_refused() -> None:
    with pytest.raises(RequestError, match=r"cast is the former name of colour_cast; give only colour_cast"):
        parse_recipe({"cast": {"mode": "off"}, "colour_cast": {"strength": 0.5}})


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
    recipe = preset("old-photo", sharpening={"mode": "on"}, tone={"gamma": 1.2}, colour_cast={"strength": 0.8})
    gentler = recipe.gentler()
    assert (recipe.denoise_strength, gentler.denoise_strength) == (0.6, pytest.approx(0.3))
    assert (gentler.colour_cast.mode, gentler.colour_cast.strength) == ("auto", pytest.approx(0.4))
    assert (gentler.sharpening.mode, gentler.local_contrast.mode, gentler.tone.gamma) == ("off", "off", 1.0)
    before, after = recipe.model_dump(), gentler.model_dump()
    changed = {key for key in before if before[key] != after[key]}
    assert changed == {"denoise_strength", "colour_cast", "sharpening", "local_contrast", "tone"}


def test_a_nested_mapping_changes_only_what_it_names() -> None:
    recipe = parse_recipe({"name": "low-light", "exposure": {"ev": 1.5}, "output": {"quality": 80}})
    assert (recipe.exposure.mode, recipe.exposure.max_ev, recipe.exposure.ev) == ("auto", 5, 1.5)
    assert (recipe.output.quality, recipe.colour_cast.mode) == (80, "auto")


def test_grey_diagnostic_pictures_and_masters_keep_their_values() -> None:
    for name in ("medical-grey", "archive"):
        recipe = preset(name)
        modes = {
            recipe.exposure.mode,
            recipe.colour_cast.mode,
            recipe.lens_correction.mode,
            recipe.sharpening.mode,
            recipe.local_contrast.mode,
            recipe.jpeg_artifacts.mode,
            recipe.scratches.mode,
            recipe.fading.mode,
        }
        assert modes == {"off"}
        assert recipe.scale == 1


@pytest.mark.parametrize(
    ("assignment", "group", "field", "value"),
    [
        ("sharpening.amount=0.5", "sharpening", "amount", 0.5),
        ("sharpening.mode=on", "sharpening", "mode", "on"),
        ("output.format=PNG", "output", "format", "PNG"),
        ("output.format=null", "output", "format", None),
        ("lens_correction.distortion = false", "lens_correction", "distortion", False),
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
    recipe = with_settings(preset("photo"), ["scale=2", "sharpening.mode=on", "sharpening.amount=1", "scale=3"])
    assert (recipe.scale, recipe.sharpening.mode, recipe.sharpening.amount) == (3, "on", 1)
    assert with_settings(recipe, []) is recipe


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("sharpness.amount=1", "no recipe has 'sharpness.amount'; did you mean 'sharpening.amount'"),
        ("sharpening.amonut=1", "did you mean 'sharpening.amount'"),
        ("sharpen.amonut=1", "did you mean 'sharpening.amount'"),
        ("denoise=1", "did you mean 'denoise_"),
        ("sharpening={}", "did you mean 'sharpening."),
        ("xyz=1", r"known: .*scale, .*sharpening\.\*"),
        ("sharpening.amount", "not of the form stage.param=value"),
        ("sharpening.amount=much", "sharpening.amount"),
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
    assert (recipe.name, recipe.scale, recipe.sharpening.mode, recipe.exposure.mode) == ("scan", 1, "auto", "off")


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
