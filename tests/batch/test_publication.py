"""Publication: kill points with a real SIGKILL, races for a target, collisions, corrupted copies."""

from __future__ import annotations

from contextlib import nullcontext
from hashlib import md5
from pathlib import Path
from typing import ClassVar

import pytest

from enhancer.batch import publication
from enhancer.batch.plan.planning import Plan
from enhancer.batch.publication import verify
from enhancer.batch.reporting import report_run
from enhancer.batch.tasks import publish_shard
from enhancer.errors import LeaseLostError, StorageError
from enhancer.identity import digest
from enhancer.ledger import ItemState, Result
from enhancer.ledger.leases import fence
from enhancer.storage import LocalStore
from enhancer.storage.base import ObjectInfo, ObjectStore
from tests.batch.site_builder import Site, png


def staged_files(site: Site) -> list[Path]:
    return [path for path in site.work.rglob("staged/**/*") if path.is_file()]


def assert_kept_promise(site: Site, run_id: str, key: str, data: bytes) -> None:
    """Item published, target as its row says, nothing left behind."""
    item = site.items(run_id)[key]
    assert item.state == "published"
    path = site.output / item.target_key
    target = site.ledger.targets.get(str(path))
    assert target is not None
    assert path.read_bytes() == data
    assert (target.digest, target.size, target.identity) == (digest(data), len(data), item.identity)
    assert (target.input_etag, target.input_size) == (item.etag, item.size)
    result = site.ledger.results.get(item.identity)
    assert result is not None
    assert result.address == str(path)
    assert staged_files(site) == []


@pytest.fixture
def planned(site: Site) -> Plan:
    site.put(a_png=png(1))
    return site.plan("r1")


def test_a_result_is_published_once(site: Site, planned: Plan) -> None:
    site.stage("r1", "a.png", b"twin")
    site.publish(planned)
    assert_kept_promise(site, "r1", "a.png", b"twin")
    written = (site.output / "a.png").stat().st_mtime_ns
    site.publish(planned)
    assert (site.output / "a.png").stat().st_mtime_ns == written


KILL_POINTS = {
    "committing, before the copy": ("open", r"/out/\.enhancer-.*\.part$"),
    "copied whole, not yet in place": ("os.rename", r"/out/\.enhancer-.*\.part$"),
    "in place, not verified": ("open", r"/out/a\.png$"),
    "recorded, staged object not deleted": ("os.remove", r"/staged/"),
}


@pytest.mark.parametrize("point", KILL_POINTS)
@pytest.mark.parametrize("recovery", ["publish", "report"])
def test_a_kill_at_any_point_is_recovered(site: Site, planned: Plan, point: str, recovery: str) -> None:
    site.stage("r1", "a.png", b"twin")
    event, pattern = KILL_POINTS[point]
    site.child_killed(event, pattern, "publish", planned.shards[0])

    recorded = point.startswith("recorded")
    assert site.states("r1") == {"a.png": "published" if recorded else "committing"}
    there = (site.output / "a.png").exists()
    assert there is (recorded or point.startswith("in place"))
    assert not there or (site.output / "a.png").read_bytes() == b"twin"
    assert len(staged_files(site)) == 1

    if recovery == "publish":
        site.publish(planned)
    if recovery == "report" or recorded:
        report_run("r1", settings=site.settings)  # a staged object whose row is published is the report's to sweep
    assert_kept_promise(site, "r1", "a.png", b"twin")


def test_what_was_committing_is_resolved_before_anything_else(site: Site) -> None:
    site.put(a_png=png(1), b_png=png(2))
    plan = site.plan("r1")
    site.stage("r1", "a.png", b"first")
    site.stage("r1", "b.png", b"second")
    site.child_killed("open", r"/out/b\.png$", "publish", plan.shards[0])
    assert site.states("r1") == {"a.png": "published", "b.png": "committing"}
    site.publish(plan)
    assert site.states("r1") == {"a.png": "published", "b.png": "published"}
    assert {path.name: path.read_bytes() for path in site.output.iterdir()} == {"a.png": b"first", "b.png": b"second"}


# -------------------------------------------------------------------- two runs, one target


@pytest.fixture
def two_runs(site: Site) -> tuple[Plan, Plan]:
    """Both planned before anything was published: each has the picture."""
    site.put(a_png=png(1))
    plans = site.plan("r1"), site.plan("r2")
    site.stage("r1", "a.png", b"older")
    site.stage("r2", "a.png", b"newer")
    return plans


def test_the_later_run_wins_when_it_publishes_first(site: Site, two_runs: tuple[Plan, Plan]) -> None:
    site.publish(two_runs[1])
    site.publish(two_runs[0])
    item = site.items("r1")["a.png"]
    assert (item.state, item.error_class, item.stage) == ("skipped", "superseded", "publish")
    assert (site.output / "a.png").read_bytes() == b"newer"
    target = site.ledger.targets.get(str(site.output / "a.png"))
    assert target is not None
    assert (target.run_id, target.digest) == ("r2", digest(b"newer"))


