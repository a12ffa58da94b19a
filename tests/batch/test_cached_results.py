"""A worker's cache of results: what was computed and could not be stored, or is stored no more, is not computed again."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from enhancer.airflow import metrics
from enhancer.batch.plan.planning import Plan
from enhancer.batch.worker.enhance import EnhanceShard
from enhancer.errors import StorageError
from enhancer.identity import digest
from tests.batch.in_process import Told
from tests.batch.site_builder import Site, png


def work_on(site: Site, plan: Plan) -> EnhanceShard:
    lease = site.ledger.leases.take(plan.run_id, 0, "test", 60)
    return EnhanceShard(lease, site.settings, Told())  # type: ignore[arg-type]


def counted(work: EnhanceShard) -> list[str]:
    """The keys that `work` decodes and enhances from now on."""
    enhanced: list[str] = []
    real = work._enhancer.enhance_document

    def enhance(document: Any, recipe: Any) -> Any:
        enhanced.append(str(document.first.width))
        return real(document, recipe)

    work._enhancer.enhance_document = enhance  # type: ignore[method-assign]
    return enhanced


def test_a_result_that_the_store_did_not_take_is_not_computed_again(site: Site) -> None:
    site.put(a_png=png(1))
    work = work_on(site, site.plan("r1"))
    enhanced, put, tries = counted(work), work._work.put, []

    def ailing(key: str, data: bytes, **more: Any) -> Any:
        tries.append(key)
        if len(tries) == 1:
            raise StorageError("the store does not answer", reason="connection")
        return put(key, data, **more)

    work._work.put = ailing  # type: ignore[method-assign]
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
    work_on(files, files.plan("r1")).run()
    first = {key: row.details for key, row in files.items("r1").items()}
    files.settle_as_it_is("r1")
    shutil.rmtree(files.work / "r1")
    work = work_on(files, files.plan("r2"))
    enhanced = counted(work)
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
    work_on(site, site.plan("r1")).run()
    assert not (site.settings.home / "results").exists()


def test_hits_are_counted_by_the_metrics(files: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    work_on(files, files.plan("r1")).run()
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
        work_on(files, plan).run()

    enhance(plan.shards[0], settings=files.settings)
    assert counts["enhancer.items.enhanced"] == 4
    assert counts["enhancer.cache.hits"] == 2, "not the new picture, nor the copy of what was a hit"
