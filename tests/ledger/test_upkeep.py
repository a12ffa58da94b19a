"""What maintenance and re-drives ask of the ledger, on both databases."""

from __future__ import annotations

import time

import pytest
from sqlalchemy import func, select, text, update

from enhancer.ledger.engine import reading
from enhancer.ledger.leases import fence
from enhancer.ledger.tables import item, run, score, target


def finished(ledger, build, run_id, states, **values):
    """A finished run with one item per key and state; its name tells its rows apart."""
    build.open(run_id, **values)
    rows = [
        build.row(run_id, key, n, state=state, error_class=f"of {run_id}")
        for n, (key, state) in enumerate(states.items())
    ]
    ledger.runs.add_items(rows)
    ledger.runs.add_shards(run_id, [(0, len(states), 1.0)])
    ledger.runs.start(run_id)
    build.finish(run_id)


def keys(ledger, run_id):
    return {row.key: row.state for row in ledger.queries.iter_items(run_id)}


def test_trimming_keeps_last_words_that_matter(ledger, build):
    finished(ledger, build, "r1", {"good": "published", "bad": "failed", "mended": "failed", "asked": "held"})
    finished(ledger, build, "r2", {"mended": "published", "other": "rejected"})
    finished(ledger, build, "elsewhere", {"bad": "published"}, output_url="s3://other")
    with ledger.engine.begin() as connection:
        row = {"run_id": "r1", "key": "good", "kind": "fidelity", "protocol": {}, "updated_at": 0.0}
        connection.execute(score.insert().values(**row))
    assert ledger.upkeep.trim_items("r1") == 2
    assert keys(ledger, "r1") == {"bad": "failed", "asked": "held"}
    assert ledger.upkeep.trim_items("r2") == 1
    assert keys(ledger, "r2") == {"other": "rejected"}
    with reading(ledger.engine) as connection:
        assert connection.execute(select(func.count()).select_from(score)).scalar_one() == 0


def test_trimming_goes_on_beyond_one_batch(ledger, build, monkeypatch):
    from enhancer.ledger import upkeep

    monkeypatch.setattr(upkeep, "BATCH", 2)
    finished(ledger, build, "r1", {f"a{number}": "published" for number in range(5)})
    assert ledger.upkeep.trim_items("r1") == 5


def test_a_run_without_rows_is_retired_and_keeps_its_counts(ledger, build):
    finished(ledger, build, "r1", {"a": "published", "b": "held"})
    with ledger.engine.begin() as connection:
        connection.execute(update(run).values(summary={"counts": {"published": 1, "held": 1}}))
    ledger.upkeep.trim_items("r1")
    assert not ledger.upkeep.retire("r1"), "a person may still decide on b"
    ledger.runs.drop("r1")
    with ledger.engine.begin() as connection:
        connection.execute(item.delete())
    assert ledger.upkeep.retire("r1")
    assert ledger.queries.run("r1").counts == {"published": 1, "rejected": 1}
    assert [row.run_id for row in ledger.upkeep.finished_before(0)] == ["r1"]
    assert list(ledger.upkeep.finished_before(60)) == []
    assert list(ledger.upkeep.finished_before(0, ["r2"])) == []


def store(ledger, lease, identity, address):
    assert ledger.results.claim(lease, identity).status == "mine"
    with ledger.engine.begin() as connection:
        fence(connection, lease)
        ledger.results.store(connection, lease, identity, address=address, digest="d", size=1)


def test_results_that_no_one_waits_for(ledger, build):
    build.run("r1", ("held", "rejected", "published", "open"))
    lease = ledger.leases.take("r1", 0, "w", 60)
    for number, state in enumerate(("held", "rejected", "published", "enhanced")):
        identity = str(number) * 64
        store(ledger, lease, identity, "s3://out/twin" if state == "published" else f"s3://work/r1/staged/{number}")
        with ledger.engine.begin() as connection:
            connection.execute(update(item).where(item.c.position == number).values(state=state, identity=identity))
    (row,) = ledger.upkeep.never_published("r1", "s3://work/r1/staged/")
    assert row.identity == "1" * 64
    assert ledger.results.pointed_to(["s3://work/r1/staged/1", "s3://work/none"]) == {"s3://work/r1/staged/1"}
    assert ledger.upkeep.drop_result(row)
    assert not ledger.upkeep.drop_result(row)
    assert ledger.results.get("1" * 64) is None


