"""The enhance pass of a worker in this process: real stores, a real ledger, no interpreter to start."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from enhancer.batch.plan.planning import Plan
from enhancer.batch.worker.enhance import EnhanceShard
from enhancer.storage.base import Fetched
from tests.batch.site_builder import Site


class Told:
    """Stands where a worker's event stream does, in this process."""

    def __init__(self) -> None:
        self.started: list[str] = []

    def send(self, event: str, *, key: str | None = None, state: str | None = None, **data: Any) -> None:
        if event == "started" and key is not None:
            self.started.append(key)


class Ailing:
    """A store that fails for some keys, as long as `trouble` says so."""

    def __init__(self, store: Any, trouble: Callable[[str], Exception | None]) -> None:
        self._store, self._trouble = store, trouble

    def get(self, key: str, **options: Any) -> Fetched:
        error = self._trouble(key)
        if error is not None:
            raise error
        found: Fetched = self._store.get(key, **options)
        return found


def no_trouble(key: str) -> Exception | None:
    """The store is well."""
    return None


def enhance(
    site: Site,
    plan: Plan,
    trouble: Callable[[str], Exception | None] = no_trouble,
    *,
    shard: int = 0,
    only: str | None = None,
) -> list[str]:
    """The enhance pass over one shard (or one key of it), with an input that may ail; the keys tried, in order."""
    lease = site.ledger.leases.take(plan.run_id, shard, "test", 60)
    told = Told()
    work = EnhanceShard(lease, site.settings, told)  # type: ignore[arg-type]
    work._source = Ailing(work._source, trouble)  # type: ignore[assignment]
    work.run(only)
    return told.started
