"""A worker's cache of results: what was computed and could not be stored, or is stored no more, is not computed again."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from enhancer.airflow import metrics
from enhancer.errors import StorageError
from enhancer.identity import digest
from tests.batch.in_process import nothing, shard_of, staged_writes, steps
from tests.batch.site_builder import Site, png


@contextmanager
def computed() -> Iterator[list[str]]:
    """The keys that are enhanced meanwhile."""
    keys: list[str] = []
    with steps("enhance", nothing, lambda picture: keys.append(picture.name)):
        yield keys


def test_a_result_that_the_store_did_not_take_is_not_computed_again(site: Site) -> None:
    site.put(a_png=png(1))
    work, _ = shard_of(site, site.plan("r1"))
    tries: list[str] = []

    def ail(key: str) -> None:
        tries.append(key)
        if len(tries) == 1:
            raise StorageError("the store does not answer", reason="connection")

    with computed() as enhanced, staged_writes(site, ail):
        work.run()
    row = site.items("r1")["a.png"]
    assert (row.state, row.attempts, len(tries), len(enhanced)) == ("enhanced", 2, 2, 1)
    assert row.details["cached"] is True
    assert row.details["decisions"]
    stored = site.ledger.results.get(row.identity)
    assert stored is not None
    assert digest(Path(stored.address).read_bytes()) == stored.digest


@pytest.fixture
def files(new_site: Callable[..., Site], tmp_path: Path) -> Site:
    site = new_site(tmp_path, cache_worker_files=True)
    site.put(a_png=png(1), b_bmp=png(2))
    return site


def test_a_later_worker_takes_from_files_what_is_stored_no_more(files: Site) -> None:
    shard_of(files, files.plan("r1"))[0].run()
    first = {key: row.details for key, row in files.items("r1").items()}
    files.settle_as_it_is("r1")
    shutil.rmtree(files.work / "r1")
    work, _ = shard_of(files, files.plan("r2"))
    with computed() as enhanced:
        work.run()
    rows = files.items("r2")
    assert enhanced == []
    assert {row.state for row in rows.values()} == {"enhanced"}, "the ledger and the gate are not passed by"
    for key, row in rows.items():
        assert row.details.pop("cached") is True
        for told in ("decisions", "models", "warnings"):
            assert row.details[told] == first[key][told]
        assert (row.width, row.output_width) == (24, 24)
        stored = files.ledger.results.get(row.identity)
        assert stored is not None
        assert stored.attempts == 1, "claimed anew"
        assert digest(Path(stored.address).read_bytes()) == stored.digest


def test_workers_keep_no_files_unless_told(site: Site) -> None:
    site.put(a_png=png(1))
    shard_of(site, site.plan("r1"))[0].run()
    assert not (site.settings.home / "results").exists()


def test_hits_are_counted_by_the_metrics(files: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    shard_of(files, files.plan("r1"))[0].run()
    files.settle_as_it_is("r1")
    shutil.rmtree(files.work / "r1")
    files.put(c_png=png(3), d_png=png(1))
    plan = files.plan("r2")
    counts: dict[str, int] = {}

    class Stats:
        def incr(self, stat: str, count: int) -> None:
            counts[stat] = count

        def gauge(self, stat: str, value: float) -> None: ...

        def timing(self, stat: str, dt: float) -> None: ...

    monkeypatch.setattr(metrics, "airflow_stats", Stats)

    @metrics.measured("enhance")
    def enhance(reference: Any, *, settings: Any) -> None:
        shard_of(files, plan)[0].run()

    enhance(plan.shards[0], settings=files.settings)
    assert counts["enhancer.items.enhanced"] == 4
    assert counts["enhancer.cache.hits"] == 2, "not the new picture, nor the copy of what was a hit"
