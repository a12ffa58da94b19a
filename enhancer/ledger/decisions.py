"""What a person decides on pictures that were not published: release, approve, drop.

Command line and page call the same function. It writes its line into the audit trail
(:mod:`enhancer.ledger.actions`) in the transaction that decides.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine, select

from enhancer.ledger.actions import KEYS_KEPT, add_action
from enhancer.ledger.engine import reading
from enhancer.ledger.runs import Runs
from enhancer.ledger.tables import item
from enhancer.ledger.verdicts import DECIDABLE, ApprovedAs, Verb, change


@dataclass(frozen=True, slots=True)
class Decided:
    """What came of a decision.

    Attributes:
        run_id: whose pictures were decided on.
        verb: what was decided.
        keys: of those on which it could be decided here.
        count: how many of them it changed; the others had been decided on like that before.
        unknown: named pictures on which there was nothing to decide.
        standing: pictures on which a later run has the last word, with that run.
        changed: pictures that were left alone since somebody decided on them after the caller had looked.
        action_id: its line in the audit trail.
    """

    run_id: str
    verb: Verb
    keys: list[str]
    count: int
    unknown: list[str]
    standing: dict[str, str]
    changed: list[str]
    action_id: int


class Decisions:
    """What people decide."""

    def __init__(self, engine: Engine, runs: Runs) -> None:
        self._engine = engine
        self._runs = runs

    def decide(
        self,
        run_id: str,
        keys: Collection[str] | None,
        verb: Verb,
        *,
        by: str,
        states: Iterable[str] | None = None,
        publish_as: ApprovedAs = "enhanced",
        seen_at: float | None = None,
        notes: dict[str, Any] | None = None,
    ) -> Decided:
        """Decide on pictures of a finished run.

        Args:
            run_id: the run.
            keys: of it; None: all on which this can be decided.
            verb: ``release`` lifts verdicts and holds: the next run works on them again, with the stored result of what
                was held. ``approve`` has the next run publish what is rejected or held, whatever its gate says; this
                may be decided anew until a run has acted on it. ``drop`` rejects what is held.
            by: who decides.
            states: only pictures in these; None: all on which this can be decided.
            publish_as: of ``approve``: the result that was not let through, or the picture as it came.
            seen_at: when the caller looked, by the database's clock: what changed since is left alone. None: it is not.
            notes: what else the line in the audit trail says.

        Raises:
            RequestError: there is no such run.
        """
        row = self._runs.get(run_id)
        allowed = DECIDABLE[verb] if states is None else DECIDABLE[verb].intersection(states)
        there = self._updates(run_id, allowed)
        wanted = list(there) if keys is None else list(dict.fromkeys(keys))
        here = [key for key in wanted if key in there]
        # A later run that repeated the verdict has one of its own, which is what counts: nothing is decided here.
        later = self._runs.verdicts_for(row.input_url, row.output_url, here)
        standing = {key: other.run_id for key, other in later.items() if other.run_id != run_id}
        changed = [key for key in here if seen_at is not None and there[key] > seen_at]
        skipped = standing.keys() | set(changed)
        chosen = [key for key in here if key not in skipped]
        unknown = [key for key in wanted if key not in there]
        details = {
            "keys": chosen[:KEYS_KEPT],
            "unknown": unknown[:KEYS_KEPT],
            "standing": dict(list(standing.items())[:KEYS_KEPT]),
            "changed": changed[:KEYS_KEPT],
            **({"publish_as": publish_as} if verb == "approve" else {}),
            **(notes or {}),
        }
        with self._engine.begin() as connection:
            count = change(connection, run_id, chosen, verb, by=by, publish_as=publish_as, seen_at=seen_at)
            action_id = add_action(connection, by, verb, run_id=run_id, count=count, details=details)
        return Decided(run_id, verb, chosen, count, unknown, standing, changed, action_id)

    def _updates(self, run_id: str, states: Collection[str]) -> dict[str, float]:
        """When each of the run's items in these states changed last, in manifest order; decided ones too."""
        with reading(self._engine) as connection:
            rows = connection.execute(
                select(item.c.key, item.c.updated_at)
                .where(item.c.run_id == run_id, item.c.state.in_(states))
                .order_by(item.c.position, item.c.key)
            )
            return {row.key: row.updated_at for row in rows}
