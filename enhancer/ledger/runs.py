"""Runs: opening one, filling it with items and shards, closing it for good."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, Engine, and_, delete, exists, func, insert, or_, select, update
from sqlalchemy.exc import IntegrityError

from enhancer.errors import LeaseLostError, RequestError
from enhancer.ledger.bulk import insert_rows
from enhancer.ledger.engine import reading
from enhancer.ledger.items import close_open_items
from enhancer.ledger.leases import Lease
from enhancer.ledger.rows import PLANNING_FAILED, Item, Run, Shard
from enhancer.ledger.states import AWAIT_A_PERSON, OPEN, ItemState
from enhancer.ledger.tables import db_now, item, run, shard
from enhancer.ledger.verdicts import ApprovedAs, change
from enhancer.paging import batched
from enhancer.reasons import Reason
from enhancer.version import __version__


def no_such_run(run_id: str) -> RequestError:
    """The error of a run's id that the ledger does not know."""
    return RequestError(f"the ledger knows no run {run_id!r}: `enhancer ledger runs` lists them", reason=Reason.NO_RUN)


class Runs:
    """The life of a run: planning -> running -> finished."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def open(self, run_id: str, check: Callable[[Run], None] | None = None, **values: Any) -> str:
        """Open a run for planning and return its id.

        A run that was cut short while planning starts its planning anew; one that is running is left as it is; a
        finished one never reopens: the new run gets the id with ``~2``, ``~3``, ... appended. An open run of the very
        DAG run is gone on with under whatever id it has.

        Args:
            run_id: the run's name.
            check: called with an open run before it is gone on with; raises to refuse.
            values: columns of the run's row.
        """
        number = 1
        while True:
            candidate = run_id if number == 1 else f"{run_id}~{number}"
            with self._engine.begin() as connection:
                found = self._open_run(connection, candidate, values.get("dag_id"), values.get("dag_run_id"))
                if found is None and self._insert(connection, candidate, values):
                    return candidate
                if found is not None and not found.is_finished:
                    if check is not None:
                        check(found)
                    if found.state == "planning":
                        self._plan_anew(connection, found.run_id, values)
                    return found.run_id
            if found is not None:
                number += 1  # else another process has just inserted this very run: look again

    @staticmethod
    def _open_run(connection: Connection, run_id: str, dag_id: str | None, dag_run_id: str | None) -> Run | None:
        """The open run of the DAG run, else the run with this id; its row is locked."""
        wanted = select(run).with_for_update()
        if dag_id is not None and dag_run_id is not None:
            of_dag_run = (run.c.dag_id == dag_id, run.c.dag_run_id == dag_run_id, run.c.state != "finished")
            row = connection.execute(wanted.where(*of_dag_run).order_by(run.c.created_at.desc()).limit(1)).one_or_none()
            if row is not None:
                return Run(*row)
        row = connection.execute(wanted.where(run.c.run_id == run_id)).one_or_none()
        return None if row is None else Run(*row)

    @staticmethod
    def _plan_anew(connection: Connection, run_id: str, values: dict[str, Any]) -> None:
        connection.execute(delete(item).where(item.c.run_id == run_id))
        connection.execute(delete(shard).where(shard.c.run_id == run_id))
        anew = {"code_version": __version__, "finished_at": None, "summary": None, **values}
        connection.execute(update(run).where(run.c.run_id == run_id).values(**anew))

    @staticmethod
    def _insert(connection: Connection, run_id: str, values: dict[str, Any]) -> bool:
        zero = dict.fromkeys(("listed", "quick_skipped", "items", "shards"), 0)
        row = {"run_id": run_id, "state": "planning", "code_version": __version__, "created_at": db_now(), **zero}
        try:
            with connection.begin_nested():
                connection.execute(insert(run).values(**row, **values))
        except IntegrityError:
            there = connection.execute(select(run.c.run_id).where(run.c.run_id == run_id)).scalar_one_or_none()
            if there is None:
                raise  # not a race: a column is missing
            return False
        return True

    def get(self, run_id: str) -> Run:
        """One run.

        Raises:
            RequestError: there is no such run.
        """
        with reading(self._engine) as connection:
            row = connection.execute(select(run).where(run.c.run_id == run_id)).one_or_none()
        if row is None:
            raise no_such_run(run_id)
        return Run(*row)

    def add_items(self, rows: Sequence[dict[str, Any]]) -> None:
        """Insert planned items of one run, in one statement; rows carry the item table's columns.

        Raises:
            LeaseLostError: the run is not being planned any more: another attempt has started it.
        """
        if rows:
            with self._engine.begin() as connection:
                self._fence_planning(connection, rows[0]["run_id"])
                now = connection.execute(select(db_now())).scalar_one()
                insert_rows(connection, item, [{**row, "updated_at": now} for row in rows])

    def add_shards(self, run_id: str, shards: Iterable[tuple[int, int, float]]) -> None:
        """Insert shards as (shard_id, items, estimated seconds).

        Raises:
            LeaseLostError: the run is not being planned any more: another attempt has started it.
        """
        rows = [
            {"run_id": run_id, "shard_id": number, "items": items, "cost_s": cost, "lease_epoch": 0, "busy_s": 0.0}
            for number, items, cost in shards
        ]
        if rows:
            with self._engine.begin() as connection:
                self._fence_planning(connection, run_id)
                connection.execute(insert(shard), rows)

    @staticmethod
    def _fence_planning(connection: Connection, run_id: str) -> None:
        """Locks the run's row, so that its planning does not end before the caller's transaction."""
        state = connection.execute(
            select(run.c.state).where(run.c.run_id == run_id).with_for_update(read=True)
        ).scalar_one_or_none()
        if state != "planning":
            raise LeaseLostError(f"run {run_id} is {state}, not planning: another attempt has started it")

    def start(self, run_id: str, **values: Any) -> None:
        """Planning is over: the manifest is frozen and the shards may run."""
        with self._engine.begin() as connection:
            connection.execute(
                update(run).where(run.c.run_id == run_id, run.c.state == "planning").values(state="running", **values)
            )

    def planning_failed(self, run_id: str, error: dict[str, str]) -> None:
        """Planning came to nothing, for now: its time ends, and the run's summary has the error (`class`, `message`).

        It stays open: another try, or the cleared Dag run, plans it anew.
        """
        with self._engine.begin() as connection:
            connection.execute(
                update(run)
                .where(run.c.run_id == run_id, run.c.state == "planning")
                .values(finished_at=db_now(), summary={PLANNING_FAILED: error})
            )

    def shards_of(self, run_id: str) -> list[Shard]:
        """The run's shards in order."""
        with reading(self._engine) as connection:
            rows = connection.execute(select(shard).where(shard.c.run_id == run_id).order_by(shard.c.shard_id))
            return [Shard(*row) for row in rows]

    def verdicts_for(self, input_url: str, output_url: str, keys: Iterable[str]) -> dict[str, Item]:
        """For each key the item row of the last finished run that had it, where that row's outcome still matters.

        That is a verdict or a hold that no one released, a failure, or that it is no picture; or one of these that a
        person approved.
        """
        states = item.c.state.in_((*AWAIT_A_PERSON, ItemState.FAILED, ItemState.NOT_ATTEMPTED))
        no_picture = item.c.error_class.in_((Reason.NOT_A_PICTURE.value, Reason.EMPTY.value))
        matters = or_(states, and_(item.c.state == ItemState.SKIPPED, no_picture))
        finished_here = and_(run.c.input_url == input_url, run.c.output_url == output_url, run.c.state == "finished")
        found: dict[str, Item] = {}
        with reading(self._engine) as connection:
            for some in batched(keys):
                latest = (
                    select(item.c.key, func.max(run.c.created_at).label("created_at"))
                    .join(run, run.c.run_id == item.c.run_id)
                    .where(finished_here, item.c.key.in_(some))
                    .group_by(item.c.key)
                    .subquery()
                )
                rows = connection.execute(
                    select(item)
                    .join(run, run.c.run_id == item.c.run_id)
                    .join(latest, and_(latest.c.key == item.c.key, latest.c.created_at == run.c.created_at))
                    .where(finished_here, matters)
                    .order_by(run.c.run_id)
                )
                found.update((row.key, Item(*row)) for row in rows)
        lifted = {key for key, row in found.items() if row.released and row.state in AWAIT_A_PERSON}
        return {key: row for key, row in found.items() if key not in lifted or row.approved_as is not None}

    def recipes_asked_for(self, input_url: str, output_url: str) -> dict[str, Any]:
        """The recipes that runs at these addresses asked for, by digest."""
        here = (run.c.input_url == input_url, run.c.output_url == output_url)
        with reading(self._engine) as connection:
            asked = connection.execute(select(run.c.recipes).where(*here).order_by(run.c.created_at)).scalars()
            return {digest: recipe for recipes in asked for digest, recipe in recipes.items()}

    def abandoned(self, quiet_s: float, *, input_url: str | None = None, output_url: str | None = None) -> list[str]:
        """Runs that are not finished, began `quiet_s` ago or earlier and had no lease since, the oldest first."""
        since = db_now() - quiet_s
        here = [
            column == url
            for column, url in ((run.c.input_url, input_url), (run.c.output_url, output_url))
            if url is not None
        ]
        leased = exists().where(shard.c.run_id == run.c.run_id, shard.c.lease_expires_at > since)
        with reading(self._engine) as connection:
            return list(
                connection.execute(
                    select(run.c.run_id)
                    .where(run.c.state != "finished", run.c.created_at < since, ~leased, *here)
                    .order_by(run.c.created_at)
                ).scalars()
            )

    def take_all(self, run_id: str, owner: str) -> list[Lease]:
        """Raise every shard's epoch, so that no straggler can write any more; the report's leases."""
        with self._engine.begin() as connection:
            rows = connection.execute(
                update(shard)
                .where(shard.c.run_id == run_id)
                .values(lease_epoch=shard.c.lease_epoch + 1, lease_owner=owner, lease_expires_at=db_now() + 600)
                .returning(shard.c.shard_id, shard.c.lease_epoch)
            )
            return [Lease(run_id, number, owner, epoch) for number, epoch in sorted((int(a), int(b)) for a, b in rows)]

    def close_items(self, run_id: str, *, stopped: bool, held: bool = False, reason: str | None = None) -> None:
        """End every item that is still open (see :func:`enhancer.ledger.items.close_open_items`)."""
        with self._engine.begin() as connection:
            close_open_items(connection, run_id, stopped=stopped, held=held, reason=reason)

    def finish(self, run_id: str, outcome: str, *, report_address: str | None, summary: dict[str, Any]) -> None:
        """Close the run; it never reopens. Finishing a finished run again changes nothing.

        Raises:
            LeaseLostError: items are open, since a straggler took a shard back after :meth:`take_all`: close again.
        """
        with self._engine.begin() as connection:
            finished = connection.execute(
                update(run)
                .where(run.c.run_id == run_id, run.c.state != "finished")
                .values(
                    state="finished",
                    outcome=outcome,
                    report_address=report_address,
                    summary=summary,
                    finished_at=db_now(),
                )
            ).rowcount
            # After the run's row is locked, for Leases.take looks at it under a lock as well.
            open_items = connection.execute(
                select(func.count()).select_from(item).where(item.c.run_id == run_id, item.c.state.in_(OPEN))
            ).scalar_one()
            if finished and open_items:
                raise LeaseLostError(f"run {run_id} cannot finish: {open_items} of its items are open")

    def annotate(self, run_id: str, notes: dict[str, Any]) -> None:
        """Add to a run's summary, a finished one's too: what was found out about it. Its items and outcome stay.

        Raises:
            RequestError: there is no such run.
        """
        with self._engine.begin() as connection:
            row = connection.execute(
                select(run.c.summary).where(run.c.run_id == run_id).with_for_update()
            ).one_or_none()
            if row is None:
                raise no_such_run(run_id)
            connection.execute(
                update(run).where(run.c.run_id == run_id).values(summary={**(row.summary or {}), **notes})
            )

    def release(self, run_id: str, keys: Iterable[str] | None = None) -> int:
        """Lift the verdicts and holds of a finished run's items (all, or these keys): the next run works on them
        again, with the stored result of what was held. :mod:`enhancer.ledger.decisions` is for people.
        """
        with self._engine.begin() as connection:
            return change(connection, run_id, keys, "release", by="")

    def approve(self, run_id: str, keys: Iterable[str] | None = None, *, publish_as: ApprovedAs, by: str) -> int:
        """Have the next run publish a finished run's rejected and held items (all, or these keys), whatever its gate
        says: `enhanced`, or `original`, as they came. A decision may be made again until a run has acted on it.

        Args:
            run_id: the run.
            keys: of it.
            publish_as: what is published.
            by: who decides; it stands in the ledger with the time, also in the row of the run that publishes.
        """
        with self._engine.begin() as connection:
            return change(connection, run_id, keys, "approve", by=by, publish_as=publish_as)

    def drop(self, run_id: str, keys: Iterable[str] | None = None) -> int:
        """Reject the run's held items that no one released (all, or these keys); the verdict may be lifted later."""
        with self._engine.begin() as connection:
            return change(connection, run_id, keys, "drop", by="")
