"""Leases fence every writer: who names an old epoch changes nothing."""

from __future__ import annotations

import threading

import pytest
import sqlalchemy as sa

from enhancer.errors import LeaseLostError
from enhancer.ledger import ItemState
from enhancer.ledger.leases import fence
from enhancer.ledger.tables import db_now, item, result, score, shard, target


def everything(ledger):
    """All rows that a worker may write, to compare before and after."""
    with ledger.engine.begin() as connection:
        return {
            table.name: connection.execute(sa.select(table).order_by(*table.primary_key)).all()
            for table in (item, result, target, score, shard)
        }


def test_epochs_grow_and_running_goes_back(ledger, build):
    build.run("r1", ("a0", "a1", "a2"))
    first = ledger.leases.take("r1", 0, "w1", 60)
    ledger.items.move(first, "a0", ItemState.RUNNING)
    ledger.items.move(first, "a1", ItemState.RUNNING)
    ledger.items.move(first, "a1", ItemState.ENHANCED)
    second = ledger.leases.take("r1", 0, "w2", 60)
    assert (first.epoch, second.epoch, second.owner) == (1, 2, "w2")
    assert {row.key: (row.state, row.attempts) for row in ledger.queries.iter_items("r1")} == {
        "a0": ("pending", 1),
        "a1": ("enhanced", 1),
        "a2": ("pending", 0),
    }


def test_taking_one_shard_leaves_the_others_alone(ledger, build):
    build.run("r1", ("a0", "a1"), shards=2)
    other = ledger.leases.take("r1", 1, "w", 60)
    ledger.items.move(other, "a1", ItemState.RUNNING)
    ledger.leases.take("r1", 0, "w", 60)
    ledger.items.move(other, "a1", ItemState.ENHANCED)
    assert ledger.items.get("r1", "a1").state == "enhanced"


def test_a_lease_cannot_move_another_shards_item(ledger, build):
    build.run("r1", ("a0", "a1"), shards=2)
    lease = ledger.leases.take("r1", 0, "w", 60)
    with pytest.raises(ValueError, match="a1"):
        ledger.items.move(lease, "a1", ItemState.RUNNING)


def writers(ledger, lease):
    """Every public way to write under a lease."""

    def within(work):
        def run():
            with ledger.engine.begin() as connection:
                fence(connection, lease)
                work(connection)

        return run

    created = {"output_url": "s3://out", "input_url": "s3://in", "input_key": "a0"}
    return {
        "move": lambda: ledger.items.move(lease, "a0", ItemState.RUNNING),
        "add_scores": within(lambda c: ledger.items.add_scores(c, lease, "a0", [{"kind": "fidelity", "protocol": {}}])),
        "renew": lambda: ledger.leases.renew(lease, 60),
        "claim result": lambda: ledger.results.claim(lease, "i2"),
        "store": within(lambda c: ledger.results.store(c, lease, "i1", address="x")),
        "moved": within(lambda c: ledger.results.moved(c, "i0", "s3://out/a0")),
        "reopen": lambda: ledger.results.reopen(lease, "i3", address="s3://work/a1"),
        "give_up": within(lambda c: ledger.results.give_up(c, lease, "i4")),
        "claim target": within(lambda c: ledger.targets.claim(c, lease, "s3://out/new", **created)),
        "record": within(lambda c: ledger.targets.record(c, lease, "s3://out/a0", digest="d")),
        "forget": lambda: ledger.targets.forget(lease, "s3://out/a0"),
    }


def prepared(ledger, build):
    build.run("r1", ("a0", "a1"))
    lease = ledger.leases.take("r1", 0, "old", 60)
    for identity in ("i0", "i1", "i3", "i4"):
        assert ledger.results.claim(lease, identity).status == "mine"
    with ledger.engine.begin() as connection:
        fence(connection, lease)
        ledger.results.store(connection, lease, "i0", address="s3://work/a0", digest="d0")
        ledger.results.store(connection, lease, "i3", address="s3://work/a1", digest="d3")
        ledger.targets.claim(
            connection, lease, "s3://out/a0", output_url="s3://out", input_url="s3://in", input_key="a0"
        )
        ledger.targets.record(connection, lease, "s3://out/a0", identity="i0", digest="d0")
    return lease


WRITERS = (
    "move", "add_scores", "renew", "claim result", "store", "moved", "reopen", "give_up", "claim target",
    "record", "forget",
)  # fmt: skip


def test_the_list_of_writers_is_whole(ledger, build):
    assert set(writers(ledger, prepared(ledger, build))) == set(WRITERS)


