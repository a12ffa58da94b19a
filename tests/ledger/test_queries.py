"""Reading: paging, searching, ordering and figures against NumPy and plain Python."""

from __future__ import annotations

import random

import pytest
import sqlalchemy as sa

from enhancer.errors import RequestError
from enhancer.ledger import ItemState
from enhancer.ledger.leases import fence
from enhancer.ledger.tables import item, run, shard


def scored(ledger, build, figures):
    """A run whose item a0, a1, ... has these scores: (reference, fidelity) or None each."""
    keys = tuple(f"a{n}" for n in range(len(figures)))
    build.run("r1", keys)
    lease = ledger.leases.take("r1", 0, "w", 60)
    with ledger.engine.begin() as connection:
        fence(connection, lease)
        for key, (reference, fidelity) in zip(keys, figures, strict=True):
            rows = [
                {"kind": kind, "score": value, "psnr": value and value * 100, "protocol": {"space": "rgb"}}
                for kind, value in (("reference", reference), ("fidelity", fidelity), ("baseline", 0.0))
                if value is not None
            ]
            ledger.items.add_scores(connection, lease, key, rows)


def test_runs_newest_first_with_counts(ledger, build):
    for number in range(5):
        build.run(f"r{number}", tuple(f"a{n}" for n in range(number)), dag_id="even" if number % 2 == 0 else "odd")
    lease = ledger.leases.take("r4", 0, "w", 60)
    ledger.items.move(lease, "a0", ItemState.RUNNING)
    page = ledger.queries.runs(limit=2, offset=0)
    assert [(row.run_id, row.counts) for row in page] == [
        ("r4", {"pending": 3, "running": 1}),
        ("r3", {"pending": 3}),
    ]
    assert [row.run_id for row in ledger.queries.runs(limit=2, offset=3)] == ["r1", "r0"]
    assert [row.run_id for row in ledger.queries.runs(limit=9, dag_id="even")] == ["r4", "r2", "r0"]
    assert ledger.queries.runs(limit=9, dag_id="none") == []


def test_a_page_of_runs_takes_two_statements(ledger, build):
    for number in range(4):
        build.run(f"r{number}", ("a0",))
    statements = []
    sa.event.listen(ledger.engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    assert len(ledger.queries.runs()) == 4
    assert sum(statement.startswith("SELECT") for statement in statements) == 2


def test_a_finished_run_is_not_counted_again_and_stays_true(ledger, build):
    build.run("r1", tuple(f"a{n}" for n in range(5)))
    ledger.runs.take_all("r1", "report")
    ledger.runs.close_items("r1", stopped=False, held=True, reason="the run gate tripped")
    ledger.runs.finish("r1", "failed", report_address=None, summary={"counts": ledger.items.counts("r1")})
    assert ledger.queries.run("r1").counts == {"held": 5}
    assert ledger.runs.drop("r1", ["a0", "a1", "no-such"]) == 2
    assert ledger.queries.run("r1").counts == ledger.items.counts("r1") == {"held": 3, "rejected": 2}
    ledger.runs.release("r1", ["a2"])
    assert ledger.runs.drop("r1") == 2
    assert ledger.queries.run("r1").counts == ledger.items.counts("r1") == {"held": 1, "rejected": 4}

    with ledger.engine.begin() as connection:
        connection.execute(sa.delete(item).where(item.c.run_id == "r1"))
    assert ledger.queries.run("r1").counts == {"held": 1, "rejected": 4}, "its rows were counted"


def test_run_and_find_by_dag_run(ledger, build):
    build.run("r1", ("a0",), dag_id="d", dag_run_id="manual 1")
    build.finish("r1")
    build.run("r1", ("a0", "a1"), dag_id="d", dag_run_id="manual 1")
    assert ledger.queries.run("r1").counts == {"not_attempted": 1}
    assert ledger.queries.run("nope") is None
    found = ledger.queries.find_by_dag_run("d", "manual 1")
    assert (found.run_id, found.counts, found.params) == ("r1~2", {"pending": 2}, {"scale": 4})
    assert ledger.queries.find_by_dag_run("d", "other") is None
    assert ledger.items.counts("r1~2") == {"pending": 2}


def test_items_are_paged_filtered_and_counted(ledger, build):
    keys = tuple(f"k{n:02}" for n in range(25))
    shuffled = list(keys)
    random.Random(1).shuffle(shuffled)
    build.run("r1", tuple(shuffled))
    build.run("r2", ("k00",))
    query = ledger.queries.items
    rows, total = query("r1", limit=10, offset=0)
    assert ([row.key for row in rows], total) == (shuffled[:10], 25)
    rows, total = query("r1", limit=10, offset=20)
    assert ([row.key for row in rows], total) == (shuffled[20:], 25)
    rows, total = query("r1", limit=10, offset=30)
    assert (rows, total) == ([], 25)
    assert [row.key for row in query("r1", order="key", limit=99)[0]] == list(keys)

    lease = ledger.leases.take("r1", 0, "w", 60)
    for key in keys[:3]:
        ledger.items.move(lease, key, ItemState.RUNNING)
    ledger.items.move(lease, keys[0], ItemState.FAILED)
    assert query("r1", state="running")[1] == 2
    assert query("r1", state=("running", ItemState.FAILED))[1] == 3
    assert query("r1", state=())[1] == 0
    assert query("r1", state="running", search="K01")[0][0].key == "k01"
    with pytest.raises(RequestError, match="worst"):
        query("r1", order="size; DROP TABLE item")


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("%", {"100%.png"}),
        ("_", {"a_b.png"}),
        ("\\", {"back\\slash"}),
        ("/", {"x/y", "x/Ünï"}),
        ("'", {"o'hara"}),
        ("A", {"a_b.png", "back\\slash", "o'hara"}),
        ("Ünï", {"x/Ünï"}),
        ("x/y", {"x/y"}),
        ("", {"100%.png", "a_b.png", "back\\slash", "x/y", "o'hara", "x/Ünï"}),
        ("a%b", set()),
    ],
)
def test_search_takes_wildcards_literally(ledger, build, search, found):
    build.run("r1", ("100%.png", "a_b.png", "back\\slash", "x/y", "o'hara", "x/Ünï"))
    rows, total = ledger.queries.items("r1", search=search)
    assert {row.key for row in rows} == found
    assert total == len(found)


