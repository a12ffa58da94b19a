"""What clearing, backfilling and changing versions do: the rows of the table in docs/production.md."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from enhancer import identity
from enhancer.batch.plan.planning import plan_run
from enhancer.batch.reporting import report_run
from enhancer.batch.tasks import enhance_shard, publish_shard
from enhancer.errors import ErrorKind, LeaseLostError
from enhancer.recipe import parse_recipe
from tests.batch.in_process import enhance
from tests.batch.site_builder import PLAIN, Site, keys_of, png, publish_all


def test_a_backfill_does_the_work_once_whatever_its_intervals(site: Site) -> None:
    """A run looks at all that is there now; a data interval chooses no pictures, so later ones find nothing to do."""
    site.put(a_png=png(1), b_png=png(2))
    request, counts = site.request(), []
    for day in ("2026-11-01", "2026-11-02", "2026-11-03"):
        run_id = f"backfill__{day}T00:00:00+00:00"
        plan = plan_run(
            request, settings=site.settings, run_id=run_id, trigger="backfill", dag_id="nightly", dag_run_id=run_id
        )
        counts.append((len(keys_of(site, plan)), plan.summary["quick_skipped"]))
        for key in keys_of(site, plan):
            site.stage(plan.run_id, key, key.encode())
        site.publish(plan)
        site.finish(plan.run_id)
        row = site.ledger.queries.find_by_dag_run("nightly", run_id)
        assert row is not None
        assert (row.run_id, row.trigger) == (plan.run_id, "backfill")
    assert counts == [(2, 0), (0, 2), (0, 2)]


def test_clearing_a_dag_run_goes_on_with_it_while_it_is_open(site: Site) -> None:
    """Clearing the whole Dag run, or `plan`, runs plan again: the manifest stands, what is done stays done."""
    site.put(a_png=png(1), b_png=png(2))
    first = site.plan("night")
    site.stage("night", "a.png", b"twin a")
    site.publish(first)
    site.put(c_png=png(3))
    again = site.plan("night")
    assert (again.run_id, again.shards) == (first.run_id, first.shards)
    assert site.states("night") == {"a.png": "published", "b.png": "pending"}


def test_clearing_a_finished_dag_run_is_a_new_run_that_does_what_is_missing(site: Site) -> None:
    site.put(a_png=png(1), b_png=png(2))
    plan = site.plan("night")
    site.stage("night", "a.png", b"twin a")
    site.publish(plan)
    report_run("night", settings=site.settings.model_copy(update={"failure_threshold": 1.0}))
    again = site.plan("night")
    assert again.run_id == "night~2"
    assert keys_of(site, again) == ["b.png"]
    assert site.states("night") == {"a.png": "published", "b.png": "not_attempted"}


@pytest.fixture
def two_shards(new_site: Callable[..., Site], tmp_path: Path) -> Site:
    site = new_site(tmp_path, min_shards=2)
    site.put(a_png=png(1), b_png=png(2))
    return site


def test_clearing_one_mapped_shard_does_what_that_shard_lacks_and_touches_no_other(two_shards: Site) -> None:
    plan = two_shards.plan("night")
    for key in ("a.png", "b.png"):
        two_shards.stage("night", key, key.encode())
    publish_shard(plan.shards[0], settings=two_shards.settings, owner="first try")
    written = (two_shards.output / "a.png").stat().st_mtime_ns
    counts = enhance_shard(plan.shards[0], settings=two_shards.settings, owner="cleared")
    assert counts == {"published": 1}, "no worker is started for what is done"
    publish_shard(plan.shards[0], settings=two_shards.settings, owner="cleared")
    assert (two_shards.output / "a.png").stat().st_mtime_ns == written
    assert two_shards.states("night") == {"a.png": "published", "b.png": "scored"}
    epochs = [row.lease_epoch for row in two_shards.ledger.runs.shards_of("night")]
    assert epochs[0] > epochs[1], "the other shard's lease was not taken"


def test_clearing_one_mapped_shard_of_a_finished_run_fails_at_once_and_says_what_to_do(site: Site) -> None:
    site.put(a_png=png(1))
    plan = publish_all(site, "night")
    for task in (enhance_shard, publish_shard):
        with pytest.raises(LeaseLostError, match="enhancer batch redrive --run night") as refused:
            task(plan.shards[0], settings=site.settings, owner="cleared")
        assert refused.value.kind is ErrorKind.PERMANENT, "Airflow need not try again"


def test_an_attempt_with_changed_code_keeps_what_is_done_and_does_the_rest_anew(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The result of each picture says by which version it came to be: the version is part of its identity."""
    site.put(a_png=png(1), b_png=png(2))
    plan, recipe = site.plan("night"), parse_recipe(PLAIN)
    enhance(site, plan, only="a.png")
    by_old = {key: identity.identity_of(identity.digest(png(seed)), recipe) for seed, key in ((1, "a"), (2, "b"))}

    monkeypatch.setattr(identity, "PIPELINE_VERSION", "another")
    again = site.plan("night")
    assert (again.run_id, again.shards) == (plan.run_id, plan.shards)
    assert enhance(site, again) == ["b.png"]
    rows = site.items("night")
    assert rows["a.png"].identity == by_old["a"]
    assert rows["b.png"].identity == identity.identity_of(identity.digest(png(2)), recipe) != by_old["b"]


def test_a_new_version_alone_does_nothing_again_that_was_published(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.put(a_png=png(1))
    publish_all(site, "night")
    monkeypatch.setattr(identity, "PIPELINE_VERSION", "another")
    assert keys_of(site, site.plan("next")) == []
    assert keys_of(site, site.plan("asked for", rerun="all")) == ["a.png"]


def test_two_runs_at_once_compute_no_identity_twice(site: Site) -> None:
    """Both want every picture, one of them twice under two keys; each result is computed once and used by all."""
    site.put(a_png=png(1), b_png=png(2), c_png=png(3), d_png=png(3))
    plans = [site.plan("one"), site.plan("two", output_url=str(site.root / "other"))]
    workers = [threading.Thread(target=enhance, args=(site, plan)) for plan in plans]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(120)
    rows = [row for plan in plans for row in site.items(plan.run_id).values()]
    assert {row.state for row in rows} == {"enhanced"}
    identities = {row.identity for row in rows}
    assert len(identities) == 3
    computed = [row.identity for row in rows if not row.reused]
    assert sorted(computed) == sorted(identities)
    for identity_ in identities:
        stored = site.ledger.results.get(identity_)
        assert stored is not None
        assert stored.attempts == 1
