"""Several pictures in hand at once: they overlap, are bounded, and keep every promise that one picture at a time keeps."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from enhancer.batch.tasks import enhance_shard
from enhancer.batch.worker.events import Event
from enhancer.batch.worker_process import Watch
from enhancer.errors import ErrorKind, LeaseLostError, StorageError
from enhancer.processing import Picture
from tests.batch.in_process import enhance, no_trouble, nothing, reads, shard_of, staged_writes, steps
from tests.batch.site_builder import Site, png

LONG_S = 20.0
"""A wait that only a defect makes end in vain."""


def filled(site: Site, count: int = 6) -> Site:
    site.put(**{f"p{number}_png": png(number) for number in range(count)})
    return site


def test_a_picture_is_read_while_another_is_written(site: Site) -> None:
    """The write of the first waits for the read of the second to begin, which one at a time would never do."""
    filled(site, 2)
    work, _ = shard_of(site, site.plan("r1"))
    second_read = threading.Event()

    def note(key: str) -> None:
        if key == "p1.png":
            second_read.set()

    def wait(key: str) -> None:
        assert second_read.wait(LONG_S)

    with reads(site, note), staged_writes(site, wait):
        work.run()
    assert set(site.states("r1").values()) == {"enhanced"}


@pytest.mark.parametrize(("pictures", "megabytes", "most"), [(1, 512, 1), (3, 512, 3), (6, 1, 1)])
def test_what_is_in_hand_is_bounded(
    new_site: Callable[..., Site], tmp_path: Path, pictures: int, megabytes: int, most: int
) -> None:
    site = new_site(tmp_path, overlap_pictures=pictures, overlap_mb=megabytes)
    wide = {} if megabytes > 1 else {"width": 600, "height": 400}  # decoded and with its result: 1.4 million bytes
    site.put(**{f"p{number}_png": png(number, **wide) for number in range(8)})
    work, told = shard_of(site, site.plan("r1"))
    pixels: set[str | None] = set()
    most_seen = [0]
    gate = threading.Lock()

    def decoded(picture: Picture) -> None:
        with gate:
            pixels.add(picture.name)
            most_seen[0] = max(most_seen[0], len(pixels))

    def over(event: str, key: str | None) -> None:
        if event == "item":
            with gate:
                pixels.discard(key)

    told.on_event = over
    with steps("decode", nothing, decoded):
        work.run()
    assert set(site.states("r1").values()) == {"enhanced"}
    assert 1 <= most_seen[0] <= most
    in_hand = most_in_hand = 0
    for event, _, _ in told.events:
        in_hand += {"started": 1, "item": -1}.get(event, 0)
        most_in_hand = max(most_in_hand, in_hand)
    assert most_in_hand <= pictures
    assert most_in_hand > 1 or pictures == 1


def test_the_same_bytes_twice_in_hand_are_computed_once(site: Site) -> None:
    site.put(a_png=png(1), b_png=png(1), c_png=png(1), d_png=png(2))
    enhance(site, site.plan("r1"))
    rows = site.items("r1")
    assert {row.state for row in rows.values()} == {"enhanced"}
    assert [rows[key].reused for key in ("a.png", "b.png", "c.png", "d.png")] == [0, 1, 1, 0]
    stored = site.ledger.results.get(rows["a.png"].identity)
    assert stored is not None
    assert stored.attempts == 1


def test_where_the_first_of_the_same_bytes_fails_the_next_computes_them(site: Site) -> None:
    site.put(a_png=png(1), b_png=png(1))
    work, _ = shard_of(site, site.plan("r1"))
    failed: list[str] = []

    def once(key: str) -> None:
        if not failed:
            failed.append(key)
            raise StorageError("the store does not answer", reason="connection")

    with staged_writes(site, once):
        work.run()
    rows = site.items("r1")
    assert {row.state for row in rows.values()} == {"enhanced"}
    assert (rows["a.png"].reused, rows["b.png"].reused) == (1, 0)


def test_one_that_fails_leaves_the_claims_of_the_others_alone(site: Site) -> None:
    """While p1 is in hand, the failure of p0, which is over by the time that p1 is written, gives up its own alone."""
    filled(site, 2)
    work, _ = shard_of(site, site.plan("r1"))
    claims: list[str | None] = []
    second_enhanced = threading.Event()
    identities: dict[str, str] = {}

    def enhanced(picture: Picture) -> None:
        identities[picture.name] = picture.identity
        if picture.name == "p1.png":
            second_enhanced.set()

    def fail_first(picture: Picture) -> None:
        if picture.name == "p0.png":
            assert second_enhanced.wait(LONG_S)
            raise StorageError("lost", reason="lost", kind=ErrorKind.PERMANENT)

    def look(key: str) -> None:
        claim = site.ledger.results.get(identities["p1.png"])
        claims.append(None if claim is None else claim.state)

    with steps("enhance", nothing, enhanced), steps("encode", fail_first, nothing), staged_writes(site, look):
        work.run()
    assert site.states("r1") == {"p0.png": "quarantined", "p1.png": "enhanced"}
    assert claims == ["claimed"]


def test_each_step_is_reported_and_logged_under_its_own_picture(site: Site) -> None:
    filled(site, 4)
    work, told = shard_of(site, site.plan("r1"))
    work.run()
    assert told.contexts, "no thread said anything"
    assert [key for key, item in told.contexts if item != key] == []
    for key in site.states("r1"):
        of_one = [(event, state) for event, about, state in told.events if about == key]
        assert of_one[0] == ("started", None)
        assert of_one[-1] == ("item", "enhanced")
        assert of_one[1:-1] == [("waiting", None), *[("progress", None), ("waiting", None)] * 5]


def test_timings_are_of_each_picture_alone(site: Site) -> None:
    filled(site, 3)
    enhance(site, site.plan("r1"))
    for row in site.items("r1").values():
        assert {"read", "decode", "enhance", "encode", "write"} <= set(row.details["timings"])


def test_a_lost_lease_stops_all_and_records_nothing_more(site: Site) -> None:
    filled(site, 6)
    work, told = shard_of(site, site.plan("r1"))
    threads = set(threading.enumerate())

    def take_over(event: str, key: str | None) -> None:
        if event == "item":
            site.ledger.leases.take("r1", 0, "someone", 60)

    told.on_event = take_over
    with pytest.raises(LeaseLostError):
        work.run()
    assert sorted(site.states("r1").values()) == ["enhanced"] + ["pending"] * 5
    assert set(threading.enumerate()) <= threads, "the steps' threads are over"


def test_a_store_that_is_away_altogether_fails_the_task_and_no_picture(site: Site) -> None:
    filled(site, 4)
    plan = site.plan("r1")
    refused = StorageError("the key is refused", reason="bad-credentials", kind="permanent")  # type: ignore[arg-type]
    with pytest.raises(StorageError, match="refused"):
        enhance(site, plan, lambda key: refused)
    assert set(site.states("r1").values()) <= {"running", "pending"}
    enhance(site, plan, no_trouble)
    assert set(site.states("r1").values()) == {"enhanced"}


class TestBlame:
    """Whose fault the end of a worker may be, by what it said."""

    @staticmethod
    def after(*events: tuple[str, str]) -> Watch:
        watch = Watch()
        for event, key in events:
            watch.take(Event.model_validate({"event": event, "key": key}))
        return watch

    def test_what_is_worked_on_is_suspect_and_what_waits_is_not(self) -> None:
        watch = self.after(("started", "a"), ("waiting", "a"), ("started", "b"), ("progress", "b"), ("started", "c"),
                           ("waiting", "c"), ("progress", "c"), ("item", "b"))  # fmt: skip
        assert watch.suspects() == ["c"]
        assert list(watch.in_hand) == ["a", "c"]

    def test_where_nothing_is_worked_on_all_in_hand_are(self) -> None:
        assert self.after(("started", "a"), ("waiting", "a"), ("started", "b"), ("waiting", "b")).suspects() == [
            "a",
            "b",
        ]

    def test_the_clock_of_one_that_waits_stands_still(self) -> None:
        watch = self.after(("started", "a"), ("waiting", "a"), ("started", "b"))
        time.sleep(0.02)
        watch.take(Event(event="progress", key="c"))
        silence, key = watch.silence()
        assert key == "b"
        assert silence >= 0.02
        watch.take(Event(event="progress", key="b"))
        assert watch.silence()[1] == "c"


@pytest.mark.usefixtures("hooked_workers")
def test_a_picture_that_kills_costs_what_waited_behind_it_no_attempt(site: Site) -> None:
    """A real worker dies while it reads one picture; the next one had begun and was waiting to be read."""
    filled(site, 4)
    site.put(poison_png=png(8), queued_png=png(9))
    told: list[Event] = []
    enhance_shard(site.plan("r1").shards[0], settings=site.settings, owner="test", on_event=told.append)
    started = [event.key for event in told if event.event == "started"]
    assert started.count("queued.png") == 2, "else it was not in hand when the worker died"
    rows = site.items("r1")
    assert rows["poison.png"].error_class == "worker-killed"
    assert {key: row.state for key, row in rows.items() if key != "poison.png"} == dict.fromkeys(
        ("p0.png", "p1.png", "p2.png", "p3.png", "queued.png"), "enhanced"
    )
    assert (rows["poison.png"].attempts, rows["queued.png"].attempts) == (2, 1)
