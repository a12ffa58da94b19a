"""Notices that were sent to people: each once, though Airflow may call twice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Engine, delete, insert
from sqlalchemy.exc import IntegrityError

from enhancer.ledger.tables import db_now, notice


class Notices:
    """The ledger's memory of notices."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    @contextmanager
    def once(self, kind: str, subject: str) -> Iterator[bool]:
        """Whether this is the first time; the caller then sends the notice inside the block. An error there undoes it.

        A process that is killed inside the block has sent it as far as the ledger knows: at most once, not at least.
        """
        try:
            with self._engine.begin() as connection:
                connection.execute(insert(notice).values(kind=kind, subject=subject[:510], told_at=db_now()))
        except IntegrityError:
            yield False
            return
        try:
            yield True
        except BaseException:
            with self._engine.begin() as connection:
                connection.execute(delete(notice).where(notice.c.kind == kind, notice.c.subject == subject[:510]))
            raise
