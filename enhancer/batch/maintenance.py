"""Maintenance: what no run does for itself, safe beside running ones.

Abandoned runs are closed, fallen claims dropped, orphaned staged objects deleted, targets compared with a listing of
the output, rows and work files of runs long past deleted. A second run of it finds nothing to do.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import structlog

from enhancer.batch import layout
from enhancer.batch.plan.recovery import finish_abandoned
from enhancer.errors import StorageError
from enhancer.ledger import Ledger, Run
from enhancer.paging import batched
from enhancer.settings import Settings
from enhancer.storage import open_store
from enhancer.storage.base import ObjectInfo, ObjectStore

log = structlog.get_logger(__name__)

PAGE: Final = 500
DAY_S: Final = 86400.0


@dataclass(slots=True)
class Maintained:
    """What was done.

    Attributes:
        closed_runs: abandoned runs that were reported.
        fallen_claims: claims on results that no live lease backs.
        orphans: staged objects deleted that no result needed.
        targets: published targets compared with their store.
        targets_cleared: those whose object is gone or of another size; the next run makes them again.
        items: item rows deleted of runs past retention.
        results: results forgotten that were never published, past retention.
        work_files: objects deleted below those runs' work_url.
        unreachable: stores that could not be looked at, with the reason.
    """

    closed_runs: list[str] = field(default_factory=list)
    fallen_claims: int = 0
    orphans: int = 0
    targets: int = 0
    targets_cleared: int = 0
    items: int = 0
    results: int = 0
    work_files: int = 0
    unreachable: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """JSON-able."""
        return asdict(self)


def maintain(settings: Settings) -> Maintained:
    """Do all of it.

    Raises:
        StorageError: after everything else was done: stores could not be looked at; names them.
    """
    done = Maintained(closed_runs=finish_abandoned(settings))
    with Ledger(settings.ledger_url()) as ledger:
        done.fallen_claims = ledger.upkeep.drop_fallen_claims()
        for place in ledger.upkeep.work_places():
            with _reached(place, done):
                done.orphans += sweep_orphans(ledger, settings, place)
        for place in ledger.upkeep.outputs():
            with _reached(place, done):
                _compare_targets(ledger, settings, place, done)
        for run in list(ledger.upkeep.finished_before(settings.retention_days * DAY_S)):
            if not (run.summary or {}).get("retired"):
                with _reached(run.work_url, done):
                    _retire(ledger, settings, run, done)
    log.info("maintained", **done.as_dict())
    if done.unreachable:
        reasons = "; ".join(f"{place}: {reason}" for place, reason in done.unreachable.items())
        raise StorageError(f"maintenance left out what it could not reach: {reasons}")
    return done


@contextmanager
def _reached(place: str, done: Maintained) -> Iterator[None]:
    """One store's trouble must not keep the others from being looked at. One that is gone for good has nothing to
    maintain.
    """
    try:
        yield
    except StorageError as error:
        if error.reason != "no-such-store":
            done.unreachable[place] = error.message


def sweep_orphans(ledger: Ledger, settings: Settings, work_url: str) -> int:
    """Delete staged objects below `work_url` of runs that finished ``orphan_ttl_s`` ago or earlier, where no result
    points to them. Those of held pictures have a result that does; those of running runs are left alone, and so is
    whatever this ledger knows no run of.
    """
    work = open_store(work_url, settings)

    def long_over() -> Iterator[ObjectInfo]:
        staged = (info for info in work.list() if layout.run_of_staged(info.key) is not None)
        for page in batched(staged, PAGE):
            runs = {layout.run_of_staged(info.key) or "" for info in page}
            over = {run.run_id for run in ledger.upkeep.finished_before(settings.orphan_ttl_s, runs)}
            yield from (info for info in page if layout.run_of_staged(info.key) in over)

    return _delete_unneeded(ledger, work, long_over())


def _delete_unneeded(ledger: Ledger, work: ObjectStore, objects: Iterable[ObjectInfo]) -> int:
    """Delete those of these objects that no result points to; how many they were."""
    deleted = 0
    for page in batched(objects, PAGE):
        needed = ledger.results.pointed_to(work.address(info.key) for info in page)
        for info in page:
            if work.address(info.key) not in needed:
                work.delete(info.key)
                deleted += 1
    return deleted


def _compare_targets(ledger: Ledger, settings: Settings, output_url: str, done: Maintained) -> None:
    """Clear the targets whose object is gone or of another size, by one listing; each is looked at once more first."""
    store, since = open_store(output_url, settings), ledger.upkeep.now()
    with _listing_of(store.list()) as sizes:
        for page in ledger.upkeep.targets_of(output_url, since):
            for row in page:
                done.targets += 1
                key = row.address.removeprefix(store.address(""))
                if sizes(key) == row.size:
                    continue
                there = store.head(key)
                if (there is None or there.size != row.size) and ledger.upkeep.clear_target(row):
                    log.warning("published object gone; the next run makes it again", address=row.address)
                    done.targets_cleared += 1


@contextmanager
def _listing_of(objects: Iterable[ObjectInfo]) -> Iterator[Any]:
    """A listing on disk, since it may be longer than memory is large; gives a function from key to size."""
    with tempfile.TemporaryDirectory(prefix="enhancer-listing-") as folder:
        connection = sqlite3.connect(Path(folder, "listing.db"), isolation_level=None)
        connection.execute("PRAGMA journal_mode=OFF")
        connection.execute("PRAGMA synchronous=OFF")
        connection.execute("CREATE TABLE listed (key TEXT PRIMARY KEY, size INTEGER) WITHOUT ROWID")
        connection.execute("BEGIN")
        connection.executemany("INSERT OR REPLACE INTO listed VALUES (?, ?)", ((one.key, one.size) for one in objects))

        def size_of(key: str) -> int | None:
            row = connection.execute("SELECT size FROM listed WHERE key = ?", (key,)).fetchone()
            return None if row is None else int(row[0])

        try:
            yield size_of
        finally:
            connection.close()


def _retire(ledger: Ledger, settings: Settings, run: Run, done: Maintained) -> None:
    """Drop what is kept of a run for a while only: rows that say nothing new, results that were never published, work
    files. Its own row stays, with its counts and the address of its report.
    """
    run_id, work = run.run_id, open_store(run.work_url, settings)
    done.items += ledger.upkeep.trim_items(run_id)
    for result in ledger.upkeep.never_published(run_id, work.address(layout.staged_prefix(run_id))):
        if ledger.upkeep.drop_result(result):
            work.delete((result.address or "").removeprefix(work.address("")))
            done.results += 1
    done.work_files += _delete_unneeded(ledger, work, work.list(f"{run_id}/"))
    ledger.upkeep.retire(run_id)
