"""When a run must not go on: its surroundings fail, or its gate refuses too much of what it makes.

*Systemic failure* stops a run: all of the first pictures of a shard (``stop_first_items``), or a share (``stop_share``)
of at least ``stop_min_items`` pictures of the run, failed for no fault of theirs. The *run gate* holds it: more than
``run_gate`` of at least ``run_gate_min_items`` judged pictures were refused. Either way no other picture is begun.
"""

from __future__ import annotations

import time
from typing import Any, Final

import structlog

from enhancer.ledger import Halt, Lease, Ledger
from enhancer.settings import Settings

log = structlog.get_logger(__name__)

LOOK_S: Final = 15.0
"""A run's figures are counted at most so often by one worker: each count reads the run's items."""


class RunWatch:
    """One worker's eye on its run.

    Args:
        ledger: where the run is.
        settings: the bounds.
        lease: the worker's; whose run and shard are watched.
        params: the run's, ``run_gate`` among them.
    """

    def __init__(self, ledger: Ledger, settings: Settings, lease: Lease, params: dict[str, Any]) -> None:
        self._ledger = ledger
        self._settings = settings
        self._lease = lease
        gate = params.get("run_gate")
        self._gate = settings.run_gate if gate is None else float(gate)
        self._counted_at: dict[str, float] = {}

    def halt(self) -> Halt | None:
        """The run's halt, whoever called it."""
        return self._ledger.halts.of(self._lease.run_id)

    def got_through(self) -> bool:
        """Whether any picture of the shard got through a step."""
        return self._ledger.halts.shard_trouble(self._lease.run_id, self._lease.shard_id)[1] > 0

    def failed(self) -> None:
        """After a picture of the shard failed for good: stop the run where that is systemic."""
        settings = self._settings
        bad, good = self._ledger.halts.shard_trouble(self._lease.run_id, self._lease.shard_id)
        if settings.stop_first_items and not good and bad >= settings.stop_first_items:
            self._stop(f"the first {bad} pictures of shard {self._lease.shard_id} all failed")
        if self._may_count("failed"):
            bad, good = self._ledger.halts.run_trouble(self._lease.run_id)
            if bad + good >= settings.stop_min_items and bad >= settings.stop_share * (bad + good):
                self._stop(f"{bad} of the first {bad + good} pictures failed")

    def refused(self, *, at_last: bool = False) -> None:
        """After the gate refused a picture, and at the end of the shard: hold the run where that is too much."""
        if self._gate >= 1 or not (self._may_count("refused") or at_last):
            return
        judged, bad = self._ledger.halts.gate_figures(self._lease.run_id)
        if judged >= self._settings.run_gate_min_items and bad > self._gate * judged:
            self._hold(
                f"the run gate tripped: {bad} of {judged} judged pictures were refused, more than run_gate="
                f"{self._gate:g}"
            )

    def _may_count(self, what: str) -> bool:
        now = time.monotonic()
        if now - self._counted_at.get(what, -LOOK_S) < LOOK_S:
            return False
        self._counted_at[what] = now
        return True

    def _stop(self, what: str) -> None:
        if self._ledger.halts.halt(self._lease.run_id, "stopped", f"{what} for no fault of theirs"):
            log.error("run stopped", run=self._lease.run_id, reason=what)

    def _hold(self, reason: str) -> None:
        if self._ledger.halts.halt(self._lease.run_id, "held", reason):
            log.error("run held", run=self._lease.run_id, reason=reason)