def test_the_later_run_wins_when_it_publishes_last(site: Site, two_runs: tuple[Plan, Plan]) -> None:
    site.publish(two_runs[0])
    assert (site.output / "a.png").read_bytes() == b"older"
    site.publish(two_runs[1])
    assert site.states("r1") == site.states("r2") == {"a.png": "published"}
    assert_kept_promise(site, "r2", "a.png", b"newer")


def test_an_earlier_run_that_is_copying_right_now_is_waited_for(site: Site, two_runs: tuple[Plan, Plan]) -> None:
    # Killed between copy and record: its lease stands for a while, and its copy might still land.
    site.child_killed("open", r"/out/\.enhancer-.*\.part$", "publish", two_runs[0].shards[0])
    site.publish(two_runs[1])
    item = site.items("r2")["a.png"]
    assert (item.state, item.error_class) == ("failed", "target-busy")
    assert not (site.output / "a.png").exists()
    site.publish(two_runs[0])
    assert (site.output / "a.png").read_bytes() == b"older"


def test_an_earlier_run_whose_lease_is_over_is_overtaken_and_ends_superseded(
    site: Site, two_runs: tuple[Plan, Plan]
) -> None:
    site.child_killed("open", r"/out/a\.png$", "publish", two_runs[0].shards[0])
    lease = site.ledger.leases.take("r1", 0, "test", 60)
    site.ledger.leases.release(lease)  # what the clock does after lease_ttl_s
    site.publish(two_runs[1])
    site.publish(two_runs[0])
    item = site.items("r1")["a.png"]
    assert (item.state, item.error_class) == ("skipped", "superseded")
    assert (site.output / "a.png").read_bytes() == b"newer"
    assert site.states("r2") == {"a.png": "published"}


@pytest.mark.parametrize("taken", [False, True], ids=["expired", "taken over"])
def test_a_straggler_that_copies_over_a_later_runs_target_says_so(
    site: Site, two_runs: tuple[Plan, Plan], monkeypatch: pytest.MonkeyPatch, taken: bool
) -> None:
    copy = LocalStore.copy_from

    def late(self: LocalStore, source: ObjectStore, source_key: str, key: str) -> ObjectInfo:
        monkeypatch.setattr(LocalStore, "copy_from", copy)
        lease = site.ledger.leases.take("r1", 0, "next try", 60) if taken else straggler
        site.ledger.leases.release(lease)  # what the clock does while the straggler sleeps
        site.publish(two_runs[1])
        return copy(self, source, source_key, key)

    monkeypatch.setattr(LocalStore, "copy_from", late)
    straggler = site.ledger.leases.take("r1", 0, "straggler", 60)
    publisher = publication.Publisher(straggler, site.ledger, site.settings)
    with pytest.raises(LeaseLostError) if taken else nullcontext():
        publisher.run()
    assert (site.output / "a.png").read_bytes() == b"older"
    target = site.ledger.targets.get(str(site.output / "a.png"))
    assert target is not None
    assert (target.identity, target.digest) == (None, None), "the row vouches for bytes that are not there"
    assert site.plan("r3").summary["work_items"] == 1


def test_what_an_earlier_run_staged_and_a_later_one_published_is_not_left_behind(site: Site) -> None:
    site.put(a_png=png(1))
    site.plan("r1")
    stored = site.stage("r1", "a.png", b"twin")
    site.settle_as_it_is("r1")
    assert len(staged_files(site)) == 1
    again = site.plan("r2")
    lease = site.ledger.leases.take("r2", 0, "test", 60)
    site.ledger.items.move(lease, "a.png", ItemState.RUNNING)
    site.ledger.items.move(
        lease, "a.png", ItemState.ENHANCED, identity=stored.identity, reused=1, target_key="a.png", staged_key=None
    )
    site.pass_gate(again)
    site.publish(again)
    assert site.states("r2") == {"a.png": "reused"}
    assert (site.output / "a.png").read_bytes() == b"twin"
    assert staged_files(site) == []


# -------------------------------------------------------------------- what goes wrong


def test_two_inputs_never_share_a_target(site: Site) -> None:
    site.put_key("a.bmp", png(1))
    site.put_key("a.bmp.png", png(2))
    plan = site.plan("r1")
    site.stage("r1", "a.bmp", b"from bmp", target_key="a.bmp.png")
    site.stage("r1", "a.bmp.png", b"from png")
    site.publish(plan)
    items = site.items("r1")
    assert items["a.bmp"].state == "published"
    assert (items["a.bmp.png"].state, items["a.bmp.png"].error_class) == ("failed", "target-collision")
    for word in ("'a.bmp.png'", "'a.bmp'", "output_url"):
        assert word in items["a.bmp.png"].error_message
    assert (site.output / "a.bmp.png").read_bytes() == b"from bmp"
    target = site.ledger.targets.get(str(site.output / "a.bmp.png"))
    assert target is not None
    assert target.digest == digest(b"from bmp")


