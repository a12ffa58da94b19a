"""Items: one row per run and key.

They move only along :data:`enhancer.ledger.states.TRANSITIONS` and, but for the closing of a run, only under a lease.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from sqlalchemy import Connection, Engine, Update, and_, case, exists, func, or_, select, update

from enhancer.ledger.engine import reading
from enhancer.ledger.leases import Lease, fenced
from enhancer.ledger.rows import Item, Recorded
from enhancer.ledger.states import ItemState, sources_of
from enhancer.ledger.tables import db_now, item, run, score
from enhancer.reasons import Reason

ERROR_COLUMNS: Final[dict[str, int]] = {"stage": 16, "error_class": 64, "error_message": 8000}
"""With their greatest lengths: PostgreSQL refuses what is longer than its column, SQLite does not."""

UNFINISHED: Final = Reason.UNFINISHED
"""The error class of a picture whose run ended in the middle of it."""

NO_SHARD: Final = -1
"""The shard of items that only repeat an earlier verdict: nothing is done for them."""

HELD_ERROR: Final = {"stage": "score", "error_class": Reason.RUN_GATE}
"""What a held item's row says beside the reason."""


class Items:
    """The state machine's writer."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def move(self, lease: Lease, key: str, to: ItemState, **values: Any) -> None:
        """Move one item to `to` and set columns, if the lease holds and the state machine has that step.

        Going to `running` counts an attempt. A step forward clears the error of the attempt before.

        Raises:
            LeaseLostError: the shard is someone else's.
            ValueError: the item is not in a state that may become `to`.
        """
        with fenced(self._engine, lease) as connection:
            self.move_in(connection, lease, key, to, **values)

    @staticmethod
    def _statement(lease: Lease, to: ItemState, values: dict[str, Any]) -> Update:
        if to == ItemState.RUNNING:
            values["attempts"] = item.c.attempts + 1
        if to in (ItemState.ENHANCED, ItemState.SCORED, ItemState.PUBLISHED, ItemState.REUSED):
            values = {**dict.fromkeys(ERROR_COLUMNS), **values}
        return (
            update(item)
            .where(
                item.c.run_id == lease.run_id,
                item.c.shard_id == lease.shard_id,
                item.c.state.in_(sources_of(to)),
            )
            .values(state=to, updated_at=db_now(), **values)
        )

    def move_in(self, connection: Connection, lease: Lease, key: str, to: ItemState, **values: Any) -> None:
        """:meth:`move` within the caller's fenced transaction."""
        statement = self._statement(lease, to, {name: _fit(name, value) for name, value in values.items()})
        moved = connection.execute(statement.where(item.c.key == key)).rowcount
        if moved != 1:
            raise ValueError(f"{key!r} in run {lease.run_id} is not in a state that may become {to}")

    def give_back(self, lease: Lease, key: str, *, delay_s: float, count_attempt: bool = True, **values: Any) -> None:
        """A running item is pending again, not before `delay_s` seconds from now by the database's clock.

        Args:
            lease: the shard's.
            key: the item.
            delay_s: back-off.
            count_attempt: False where nothing was tried (another worker has the result in hand).
            values: columns to set, such as the error.

        Raises:
            LeaseLostError: the shard is someone else's.
        """
        attempts = {} if count_attempt else {"attempts": item.c.attempts - 1}
        self.move(lease, key, ItemState.PENDING, not_before=db_now() + delay_s, **attempts, **values)

    def state_in(self, connection: Connection, run_id: str, key: str) -> str | None:
        """An item's state as the caller's transaction sees it."""
        return connection.execute(
            select(item.c.state).where(item.c.run_id == run_id, item.c.key == key)
        ).scalar_one_or_none()

    def changed_since(self, run_id: str, shard_id: int, since: float) -> list[Recorded]:
        """What was recorded with the shard's items since a time of the database's clock."""
        with reading(self._engine) as connection:
            rows = connection.execute(
                select(item.c.reused, item.c.details).where(
                    item.c.run_id == run_id, item.c.shard_id == shard_id, item.c.updated_at >= since
                )
            )
            return [Recorded(*row) for row in rows]

    def of_shard(self, run_id: str, shard_id: int, *states: ItemState) -> list[Item]:
        """The shard's items in these states, in manifest order."""
        with reading(self._engine) as connection:
            rows = connection.execute(
                select(item)
                .where(item.c.run_id == run_id, item.c.shard_id == shard_id, item.c.state.in_(states))
                .order_by(item.c.position)
            )
            return [Item(*row) for row in rows]

    def due(self, lease: Lease) -> tuple[list[Item], float | None]:
        """Pending items whose back-off is over, and the seconds until the next one's is (None: there is none)."""
        with reading(self._engine) as connection:
            pending = (
                item.c.run_id == lease.run_id,
                item.c.shard_id == lease.shard_id,
                item.c.state == ItemState.PENDING,
            )
            rows = connection.execute(
                select(item)
                .where(*pending, or_(item.c.not_before.is_(None), item.c.not_before <= db_now()))
                .order_by(item.c.position)
            ).all()
            wait = connection.execute(
                select(func.min(item.c.not_before) - db_now()).where(*pending, item.c.not_before > db_now())
            ).scalar_one()
        return [Item(*row) for row in rows], None if wait is None else max(0.0, float(wait))

    def get(self, run_id: str, key: str) -> Item | None:
        """One item."""
        with reading(self._engine) as connection:
            row = connection.execute(select(item).where(item.c.run_id == run_id, item.c.key == key)).one_or_none()
        return None if row is None else Item(*row)

    def counts(self, run_id: str) -> dict[str, int]:
        """Items by state."""
        with reading(self._engine) as connection:
            rows = connection.execute(
                select(item.c.state, func.count()).where(item.c.run_id == run_id).group_by(item.c.state)
            )
            return {state: int(count) for state, count in rows}

    def shard_counts(self, run_id: str, shard_id: int) -> dict[str, int]:
        """A shard's items by state."""
        with reading(self._engine) as connection:
            rows = connection.execute(
                select(item.c.state, func.count())
                .where(item.c.run_id == run_id, item.c.shard_id == shard_id)
                .group_by(item.c.state)
            )
            return {state: int(count) for state, count in rows}

    def keys_of(self, run_id: str, state: ItemState, error_classes: Iterable[str]) -> list[str]:
        """Keys of the run's items in a state with one of these errors."""
        with reading(self._engine) as connection:
            rows = connection.execute(
                select(item.c.key).where(
                    item.c.run_id == run_id, item.c.state == state, item.c.error_class.in_(list(error_classes))
                )
            )
            return list(rows.scalars())

    def passed_over(self, run_id: str, no_picture: Iterable[str]) -> int:
        """How many of the run's pictures its workers read and skipped: published already under another ETag, or no
        pictures by one of these errors.
        """
        unchanged = and_(item.c.identity.is_not(None), item.c.error_class.is_(None))
        with reading(self._engine) as connection:
            return int(
                connection.execute(
                    select(func.count())
                    .select_from(item)
                    .where(
                        item.c.run_id == run_id,
                        item.c.state == ItemState.SKIPPED,
                        or_(unchanged, item.c.error_class.in_(list(no_picture))),
                    )
                ).scalar_one()
            )

    def known_faults(self, run_id: str, *, fewer_failed_runs: int) -> int:
        """How many pictures the run tried again and quarantined for the very fault, in the very bytes, for which
        an earlier finished run of the same input has them quarantined.

        Args:
            run_id: the run.
            fewer_failed_runs: what failed in so many runs before may be quarantined for its number of failures and not
                for a fault of its own; it does not count.
        """
        other, other_run, this_run = item.alias("other"), run.alias("other_run"), run.alias("this_run")
        known = exists().where(
            other.c.key == item.c.key,
            other.c.state == ItemState.QUARANTINED,
            other.c.run_id != item.c.run_id,
            other.c.error_class == item.c.error_class,
            other.c.etag == item.c.etag,
            other.c.size == item.c.size,
            other_run.c.run_id == other.c.run_id,
            other_run.c.state == "finished",
            other_run.c.created_at < this_run.c.created_at,
            other_run.c.input_url == this_run.c.input_url,
        )
        statement = (
            select(func.count())
            .select_from(item)
            .join(this_run, this_run.c.run_id == item.c.run_id)
            .where(
                item.c.run_id == run_id,
                item.c.state == ItemState.QUARANTINED,
                item.c.shard_id != NO_SHARD,
                item.c.failed_runs < fewer_failed_runs,
                known,
            )
        )
        with reading(self._engine) as connection:
            return int(connection.execute(statement).scalar_one())

    def annotate(self, connection: Connection, lease: Lease, key: str, details: dict[str, Any]) -> None:
        """Replace the details of an `enhanced` item, which stays so, within the caller's fenced transaction.

        Raises:
            ValueError: the item is not `enhanced`.
        """
        noted = connection.execute(
            update(item)
            .where(item.c.run_id == lease.run_id, item.c.shard_id == lease.shard_id, item.c.key == key)
            .where(item.c.state == ItemState.ENHANCED)
            .values(details=details, updated_at=db_now())
        ).rowcount
        if noted != 1:
            raise ValueError(f"{key!r} in run {lease.run_id} is not enhanced")

    def add_scores(self, connection: Connection, lease: Lease, key: str, scores: Iterable[dict[str, Any]]) -> None:
        """Replace the item's scores, within the caller's fenced transaction.

        Each mapping has the score table's columns, ``kind`` and ``protocol`` at least.
        """
        connection.execute(score.delete().where(score.c.run_id == lease.run_id, score.c.key == key))
        for values in scores:
            connection.execute(score.insert().values(run_id=lease.run_id, key=key, updated_at=db_now(), **values))


