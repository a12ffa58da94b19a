"""What a dry run tells: counts, bytes, shards, minutes and cost, by hand-made figures; and that it loads no net."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from enhancer.batch.plan.estimate import Estimate, in_words
from enhancer.batch.plan.shards import BASE_SECONDS, SECONDS_PER_MB
from enhancer.batch.worker_process import worker_environment
from enhancer.errors import RequestError
from tests.batch.site_builder import Site, png, publish_all

DRY_RUN = """
import json, sys
from enhancer.batch.plan.planning import plan_run
from enhancer.batch.plan.request import RunRequest
from enhancer.settings import get_settings

request = RunRequest.from_params(json.loads(sys.argv[1]), get_settings())
print(json.dumps(plan_run(request, settings=get_settings(), run_id="dry", trigger="cli").summary))
print(json.dumps(sorted({name.split(".")[0] for name in sys.modules} & {"torch", "cv2", "lpips"})))
"""


def test_cost_is_price_times_hours() -> None:
    estimate = Estimate(10, 5_000_000, 2, work_s=5400.0, history_s=0.0, worker_hour_price=4.0)
    assert estimate.cost == 6.0
    assert estimate.as_summary()["estimated_minutes"] == 90.0


def test_without_a_price_no_cost_is_told() -> None:
    summary = Estimate(10, 5_000_000, 2, 5400.0, 0.0, None).as_summary()
    assert "estimated_cost" not in summary
    assert "per worker hour" not in in_words(summary)


def test_free_machines_cost_nothing_and_say_so() -> None:
    assert "; 0.00 at 0 per worker hour" in in_words(Estimate(1, 1, 1, 60.0, 0.0, 0.0).as_summary())


def test_in_words() -> None:
    words = in_words(Estimate(1234, 5_200_000_000, 12, 3600.0 * 9, 7200.0, 0.5).as_summary())
    assert words == (
        "1234 to do (5.2 GB) in 12 shards, about 9.0 hours of one worker by 120 measured minutes of earlier runs; "
        "4.50 at 0.5 per worker hour"
    )


def test_a_dry_run_counts_and_touches_nothing(site: Site) -> None:
    files = {f"{number}.png": png(number) for number in range(4)}
    for key, data in files.items():
        site.put_key(key, data)
    plan = site.plan("dry", dry_run=True, worker_hour_price=3600.0)
    size = sum(map(len, files.values()))
    seconds = 4 * BASE_SECONDS + SECONDS_PER_MB["restore"] * size / 1e6
    assert plan.shards == []
    assert plan.summary["work_items"] == 4
    assert plan.summary["bytes"] == size
    assert plan.summary["estimated_shards"] == 1
    assert plan.summary["estimated_s"] == pytest.approx(seconds, abs=0.05)
    assert plan.summary["estimated_cost"] == pytest.approx(seconds, abs=0.05), "a price of one per second"
    assert plan.summary["estimated_from"] == "default rate"
    assert not site.output.exists()
    assert not site.work.exists()
    assert site.items("dry") == {}


def test_what_earlier_runs_took_corrects_the_estimate(site: Site) -> None:
    """A run whose worker needed seven times the estimate makes the next estimate seven times as long."""
    site.put(a_png=png(1))
    publish_all(site, "measured")
    with site.ledger.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE shard SET busy_s = 7 * cost_s WHERE run_id = 'measured'")
    site.put(a_png=png(2))
    summary = site.plan("known", dry_run=True).summary
    assert summary["estimated_from"] == "earlier runs"
    seconds = BASE_SECONDS + SECONDS_PER_MB["restore"] * len(png(2)) / 1e6
    assert summary["estimated_s"] == pytest.approx(7 * seconds, abs=0.05)


def test_absurd_shards_are_refused_by_a_dry_run_too(site: Site) -> None:
    site.put(**{f"p{number}_png": png(number) for number in range(6)})
    few = site.settings.model_copy(update={"shard_max_items": 1, "max_shards": 5})
    with pytest.raises(RequestError, match=r"ENHANCER_MAX_SHARDS=5.*ENHANCER_SHARD_MINUTES"):
        Site(site.root, few, site.ledger).plan("dry", dry_run=True)


def test_the_price_comes_from_the_settings_unless_the_run_has_its_own(site: Site) -> None:
    site.put(a_png=png(1))
    priced = Site(site.root, site.settings.model_copy(update={"worker_hour_price": 2.0}), site.ledger)
    assert priced.plan("one", dry_run=True).summary["worker_hour_price"] == 2.0
    assert priced.plan("two", dry_run=True, worker_hour_price=0).summary["worker_hour_price"] == 0.0


def test_no_net_is_loaded(site: Site) -> None:
    site.put(a_png=png(1))
    done = subprocess.run(
        [sys.executable, "-c", DRY_RUN, json.dumps(site.params(dry_run=True, recipe="photo"))],
        env=worker_environment(site.settings),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    summary, heavy = map(json.loads, done.stdout.splitlines()[-2:])
    assert summary["work_items"] == 1
    assert heavy == []