def test_a_copy_with_other_bytes_is_not_recorded_and_its_target_is_work_again(site: Site, planned: Plan) -> None:
    site.stage("r1", "a.png", b"good twin")
    site.publish(planned)
    site.finish("r1")
    plan = site.plan("r2", rerun="all")
    row = site.stage("r2", "a.png", b"new twin!")
    (site.work / row.staged_key).write_bytes(b"rotten!!!")  # as long, other bits
    site.publish(plan)
    item = site.items("r2")["a.png"]
    assert (item.state, item.error_class, item.stage) == ("failed", "bad-copy", "publish")
    target = site.ledger.targets.get(str(site.output / "a.png"))
    assert target is not None
    assert target.identity is None, "the row still vouches for bytes that were overwritten"
    site.finish("r2")
    assert [reference["n"] for reference in site.plan("r3").shards] == [1]


def test_a_result_that_is_gone_fails_its_picture_and_no_other(site: Site) -> None:
    site.put(a_png=png(1), b_png=png(2))
    plan = site.plan("r1")
    gone = site.stage("r1", "a.png", b"one")
    site.stage("r1", "b.png", b"two")
    (site.work / gone.staged_key).unlink()
    site.publish(plan)
    assert site.states("r1") == {"a.png": "failed", "b.png": "published"}
    assert site.items("r1")["a.png"].error_class == "gone"


def test_copies_of_a_known_result_are_reused_in_any_order(site: Site) -> None:
    site.put(a_png=png(1), b_png=png(1))
    plan = site.plan("r1")
    first = site.stage("r1", "b.png", b"twin")
    lease = site.ledger.leases.take("r1", 0, "test", 60)
    site.ledger.items.move(lease, "a.png", ItemState.RUNNING)
    site.ledger.items.move(
        lease, "a.png", ItemState.ENHANCED, identity=first.identity, target_key="a.png", reused=1, staged_key=None
    )
    site.ledger.items.move(lease, "a.png", ItemState.SCORED)
    site.publish(plan)  # a comes first, though b made the result
    assert site.states("r1") == {"a.png": "reused", "b.png": "published"}
    assert (site.output / "a.png").read_bytes() == (site.output / "b.png").read_bytes() == b"twin"
    assert staged_files(site) == []


def test_a_straggler_whose_lease_was_taken_publishes_nothing(site: Site, planned: Plan) -> None:
    site.stage("r1", "a.png", b"twin")
    old = site.ledger.leases.take("r1", 0, "straggler", 60)
    straggler = publication.Publisher(old, site.ledger, site.settings)
    site.ledger.leases.take("r1", 0, "next try", 60)
    with pytest.raises(LeaseLostError):
        straggler.run()
    assert site.states("r1") == {"a.png": "scored"}
    assert not site.output.exists()
    with pytest.raises(LeaseLostError), site.ledger.engine.begin() as connection:
        fence(connection, old)


def test_a_store_that_is_not_there_stops_the_task_and_leaves_the_pictures(site: Site, planned: Plan) -> None:
    site.stage("r1", "a.png", b"twin")
    (site.work / "r1").rename(site.root / "away")
    site.work.rmdir()
    with pytest.raises(StorageError) as caught:
        publish_shard(planned.shards[0], settings=site.settings, owner="test")
    assert caught.value.reason == "no-such-store"
    (site.root / "away").rename(site.root / "back")
    site.work.mkdir()
    (site.root / "back").rename(site.work / "r1")
    site.publish(planned)
    assert_kept_promise(site, "r1", "a.png", b"twin")


class TestVerify:
    """Size always; checksum by ETag where that is an MD5, else by reading back."""

    RECORD: ClassVar[Result] = Result(
        identity="0" * 64,
        state="stored",
        run_id="r1",
        shard_id=0,
        lease_epoch=1,
        address="anywhere",
        digest=digest(b"twin"),
        size=4,
        md5=md5(b"twin", usedforsecurity=False).hexdigest(),
        format="PNG",
        effective_recipe=None,
        attempts=1,
        details=None,
        width=1,
        height=1,
        output_width=1,
        output_height=1,
        updated_at=0.0,
    )

    @pytest.mark.parametrize(
        ("there", "found"),
        [(b"twin", None), (b"twim", "does not hold the bytes"), (b"twins", "5 bytes instead of 4"), (None, "nothing")],
    )
    def test_what_lies_there(self, tmp_path: Path, there: bytes | None, found: str | None) -> None:
        store = LocalStore(tmp_path)
        info = None if there is None else store.put("x", there)
        if found is None:
            verify(store, "x", info, self.RECORD)
            return
        with pytest.raises(StorageError, match=found) as caught:
            verify(store, "x", info, self.RECORD)
        assert (caught.value.reason, caught.value.kind) == ("bad-copy", "transient")

    def test_an_etag_that_is_the_md5_needs_no_reading(self, tmp_path: Path) -> None:
        verify(LocalStore(tmp_path), "x", ObjectInfo("x", 4, self.RECORD.md5), self.RECORD)  # there is no file
