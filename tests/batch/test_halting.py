"""Runs that must not go on: stopped where the surroundings fail, held where the gate refuses too much."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from enhancer.batch.halting import RunWatch
from enhancer.batch.reporting import RunFailedError, report_run
from enhancer.batch.tasks import enhance_shard
from enhancer.contract import Envelope
from enhancer.errors import PictureError, StorageError
from enhancer.ledger import ItemState
from tests.batch.in_process import enhance
from tests.batch.site_builder import Site, keys_of, png


def away(key: str) -> Exception:
    return StorageError(f"no answer for {key}", reason="connection")


@pytest.fixture
def five(new_site: Callable[..., Site], tmp_path: Path) -> Site:
    """Five pictures; a run stops after the first three fail."""
    site = new_site(tmp_path, stop_first_items=3, item_attempts=2)
    site.put(**{f"p{number}_png": png(number) for number in range(5)})
    return site


def test_a_shard_whose_first_pictures_all_fail_stops_the_run(five: Site) -> None:
    plan = five.plan("r1")
    tried = enhance(five, plan, away)
    assert set(tried) == {"p0.png", "p1.png", "p2.png"}, "the first few come to their end before others are tried"
    assert len(tried) == 6
    halt = five.ledger.halts.of("r1")
    assert halt is not None
    assert (halt.kind, halt.reason) == (
        "stopped",
        "the first 3 pictures of shard 0 all failed for no fault of theirs",
    )


def test_what_a_stopped_run_did_not_reach_is_not_attempted_and_taken_up_by_the_next(five: Site) -> None:
    plan = five.plan("r1")
    enhance(five, plan, away)
    assert enhance_shard(plan.shards[0], settings=five.settings, owner="retry") == {"failed": 3, "pending": 2}
    with pytest.raises(RunFailedError, match="r1 was stopped: the first 3 pictures"):
        report_run("r1", settings=five.settings)
    states = [five.states("r1")[f"p{number}.png"] for number in range(5)]
    assert states == ["failed"] * 3 + ["not_attempted"] * 2
    assert five.ledger.runs.get("r1").outcome == "failed"
    assert "for no fault of theirs" in (five.output / "_enhancer/reports/r1/report.html").read_text()
    assert len(keys_of(five, five.plan("r2"))) == 5


def test_one_picture_that_gets_through_shows_that_the_surroundings_work(five: Site) -> None:
    plan = five.plan("r1")
    tried = enhance(five, plan, lambda key: None if key == "p1.png" else away(key))
    assert set(tried) == {f"p{number}.png" for number in range(5)}
    assert five.ledger.halts.of("r1") is None
    assert five.ledger.items.counts("r1") == {"failed": 4, "enhanced": 1}


def test_pictures_own_faults_stop_nothing(five: Site) -> None:
    plan = five.plan("r1")
    enhance(five, plan, lambda key: PictureError(f"{key} is cut off", reason="truncated"))
    assert five.ledger.halts.of("r1") is None
    assert five.ledger.items.counts("r1") == {"quarantined": 5}


def test_half_of_many_pictures_of_a_run_stop_it(new_site: Callable[..., Site], tmp_path: Path) -> None:
    site = new_site(tmp_path, stop_first_items=0, stop_min_items=4, item_attempts=1, min_shards=2)
    site.put(**{f"p{number}_png": png(number) for number in range(8)})
    plan = site.plan("r1")
    enhance(site, plan)
    assert site.ledger.halts.of("r1") is None
    enhance(site, plan, lambda key: away(key) if key in ("p4.png", "p5.png") else None, shard=1)
    assert site.ledger.halts.of("r1") is None, "2 of 8 failed so far"
    for key in ("p0.png", "p1.png"):
        lease = site.ledger.leases.take("r1", 0, "test", 60)
        site.ledger.items.move(lease, key, ItemState.FAILED, error_class="timeout")
    watch = RunWatch(site.ledger, site.settings, lease, {})
    watch.failed()
    halt = site.ledger.halts.of("r1")
    assert halt is not None
    assert halt.reason == "4 of the first 8 pictures failed for no fault of theirs"


def refuse(site: Site, run_id: str, *keys: str) -> None:
    """What evaluate does with results that the gate refuses."""
    for key in keys:
        lease = site.ledger.leases.take(run_id, 0, "test", 60)
        site.ledger.items.move(lease, key, ItemState.RUNNING)
        site.ledger.items.move(lease, key, ItemState.ENHANCED)
        site.ledger.items.move(lease, key, ItemState.REJECTED, stage="score", error_class="gate")
    RunWatch(site.ledger, site.settings, lease, site.ledger.runs.get(run_id).params).refused()


@pytest.fixture
def held(new_site: Callable[..., Site], tmp_path: Path) -> Site:
    """After a run that its gate held: p0 published, p1 and p2 rejected, p3 held with its result, p4 held untouched."""
    site = new_site(tmp_path, run_gate_min_items=3)
    site.put(**{f"p{number}_png": png(number) for number in range(5)})
    plan = site.plan("r1", run_gate=0.6)
    site.stage("r1", "p0.png", b"result 0")
    site.publish(plan)
    refuse(site, "r1", "p1.png")
    assert site.ledger.halts.of("r1") is None, "one of two is below the least number"
    site.stage("r1", "p3.png", b"result 3")
    refuse(site, "r1", "p2.png")
    assert site.ledger.halts.of("r1") is None, "two of four is not more than 0.6"
    return site


def trip(site: Site) -> None:
    lease = site.ledger.leases.take("r1", 0, "test", 60)
    RunWatch(site.ledger, site.settings, lease, {"run_gate": 0.4}).refused()
    site.publish(site.plan("r1"))
    with pytest.raises(RunFailedError, match="r1 was held: the run gate tripped: 2 of 4"):
        report_run("r1", settings=site.settings)


def test_a_tripped_run_gate_holds_what_is_not_published(held: Site) -> None:
    trip(held)
    states = [held.states("r1")[f"p{number}.png"] for number in range(5)]
    assert states == ["published", "rejected", "rejected", "held", "held"]
    assert not (held.output / "p3.png").exists()
    assert (held.work / held.items("r1")["p3.png"].staged_key).read_bytes() == b"result 3"
    report = Envelope.model_validate_json((held.output / "_enhancer/reports/r1/report.json").read_bytes())
    assert report.summary["halted"] == "held"
    messages = {item.input: item.error.message for item in report.items if item.state == "held" and item.error}
    assert set(messages) == {"p3.png", "p4.png"}
    assert all("2 of 4 judged pictures were refused" in text for text in messages.values())
    page = (held.output / "_enhancer/reports/r1/report.html").read_text()
    assert "2 held (run-gate at score)" in page


def test_no_picture_of_a_held_run_is_begun(held: Site) -> None:
    lease = held.ledger.leases.take("r1", 0, "test", 60)
    held.ledger.halts.halt("r1", "held", "by hand")
    reference = held.plan("r1").shards[0]
    assert enhance_shard(reference, settings=held.settings, owner="test")["pending"] == 1
    assert held.ledger.items.get("r1", "p4.png").attempts == 0  # type: ignore[index]
    assert lease.epoch > 0


def test_held_pictures_wait_through_later_runs(held: Site) -> None:
    trip(held)
    for run_id in ("r2", "r3"):
        plan = held.plan(run_id)
        assert plan.shards == []
        assert [held.states(run_id)[f"p{number}.png"] for number in (1, 2, 3, 4)] == ["rejected"] * 2 + ["held"] * 2
        report_run(run_id, settings=held.settings)
    assert keys_of(held, held.plan("r4", rerun="failed")) == ["p1.png", "p2.png"], "a held one did not fail"


def test_a_released_picture_is_taken_up_with_its_stored_result(five: Site) -> None:
    plan = five.plan("r1", max_items=2)
    enhance(five, plan)
    five.pass_gate(plan)
    five.ledger.halts.halt("r1", "held", "by hand")
    with pytest.raises(RunFailedError):
        report_run("r1", settings=five.settings)
    held = five.items("r1")["p0.png"]
    assert held.state == "held"
    result = (five.work / held.staged_key).read_bytes()
    assert five.ledger.runs.release("r1", ["p0.png"]) == 1
    again = five.plan("r2", max_items=1)
    assert keys_of(five, again) == ["p0.png"]
    enhance(five, again)
    stored = five.ledger.results.get(held.identity)
    assert stored is not None
    assert stored.attempts == 1, "it was not computed again"
    five.pass_gate(again)
    five.publish(again)
    assert five.states("r2") == {"p0.png": "reused"}
    assert (five.output / "p0.png").read_bytes() == result


def test_a_dropped_picture_is_rejected_from_then_on(held: Site) -> None:
    trip(held)
    assert held.ledger.runs.drop("r1") == 2
    assert held.plan("r2").shards == []
    assert set(held.states("r2").values()) == {"rejected"}
