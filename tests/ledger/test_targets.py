"""Of two runs the later one gets the target, two pictures never share one."""

from __future__ import annotations

import pytest

from enhancer.ledger import ItemState, TargetCollisionError
from enhancer.ledger.leases import fence

ADDRESS = "s3://out/a0"
PICTURE = {"output_url": "s3://out", "input_url": "s3://in", "input_key": "a0"}


@pytest.fixture
def earlier_and_later(ledger, build):
    leases = []
    for run_id in ("early", "later"):
        build.run(run_id, ("a0", "a1"))
        leases.append(ledger.leases.take(run_id, 0, run_id, 60))
    assert ledger.runs.get("early").created_at < ledger.runs.get("later").created_at
    return leases


def claim(ledger, lease, address=ADDRESS, **changes):
    with ledger.engine.begin() as connection:
        fence(connection, lease)
        return ledger.targets.claim(connection, lease, address, **{**PICTURE, **changes})


def held(ledger, lease):
    with ledger.engine.begin() as connection:
        return ledger.targets.held_by(connection, lease, ADDRESS)


def record(ledger, lease, **values):
    with ledger.engine.begin() as connection:
        fence(connection, lease)
        ledger.targets.record(connection, lease, ADDRESS, **values)


def test_the_later_run_wins_whoever_comes_first(ledger, earlier_and_later):
    early, later = earlier_and_later
    assert claim(ledger, early) == "mine"
    assert held(ledger, early)
    assert claim(ledger, later) == "mine"
    assert held(ledger, later)
    assert not held(ledger, early)
    assert claim(ledger, early) == "superseded"
    assert claim(ledger, later) == "mine"  # again, after a crash


def commit(ledger, lease):
    """As publication does it: the claim and the item's `committing` in one transaction."""
    for state in (ItemState.RUNNING, ItemState.ENHANCED, ItemState.SCORED):
        ledger.items.move(lease, "a0", state)
    with ledger.engine.begin() as connection:
        fence(connection, lease)
        assert ledger.targets.claim(connection, lease, ADDRESS, **PICTURE) == "mine"
        ledger.items.move_in(connection, lease, "a0", ItemState.COMMITTING)


def test_a_copy_under_way_is_waited_for(ledger, earlier_and_later):
    """Else the earlier run's copy could land on the later one's bytes."""
    early, later = earlier_and_later
    commit(ledger, early)
    assert claim(ledger, later) == "busy"
    assert held(ledger, early)
    ledger.items.move(early, "a0", ItemState.PUBLISHED)
    assert claim(ledger, later) == "mine"


def test_a_copy_whose_lease_has_expired_is_not_waited_for(ledger, earlier_and_later):
    early, later = earlier_and_later
    commit(ledger, early)
    ledger.leases.release(early)
    assert claim(ledger, later) == "mine"


def test_an_earlier_run_does_not_wait_for_a_later_one(ledger, earlier_and_later):
    early, later = earlier_and_later
    commit(ledger, later)
    assert claim(ledger, early) == "superseded"


def test_of_runs_that_started_at_the_same_instant_one_wins_for_good(ledger, earlier_and_later):
    early, later = earlier_and_later
    with ledger.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE run SET created_at = 1000")
    assert [claim(ledger, lease) for lease in (early, later, early, later)] == ["mine", "mine", "superseded", "mine"]


def test_refresh(ledger, earlier_and_later):
    _, later = earlier_and_later
    claim(ledger, later)
    record(ledger, later, identity="i", digest="d", input_etag="e1", input_size=1, recipe_digest="r1")
    ledger.targets.refresh(later, ADDRESS, input_etag="e2", input_size=2, recipe_digest="r2")
    row = ledger.targets.get(ADDRESS)
    assert (row.input_etag, row.input_size, row.recipe_digest, row.identity) == ("e2", 2, "r2", "i")


def test_only_the_holder_records(ledger, earlier_and_later):
    early, later = earlier_and_later
    claim(ledger, early)
    claim(ledger, later)
    record(ledger, early, identity="old", digest="old")
    assert ledger.targets.get(ADDRESS).identity is None
    record(ledger, later, identity="new", digest="new", input_etag="e", input_size=3, size=9)
    row = ledger.targets.get(ADDRESS)
    assert (row.identity, row.run_id, row.input_etag, row.size) == ("new", "later", "e", 9)
    assert row.published_at > 0


def test_two_pictures_for_one_address(ledger, earlier_and_later):
    early, later = earlier_and_later
    claim(ledger, early)
    for changes in ({"input_key": "a1"}, {"input_url": "s3://elsewhere"}):
        with pytest.raises(TargetCollisionError, match="a0"):
            claim(ledger, later, **changes)
    assert held(ledger, early)


def test_published_for_and_forget(ledger, earlier_and_later):
    early, later = earlier_and_later
    claim(ledger, early)
    keys = [f"x{number}" for number in range(2500)] + ["a0"]  # more than one statement takes
    assert ledger.targets.published_for("s3://out", "s3://in", keys) == {}  # claimed only
    record(ledger, early, identity="i", digest="d")
    assert set(ledger.targets.published_for("s3://out", "s3://in", keys)) == {"a0"}
    assert ledger.targets.published_for("s3://out", "s3://other", keys) == {}
    assert ledger.targets.published_for("s3://other", "s3://in", keys) == {}

    claim(ledger, later, address="s3://out/a0.png")
    with ledger.engine.begin() as connection:
        ledger.targets.record(connection, later, "s3://out/a0.png", identity="i2", digest="d2")
    assert ledger.targets.published_for("s3://out", "s3://in", keys)["a0"].address == "s3://out/a0.png"

    ledger.targets.forget(later, "s3://out/a0.png")
    assert ledger.targets.published_for("s3://out", "s3://in", keys)["a0"].address == ADDRESS
    ledger.targets.forget(later, ADDRESS)
    assert ledger.targets.published_for("s3://out", "s3://in", keys) == {}
    assert claim(ledger, later) == "mine"


def test_racing_runs_end_with_the_latest(ledger, build, race):
    leases = []
    for number in range(6):
        build.run(f"run{number}", ("a0",))
        leases.append(ledger.leases.take(f"run{number}", 0, "w", 60))
    for round_ in range(5):
        address = f"s3://out/{round_}"
        answers = race(6, lambda n, address=address: claim(ledger, leases[n], address))
        assert answers[5] == "mine"
        assert ledger.targets.get(address).claim_run_id == "run5"


def test_racing_pictures_for_one_new_address(ledger, build, race):
    build.run("r1", tuple(f"a{n}" for n in range(6)), shards=6)
    leases = [ledger.leases.take("r1", n, "w", 60) for n in range(6)]
    answers = race(6, lambda n: claim(ledger, leases[n], input_key=f"a{n}"))
    assert answers.count("mine") == 1
    assert sum(isinstance(answer, TargetCollisionError) for answer in answers) == 5
