"""A ledger on each of the two databases, and small builders that go through its public parts."""

from __future__ import annotations

import functools
import itertools
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url, text

from enhancer.ledger import Ledger, migrate
from enhancer.ledger.engine import open_engine
from enhancer.ledger.tables import metadata

_numbers = itertools.count()

BACKENDS = ("sqlite", "postgresql")


@pytest.fixture(params=BACKENDS)
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a database without tables."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'ledger.db'}"
    return str(request.getfixturevalue("postgres").create_database(f"ledger_{next(_numbers)}"))


@pytest.fixture(scope="session")
def migrated(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """The URL of a migrated database of one kind, made once: migrating for each test would take most of the time."""

    @functools.cache
    def of(backend: str) -> str:
        if backend == "sqlite":
            url = f"sqlite:///{tmp_path_factory.mktemp('ledger') / 'ledger.db'}"
        else:
            url = str(request.getfixturevalue("postgres").create_database("ledger"))
        migrate.upgrade(url)
        return url

    return of


@pytest.fixture(params=BACKENDS)
def ledger_url(request: pytest.FixtureRequest, migrated: Callable[[str], str], tmp_path: Path) -> str:
    """The URL of a migrated database without rows."""
    url = migrated(request.param)
    if request.param == "sqlite":
        shutil.copy(str(make_url(url).database), tmp_path / "ledger.db")
        return f"sqlite:///{tmp_path / 'ledger.db'}"
    engine = open_engine(url)
    with engine.begin() as connection:
        connection.execute(text(f"TRUNCATE {', '.join(metadata.tables)} CASCADE"))
    engine.dispose()
    return url


@pytest.fixture
def ledger(ledger_url: str) -> Iterator[Ledger]:
    with Ledger(ledger_url) as opened:
        yield opened


class Builder:
    """Runs with items named a0, a1, ... spread over shards."""

    INPUT = "s3://in"
    OUTPUT = "s3://out"

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    def open(self, run_id: str = "r1", **values: Any) -> str:
        columns = {
            "trigger": "manual",
            "input_url": self.INPUT,
            "output_url": self.OUTPUT,
            "work_url": "s3://work",
            "params": {"scale": 4},
            "recipes": {},
        }
        return self.ledger.runs.open(run_id, **{**columns, **values})

    @staticmethod
    def row(run_id: str, key: str, position: int, shard_id: int = 0, **columns: Any) -> dict[str, Any]:
        return {
            "run_id": run_id,
            "key": key,
            "shard_id": shard_id,
            "position": position,
            "state": "pending",
            "size": 10,
            "etag": f"etag-{key}",
            "recipe_name": "photo",
            "recipe_digest": "0" * 64,
            "failed_runs": 0,
            "attempts": 0,
            **columns,
        }

    def run(self, run_id: str = "r1", keys: tuple[str, ...] = ("a0",), shards: int = 1, **values: Any) -> str:
        """A running run; keys go round the shards."""
        run_id = self.open(run_id, **values)
        self.ledger.runs.add_items([self.row(run_id, key, n, n % shards) for n, key in enumerate(keys)])
        self.ledger.runs.add_shards(run_id, [(n, len(keys[n::shards]), 60.0) for n in range(shards)])
        self.ledger.runs.start(run_id, items=len(keys), shards=shards)
        return run_id

    def finish(self, run_id: str, outcome: str = "success") -> None:
        self.ledger.runs.take_all(run_id, "report")
        self.ledger.runs.close_items(run_id, stopped=False)
        self.ledger.runs.finish(run_id, outcome, report_address=None, summary={})


@pytest.fixture
def build(ledger: Ledger) -> Builder:
    return Builder(ledger)


@pytest.fixture
def race() -> Callable[[int, Callable[[int], Any]], list[Any]]:
    """Run `work(n)` in so many threads that all start at once; their results or exceptions in order."""
    import threading
    from concurrent.futures import ThreadPoolExecutor

    def run(threads: int, work: Callable[[int], Any]) -> list[Any]:
        barrier = threading.Barrier(threads)

        def one(number: int) -> Any:
            barrier.wait(30)
            return work(number)

        with ThreadPoolExecutor(threads) as pool:
            futures = [pool.submit(one, number) for number in range(threads)]
            return [future.exception() or future.result() for future in futures]

    return run
