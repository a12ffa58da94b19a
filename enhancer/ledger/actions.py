"""What people did, each a line of an audit trail, and their notes on pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import Connection, Engine, insert, select

from enhancer.errors import RequestError
from enhancer.ledger.engine import reading
from enhancer.ledger.rows import Action, Note
from enhancer.ledger.tables import action, db_now, note

KEYS_KEPT: Final = 1000
"""Keys that an action's line names; its count has all of them."""

LONGEST_NOTE: Final = 4000


class Actions:
    """The audit trail and the notes. Nothing of it changes once written."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def add(self, by: str, verb: str, *, run_id: str | None, count: int, details: Mapping[str, Any]) -> int:
        """Write one line; its number."""
        with self._engine.begin() as connection:
            return add_action(connection, by, verb, run_id=run_id, count=count, details=details)

    def get(self, action_id: int) -> Action | None:
        """One line."""
        with reading(self._engine) as connection:
            row = connection.execute(select(action).where(action.c.action_id == action_id)).one_or_none()
        return None if row is None else Action(*row)

    def of_run(self, run_id: str, limit: int = 20) -> list[Action]:
        """What was done on a run, the newest first."""
        newest = action.c.at.desc(), action.c.action_id.desc()
        with reading(self._engine) as connection:
            rows = connection.execute(select(action).where(action.c.run_id == run_id).order_by(*newest).limit(limit))
            return [Action(*row) for row in rows]

    def add_note(self, input_url: str, key: str, text: str, *, by: str, run_id: str) -> None:
        """Write a note on the picture `key` of an input, with its line in the trail.

        Raises:
            RequestError: the note is empty, or longer than :data:`LONGEST_NOTE` characters.
        """
        text = text.replace("\0", "").strip()
        if not text or len(text) > LONGEST_NOTE:
            raise RequestError(f"a note has 1 to {LONGEST_NOTE} characters, and this one {len(text)}")
        with self._engine.begin() as connection:
            connection.execute(insert(note).values(input_url=input_url, key=key, text=text, by=by[:200], at=db_now()))
            add_action(connection, by, "note", run_id=run_id, count=1, details={"keys": [key]})

    def notes_on(self, input_url: str, key: str) -> list[Note]:
        """The notes on a picture, the oldest first."""
        oldest = note.c.at, note.c.note_id
        with reading(self._engine) as connection:
            rows = connection.execute(
                select(note).where(note.c.key == key, note.c.input_url == input_url).order_by(*oldest)
            )
            return [Note(*row) for row in rows]


def add_action(
    connection: Connection, by: str, verb: str, *, run_id: str | None, count: int, details: Mapping[str, Any]
) -> int:
    """:meth:`Actions.add` within the caller's transaction, so that what is done and its line stand or fall together."""
    values = {"at": db_now(), "by": by[:200], "verb": verb, "run_id": run_id, "count": count, "details": dict(details)}
    return int(connection.execute(insert(action).values(**values).returning(action.c.action_id)).scalar_one())