def test_an_old_epoch_changes_nothing(ledger, build):
    lease = prepared(ledger, build)
    ledger.leases.take("r1", 0, "new", 60)
    before = everything(ledger)
    for name, write in writers(ledger, lease).items():
        with pytest.raises(LeaseLostError):
            write()
        assert everything(ledger) == before, name


def test_each_of_these_writers_works_under_a_good_lease(ledger, build):
    """Else the test above would prove nothing."""
    lease = prepared(ledger, build)
    for name, write in writers(ledger, lease).items():
        before = everything(ledger)
        write()
        assert everything(ledger) != before, name


def test_release_by_a_loser_is_no_error_and_changes_nothing(ledger, build):
    lease = prepared(ledger, build)
    ledger.leases.take("r1", 0, "new", 60)
    before = everything(ledger)
    ledger.leases.release(lease, busy_s=5, peak_rss_mb=1)
    assert everything(ledger) == before


def test_renew_and_release_set_the_expiry_by_the_databases_clock(ledger, build):
    build.run("r1")
    lease = ledger.leases.take("r1", 0, "w", 10)

    def left():
        with ledger.engine.begin() as connection:
            return connection.execute(sa.select(shard.c.lease_expires_at - db_now())).scalar_one()

    assert 8 < left() <= 10
    ledger.leases.renew(lease, 100)
    assert 95 < left() <= 100
    ledger.leases.release(lease, busy_s=2.5, peak_rss_mb=512)
    assert left() <= 0
    ledger.leases.release(lease, busy_s=1.5)
    (row,) = ledger.runs.shards_of("r1")
    assert (row.busy_s, row.peak_rss_mb, row.lease_owner) == (4.0, 512.0, "w")


def test_no_lease_on_what_is_not_there_or_finished(ledger, build):
    with pytest.raises(LeaseLostError, match="does not exist"):
        ledger.leases.take("nothing", 0, "w", 60)
    build.run("r1")
    with pytest.raises(LeaseLostError, match="does not exist"):
        ledger.leases.take("r1", 9, "w", 60)
    build.finish("r1")
    epoch = ledger.runs.shards_of("r1")[0].lease_epoch
    with pytest.raises(LeaseLostError, match="finished"):
        ledger.leases.take("r1", 0, "w", 60)
    assert ledger.runs.shards_of("r1")[0].lease_epoch == epoch


def test_racing_takers_get_different_epochs_and_one_can_write(ledger, build, race):
    build.run("r1", tuple(f"a{n}" for n in range(8)))
    leases = race(8, lambda n: ledger.leases.take("r1", 0, f"w{n}", 60))
    assert sorted(lease.epoch for lease in leases) == list(range(1, 9))

    def write(number):
        try:
            ledger.items.move(leases[number], f"a{number}", ItemState.RUNNING)
        except LeaseLostError:
            return None
        return number

    wrote = [number for number in race(8, write) if number is not None]
    assert wrote == [next(n for n, lease in enumerate(leases) if lease.epoch == 8)]
    assert ledger.items.counts("r1") == {"pending": 7, "running": 1}


def test_a_takeover_waits_for_a_write_under_way_and_sees_it(ledger, build):
    """The fence holds the shard's row: nothing comes between the check and the write."""
    build.run("r1", ("a0",))
    old = ledger.leases.take("r1", 0, "old", 60)
    taken = threading.Event()

    def take():
        ledger.leases.take("r1", 0, "new", 60)
        taken.set()

    taker = threading.Thread(target=take)
    with ledger.engine.begin() as connection:
        fence(connection, old)
        taker.start()
        assert not taken.wait(0.5), "the lease was taken over in the middle of a fenced transaction"
        ledger.items.move_in(connection, old, "a0", ItemState.RUNNING)
    assert taken.wait(30)
    taker.join()
    row = ledger.items.get("r1", "a0")
    assert (row.state, row.attempts) == ("pending", 1)


def test_writers_against_takers(ledger, build, race):
    """Each of four workers takes the shard and does what it can; every item is worked on under the newest lease only."""
    keys = tuple(f"a{n}" for n in range(20))
    build.run("r1", keys)
    done = []

    def work(number):
        lease = ledger.leases.take("r1", 0, f"w{number}", 60)
        try:
            for key in keys:
                row = ledger.items.get("r1", key)
                if row.state == "pending":
                    ledger.items.move(lease, key, ItemState.RUNNING)
                    ledger.items.move(lease, key, ItemState.ENHANCED)
                    done.append(key)
        except LeaseLostError:
            return "lost"
        return lease.epoch

    outcomes = race(4, work)
    assert 4 in outcomes  # the newest lease is never lost
    assert set(map(type, outcomes)) <= {int, str}
    assert sorted(done) == sorted(keys)
    assert ledger.items.counts("r1") == {"enhanced": 20}
