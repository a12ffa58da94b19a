"""The rows that a person's decision changes; :mod:`enhancer.ledger.decisions` is what people decide with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, Literal, get_args

from sqlalchemy import Connection, select, update

from enhancer.ledger.rows import NOT_APPROVED
from enhancer.ledger.states import APPROVABLE, AWAIT_A_PERSON, ItemState
from enhancer.ledger.tables import db_now, item, run
from enhancer.paging import batched
from enhancer.reasons import Reason

Verb = Literal["release", "approve", "drop"]
VERBS: Final[tuple[Verb, ...]] = get_args(Verb)

ApprovedAs = Literal["enhanced", "original"]
"""As what a person has a picture published that was not let through."""

LONGEST_NAME: Final = 200
"""Of who decides, as the ledger keeps it."""

DECIDABLE: Final[dict[Verb, frozenset[ItemState]]] = {
    "release": AWAIT_A_PERSON,
    "approve": APPROVABLE,
    "drop": frozenset({ItemState.HELD}),
}
"""On pictures in these states each of them can be decided."""


def change(
    connection: Connection,
    run_id: str,
    keys: Iterable[str] | None,
    verb: Verb,
    *,
    by: str,
    publish_as: ApprovedAs = "enhanced",
    seen_at: float | None = None,
) -> int:
    """Change the rows of a run's items (all, or these keys) as `verb` has it, within the caller's transaction; how many
    it changed. Arguments as of :meth:`enhancer.ledger.decisions.Decisions.decide`, which also looks at later runs and
    writes the audit trail.
    """
    which = [item.c.run_id == run_id, item.c.state.in_(DECIDABLE[verb])]
    if verb != "approve":
        which.append(item.c.released == 0)
    if seen_at is not None:
        which.append(item.c.updated_at <= seen_at)
    decided = update(item).where(*which).values(updated_at=db_now(), **_columns(verb, by, publish_as))
    pages = [decided] if keys is None else [decided.where(item.c.key.in_(some)) for some in batched(keys)]
    count = sum(connection.execute(page).rowcount for page in pages)
    if verb == "drop" and count:
        summary = connection.execute(
            select(run.c.summary).where(run.c.run_id == run_id).with_for_update()
        ).scalar_one_or_none()
        connection.execute(update(run).where(run.c.run_id == run_id).values(summary=_counted_anew(summary, count)))
    return count


def _columns(verb: Verb, by: str, publish_as: ApprovedAs) -> dict[str, Any]:
    if verb == "release":
        return {"released": 1}
    if verb == "approve":
        return {"released": 1, "approved_as": publish_as, "approved_by": by[:LONGEST_NAME], "approved_at": db_now()}
    return {
        "state": ItemState.REJECTED.value,
        "stage": "score",
        "error_class": Reason.DROPPED.value,
        "error_message": "held by the run gate, and dropped by a person",
        **NOT_APPROVED,
    }


def _counted_anew(summary: dict[str, Any] | None, dropped: int) -> dict[str, Any] | None:
    """A finished run's summary whose report counted `dropped` rejected items as held."""
    if not summary or "counts" not in summary:
        return summary
    counts = {ItemState.REJECTED.value: 0, **summary["counts"]}
    counts[ItemState.HELD] -= dropped
    counts[ItemState.REJECTED] += dropped
    return {**summary, "counts": {state: count for state, count in counts.items() if count}}