def close_open_items(
    connection: Connection, run_id: str, *, stopped: bool, held: bool = False, reason: str | None = None
) -> None:
    """End every item that is open, but for those `committing`, whose bytes may lie at the target already.

    `not_attempted`: no one ever tried it or, where the run was `stopped`, it was waiting for its next step. `held`,
    where the run gate tripped: it waits for a person. `failed`: the rest. An error that an earlier try left stays.

    Called by the report after it has raised every epoch and resolved what was `committing`.

    Args:
        connection: the caller's transaction.
        run_id: the run.
        stopped: the surroundings failed, so the run was stopped.
        held: the run gate tripped.
        reason: why the run was halted; the message of items that have none.
    """
    waiting = (ItemState.PENDING, ItemState.ENHANCED, ItemState.SCORED)
    untried = item.c.state.in_(waiting) if stopped else item.c.state.in_(waiting) & (item.c.attempts == 0)
    if held:
        connection.execute(
            update(item)
            .where(item.c.run_id == run_id, item.c.state.in_(waiting))
            .values(state=ItemState.HELD.value, updated_at=db_now(), **HELD_ERROR, error_message=reason)
        )
    connection.execute(
        update(item)
        .where(item.c.run_id == run_id, item.c.state.in_((*waiting, ItemState.RUNNING)))
        .values(
            state=case((untried, ItemState.NOT_ATTEMPTED.value), else_=ItemState.FAILED.value),
            error_class=func.coalesce(
                item.c.error_class, case((untried, Reason.NOT_ATTEMPTED.value), else_=UNFINISHED.value)
            ),
            error_message=func.coalesce(
                item.c.error_message,
                reason or "the run ended before this picture was done; the next run takes it up",
            ),
            stage=func.coalesce(item.c.stage, "worker"),
            updated_at=db_now(),
        )
    )


def _fit(name: str, value: Any) -> Any:
    """A column's value as its database takes it."""
    return _storable(value, ERROR_COLUMNS[name]) if name in ERROR_COLUMNS and value is not None else value


def _storable(text: str, limit: int) -> str:
    """`text` as PostgreSQL takes it: no NUL, no half surrogate pair (from odd file names), at most `limit` long."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}").encode("utf-8", "replace").decode("utf-8")[:limit]
