"""Items move along the table and no other way, and a closed run leaves none open."""

from __future__ import annotations

import pytest

from enhancer.ledger import TERMINAL, ItemState
from enhancer.ledger.items import close_open_items
from enhancer.ledger.leases import fence
from enhancer.ledger.states import TRANSITIONS

STATES = tuple(ItemState)


def keys_in_all_states(ledger, build, **columns):
    run_id = build.open()
    ledger.runs.add_items(
        [build.row(run_id, state.value, n, state=state.value, **columns) for n, state in enumerate(STATES)]
    )
    ledger.runs.add_shards(run_id, [(0, len(STATES), 1.0)])
    ledger.runs.start(run_id)
    return run_id


@pytest.mark.parametrize("to", STATES)
def test_moves_only_along_the_table(ledger, build, to):
    run_id = keys_in_all_states(ledger, build)
    lease = ledger.leases.take("r1", 0, "w", 60)
    with ledger.engine.begin() as connection:  # taking gave `running` back; put it where it was
        connection.exec_driver_sql("UPDATE item SET state = 'running' WHERE key = 'running'")
    for before in STATES:
        if to in TRANSITIONS[before]:
            ledger.items.move(lease, before.value, to)
            expected = to
        else:
            with pytest.raises(ValueError, match=before.value):
                ledger.items.move(lease, before.value, to)
            expected = before
        assert ledger.items.get(run_id, before.value).state == expected


def test_columns_and_errors(ledger, build):
    build.run("r1", ("a0",))
    lease = ledger.leases.take("r1", 0, "w", 60)
    ledger.items.move(lease, "a0", ItemState.RUNNING, identity="i" * 64)
    error = {"stage": "decode", "error_class": "truncated", "error_message": "a0: ends early"}
    ledger.items.move(lease, "a0", ItemState.PENDING, **error)
    row = ledger.items.get("r1", "a0")
    assert {name: getattr(row, name) for name in error} == error
    ledger.items.move(lease, "a0", ItemState.RUNNING)
    row = ledger.items.get("r1", "a0")
    assert row.attempts == 2
    assert row.error_class == "truncated"
    details = {"decisions": [], "timings": {"decode": 0.1}}
    ledger.items.move(lease, "a0", ItemState.ENHANCED, staged_key="k", output_width=8, details=details)
    row = ledger.items.get("r1", "a0")
    assert (row.staged_key, row.output_width, row.details, row.identity) == ("k", 8, details, "i" * 64)
    assert (row.stage, row.error_class, row.error_message) == (None, None, None)


def test_texts_that_postgresql_would_refuse(ledger, build):
    build.run("r1", ("a0",))
    lease = ledger.leases.take("r1", 0, "w", 60)
    ledger.items.move(lease, "a0", ItemState.RUNNING)
    ledger.items.move(
        lease,
        "a0",
        ItemState.FAILED,
        stage="a stage that is too long",
        error_class="C" * 99,
        error_message="x\0y\udcff",
    )
    row = ledger.items.get("r1", "a0")
    assert row.stage == "a stage that is "
    assert row.error_class == "C" * 64
    assert row.error_message == "x\N{REPLACEMENT CHARACTER}y?"


def test_due_and_back_off(ledger, build):
    build.run("r1", ("a0", "a1", "a2"))
    lease = ledger.leases.take("r1", 0, "w", 60)
    rows, wait = ledger.items.due(lease)
    assert [row.key for row in rows] == ["a0", "a1", "a2"]
    assert wait is None

    from sqlalchemy import literal

    from enhancer.ledger.tables import db_now

    for key in ("a0", "a1"):
        ledger.items.move(lease, key, ItemState.RUNNING)
    ledger.items.move(lease, "a0", ItemState.PENDING, not_before=db_now() + literal(30.0))
    ledger.items.move(lease, "a1", ItemState.PENDING, not_before=db_now() - literal(1.0))
    rows, wait = ledger.items.due(lease)
    assert [row.key for row in rows] == ["a1", "a2"]
    assert 25 < wait <= 30

    again = ledger.leases.take("r1", 0, "w", 60)
    assert [row.key for row in ledger.items.due(again)[0]] == ["a1", "a2"]  # a back-off outlives a takeover


