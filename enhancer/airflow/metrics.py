"""Counters of the shard tasks, through Airflow's own metrics: StatsD or OpenTelemetry, as ``[metrics]`` is set.

Outside of an Airflow task (the command line) nothing is sent: the ledger has all of it. Names, below Airflow's prefix:

    enhancer.items.STATE        counter  pictures that came into this state
    enhancer.seconds.STEP       timing   per picture and step: read, decode, enhance, encode, write, enhance.STAGE
    enhancer.cache.hits         counter  results that a worker had computed before and found in its cache
    enhancer.shard.wait         timing   from the run's planning until a worker first took the shard
    enhancer.shard.TASK         timing   a shard's enhance, evaluate, second_look or publish
    enhancer.images_per_second  gauge    pictures that an enhance task got done, over its time
    enhancer.peak_memory_mb     gauge    the largest resident memory of a shard's workers
"""

from __future__ import annotations

import functools
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, ParamSpec, Protocol, TypeVar

import structlog
from sqlalchemy.exc import SQLAlchemyError

from enhancer.ledger import Ledger
from enhancer.ledger.states import ItemState

if TYPE_CHECKING:
    from enhancer.ledger.rows import Recorded
    from enhancer.settings import Settings

log = structlog.get_logger(__name__)

P = ParamSpec("P")
T = TypeVar("T")
Task = Literal["enhance", "evaluate", "second_look", "publish"]

_TASK_RUNNER: Final = "airflow.sdk.execution_time.task_runner"
"""Loaded in every Airflow task, where it has configured the metrics, and nowhere else."""


class Stats(Protocol):
    """What is used of Airflow's metrics."""

    def incr(self, stat: str, count: int) -> None:
        """Count up."""
        ...

    def gauge(self, stat: str, value: float) -> None:
        """Set a level."""
        ...

    def timing(self, stat: str, dt: float) -> None:
        """Tell a duration in milliseconds."""
        ...


def airflow_stats() -> Stats | None:
    """Airflow's metrics, inside one of its tasks."""
    if _TASK_RUNNER not in sys.modules:
        return None
    from airflow.sdk.observability import stats

    return stats


def measured(task: Task) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Send a shard task's figures at its end, also when it fails; it takes ``(reference, *, settings, ...)``."""

    def decorate(function: Callable[P, T]) -> Callable[P, T]:
        @functools.wraps(function)
        def run(*args: P.args, **kwargs: P.kwargs) -> T:
            stats = airflow_stats()
            if stats is None:
                return function(*args, **kwargs)
            reference: Any = args[0]
            settings: Any = kwargs["settings"]
            pass_ = ShardPass(task, str(reference["run"]), int(reference["shard"]), settings)
            try:
                return function(*args, **kwargs)
            finally:
                pass_.send(stats)

        return run

    return decorate


class ShardPass:
    """One task's pass over a shard: the ledger before and after it."""

    def __init__(self, task: Task, run_id: str, shard_id: int, settings: Settings) -> None:
        self._task, self._run_id, self._shard_id, self._settings = task, run_id, shard_id, settings
        self._begun = time.monotonic()
        with Ledger(settings.ledger_url()) as ledger:
            self._before = ledger.items.shard_counts(run_id, shard_id)
            self._since, self._waited_s = ledger.queries.shard_waited(run_id, shard_id)

    def send(self, stats: Stats) -> None:
        """Tell what changed. A ledger that is away costs the figures, not the task."""
        seconds = time.monotonic() - self._begun
        try:
            with Ledger(self._settings.ledger_url()) as ledger:
                after = ledger.items.shard_counts(self._run_id, self._shard_id)
                rows = ledger.items.changed_since(self._run_id, self._shard_id, self._since)
                shard = ledger.runs.shards_of(self._run_id)[self._shard_id]
        except SQLAlchemyError as error:
            log.warning("no metrics of this shard: the ledger does not answer", error=str(error))
            return
        stats.timing(f"enhancer.shard.{self._task}", 1000 * seconds)
        for state, count in after.items():
            if (more := count - self._before.get(state, 0)) > 0:
                stats.incr(f"enhancer.items.{state}", more)
        if self._task != "enhance":
            return
        if self._waited_s is not None:
            stats.timing("enhancer.shard.wait", 1000 * self._waited_s)
        for step, step_seconds in _steps(rows):
            stats.timing(f"enhancer.seconds.{step}", 1000 * step_seconds)
        if hits := sum(bool((row.details or {}).get("cached")) for row in rows):
            stats.incr("enhancer.cache.hits", hits)
        done = self._before.get(ItemState.PENDING, 0) - after.get(ItemState.PENDING, 0)
        stats.gauge("enhancer.images_per_second", max(0, done) / max(seconds, 1e-3))
        if shard.peak_rss_mb is not None:
            stats.gauge("enhancer.peak_memory_mb", shard.peak_rss_mb)


def _steps(rows: Iterable[Recorded]) -> Iterable[tuple[str, float]]:
    """Seconds by step of each picture; what took a result that was stored already has none."""
    for row in rows:
        timings: Mapping[str, float] = (row.details or {}).get("timings", {}) if not row.reused else {}
        yield from timings.items()
