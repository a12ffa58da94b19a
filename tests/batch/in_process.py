"""The enhance pass of a worker in this process: real stores, a real ledger, no interpreter to start.

Trouble is made where a test may make it without a look inside: in what :class:`LocalStore` and :class:`Processing`, the
parts that a worker calls, do for a while.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import structlog

from enhancer.batch.plan.planning import Plan
from enhancer.batch.worker.enhance import EnhanceShard
from enhancer.processing import Picture, Processing
from enhancer.storage import LocalStore
from enhancer.storage.base import Fetched, ObjectInfo
from tests.batch.site_builder import Site


class Told:
    """Stands where a worker's event stream does, in this process.

    Attributes:
        started: keys, in the order in which they were begun.
        events: event, key and state, in order.
        contexts: of events sent by the steps' threads: the key, and the log's `item` at that moment.
        on_event: called with each event and its key.
    """

    def __init__(self) -> None:
        self.started: list[str] = []
        self.events: list[tuple[str, str | None, str | None]] = []
        self.contexts: list[tuple[str | None, Any]] = []
        self.on_event: Callable[[str, str | None], None] = lambda event, key: None

    def send(self, event: str, *, key: str | None = None, state: str | None = None, **data: Any) -> None:
        if event == "started" and key is not None:
            self.started.append(key)
        self.events.append((event, key, state))
        if event in ("progress", "waiting") and threading.current_thread() is not threading.main_thread():
            self.contexts.append((key, structlog.contextvars.get_contextvars().get("item")))
        self.on_event(event, key)


def shard_of(site: Site, plan: Plan, shard: int = 0) -> tuple[EnhanceShard, Told]:
    """The pass over one shard, under a lease of its own, and what it says."""
    told = Told()
    lease = site.ledger.leases.take(plan.run_id, shard, "test", 60)
    return EnhanceShard(lease, site.settings, told), told  # type: ignore[arg-type]


@contextmanager
def reads(site: Site, before: Callable[[str], None]) -> Iterator[None]:
    """Each read of an input calls `before` with its key first; what that raises is what the store raises."""
    real, source = LocalStore.get, str(site.input)

    def get(self: LocalStore, key: str, **options: Any) -> Fetched:
        if self.url == source:
            before(key)
        return real(self, key, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LocalStore, "get", get)
        yield


@contextmanager
def staged_writes(site: Site, before: Callable[[str], None]) -> Iterator[None]:
    """Each write below work_url calls `before` with its key first; what that raises is what the store raises."""
    real, work = LocalStore.put, str(site.work)

    def put(self: LocalStore, key: str, data: bytes, **more: Any) -> ObjectInfo:
        if self.url == work:
            before(key)
        return real(self, key, data, **more)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(LocalStore, "put", put)
        yield


@contextmanager
def steps(name: str, before: Callable[[Picture], None], after: Callable[[Picture], None]) -> Iterator[None]:
    """The step `name` of :class:`Processing`, with something before and after it."""
    real = getattr(Processing, name)

    def step(self: Processing, picture: Picture) -> None:
        before(picture)
        real(self, picture)
        after(picture)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Processing, name, step)
        yield


def nothing(picture: Picture) -> None:
    """Before or after a step that nothing is to happen before or after."""


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
    work, told = shard_of(site, plan, shard)

    def ail(key: str) -> None:
        error = trouble(key)
        if error is not None:
            raise error

    with reads(site, ail):
        work.run(only)
    return told.started
