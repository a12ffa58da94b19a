"""The shard tasks' figures, against what the ledger says; a real StatsD client sends them in tests/dags/test_celery.py."""

from __future__ import annotations

import sys

import pytest

from enhancer.airflow import metrics
from enhancer.batch.tasks import publish_shard
from enhancer.ledger import ItemState
from tests import operations_page
from tests.batch.site_builder import Site, png


class Kept:
    """Metrics as they were sent."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.levels: dict[str, float] = {}
        self.times: list[tuple[str, float]] = []

    def incr(self, stat: str, count: int) -> None:
        self.counts[stat] = self.counts.get(stat, 0) + count

    def gauge(self, stat: str, value: float) -> None:
        self.levels[stat] = value

    def timing(self, stat: str, dt: float) -> None:
        self.times.append((stat, dt))


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Kept:
    kept = Kept()
    monkeypatch.setattr(metrics, "airflow_stats", lambda: kept)
    return kept


def test_publish_counts_what_it_published(site: Site, sent: Kept) -> None:
    site.put(a_png=png(1), b_png=png(2))
    plan = site.plan("r1")
    for key in ("a.png", "b.png"):
        site.stage("r1", key, key.encode())
    for _ in range(2):  # the second time there is nothing to do, and nothing to count
        metrics.measured("publish")(publish_shard)(plan.shards[0], settings=site.settings, owner="test")
    assert sent.counts == {"enhancer.items.published": 2}
    assert [name for name, _ in sent.times] == ["enhancer.shard.publish"] * 2


def test_enhance_tells_steps_speed_and_memory(site: Site, sent: Kept) -> None:
    site.put(a_png=png(1), b_png=png(2), c_png=png(3))
    plan = site.plan("r1")

    @metrics.measured("enhance")
    def work(reference, *, settings, owner):
        lease = site.ledger.leases.take("r1", 0, owner, 60)
        for key, reused in (("a.png", 0), ("b.png", 1)):
            site.ledger.items.move(lease, key, ItemState.RUNNING)
            details = {"timings": {"decode": 0.25, "enhance.denoising": 1.5}}
            site.ledger.items.move(lease, key, ItemState.ENHANCED, details=details, reused=reused)
        site.ledger.leases.release(lease, busy_s=1.0, peak_rss_mb=321.0)
        raise RuntimeError("the third picture kills it")

    with pytest.raises(RuntimeError, match="third"):
        work(plan.shards[0], settings=site.settings, owner="test")
    assert sent.counts == {"enhancer.items.enhanced": 2}
    assert sent.levels["enhancer.peak_memory_mb"] == 321.0
    assert sent.levels["enhancer.images_per_second"] > 0
    steps = [(name, value) for name, value in sent.times if name.startswith("enhancer.seconds.")]
    assert steps == [("enhancer.seconds.decode", 250.0), ("enhancer.seconds.enhance.denoising", 1500.0)], (
        "a result that was there already took no time"
    )
    [waited] = [value for name, value in sent.times if name == "enhancer.shard.wait"]
    assert 0 <= waited < 60_000


def test_a_second_try_did_not_wait_in_the_queue(site: Site, sent: Kept) -> None:
    site.put(a_png=png(1))
    plan = site.plan("r1")
    site.ledger.leases.release(site.ledger.leases.take("r1", 0, "first", 60))
    metrics.measured("enhance")(lambda reference, settings: None)(plan.shards[0], settings=site.settings)
    assert [name for name, _ in sent.times] == ["enhancer.shard.enhance"]


def test_outside_of_airflow_nothing_is_sent(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, metrics._TASK_RUNNER, raising=False)
    assert metrics.airflow_stats() is None
    assert metrics.measured("publish")(lambda reference, settings: 7)({}, settings=None) == 7


def test_the_page_lists_what_is_sent(site: Site, sent: Kept) -> None:
    site.put(a_png=png(1))
    plan = site.plan("r1")

    @metrics.measured("enhance")
    def enhanced(reference, *, settings):
        lease = site.ledger.leases.take("r1", 0, "test", 60)
        site.ledger.items.move(lease, "a.png", ItemState.RUNNING)
        site.ledger.items.move(
            lease, "a.png", ItemState.ENHANCED, details={"timings": {"decode": 0.25}, "cached": True}
        )
        site.ledger.leases.release(lease, busy_s=1.0, peak_rss_mb=321.0)

    enhanced(plan.shards[0], settings=site.settings)
    for task in ("evaluate", "second_look", "publish"):
        metrics.measured(task)(lambda reference, settings: None)(plan.shards[0], settings=site.settings)
    names = {*sent.counts, *sent.levels, *(name for name, _ in sent.times)}
    names = {
        name.replace(".items.enhanced", ".items.STATE").replace(".seconds.decode", ".seconds.STEP") for name in names
    }
    assert names == operations_page.metrics()
