"""Halting a run before its end, and the figures that decide it.

A run is halted once, for one of two reasons: *stopped*, since its surroundings fail (what was not reached ends
`not_attempted`), or *held*, since its gate refuses too much (what was not published waits for a person). No one begins
another picture of a halted run; its report closes it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, Literal

from sqlalchemy import Engine, and_, func, or_, select, update

from enhancer.ledger.engine import reading
from enhancer.ledger.states import TERMINAL, ItemState
from enhancer.ledger.tables import item, run
from enhancer.reasons import Reason

Kind = Literal["stopped", "held"]

OWN_FAULTS: Final = frozenset({Reason.TARGET_COLLISION, Reason.GONE, Reason.CHANGED, Reason.BUSY_ELSEWHERE})
"""Errors of `failed` items that say nothing about store, ledger or machine."""

GATE: Final = Reason.GATE
"""The error class of a picture that the gate refused."""

_THROUGH: Final = (
    ItemState.ENHANCED, ItemState.SCORED, ItemState.COMMITTING, ItemState.HELD, ItemState.PUBLISHED,
    ItemState.SKIPPED, ItemState.REUSED, ItemState.REJECTED,
)  # fmt: skip
_PASSED: Final = (ItemState.SCORED, ItemState.COMMITTING, ItemState.PUBLISHED, ItemState.REUSED)


@dataclass(frozen=True, slots=True)
class Halt:
    """Why a run goes no further."""

    kind: Kind
    reason: str


class Halts:
    """Halts runs and counts what speaks for it. Verdicts that a run only repeats do not count."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def halt(self, run_id: str, kind: Kind, reason: str) -> bool:
        """Halt the run; False where it is halted or finished already."""
        with self._engine.begin() as connection:
            halted = connection.execute(
                update(run)
                .where(run.c.run_id == run_id, run.c.state != "finished", run.c.halted.is_(None))
                .values(halted=kind, halt_reason=reason)
            ).rowcount
        return halted == 1

    def of(self, run_id: str) -> Halt | None:
        """The run's halt, if it is halted."""
        with reading(self._engine) as connection:
            row = connection.execute(
                select(run.c.halted, run.c.halt_reason).where(run.c.run_id == run_id)
            ).one_or_none()
        return None if row is None or row.halted is None else Halt(row.halted, row.halt_reason or "")

    def shard_trouble(self, run_id: str, shard_id: int) -> tuple[int, int]:
        """The shard's items that failed for no fault of theirs, and those that got through a step."""
        return self._trouble(item.c.run_id == run_id, item.c.shard_id == shard_id)

    def run_trouble(self, run_id: str) -> tuple[int, int]:
        """:meth:`shard_trouble` of the whole run."""
        return self._trouble(item.c.run_id == run_id, item.c.shard_id >= 0)

    def gate_figures(self, run_id: str) -> tuple[int, int]:
        """Pictures of the run that the gate judged so far, and how many of them it refused (passed through or not)."""
        refused = or_(
            and_(item.c.state == ItemState.REJECTED, item.c.error_class == GATE),
            and_(item.c.passed_through == 1, item.c.approved_as.is_(None)),  # else it was a person who refused it
        )
        with reading(self._engine) as connection:
            judged, bad = connection.execute(
                select(func.count(), func.count().filter(refused)).where(
                    item.c.run_id == run_id,
                    item.c.shard_id >= 0,
                    or_(item.c.state.in_(_PASSED), refused),
                )
            ).one()
        return int(judged), int(bad)

    def passed_through(self, run_id: str) -> int:
        """The run's pictures that went out unenhanced, since the gate refused their results."""
        with reading(self._engine) as connection:
            return int(
                connection.execute(
                    select(func.count()).where(item.c.run_id == run_id, item.c.passed_through == 1)
                ).scalar_one()
            )

    def _trouble(self, *where: Any) -> tuple[int, int]:
        failed = and_(item.c.state == ItemState.FAILED, item.c.error_class.not_in(OWN_FAULTS))
        with reading(self._engine) as connection:
            bad, good = connection.execute(
                select(func.count().filter(failed), func.count().filter(item.c.state.in_(_THROUGH))).where(
                    *where, item.c.state.in_(TERMINAL | set(_THROUGH))
                )
            ).one()
        return int(bad), int(good)
