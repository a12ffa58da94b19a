"""The states of an item and the only steps between them: one table, drawn in docs/architecture.md.

    pending -> running -> enhanced -> scored -> committing -> published
                                        |            `------> reused (the bytes were another picture's result)
                                        `-> held -> rejected   (run gate: a person drops it or releases it)

Every other arrow ends an item, or gives it back as pending.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class ItemState(StrEnum):
    """Where a picture stands in its run."""

    PENDING = "pending"
    RUNNING = "running"
    ENHANCED = "enhanced"
    SCORED = "scored"
    COMMITTING = "committing"
    HELD = "held"
    PUBLISHED = "published"
    SKIPPED = "skipped"
    REUSED = "reused"
    REJECTED = "rejected"
    FAILED = "failed"
    QUARANTINED = "quarantined"
    NOT_ATTEMPTED = "not_attempted"


S = ItemState

TERMINAL: Final = frozenset({S.PUBLISHED, S.SKIPPED, S.REUSED, S.REJECTED, S.FAILED, S.QUARANTINED, S.NOT_ATTEMPTED})
"""An item in one of these is done for this run; its row changes no more."""

GOOD: Final = frozenset({S.PUBLISHED, S.SKIPPED, S.REUSED})
"""The target is as it should be."""

VERDICTS: Final = frozenset({S.REJECTED, S.QUARANTINED})
"""Later runs repeat these without work until a person releases them or the input changes."""

APPROVABLE: Final = frozenset({S.REJECTED, S.HELD})
"""What a person may have published, as it was enhanced or as it came: a result exists, and it was not let through."""

AWAIT_A_PERSON: Final = VERDICTS | {S.HELD}
"""What a person may release; until then later runs leave the picture as it is."""

TRANSITIONS: Final[dict[ItemState, frozenset[ItemState]]] = {
    S.PENDING: frozenset({S.RUNNING, S.HELD, S.SKIPPED, S.REJECTED, S.QUARANTINED, S.FAILED, S.NOT_ATTEMPTED}),
    S.RUNNING: frozenset({S.PENDING, S.ENHANCED, S.SKIPPED, S.FAILED, S.QUARANTINED}),
    S.ENHANCED: frozenset({S.PENDING, S.SCORED, S.REJECTED, S.FAILED, S.QUARANTINED, S.HELD, S.NOT_ATTEMPTED}),
    S.SCORED: frozenset(
        {S.PENDING, S.COMMITTING, S.HELD, S.REJECTED, S.SKIPPED, S.FAILED, S.QUARANTINED, S.NOT_ATTEMPTED}
    ),
    S.HELD: frozenset({S.SCORED, S.REJECTED, S.NOT_ATTEMPTED}),
    S.COMMITTING: frozenset({S.PENDING, S.SCORED, S.PUBLISHED, S.REUSED, S.SKIPPED, S.FAILED, S.QUARANTINED}),
    **{state: frozenset() for state in TERMINAL},
}


OPEN: Final = frozenset({S.PENDING, S.RUNNING, S.ENHANCED, S.SCORED, S.COMMITTING})
"""Work is left to do without a person: no item of a finished run is in one of these."""


def check(before: ItemState, after: ItemState) -> None:
    """Raise ValueError for a step that the table does not have."""
    if after not in TRANSITIONS[before]:
        raise ValueError(f"an item cannot go from {before} to {after}")


def sources_of(after: ItemState) -> tuple[ItemState, ...]:
    """The states that may become `after`; the WHERE clause of every state update."""
    return tuple(state for state, targets in TRANSITIONS.items() if after in targets)
