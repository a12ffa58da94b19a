"""What stages say of themselves is true, and called the same wherever it stands."""

from __future__ import annotations

import numpy as np
import pytest

from enhancer.image import Metadata
from enhancer.options import StageOptions
from enhancer.recipe import PRESETS, Recipe, preset
from enhancer.stages.base import Context, Stage
from enhancer.stages.nets import Nets
from enhancer.stages.sequence import CORRECTIONS, STAGES, decide

NAMES = [
    "picture-kind", "size-limit", "lens-correction", "impulse-repair", "restoration", "jpeg-artifacts", "denoising",
    "scratches", "fading", "exposure", "colour-cast", "super-resolution", "artifact-guard", "colour-fix",
    "local-contrast", "tone", "sharpening",
]  # fmt: skip
"""In every ledger and every picture's metadata: they do not change."""

ASKED_ELSEWHERE = {"denoising", "picture-kind"}
"""The specification's denoise_strength stands at the top of a recipe; the kind of a picture is said of the input."""


def test_the_stages_and_their_order() -> None:
    assert [stage.name for stage in STAGES] == NAMES


@pytest.mark.parametrize("stage", STAGES, ids=NAMES)
def test_module_class_record_and_recipe_call_a_stage_the_same(stage: Stage) -> None:
    words = stage.name.split("-")
    assert type(stage).__module__ == f"enhancer.stages.{'_'.join(words)}"
    assert type(stage).__name__ == "".join(word.capitalize() for word in words)
    if stage.name in ASKED_ELSEWHERE:
        assert stage.options is None
        return
    assert stage.options is not None
    assert isinstance(getattr(Recipe(), "_".join(words)), stage.options)
    assert stage.options.__name__ == f"{type(stage).__name__}Options"


def test_corrections_are_the_stages_that_say_so() -> None:
    assert sorted(CORRECTIONS) == [
        "colour-cast", "exposure", "fading", "jpeg-artifacts", "lens-correction", "local-contrast", "scratches",
        "size-limit", "tone",
    ]  # fmt: skip


def test_those_made_for_photographs_say_so() -> None:
    assert [stage.name for stage in STAGES if stage.for_photographs] == [
        "restoration", "jpeg-artifacts", "denoising", "scratches", "fading", "exposure", "colour-cast", "local-contrast",
    ]  # fmt: skip


FOR_PHOTOGRAPHS = [stage for stage in STAGES if stage.for_photographs]
EVERY_AUTO = {name: {"mode": "auto"} for name in ("scratches", "fading", "exposure", "colour_cast", "local_contrast")}
NAMED = {
    "restoration": {"restoration": {"mode": "on"}},
    "denoising": {"denoise_model": "denoise"},
    "exposure": {"exposure": {"ev": 1.0}},
    "local-contrast": {"local_contrast": {"mode": "on"}},
}
"""What a recipe says of a stage to have it on every kind of picture."""


@pytest.mark.parametrize("stage", FOR_PHOTOGRAPHS, ids=lambda stage: stage.name)
@pytest.mark.parametrize("kind", ["photograph", "screen"])
def test_only_a_photograph_is_looked_at_by_what_is_made_for_photographs(stage: Stage, kind: str, nets: Nets) -> None:
    named = {**EVERY_AUTO, **NAMED.get(stage.name, {})}
    for values, looks in ((EVERY_AUTO, kind == "photograph"), (named, kind == "photograph" or stage.name in NAMED)):
        recipe = preset("photo", **values, input={"kind": kind})
        context = Context(recipe=recipe, metadata=Metadata(), nets=nets)
        assert stage.idle(context) is None  # no kind was measured, as of a picture that is not a whole run's
        context.decisions["picture-kind"] = decide(STAGES[0], np.zeros((8, 8, 3), np.float32), context)
        if looks:
            assert stage.idle(context) is None
        else:
            nothing = np.empty((0, 0, 3), np.float32)
            assert decide(stage, nothing, context).reason == "made for photographs, and this is a screen or rendering"


HAVE_MODE = [name for name, value in Recipe() if isinstance(value, StageOptions) and hasattr(value, "mode")]
OFF = {"scale": 1, "denoise_strength": 0, **{name: {"mode": "off"} for name in HAVE_MODE}}


@pytest.mark.parametrize("stage", STAGES[1:], ids=NAMES[1:])  # the first looks, and does nothing
def test_a_stage_that_the_recipe_does_not_want_says_so_without_looking(stage: Stage, nets: Nets) -> None:
    context = Context(recipe=preset("photo", **OFF), metadata=Metadata(), nets=nets)
    nothing = np.empty((0, 0, 3), np.float32)  # to measure it would fail
    decision = decide(stage, nothing, context)
    assert (decision.applied, decision.reason, decision.numbers) == (False, stage.off, {})
    assert stage.measure(np.zeros((64, 64, 3), np.float32), context) == decision


@pytest.mark.parametrize("name", PRESETS)
def test_automatic_turns_on_what_measures_for_itself_and_nothing_else(name: str) -> None:
    recipe = preset(name, sharpening={"amount": 0.3})
    automatic = recipe.automatic()
    for key, options in automatic.stage_options().items():
        before = recipe.stage_options()[key]
        assert getattr(options, "mode", "auto") != "off"
        assert options.model_dump(exclude={"mode"}) == before.model_dump(exclude={"mode"})
    assert (automatic.scale, automatic.denoise_strength) == (recipe.scale, recipe.denoise_strength)