def test_give_back(ledger, build):
    build.run("r1", ("a0", "a1"))
    lease = ledger.leases.take("r1", 0, "w", 60)
    for key in ("a0", "a1"):
        ledger.items.move(lease, key, ItemState.RUNNING)
    ledger.items.give_back(lease, "a0", delay_s=20, error_class="storage")
    ledger.items.give_back(lease, "a1", delay_s=0, count_attempt=False)
    rows, wait = ledger.items.due(lease)
    assert [(row.key, row.attempts) for row in rows] == [("a1", 0)]
    assert 15 < wait <= 20
    row = ledger.items.get("r1", "a0")
    assert (row.attempts, row.error_class) == (1, "storage")


def test_of_shard_and_counts(ledger, build):
    build.run("r1", ("a0", "a1", "a2", "a3"), shards=2)
    lease = ledger.leases.take("r1", 0, "w", 60)
    ledger.items.move(lease, "a2", ItemState.RUNNING)
    assert [row.key for row in ledger.items.of_shard("r1", 0, ItemState.PENDING, ItemState.RUNNING)] == ["a0", "a2"]
    assert [row.key for row in ledger.items.of_shard("r1", 0, ItemState.RUNNING)] == ["a2"]
    assert ledger.items.shard_counts("r1", 0) == {"pending": 1, "running": 1}
    assert ledger.items.counts("r1") == {"pending": 3, "running": 1}
    assert ledger.items.get("r1", "nothing") is None


def test_scores_are_replaced_not_added(ledger, build):
    build.run("r1", ("a0",))
    lease = ledger.leases.take("r1", 0, "w", 60)

    def add(*scores):
        with ledger.engine.begin() as connection:
            fence(connection, lease)
            ledger.items.add_scores(connection, lease, "a0", scores)

    add({"kind": "fidelity", "psnr": float("inf"), "protocol": {"crop": 4}}, {"kind": "reference", "protocol": {}})
    add({"kind": "fidelity", "psnr": 31.5, "residual_ratio": 0.9, "protocol": {"crop": 4}})
    scores = ledger.queries.item("r1", "a0").scores
    assert set(scores) == {"fidelity"}
    assert (scores["fidelity"]["psnr"], scores["fidelity"]["residual_ratio"]) == (31.5, 0.9)
    assert scores["fidelity"]["protocol"] == {"crop": 4}


@pytest.mark.parametrize(
    ("stopped", "attempts", "expected"),
    [
        (
            False,
            0,
            {"pending": "not_attempted", "running": "failed", "enhanced": "not_attempted", "scored": "not_attempted"},
        ),
        (False, 2, {"pending": "failed", "running": "failed", "enhanced": "failed", "scored": "failed"}),
        (
            True,
            2,
            {"pending": "not_attempted", "running": "failed", "enhanced": "not_attempted", "scored": "not_attempted"},
        ),
    ],
)
def test_closing(ledger, build, stopped, attempts, expected):
    run_id = keys_in_all_states(ledger, build, attempts=attempts)
    with ledger.engine.begin() as connection:
        close_open_items(connection, run_id, stopped=stopped)
    after = {row.key: row for row in ledger.queries.iter_items(run_id)}
    for state in STATES:
        wanted = expected.get(state.value, state.value)
        assert after[state.value].state == wanted, state
        if state.value in expected:
            wanted_class = "unfinished" if wanted == "failed" else "not-attempted"
            assert after[state.value].error_class == wanted_class
            assert ItemState(wanted) in TRANSITIONS[state]
            assert ItemState(wanted) in TERMINAL


def test_closing_keeps_the_error_of_the_last_try(ledger, build):
    build.run("r1", ("a0",))
    lease = ledger.leases.take("r1", 0, "w", 60)
    ledger.items.move(lease, "a0", ItemState.RUNNING)
    error = {"stage": "write", "error_class": "slow-down", "error_message": "S3 said no"}
    ledger.items.move(lease, "a0", ItemState.PENDING, **error)
    build.finish("r1")
    row = ledger.items.get("r1", "a0")
    assert row.state == "failed"
    assert {name: getattr(row, name) for name in error} == error
