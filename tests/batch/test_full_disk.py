"""A disk that is full while a shard is at work: the task fails, and whoever goes on with the same run has its pictures to do."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from enhancer.batch.tasks import enhance_shard
from enhancer.batch.worker_process import WorkerError
from enhancer.errors import ErrorKind
from tests.batch.site_builder import Site, png

pytestmark = pytest.mark.usefixtures("hooked_workers")


def test_the_run_that_met_it_does_its_pictures_once_there_is_space(site: Site) -> None:
    full = Path(os.environ["HOME"]) / "disk-is-full"
    for number in range(25):  # more than a run is stopped after, were it the pictures that failed
        site.put_key(f"{number:02}.png", png(number))
    plan = site.plan()
    full.touch()
    with pytest.raises(WorkerError, match="free some space") as caught:
        enhance_shard(plan.shards[0], settings=site.settings, owner="first")
    assert (caught.value.reason, caught.value.kind) == ("no-space", ErrorKind.TRANSIENT), "Airflow tries it again"
    assert site.ledger.halts.of("r1") is None
    assert "failed" not in site.states("r1").values()
    assert "no-space" in {row.error_class for row in site.items("r1").values()}, "said in the picture's row"
    full.unlink()
    again = site.plan()
    assert again.run_id == "r1"
    enhance_shard(again.shards[0], settings=site.settings, owner="second")
    assert set(site.states("r1").values()) == {"enhanced"}
