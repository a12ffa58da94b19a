"""A stage of another package, through command line and worker: recipe, order, pixels, record, identity."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.extension.conftest import KEPT, SOFT, Installed, softened

IDENTITY = """
from enhancer.identity import identity_of
from enhancer.recipe import parse_recipe
recipes = [parse_recipe(one) for one in json.loads(%r)]
print(json.dumps([[identity_of("0" * 64, one), one.digest(), one.canonical_json()] for one in recipes]))
"""


def test_recipes_lists_it_with_its_values(tiny: Installed) -> None:
    assert tiny.reply("recipes")["summary"]["added_stages"] == [
        {
            "stage": "soft-focus",
            "package": "enhancer-tiny",
            "version": "1.2",
            "after": "exposure",
            "options": {"soft_focus": {"mode": "off", "amount": 0.5}},
        }
    ]
    assert 'soft-focus (enhancer-tiny 1.2, after exposure): soft_focus.mode="off", soft_focus.amount=0.5' in (
        tiny.cli("recipes").stdout
    )


def test_inspect_shows_it_in_its_place(tiny: Installed, picture: Path) -> None:
    (item,) = tiny.reply("inspect", picture, "--recipe", "archive", "--set", "soft_focus.mode=on")["items"]
    names = [decision["stage"] for decision in item["decisions"]]
    assert names[names.index("exposure") : names.index("colour-cast") + 1] == ["exposure", "soft-focus", "colour-cast"]
    decision = item["decisions"][names.index("soft-focus")]
    assert (decision["applied"], decision["reason"]) == (True, "the recipe asks for 50%")
    (item,) = tiny.reply("inspect", picture)["items"]
    decision = item["decisions"][names.index("soft-focus")]
    assert (decision["applied"], decision["reason"]) == (False, "the recipe asks for no soft focus")


def test_enhance_applies_and_records_it(tiny: Installed, picture: Path, tmp_path: Path) -> None:
    (item,) = tiny.reply("enhance", picture, "-o", tmp_path / "out", "--recipe", json.dumps(SOFT))["items"]
    assert [decision["stage"] for decision in item["decisions"] if decision["applied"]] == ["soft-focus"]
    (decision,) = (decision for decision in item["decisions"] if decision["applied"])
    assert decision["numbers"] == {"amount": 0.75, "package": "enhancer-tiny 1.2"}
    found = np.asarray(Image.open(tmp_path / "out" / "a.png")).astype(float)
    assert np.abs(found - softened(picture, 0.75)).max() <= 1


def test_values_are_held_against_its_model(tiny: Installed, bare: Installed, picture: Path) -> None:
    ran = tiny.cli("inspect", picture, "--set", "soft_focus.amount=7")
    assert (ran.returncode, "soft_focus: amount: Input should be less than or equal to 1" in ran.stderr) == (1, True)
    ran = tiny.cli("inspect", picture, "--set", "soft_focus.amuont=0.1")
    assert "did you mean 'soft_focus.amount'" in ran.stderr
    ran = bare.cli("inspect", picture, "--recipe", json.dumps(SOFT))
    assert ran.returncode == 1
    assert "soft_focus" in ran.stderr


def test_the_package_is_part_of_the_identity_where_its_stage_may_act(
    tiny: Installed, bare: Installed, install: Callable[[str], Path], tmp_path: Path
) -> None:
    newer = Installed(install("1.3"), tmp_path)
    both = IDENTITY % json.dumps([KEPT, SOFT])
    plain, soft = tiny.evaluate(both)
    assert newer.evaluate(both)[0] == plain == bare.evaluate(IDENTITY % json.dumps([KEPT]))[0]
    plain_of_newer, soft_of_newer = newer.evaluate(both)
    assert soft_of_newer[0] != soft[0]
    assert soft_of_newer[1:] == soft[1:]  # a new version redoes nothing that is published
    assert json.loads(soft[2])["soft_focus"] == {"amount": 0.75, "mode": "on"}
    assert plain_of_newer == plain
    default, explicit = tiny.evaluate(IDENTITY % json.dumps([KEPT, {**KEPT, "soft_focus": {"amount": 0.5}}]))
    assert default == explicit


def test_the_gentler_try_is_what_the_stage_says(tiny: Installed) -> None:
    code = f"""
from enhancer.recipe import parse_recipe
recipe = parse_recipe(json.loads({json.dumps(SOFT)!r}))
gentler = recipe.gentler().model_dump(mode="json")
print(json.dumps([gentler["soft_focus"], recipe.model_dump(mode="json")["soft_focus"], recipe == recipe.automatic()]))
"""
    gentler, before, same = tiny.evaluate(code)
    assert gentler == {"mode": "on", "amount": 0.375}
    assert before == {"mode": "on", "amount": 0.75}
    assert not same  # other stages are on in `automatic`


@pytest.mark.network
def test_a_run_of_the_worker_publishes_judges_and_skips_it(tiny: Installed, picture: Path, tmp_path: Path) -> None:
    Image.open(picture).resize((64, 64)).save(picture.with_name("plain.png"))
    rules = [{"match": "a.*", "recipe": SOFT}, {"match": "*", "recipe": KEPT}]
    where = ["--input-url", picture.parent, "--output-url", tmp_path / "out", "--work-url", tmp_path / "work"]
    run = [*where, "--rules", json.dumps(rules)]
    first = tiny.cli("batch", "run", *run, "--run-id", "night", "--json")
    assert first.returncode == 0, first.stdout + first.stderr
    found = np.asarray(Image.open(tmp_path / "out" / "a.png")).astype(float)
    assert np.abs(found - softened(picture, 0.75)).max() <= 1
    report = json.loads((tmp_path / "out" / "_enhancer" / "reports" / "night" / "report.json").read_text())
    items = {item["input"].rpartition("/")[2]: item for item in report["items"]}
    applied = {
        name: [decision for decision in item["decisions"] if decision["applied"]] for name, item in items.items()
    }
    assert [decision["stage"] for decision in applied["a.png"]] == ["soft-focus"]
    assert applied["a.png"][0]["numbers"]["package"] == "enhancer-tiny 1.2"
    assert applied["plain.png"] == []
    again = tiny.reply("batch", "run", *run, "--run-id", "next")
    assert again["summary"]["unchanged"] == 2
