"""An upgrade redoes nothing: what version 0.1.0 published, judged and held is left as it is, on both databases."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic import command

from enhancer.batch.plan.planning import Plan, plan_run
from enhancer.batch.plan.request import RunRequest
from enhancer.ledger import Ledger, migrate
from enhancer.ledger.engine import open_engine
from enhancer.recipe import parse_recipe
from enhancer.settings import Settings
from tests.upgrades.kept import forget_noted_recipes, restore

PUBLISHED = 15
CHANGED_SINCE = {"low-light"}
VERDICTS = {
    "broken/n.png": "quarantined",
    "broken/o.jpg": "quarantined",
    "held/r.png": "held",
    "held/s.png": "held",
    "strict/m.png": "rejected",
}

_numbers = itertools.count()


class Kept:
    """What 0.1.0 left behind, before and after the upgrade."""

    def __init__(self, root: Path, url: str) -> None:
        self.url = url
        self.params = restore("0.1.0", root, url)
        self.settings = Settings(home=root / "home", ledger_dsn=url)

    def plan(self, run_id: str, **params: Any) -> Plan:
        request = RunRequest.from_params({**self.params, **params}, self.settings)
        return plan_run(request, settings=self.settings, run_id=run_id, trigger="cli")

    def rows(self, statement: str) -> list[tuple[Any, ...]]:
        engine = open_engine(self.url)
        with engine.connect() as connection:
            found = [tuple(row) for row in connection.execute(sa.text(statement))]
        engine.dispose()
        return sorted(found)


@pytest.fixture(params=["sqlite", "postgresql"])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Kept:
    if request.param == "sqlite":
        return Kept(tmp_path, f"sqlite:///{tmp_path / 'ledger.db'}")
    return Kept(tmp_path, str(request.getfixturevalue("postgres").create_database(f"kept_{next(_numbers)}")))


def test_the_next_night_finds_nothing_to_do(kept: Kept) -> None:
    migrate.upgrade(kept.url)
    plan = kept.plan("next")
    assert plan.shards == []
    assert plan.summary["quick_skipped"] == PUBLISHED
    assert plan.summary["repeated_verdicts"] == len(VERDICTS)
    with Ledger(kept.url) as ledger:
        assert {row.key: row.state for row in ledger.queries.iter_items("next")} == VERDICTS


def test_nor_where_no_run_noted_its_recipes(kept: Kept) -> None:
    """The runs' params and rules alone say what the digests stand for."""
    forget_noted_recipes(kept.url)
    migrate.upgrade(kept.url)
    plan = kept.plan("next")
    assert (plan.shards, plan.summary["quick_skipped"]) == ([], PUBLISHED)


def test_what_is_asked_for_anew_is_work(kept: Kept) -> None:
    """The zero above is no blindness: another value of the recipe, and a verdict that a person lifted, are seen."""
    migrate.upgrade(kept.url)
    with Ledger(kept.url) as ledger:
        ledger.runs.release("night-3", ["held/r.png"])
    plan = kept.plan("released")
    assert [reference["n"] for reference in plan.shards] == [1]
    plan = kept.plan("stronger", denoise_strength=0.75, dry_run=True)
    assert plan.summary["quick_skipped"] == 0


def test_every_digest_is_that_of_its_recipe(kept: Kept) -> None:
    migrate.upgrade(kept.url)
    with Ledger(kept.url) as ledger:
        for run_id in ("night-1", "night-2", "night-3"):
            for digest, recipe in ledger.runs.get(run_id).recipes.items():
                # What was noted is the recipe in full: of a preset whose values are others now, it is a recipe of its own.
                same = recipe if recipe["name"] not in CHANGED_SINCE else recipe["name"]
                assert parse_recipe(same).digest() == digest
        summary = ledger.runs.get("night-1").summary
        assert summary is not None
        check = summary["reference_check"]
        assert check["recipe_digest"] == parse_recipe("photo").digest()
        rows = {row.key: row for row in ledger.queries.iter_items("night-1")}
        run = ledger.runs.get("night-1")
    assert all(row.recipe_digest in run.recipes for row in rows.values())
    assert run.recipes[rows["own/k.jpg"].recipe_digest]["name"] == "ours"


def test_the_way_back_restores_every_digest(kept: Kept) -> None:
    digests = "SELECT run_id, key, recipe_digest FROM item UNION ALL SELECT '', address, recipe_digest FROM target"
    before = kept.rows(digests)
    migrate.upgrade(kept.url, "0004")
    assert {row[2] for row in kept.rows(digests)}.isdisjoint(row[2] for row in before)
    engine = open_engine(kept.url)
    with engine.begin() as connection:
        command.downgrade(migrate.config(connection), "0003")
    engine.dispose()
    assert kept.rows(digests) == before
