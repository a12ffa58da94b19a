"""Maintenance beside runs of every kind: what it deletes, and what it must not."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from enhancer.batch import layout
from enhancer.batch.maintenance import maintain
from enhancer.batch.reporting import RunFailedError, report_run
from enhancer.errors import StorageError
from enhancer.ledger import ItemState
from tests.batch.site_builder import Site, keys_of, png, publish_all


def orphan(site: Site, run_id: str, name: str = "00000-9/00000000-feed") -> Path:
    """A staged object that no result points to."""
    path = site.work / run_id / "staged" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"left behind")
    return path


def held_run(site: Site, run_id: str = "r1") -> Path:
    """A finished run with a held picture; where its result is staged."""
    site.put(held_png=png(7))
    site.plan(run_id, prefix="held")
    row = site.stage(run_id, "held.png", b"held result")
    site.ledger.halts.halt(run_id, "held", "by hand")
    with pytest.raises(RunFailedError):
        report_run(run_id, settings=site.settings)
    return site.work / str(row.staged_key)


@pytest.fixture
def quick(new_site: Callable[..., Site], tmp_path: Path) -> Site:
    """Orphans are swept at once."""
    return new_site(tmp_path, orphan_ttl_s=0)


def test_orphans_of_finished_runs_go_and_nothing_else(quick: Site) -> None:
    quick.put(a_png=png(1), b_png=png(2))
    publish_all(quick, "done", prefix="a")
    held = held_run(quick)
    quick.plan("live", prefix="b")
    staged = quick.work / quick.stage("live", "b.png", b"not published yet").staged_key
    gone, at_work, unknown = orphan(quick, "done"), orphan(quick, "live"), orphan(quick, "of another ledger")
    before = {path.name: path.read_bytes() for path in quick.input.iterdir()}
    assert maintain(quick.settings).orphans == 1
    assert not gone.exists()
    assert held.read_bytes() == b"held result"
    assert staged.exists()
    assert at_work.exists(), "a running run may be about to record it"
    assert unknown.exists(), "two ledgers may share a folder"
    assert {path.name: path.read_bytes() for path in quick.input.iterdir()} == before
    assert maintain(quick.settings).orphans == 0


def test_orphans_are_left_alone_until_their_time_has_come(site: Site) -> None:
    site.put(a_png=png(1))
    publish_all(site, "done")
    path = orphan(site, "done")
    assert maintain(site.settings).orphans == 0
    assert path.exists()


def test_a_target_that_is_gone_is_made_again(site: Site) -> None:
    site.put(a_png=png(1), b_png=png(2), c_png=png(3))
    publish_all(site)
    (site.output / "a.png").unlink()
    (site.output / "b.png").write_bytes(b"of another size, by another hand")
    assert keys_of(site, site.plan("blind")) == [], "a quick skip trusts the ledger"
    site.finish("blind")
    done = maintain(site.settings)
    assert (done.targets, done.targets_cleared) == (3, 2)
    assert keys_of(site, site.plan("r2")) == ["a.png", "b.png"]
    assert maintain(site.settings).targets_cleared == 0


def test_fallen_claims_are_dropped_and_live_ones_kept(site: Site) -> None:
    site.put(a_png=png(1))
    site.plan("r1")
    lease = site.ledger.leases.take("r1", 0, "dies", 60)
    assert site.ledger.results.claim(lease, "f" * 64).status == "mine"
    assert maintain(site.settings).fallen_claims == 0
    site.ledger.leases.release(lease)
    assert maintain(site.settings).fallen_claims == 1
    assert site.ledger.results.get("f" * 64) is None


def test_what_is_past_retention_goes_and_the_last_word_stays(new_site: Callable[..., Site], tmp_path: Path) -> None:
    site = new_site(tmp_path, retention_days=1e-9, orphan_ttl_s=0)
    site.put(a_png=png(1), b_png=png(2), c_png=png(3), d_png=png(4))
    plan = site.plan("r1")
    site.work.joinpath("r1", "views").mkdir(parents=True)
    site.work.joinpath(layout.views_key("r1", 0)).write_bytes(b"what the page showed of a.png")
    site.stage("r1", "a.png", b"result a")
    site.stage("r1", "d.png", b"result d")
    site.settle("r1", "b.png", ItemState.QUARANTINED, error_class="truncated")
    site.settle("r1", "c.png", ItemState.FAILED, error_class="timeout")
    lease = site.ledger.leases.take("r1", 0, "test", 60)
    site.ledger.items.move(lease, "d.png", ItemState.REJECTED, error_class="gate")
    site.publish(plan)
    report_run("r1", settings=site.settings.model_copy(update={"failure_threshold": 1.0}))
    counts = site.ledger.items.counts("r1")
    again = site.plan("r2")
    assert keys_of(site, again) == ["c.png"]
    site.stage("r2", "c.png", b"result c")
    site.publish(again)
    report_run("r2", settings=site.settings)
    held = held_run(site, "r3")

    done = maintain(site.settings)
    left = {run_id: site.states(run_id) for run_id in ("r1", "r2", "r3")}
    assert left == {
        "r1": {},
        "r2": {"b.png": "quarantined", "d.png": "rejected"},
        "r3": {"held.png": "held"},
    }
    assert done.items == 5
    assert done.results == 1, "that of the rejected picture; what was published stays known"
    assert not (site.work / "r1").exists()
    assert held.exists()
    assert (site.output / "c.png").read_bytes() == b"result c"
    run = site.ledger.queries.run("r1")
    assert run is not None
    assert run.counts == counts, "a run keeps its figures"
    assert site.plan("r4").summary["repeated_verdicts"] == 3
    assert site.states("r4")["b.png"] == "quarantined"


def test_a_store_that_cannot_be_reached_is_named_and_the_others_are_done(quick: Site) -> None:
    quick.put(a_png=png(1))
    publish_all(quick, "done")
    addresses = {"input_url": str(quick.input), "output_url": str(quick.output), "work_url": "s3://nowhere/work"}
    quick.ledger.runs.open("other", trigger="cli", params={}, recipes={}, **addresses)
    path = orphan(quick, "done")
    with pytest.raises(StorageError, match="s3://nowhere/work"):
        maintain(quick.settings.model_copy(update={"s3_endpoint_url": "http://127.0.0.1:9"}))
    assert not path.exists()


def test_a_folder_that_is_gone_for_good_has_nothing_to_maintain(quick: Site) -> None:
    quick.put(a_png=png(1))
    publish_all(quick, "done")
    shutil.rmtree(quick.work)
    assert maintain(quick.settings).unreachable == {}
