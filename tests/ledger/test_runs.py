"""A run's life: planned, cut short, planned again, running, finished, never reopened."""

from __future__ import annotations

import pytest

from enhancer.errors import LeaseLostError, RequestError
from enhancer.ledger import ItemState


def test_opening_a_run_that_was_cut_short_while_planning_starts_anew(ledger, build):
    assert build.open("r1") == "r1"
    ledger.runs.add_items([build.row("r1", "a0", 0)])
    ledger.runs.add_shards("r1", [(0, 1, 1.0)])
    created = ledger.runs.get("r1").created_at
    assert build.open("r1", params={"scale": 2}) == "r1"
    row = ledger.runs.get("r1")
    assert (row.state, row.params, row.created_at) == ("planning", {"scale": 2}, created)
    assert ledger.items.counts("r1") == {}
    assert not ledger.runs.shards_of("r1")


def test_opening_a_running_run_leaves_it(ledger, build):
    build.run("r1", ("a0", "a1"))
    assert build.open("r1", params={}) == "r1"
    assert ledger.items.counts("r1") == {"pending": 2}
    assert ledger.runs.get("r1").params == {"scale": 4}


def test_finished_runs_never_reopen(ledger, build):
    build.run("r1")
    build.finish("r1")
    assert build.open("r1") == "r1~2"
    ledger.runs.start("r1~2")
    assert build.open("r1") == "r1~2"
    build.finish("r1~2", "failed")
    assert build.open("r1") == "r1~3"
    first = ledger.runs.get("r1")
    assert (first.state, first.outcome, first.items) == ("finished", "success", 1)


def test_finishing_twice_changes_nothing(ledger, build):
    build.run("r1")
    build.finish("r1")
    before = ledger.runs.get("r1")
    ledger.runs.finish("r1", "failed", report_address="elsewhere", summary={"x": 1})
    assert ledger.runs.get("r1") == before


@pytest.mark.parametrize("state", ["pending", "running", "enhanced", "scored", "committing"])
def test_a_run_with_open_items_does_not_finish(ledger, build, state):
    build.open("r1")
    ledger.runs.add_items([build.row("r1", "a0", 0, state=state)])
    ledger.runs.start("r1")
    with pytest.raises(LeaseLostError, match="1 of its items"):
        ledger.runs.finish("r1", "success", report_address=None, summary={})
    assert ledger.runs.get("r1").state == "running"


def test_a_held_item_does_not_hold_the_run(ledger, build):
    build.open("r1")
    ledger.runs.add_items([build.row("r1", "a0", 0, state="held")])
    ledger.runs.start("r1")
    build.finish("r1")
    assert ledger.items.get("r1", "a0").state == "held"


def test_unknown_run(ledger):
    with pytest.raises(RequestError, match="'nope'"):
        ledger.runs.get("nope")


def test_a_missing_column_is_an_error_and_not_an_endless_race(ledger):
    from sqlalchemy.exc import IntegrityError

    with pytest.raises(IntegrityError):
        ledger.runs.open("r1", trigger="manual")


def test_racing_openers_open_one_run(ledger, build, race):
    assert race(6, lambda _: build.open("r1")) == ["r1"] * 6
    assert [run.run_id for run in ledger.queries.runs()] == ["r1"]


def test_a_straggling_planner_cannot_add_to_a_running_run(ledger, build):
    build.run("r1", ("a0",))
    with pytest.raises(LeaseLostError):
        ledger.runs.add_items([build.row("r1", "a9", 9)])
    with pytest.raises(LeaseLostError):
        ledger.runs.add_shards("r1", [(9, 1, 1.0)])
    ledger.runs.start("r1", items=99)
    assert ledger.runs.get("r1").items == 1
    assert ledger.items.counts("r1") == {"pending": 1}


def test_take_all_fences_every_shard(ledger, build):
    build.run("r1", ("a0", "a1"), shards=2)
    old = ledger.leases.take("r1", 1, "w", 60)
    leases = ledger.runs.take_all("r1", "report")
    assert [(lease.shard_id, lease.epoch, lease.owner) for lease in leases] == [(0, 1, "report"), (1, 2, "report")]
    with pytest.raises(LeaseLostError):
        ledger.items.move(old, "a1", ItemState.RUNNING)
    ledger.items.move(leases[1], "a1", ItemState.RUNNING)


VERDICT_STATES = ("rejected", "quarantined", "failed", "not_attempted")


def finished_with(ledger, build, run_id, states, **values):
    build.open(run_id, **values)
    ledger.runs.add_items(
        [
            build.row(run_id, key, n, state=state, error_class=f"of {run_id}")
            for n, (key, state) in enumerate(states.items())
        ]
    )
    ledger.runs.start(run_id)
    build.finish(run_id)


def verdicts(ledger, keys, input_url="s3://in", output_url="s3://out"):
    return {key: row.error_class for key, row in ledger.runs.verdicts_for(input_url, output_url, keys).items()}


def test_verdicts_of_the_last_finished_run(ledger, build):
    states = {state: state for state in (*VERDICT_STATES, "published", "skipped", "reused", "held")}
    finished_with(ledger, build, "r1", states)
    assert set(verdicts(ledger, states)) == {*VERDICT_STATES, "held"}
    assert verdicts(ledger, ["nothing"]) == {}
    assert verdicts(ledger, states, input_url="s3://other") == {}
    assert verdicts(ledger, states, output_url="s3://other") == {}

    finished_with(ledger, build, "r2", {"rejected": "published", "failed": "quarantined"})
    finished_with(ledger, build, "r3", {"failed": "failed"}, output_url="s3://other")
    assert verdicts(ledger, states) == {
        "failed": "of r2",
        "quarantined": "of r1",
        "not_attempted": "of r1",
        "held": "of r1",
    }
    build.open("r4")
    ledger.runs.add_items([build.row("r4", "failed", 0, state="published")])
    ledger.runs.start("r4")
    assert verdicts(ledger, ["failed"]) == {"failed": "of r2"}  # r4 is not finished


def test_many_keys(ledger, build):
    """More keys than one statement takes on either database."""
    finished_with(ledger, build, "r1", {"k69999": "failed"})
    assert set(verdicts(ledger, (f"k{number}" for number in range(70_000)))) == {"k69999"}


def test_released_verdicts_are_gone_but_failures_stay(ledger, build):
    states = {state: state for state in VERDICT_STATES}
    finished_with(ledger, build, "r1", states)
    assert ledger.runs.release("r1", ["rejected", "failed"]) == 1
    assert set(verdicts(ledger, states)) == {"quarantined", "failed", "not_attempted"}
    assert ledger.runs.release("r1") == 1
    assert ledger.runs.release("r1") == 0
    assert set(verdicts(ledger, states)) == {"failed", "not_attempted"}
