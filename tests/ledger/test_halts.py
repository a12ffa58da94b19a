"""Halting runs: once, never a finished one; the figures count what the run itself did."""

from __future__ import annotations

import pytest

from enhancer.errors import RequestError
from enhancer.ledger import ItemState


def fill(ledger, build, run_id, rows):
    """A running run with one item per (shard, state, error_class, passed_through)."""
    build.open(run_id)
    ledger.runs.add_items(
        [
            build.row(run_id, f"a{n}", n, shard, state=state, error_class=error, passed_through=through)
            for n, (shard, state, error, through) in enumerate(rows)
        ]
    )
    ledger.runs.start(run_id)


def test_a_run_is_halted_once_and_says_why(ledger, build):
    build.run("r1")
    assert ledger.halts.of("r1") is None
    assert ledger.halts.halt("r1", "held", "too much refused")
    assert not ledger.halts.halt("r1", "stopped", "another reason")
    halt = ledger.halts.of("r1")
    assert (halt.kind, halt.reason) == ("held", "too much refused")
    assert ledger.halts.of("nothing") is None


def test_a_finished_run_is_not_halted_any_more(ledger, build):
    build.run("r1")
    build.finish("r1")
    assert not ledger.halts.halt("r1", "stopped", "too late")
    assert ledger.halts.of("r1") is None


def test_trouble_counts_what_failed_for_no_fault_of_its_own(ledger, build):
    rows = [
        (0, "failed", "slow-down", None),
        (0, "failed", "target-collision", None),
        (0, "quarantined", "truncated", None),
        (0, "pending", None, None),
        (1, "failed", "timeout", None),
        (1, "published", None, None),
        (1, "rejected", "gate", None),
        (-1, "failed", "timeout", None),
        (-1, "rejected", "gate", None),
    ]
    fill(ledger, build, "r1", rows)
    assert ledger.halts.shard_trouble("r1", 0) == (1, 0)
    assert ledger.halts.shard_trouble("r1", 1) == (1, 2)
    assert ledger.halts.run_trouble("r1") == (2, 2)


def test_the_gate_counts_what_it_judged_in_this_run(ledger, build):
    rows = [
        (0, "pending", None, None),
        (0, "enhanced", None, None),
        (0, "scored", None, None),
        (0, "published", None, 1),
        (1, "published", None, None),
        (1, "rejected", "gate", None),
        (1, "rejected", "dropped", None),
        (1, "held", "run-gate", None),
        (-1, "rejected", "gate", None),
    ]
    fill(ledger, build, "r1", rows)
    assert ledger.halts.gate_figures("r1") == (4, 2)
    assert ledger.halts.passed_through("r1") == 1


def test_closing_a_held_run_holds_what_is_open_and_nothing_else(ledger, build):
    fill(ledger, build, "r1", [(0, state.value, None, None) for state in ItemState if state != "committing"])
    ledger.runs.close_items("r1", stopped=False, held=True, reason="3 of 9 were refused")
    before = [state.value for state in ItemState if state != "committing"]
    after = [row.state for row in ledger.queries.iter_items("r1")]
    becomes = {"pending": "held", "enhanced": "held", "scored": "held", "running": "failed"}
    assert after == [becomes.get(state, state) for state in before]
    assert {
        row.error_message for row in ledger.queries.iter_items("r1") if row.state == "held" and row.error_class
    } == {"3 of 9 were refused"}


def test_a_stopped_run_says_why_its_rest_was_not_attempted(ledger, build):
    fill(ledger, build, "r1", [(0, "pending", None, None)])
    ledger.runs.close_items("r1", stopped=True, reason="the store is away")
    row = ledger.items.get("r1", "a0")
    assert (row.state, row.error_class) == ("not_attempted", "not-attempted")
    assert row.error_message == "the store is away"


@pytest.fixture
def held(ledger, build):
    """After a finished run: a0, a1 and a2 held, a3 rejected, a4 published."""
    fill(ledger, build, "r1", [(0, state, None, None) for state in ("held", "held", "held", "rejected", "published")])
    build.finish("r1")
    return ledger


def waiting(ledger):
    found = ledger.runs.verdicts_for("s3://in", "s3://out", [f"a{n}" for n in range(5)])
    return {key: row.state for key, row in found.items()}


def test_what_is_held_stays_so_until_it_is_released_or_dropped(held):
    assert waiting(held) == {"a0": "held", "a1": "held", "a2": "held", "a3": "rejected"}
    assert held.runs.release("r1", ["a0", "a4"]) == 1
    assert held.runs.drop("r1", ["a0", "a1", "a3"]) == 1
    assert waiting(held) == {"a1": "rejected", "a2": "held", "a3": "rejected"}
    assert held.items.get("r1", "a1").error_class == "dropped"
    assert held.runs.drop("r1") == 1
    assert held.runs.release("r1") == 3
    assert waiting(held) == {}


def test_drop_of_an_unknown_run_drops_nothing(ledger):
    assert ledger.runs.drop("nope") == 0
    with pytest.raises(RequestError):
        ledger.runs.get("nope")
