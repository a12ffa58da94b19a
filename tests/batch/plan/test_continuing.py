"""Which run a plan goes on with: its own, and no one else's."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from enhancer.batch import layout
from enhancer.batch.plan.planning import Plan, plan_run
from enhancer.batch.plan.recovery import finish_abandoned
from enhancer.batch.plan.request import RunRequest
from enhancer.batch.run import run_batch
from enhancer.errors import ErrorKind, RequestError
from enhancer.ledger.tables import run, shard
from tests.batch.site_builder import Site, png

NIGHT = "scheduled__2026-11-30T01:00:00+00:00"


@pytest.fixture
def site(new_site: Callable[..., Site], tmp_path: Path) -> Site:
    made = new_site(tmp_path / "site")
    made.put(a_png=png(1))
    return made


def plan(site: Site, dag_id: str, dag_run_id: str = NIGHT, name: str | None = None, **params: Any) -> Plan:
    return plan_run(
        RunRequest.from_params({**site.params(), **params}, site.settings),
        settings=site.settings,
        run_id=name or layout.dag_run_name(dag_id, dag_run_id),
        trigger="scheduled",
        dag_id=dag_id,
        dag_run_id=dag_run_id,
    )


def test_two_dags_on_one_schedule_have_a_run_each(site: Site, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "b.png").write_bytes(png(2))
    ours = plan(site, "image_enhancement")
    theirs = plan(site, "scans", input_url=str(tmp_path / "other"), output_url=str(tmp_path / "others"))
    assert ours.run_id != theirs.run_id
    assert set(site.items(ours.run_id)) == {"a.png"}
    assert set(site.items(theirs.run_id)) == {"b.png"}
    for made, dag_id in ((ours, "image_enhancement"), (theirs, "scans")):
        assert made.run_id.startswith(f"{dag_id}-scheduled__2026-11-30T01-00-00")
        found = site.ledger.queries.find_by_dag_run(dag_id, NIGHT)
        assert found is not None
        assert found.run_id == made.run_id


def test_a_run_of_another_dag_is_not_gone_on_with_whatever_its_name(site: Site) -> None:
    plan(site, "image_enhancement", name="night")
    with pytest.raises(RequestError, match=r"night.*image_enhancement.*scans") as caught:
        plan(site, "scans", name="night")
    assert (caught.value.reason, caught.value.kind) == ("other-run", ErrorKind.PERMANENT)
    with pytest.raises(RequestError, match="image_enhancement"):
        site.plan("night")  # of the command line


@pytest.mark.parametrize("name", ["input_url", "output_url", "work_url", "reference_url"])
def test_other_addresses_are_another_run(site: Site, tmp_path: Path, name: str) -> None:
    site.plan("night")
    (tmp_path / "elsewhere").mkdir()
    before = site.ledger.runs.get("night")
    with pytest.raises(RequestError, match=rf"night.*{name}") as caught:
        site.plan("night", **{name: str(tmp_path / "elsewhere")})
    assert caught.value.reason == "other-run"
    assert site.ledger.runs.get("night") == before


@pytest.mark.parametrize(
    "params",
    [{"recipe": "archive"}, {"scale": 3}, {"prefix": "p/"}, {"rerun": "all"}, {"max_items": 1}, {"rules": [{"match": "*", "recipe": "scan"}]}],
    ids=lambda params: next(iter(params)),
)  # fmt: skip
def test_other_work_is_another_run(site: Site, params: dict[str, Any]) -> None:
    site.plan("night")
    with pytest.raises(RequestError, match=rf"night.*{next(iter(params))}"):
        site.plan("night", **params)


def test_what_does_not_define_the_work_may_differ(site: Site) -> None:
    first = site.plan("night")
    assert site.plan("night", worker_hour_price=2.5, run_gate=0.5).shards == first.shards


def test_the_command_line_refuses_to_go_on_with_other_addresses(site: Site, tmp_path: Path) -> None:
    site.plan("night")
    (tmp_path / "elsewhere").mkdir()
    request = RunRequest.from_params(site.params(input_url=str(tmp_path / "elsewhere")), site.settings)
    with pytest.raises(RequestError, match=r"--run-id"):
        run_batch(request, settings=site.settings, run_id="night")


def test_a_dag_run_that_failed_to_plan_may_be_asked_for_something_else(site: Site) -> None:
    """docs/operations.md: plan's log says what to change; then clear the run."""
    too_few = replace(site, settings=site.settings.model_copy(update={"max_shards": 0}))
    with pytest.raises(RequestError, match="ENHANCER_MAX_SHARDS"):
        plan(too_few, "image_enhancement")
    made = plan(site, "image_enhancement", recipe="archive")
    assert {row.recipe_name for row in site.items(made.run_id).values()} == {"archive"}


class TestRunsInFlightAtAnUpgrade:
    """Before 0.2 a run was named after its DAG run alone."""

    @pytest.fixture
    def old(self, site: Site) -> Plan:
        return plan(site, "image_enhancement", name=NIGHT)

    def test_its_own_dag_run_goes_on_with_it(self, site: Site, old: Plan) -> None:
        assert plan(site, "image_enhancement").run_id == old.run_id

    def test_params_that_an_older_version_did_not_have_are_at_their_defaults(self, site: Site, old: Plan) -> None:
        kept = {**site.ledger.runs.get(old.run_id).params}
        for name in ("worker_hour_price", "redrive", "on_rejection"):
            del kept[name]
        with site.ledger.engine.begin() as connection:
            connection.execute(sa.update(run).values(params=kept))
        assert plan(site, "image_enhancement").run_id == old.run_id

    def test_another_dag_does_not(self, site: Site, old: Plan) -> None:
        assert plan(site, "scans").run_id != old.run_id

    def test_it_is_not_closed_as_abandoned_before_it_goes_on(self, site: Site, old: Plan) -> None:
        with site.ledger.engine.begin() as connection:
            connection.execute(sa.update(run).values(created_at=time.time() - 9e6))
            connection.execute(sa.update(shard).values(lease_expires_at=None))
        assert finish_abandoned(site.settings, exclude_dag_run=("image_enhancement", NIGHT)) == []
        assert finish_abandoned(site.settings, exclude_dag_run=("scans", NIGHT)) == [old.run_id]


def test_names_stay_apart_beyond_the_ledgers_length() -> None:
    names = {layout.dag_run_name("d" * 240, f"{NIGHT}-{number}") for number in range(3)}
    assert len(names) == 3
    assert all(len(layout.ledger_run_id(name)) <= 200 for name in names)
    assert len({layout.ledger_run_id(name) for name in names}) == 3