def test_scores_are_joined_and_the_worst_come_first(ledger, build):
    scored(ledger, build, [(0.9, 0.1), (None, 0.5), (0.2, 0.95), (None, None), (None, 0.3)])
    rows, total = ledger.queries.items("r1", order="worst", limit=10)
    assert ([row.key for row in rows], total) == (["a2", "a4", "a1", "a0", "a3"], 5)
    assert set(rows[0].scores) == {"reference", "fidelity", "baseline"}
    assert rows[0].scores["reference"]["score"] == 0.2
    assert rows[0].scores["fidelity"]["protocol"] == {"space": "rgb"}
    assert rows[0].state == "pending"
    page = ledger.queries.items("r1", order="worst", limit=2, offset=1)[0]
    assert [row.key for row in page] == ["a4", "a1"]
    one = ledger.queries.item("r1", "a2")
    assert one == rows[0]
    assert ledger.queries.item("r1", "nope") is None


@pytest.mark.parametrize("batch", [1, 3, 7, 500])
def test_iter_items_is_whole_and_in_manifest_order(ledger, build, batch):
    keys = [f"k{n}" for n in range(20)]
    random.Random(2).shuffle(keys)
    build.open("r1")
    # Positions repeat, which a keyset on the position alone would trip over.
    ledger.runs.add_items([build.row("r1", key, n // 4) for n, key in enumerate(keys)])
    ledger.runs.start("r1")
    build.run("r2", ("other",))
    expected = sorted(keys, key=lambda key: (keys.index(key) // 4, key))
    assert [row.key for row in ledger.queries.iter_items("r1", batch=batch)] == expected


def test_iter_items_survives_changes_between_batches(ledger, build):
    build.run("r1", tuple(f"a{n}" for n in range(9)))
    lease = ledger.leases.take("r1", 0, "w", 60)
    seen = []
    for row in ledger.queries.iter_items("r1", batch=2):
        seen.append(row.key)
        ledger.items.move(lease, row.key, ItemState.RUNNING)  # would wait for ever if the reader held a lock
    assert seen == [f"a{n}" for n in range(9)]


def test_failures_by_class(ledger, build):
    build.run("r1", tuple(f"a{n}" for n in range(6)))
    lease = ledger.leases.take("r1", 0, "w", 60)
    ends = [
        ("a0", "quarantined", "decode", "truncated", "m0"),
        ("a2", "quarantined", "decode", "truncated", "m2"),
        ("a3", "failed", "read", "storage", "m3"),
        ("a4", "quarantined", "read", "truncated", "m4"),
        ("a5", "skipped", "read", "gone", "m5"),
    ]
    for key, state, stage, error_class, message in ends:
        ledger.items.move(lease, key, ItemState(state), stage=stage, error_class=error_class, error_message=message)
    found = ledger.queries.failures_by_class("r1")
    assert [tuple(row.as_dict().values()) for row in found] == [
        ("quarantined", "decode", "truncated", 2, "a0", "m0", 0),
        ("failed", "read", "storage", 1, "a3", "m3", 0),
        ("quarantined", "read", "truncated", 1, "a4", "m4", 0),
    ]
    assert list(found[0].as_dict())[-2:] == ["example_message", "known"]


def test_failures_known_from_earlier_runs_are_counted_apart(ledger, build):
    """As planning counted them, and in runs of versions that did not count, from their rows."""
    for run_id, summary in (
        ("new", {"repeated_verdicts": 2, "repeated_by_state": {"quarantined": 2}}),
        ("old", {"repeated_verdicts": 2}),
    ):
        build.open(run_id)
        known = {"shard_id": -1, "state": "quarantined", "stage": "decode", "error_class": "truncated"}
        ledger.runs.add_items([build.row(run_id, key, n, **known) for n, key in enumerate(("k0", "k1"))])
        ledger.runs.add_items([build.row(run_id, "a0", 2)])
        ledger.runs.add_shards(run_id, [(0, 1, 60.0)])
        ledger.runs.start(run_id, items=3, shards=1, summary=summary)
        lease = ledger.leases.take(run_id, 0, "w", 60)
        ledger.items.move(lease, "a0", ItemState.QUARANTINED, stage="decode", error_class="truncated")
        counted = ledger.queries.run(run_id)
        assert (counted.counts, counted.known) == ({"quarantined": 3}, {"quarantined": 2})
        (failure,) = ledger.queries.failures_by_class(run_id)
        assert (failure.count, failure.known) == (3, 2)


def test_runs_are_searched_by_name_and_address(ledger, build):
    build.run("night-1", ())
    build.run("night-2", (), input_url="s3://Scans/in")
    found = ledger.queries.runs
    assert [row.run_id for row in found(search="scans")] == ["night-2"]
    assert [row.run_id for row in found(search="NIGHT")] == ["night-2", "night-1"]
    assert found(search="%") == []
    assert found(since=ledger.browsing.now() + 60) == []
    assert len(found(since=ledger.browsing.now() - 60)) == 2


def test_a_runs_figures(ledger, build):
    assert ledger.queries.run_figures("nope") == {
        "failures": {}, "megapixels": 0.0, "busy_s": 0.0, "scored": 0, "score_mean": None, "score_least": None
    }  # fmt: skip
    scored(ledger, build, [(0.9, 0.1), (None, 0.5), (None, None)])
    with ledger.engine.begin() as connection:
        size = {"state": "published", "output_width": 2000, "output_height": 1500}
        connection.execute(sa.update(item).where(item.c.key != "a2").values(**size))
        connection.execute(sa.update(shard).values(busy_s=12.5))
        connection.execute(sa.update(item).where(item.c.key == "a2").values(state="failed", error_class="timeout"))
    assert ledger.queries.run_figures("r1") == {
        "failures": {"timeout": 1},
        "megapixels": 6.0, "busy_s": 12.5, "scored": 2, "score_mean": 0.7, "score_least": 0.5
    }  # fmt: skip


def shift(ledger, seconds):
    """Move the run's start into the past."""
    with ledger.engine.begin() as connection:
        connection.execute(sa.update(run).values(created_at=run.c.created_at - seconds))


def test_progress(ledger, build):
    build.run("r1", tuple(f"a{n}" for n in range(8)), shards=2)
    shift(ledger, 100)
    fresh = ledger.queries.progress("r1")
    assert fresh.as_dict() == {
        "total": 8, "done": 0, "by_state": {"pending": 8}, "shards": 2, "shards_done": 0,
        "items_per_second": 0.0, "eta_s": None, "work_done": 0.0,
    }  # fmt: skip
    lease = ledger.leases.take("r1", 1, "w", 60)
    for key in ("a1", "a3", "a5", "a7"):
        ledger.items.move(lease, key, ItemState.RUNNING)
        ledger.items.move(lease, key, ItemState.QUARANTINED)
    now = ledger.queries.progress("r1")
    assert (now.total, now.done, now.shards, now.shards_done) == (8, 4, 2, 1)
    assert now.items_per_second == pytest.approx(4 / 100, rel=0.1)
    assert now.eta_s == pytest.approx(4 / now.items_per_second)
    build.finish("r1")
    end = ledger.queries.progress("r1")
    assert (end.done, end.shards_done, end.eta_s) == (8, 2, 0.0)
    with pytest.raises(RequestError):
        ledger.queries.progress("nope")


def test_an_enhanced_picture_is_not_yet_done(ledger, build):
    """262 of 300 enhanced is neither "0 of 300" nor seconds from the end: all of them wait for their scores."""
    build.run("r1", tuple(f"a{n}" for n in range(10)))
    shift(ledger, 100)
    lease = ledger.leases.take("r1", 0, "w", 60)
    for number in range(10):
        ledger.items.move(lease, f"a{number}", ItemState.RUNNING)
    for number in range(9):
        ledger.items.move(lease, f"a{number}", ItemState.ENHANCED)
    enhanced = ledger.queries.progress("r1")
    assert (enhanced.done, enhanced.by_state) == (0, {"enhanced": 9, "running": 1})
    assert 0.4 < enhanced.work_done < 0.7
    assert enhanced.eta_s == pytest.approx(100 * (1 - enhanced.work_done) / enhanced.work_done, rel=0.1)
    for number in range(9):
        ledger.items.move(lease, f"a{number}", ItemState.SCORED)
    scored_now = ledger.queries.progress("r1")
    assert enhanced.work_done < scored_now.work_done < 0.9
    assert 0 < scored_now.eta_s < enhanced.eta_s


def test_a_large_shard_weighs_more_than_a_small_one(ledger, build):
    run_id = build.open("r1")
    ledger.runs.add_items([build.row(run_id, "small", 0, 0), build.row(run_id, "large", 1, 1)])
    ledger.runs.add_items([build.row(run_id, "known", 2, -1, state="quarantined")])
    ledger.runs.add_shards(run_id, [(0, 1, 10.0), (1, 1, 90.0)])
    ledger.runs.start(run_id, items=3, shards=2)
    lease = ledger.leases.take(run_id, 0, "w", 60)
    ledger.items.move(lease, "small", ItemState.RUNNING)
    ledger.items.move(lease, "small", ItemState.FAILED)
    now = ledger.queries.progress(run_id)
    assert (now.total, now.done) == (3, 2)
    assert now.work_done == pytest.approx(0.1), "a repeated verdict is no work"


def test_the_rate_is_that_of_the_last_quarter_of_an_hour(ledger, build):
    build.run("r1", ("a0", "a1", "a2"))
    shift(ledger, 90_000)  # it stood still for a night
    lease = ledger.leases.take("r1", 0, "w", 60)
    for key in ("a0", "a1"):
        ledger.items.move(lease, key, ItemState.RUNNING)
        ledger.items.move(lease, key, ItemState.ENHANCED)
    with ledger.engine.begin() as connection:
        connection.execute(sa.update(item).where(item.c.key == "a0").values(updated_at=item.c.updated_at - 2000))
    assert ledger.queries.progress("r1").items_per_second == pytest.approx(1 / 900, rel=0.01)


def test_cost_history(ledger, build):
    assert ledger.queries.cost_history() == (0.0, 0.0)
    build.run("r1", ("a0", "a1"), shards=2)
    with ledger.engine.begin() as connection:
        connection.execute(sa.update(shard).where(shard.c.shard_id == 0).values(cost_s=100.0, busy_s=40.0))
    assert ledger.queries.cost_history() == (0.0, 0.0)  # not finished
    build.finish("r1")
    assert ledger.queries.cost_history() == (100.0, 40.0)  # the shard that did nothing does not count


def test_cost_history_without_a_dag(ledger, build):
    for run_id, dag_id, busy_s in (("r1", None, 40.0), ("r2", "canary", 900.0), ("r3", "nightly", 2.0)):
        build.run(run_id, dag_id=dag_id)
        with ledger.engine.begin() as connection:
            connection.execute(sa.update(shard).where(shard.c.run_id == run_id).values(cost_s=10.0, busy_s=busy_s))
        build.finish(run_id)
    assert ledger.queries.cost_history(without_dag="canary") == (20.0, 42.0)


def test_how_long_a_shard_waited(ledger, build):
    build.run("r1", ("a0", "a1"), shards=2)
    shift(ledger, 500)
    assert ledger.queries.shard_waited("r1", 0)[1] == pytest.approx(500, abs=30)
    ledger.leases.take("r1", 0, "w", 60)
    assert ledger.queries.shard_waited("r1", 0)[1] is None, "its second try did not wait for a slot"
    assert ledger.queries.shard_waited("r1", 1)[1] is not None


def test_annotations_of_a_dags_finished_runs_newest_first(ledger, build):
    for number, (run_id, dag_id) in enumerate(
        (("r1", "canary"), ("r2", "canary"), ("r3", "nightly"), ("r4", "canary"))
    ):
        build.run(run_id, dag_id=dag_id)
        ledger.runs.annotate(run_id, {"note": number})
    for run_id in ("r1", "r2", "r3"):
        ledger.runs.annotate(run_id, {"other": "kept"})
        with ledger.engine.begin() as connection:
            connection.execute(sa.update(run).where(run.c.run_id == run_id).values(state="finished"))
    assert list(ledger.queries.annotations("note", dag_id="canary")) == [("r2", 1), ("r1", 0)]
    assert ledger.runs.get("r1").summary == {"note": 0, "other": "kept"}
    with pytest.raises(RequestError, match="nope"):
        ledger.runs.annotate("nope", {})
