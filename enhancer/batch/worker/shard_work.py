"""What the worker's passes over a shard share: the lease, the ledger, the run's stores and recipes, the pipeline."""

from __future__ import annotations

from typing import Any

from enhancer.batch.halting import RunWatch
from enhancer.batch.worker.events import EventStream
from enhancer.codecs import Limits
from enhancer.errors import EnhancerError, StorageError
from enhancer.ledger import Lease, Ledger, Result
from enhancer.pipeline import Pipeline
from enhancer.recipe import parse_recipe
from enhancer.settings import Settings
from enhancer.storage import open_store, split_address


class ShardWork:
    """Base of a pass: opens what its pictures need. Nets load on first use and stay for all of them."""

    def __init__(self, lease: Lease, settings: Settings, events: EventStream) -> None:
        self._lease = lease
        self._settings = settings
        self._events = events
        self._ledger = Ledger(settings.ledger_url())
        self._run = self._ledger.runs.get(lease.run_id)
        self._source = open_store(self._run.input_url, settings)
        self._output = open_store(self._run.output_url, settings)
        self._work = open_store(self._run.work_url, settings)
        self._recipes = {name: parse_recipe(value) for name, value in self._run.recipes.items()}
        self._limits = Limits.from_settings(settings)
        self._pipeline = Pipeline(settings=settings)
        self._watch = RunWatch(self._ledger, settings, lease, self._run.params)

    def _stored_is_there(self, stored: Result) -> bool:
        """Whether the result's object is where its row says, and no other result was published over it since.

        An earlier run's folder or bucket may be gone altogether: then so is the result, and nothing else is wrong.
        """
        if stored.address is None:
            return False
        target = self._ledger.targets.get(stored.address)
        if target is not None and target.identity != stored.identity:
            return False
        root, key = split_address(stored.address)
        try:
            there = open_store(root, self._settings).head(key)
        except StorageError as error:
            if error.reason != "no-such-store":
                raise
            return False
        return there is not None and there.size == stored.size


def log_failure(logger: Any, event: str, error: Exception, **about: Any) -> None:
    """One line for an error that this package raises on purpose; the traceback for one that nobody foresaw."""
    foreseen = isinstance(error, EnhancerError)
    logger.warning(event, error=str(error), exc_info=None if foreseen else error, **about)
