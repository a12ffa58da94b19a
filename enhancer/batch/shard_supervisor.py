"""Seeing a shard through its workers: what is left to do, and blame only where it is due.

A worker that dies or hangs takes the pictures it has in hand with it. Those that were being worked on run again one by
one, each in a worker of its own; only one that kills that worker too is charged and quarantined. The rest of the shard,
what merely waited for its next step included, goes on in a fresh worker.
"""

from __future__ import annotations

import time
from typing import Final

import structlog
from sqlalchemy.exc import SQLAlchemyError

from enhancer.batch.failures import Failure
from enhancer.batch.second_look import is_marked
from enhancer.batch.worker.events import Event, ShardMode
from enhancer.batch.worker_process import OnEvent, Watch, WorkerError, WorkerProcess, ignore_event
from enhancer.ledger import Item, ItemState, Lease, Ledger
from enhancer.ledger.engine import is_transient
from enhancer.settings import Settings

log = structlog.get_logger(__name__)

MAX_IDLE_DEATHS: Final = 3
"""Workers that die without a picture in flight before the task gives up: the trouble is the machine's."""


class ShardSupervisor:
    """Runs workers for one shard and mode until nothing is left to do."""

    def __init__(
        self, mode: ShardMode, lease: Lease, ledger: Ledger, settings: Settings, on_event: OnEvent = ignore_event
    ) -> None:
        self._mode = mode
        self._lease = lease
        self._ledger = ledger
        self._settings = settings
        self._on_event = on_event
        self._renewed_at = time.monotonic()
        self._overlap = True
        self.peak_rss_mb = 0.0

    def run(self) -> None:
        """Work until the shard has nothing left for this mode.

        Raises:
            LeaseLostError: another attempt owns the shard; nothing more was written.
            WorkerError: workers keep dying with no picture to blame.
        """
        idle_deaths = 0
        while self._something_left():
            watch = self._one_worker()
            if watch.finished:
                return
            if not watch.in_hand:
                idle_deaths += 1
                if idle_deaths >= MAX_IDLE_DEATHS:
                    raise WorkerError(f"{MAX_IDLE_DEATHS} workers died before any picture: {watch.why().message}")
                continue
            idle_deaths = 0
            if len(watch.in_hand) > 1 and watch.ran_out_of_memory():
                self._overlap = False  # together they may take too much; one by one they get what there is
            self._sort_out(watch)

    def _something_left(self, key: str | None = None) -> bool:
        """Whether the shard, or this one picture of it, is still to be worked on."""
        halt = self._ledger.halts.of(self._lease.run_id)
        if halt is not None and (halt.kind == "stopped" or self._mode == "enhance"):
            return False
        if key is not None:
            row = self._ledger.items.get(self._lease.run_id, key)
            return row is not None and self._is_work(row)
        run_id, shard_id = self._lease.run_id, self._lease.shard_id
        waiting = ItemState.PENDING if self._mode == "enhance" else ItemState.ENHANCED
        if not self._ledger.items.shard_counts(run_id, shard_id).get(waiting):
            return False
        return self._mode == "enhance" or any(
            self._is_work(row) for row in self._ledger.items.of_shard(run_id, shard_id, waiting)
        )

    def _is_work(self, row: Item) -> bool:
        """Whether a picture waits for what workers of this mode do."""
        if self._mode == "enhance":
            return row.state == ItemState.PENDING
        return row.state == ItemState.ENHANCED and is_marked(row) is (self._mode == "second_look")

    def _sort_out(self, watch: Watch) -> None:
        """After a worker's death: the suspects run again one by one; the rest of what it had in hand is as it was."""
        suspects = watch.suspects()
        for key in watch.in_hand:
            self._give_back(key, tried=key in suspects)
        for key in suspects:
            if self._something_left(key):
                self._try_alone(key, watch.why())

    def _try_alone(self, key: str, first: Failure) -> None:
        """Run a picture that was worked on when its worker died in a worker of its own; charge it if that dies too."""
        log.warning("worker died; its picture runs again alone", key=key, reason=first.message, mode=self._mode)
        watch = self._one_worker(only=key)
        if watch.finished or key not in watch.in_hand:
            return
        failure = watch.why()
        log.error("picture quarantined: it killed a worker on its own", key=key, reason=failure.message)
        self._ledger.items.move(self._lease, key, ItemState.QUARANTINED, **failure.columns())
        self._on_event(Event(event="item", key=key, state=ItemState.QUARANTINED.value))

    def _give_back(self, key: str, *, tried: bool) -> None:
        """A picture that a dead worker had in hand is pending; it loses no attempt where it only waited."""
        row = self._ledger.items.get(self._lease.run_id, key)
        if row is not None and row.state == ItemState.RUNNING:
            self._ledger.items.give_back(self._lease, key, delay_s=0, count_attempt=tried)

    def _one_worker(self, only: str | None = None) -> Watch:
        """One worker to its end."""
        lease = self._lease
        arguments = [lease.run_id, str(lease.shard_id), str(lease.epoch), lease.owner]
        if only is not None:
            arguments.append(f"--only={only}")
        settings = self._settings if self._overlap else self._settings.model_copy(update={"overlap_pictures": 1})
        worker = WorkerProcess(self._mode, arguments, settings, on_event=self._on_event, on_tick=self._renew)
        try:
            return worker.run()
        finally:
            self.peak_rss_mb = max(self.peak_rss_mb, worker.watch.peak_rss_mb)

    def _renew(self) -> None:
        """Renew the lease each third of its life; bear a database that is away for as long as the lease lasts."""
        age = time.monotonic() - self._renewed_at
        if age < self._settings.lease_ttl_s / 3:
            return
        try:
            self._ledger.leases.renew(self._lease, self._settings.lease_ttl_s)
            self._renewed_at = time.monotonic()
        except SQLAlchemyError as error:
            if not is_transient(error) or age > self._settings.lease_ttl_s:
                raise
            log.warning("the ledger does not answer; the lease still holds", age_s=round(age))