def test_claims_fall_with_their_lease(ledger, build):
    build.run("r1", ("a0", "a1"), shards=2)
    live, dead = ledger.leases.take("r1", 0, "w", 60), ledger.leases.take("r1", 1, "w", 60)
    for lease in (live, dead):
        assert ledger.results.claim(lease, str(lease.shard_id) * 64).status == "mine"
    ledger.leases.release(dead)
    assert ledger.upkeep.drop_fallen_claims() == 1
    assert ledger.results.get("0" * 64) is not None
    assert ledger.results.get("1" * 64) is None


def test_targets_are_cleared_unless_published_since(ledger, build):
    rows = [
        {"address": f"s3://out/{n}", "output_url": "s3://out", "input_url": "s3://in", "input_key": str(n),
         "identity": "i", "published_at": 1.0 + n}
        for n in range(3)
    ]  # fmt: skip
    with ledger.engine.begin() as connection:
        connection.execute(target.insert(), rows)
    assert ledger.upkeep.outputs() == ["s3://out"]
    pages = list(ledger.upkeep.targets_of("s3://out", 3.0))
    assert [row.address for page in pages for row in page] == ["s3://out/0", "s3://out/1"]
    first, second = pages[0]
    with ledger.engine.begin() as connection:
        connection.execute(update(target).where(target.c.address == "s3://out/1").values(published_at=9.0))
    assert ledger.upkeep.clear_target(first)
    assert not ledger.upkeep.clear_target(second)
    assert ledger.targets.get("s3://out/0").identity is None
    assert ledger.targets.get("s3://out/1").identity == "i"
    assert abs(ledger.upkeep.now() - time.time()) < 3600


def undone(ledger, *states, **options):
    return {row.key: row.error_class for row in ledger.queries.undone("s3://in", "s3://out", states, **options)}


@pytest.mark.parametrize("batch", [1, 500])
def test_what_is_undone_is_the_last_word_of_a_finished_run(ledger, build, batch):
    finished(ledger, build, "r1", {"a": "failed", "b": "failed", "c": "quarantined", "d": "not_attempted", "e": "held"})
    finished(ledger, build, "r2", {"a": "failed", "b": "published"})
    build.run("r3", ("d",))
    assert undone(ledger, "failed", "not_attempted", batch=batch) == {"a": "of r2", "d": "of r1"}
    assert undone(ledger, "failed", "quarantined", batch=batch) == {"a": "of r2", "c": "of r1"}
    assert undone(ledger, "failed", "quarantined", run_id="r1", batch=batch) == {"c": "of r1"}
    assert undone(ledger, "failed", error_class="of r1", batch=batch) == {}
    assert undone(ledger, "failed", "not_attempted", prefix="d", batch=batch) == {"d": "of r1"}
    ledger.runs.release("r1", ["e"])
    assert undone(ledger, "failed", batch=batch) == {"a": "of r2", "e": "of r1"}


def test_a_run_is_abandoned_when_no_one_worked_on_it_for_long(ledger, build):
    build.run("r1")
    build.run("elsewhere", output_url="s3://other")
    build.run("over")
    build.finish("over")
    assert ledger.runs.abandoned(60) == []
    with ledger.engine.begin() as connection:
        connection.execute(update(run).values(created_at=run.c.created_at - 100))
    assert ledger.runs.abandoned(60) == ["r1", "elsewhere"]
    assert ledger.runs.abandoned(60, input_url="s3://in", output_url="s3://out") == ["r1"]
    lease = ledger.leases.take("r1", 0, "w", 1)
    ledger.leases.release(lease)
    assert ledger.runs.abandoned(60) == ["elsewhere"], "its lease ran out a moment ago"


def test_the_database_learns_of_many_new_rows(ledger, build):
    build.run("r1", tuple(f"a{number}" for number in range(50)))
    ledger.upkeep.settle_items()
    if ledger.engine.dialect.name == "postgresql":
        with ledger.engine.connect() as connection:
            known = connection.execute(text("SELECT reltuples FROM pg_class WHERE relname = 'item'")).scalar_one()
        assert known == 50
