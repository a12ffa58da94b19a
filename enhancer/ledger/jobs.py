"""Jobs of the HTTP service: submitted once, worked on by one server at a time, followed by their events.

A job is a run that a caller asked for. It stands here from the moment in which the caller is told so until the server
has planned its run; from then on its pictures are that run's items.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Final

from sqlalchemy import Connection, Engine, delete, func, insert, select, update

from enhancer.errors import RequestError
from enhancer.ledger.engine import reading
from enhancer.ledger.rows import Job, JobEvent
from enhancer.ledger.tables import db_now, service_event, service_job
from enhancer.paging import batched
from enhancer.reasons import Reason

OPEN: Final = ("queued", "running")


class IdempotencyConflictError(RequestError):
    """The same idempotency key came before with another request."""

    default_reason = Reason.KEY_REUSED


class QueueFullError(RequestError):
    """As many jobs are open as the service takes."""

    default_reason = Reason.QUEUE_FULL


def no_such_job(job_id: str) -> RequestError:
    """The error of a job that is not there, or is another caller's: which of the two, nobody learns."""
    return RequestError(f"there is no job {job_id!r}", reason=Reason.NO_JOB)


class Jobs:
    """The life of a job: queued -> running -> finished, failed or cancelled."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    # ---------------------------------------------------------------- callers

    def submit(
        self,
        job_id: str,
        owner: str,
        request: dict[str, Any],
        *,
        has_files: bool = False,
        key: str | None = None,
        body_digest: str | None = None,
        limit: int | None = None,
    ) -> tuple[Job, bool]:
        """Queue a job; with a key that `owner` gave before, that job, and False.

        Args:
            job_id: of the new one.
            owner: whose it is.
            request: params of its run.
            has_files: its input was uploaded with it.
            key: the caller's idempotency key.
            body_digest: what came with the key.
            limit: open jobs at most, this one included; None: no limit.

        Raises:
            IdempotencyConflictError: the key came with something else before.
            QueueFullError: `limit` jobs are open.
        """
        with self._engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                # The look for the key and the count must hold until the insert. SQLite has one writer anyway.
                connection.execute(select(func.pg_advisory_xact_lock(_SUBMIT_LOCK)))
            known = self._by_key(connection, owner, key, body_digest)
            if known is not None:
                return known, False
            count = connection.execute(
                select(func.count()).select_from(service_job).where(service_job.c.state.in_(OPEN))
            ).scalar_one()
            if limit is not None and count >= limit:
                raise QueueFullError(f"{count} jobs are open, as many as this service takes: try again later")
            connection.execute(
                insert(service_job).values(
                    job_id=job_id,
                    owner=owner,
                    state="queued",
                    request=request,
                    has_files=int(has_files),
                    idempotency_key=key,
                    body_digest=body_digest,
                    attempts=0,
                    created_at=db_now(),
                )
            )
            self._append(connection, job_id, "job", {"state": "queued"})
            row = connection.execute(select(service_job).where(service_job.c.job_id == job_id)).one()
        return Job(*row), True

    def known(self, owner: str, key: str, body_digest: str) -> Job | None:
        """The job that `owner` submitted with this idempotency key.

        Raises:
            IdempotencyConflictError: the key came with something else before.
        """
        with reading(self._engine) as connection:
            return self._by_key(connection, owner, key, body_digest)

    @staticmethod
    def _by_key(connection: Connection, owner: str, key: str | None, body_digest: str | None) -> Job | None:
        if key is None:
            return None
        row = connection.execute(
            select(service_job).where(service_job.c.owner == owner, service_job.c.idempotency_key == key)
        ).one_or_none()
        if row is None:
            return None
        if row.body_digest != body_digest:
            raise IdempotencyConflictError(
                f"the idempotency key {key!r} came with another request before, which is job {row.job_id}: give each "
                "request a key of its own"
            )
        return Job(*row)

    def get(self, job_id: str, owner: str | None = None) -> Job:
        """One job.

        Args:
            job_id: its id.
            owner: whose it must be; None: anybody's.

        Raises:
            RequestError: there is none.
        """
        wanted = select(service_job).where(service_job.c.job_id == job_id)
        if owner is not None:
            wanted = wanted.where(service_job.c.owner == owner)
        with reading(self._engine) as connection:
            row = connection.execute(wanted).one_or_none()
        if row is None:
            raise no_such_job(job_id)
        return Job(*row)

    def page(self, owner: str | None, limit: int, offset: int) -> list[Job]:
        """A page of jobs, the newest first; of one owner, or everybody's."""
        page = select(service_job).order_by(service_job.c.created_at.desc(), service_job.c.job_id.desc())
        if owner is not None:
            page = page.where(service_job.c.owner == owner)
        with reading(self._engine) as connection:
            return [Job(*row) for row in connection.execute(page.limit(limit).offset(offset))]

    def count_by_state(self) -> dict[str, int]:
        """How many jobs there are in each state that has any."""
        with reading(self._engine) as connection:
            rows = connection.execute(select(service_job.c.state, func.count()).group_by(service_job.c.state))
            return {state: int(count) for state, count in rows}

    def cancel(self, job_id: str) -> Job:
        """Note that an open job is no longer wanted: one that waits is cancelled at once, one that runs by its server.

        Raises:
            RequestError: there is none.
        """
        with self._engine.begin() as connection:
            row = self._locked(connection, job_id)
            if row is None:
                raise no_such_job(job_id)
            if row.state in OPEN and row.cancelled_at is None:
                self._set(connection, job_id, cancelled_at=db_now())
            if row.state == "queued":
                self._end(connection, job_id, "cancelled", None)
        return self.get(job_id)

    # ---------------------------------------------------------------- servers

    def claim(self, server: str, ttl_s: float, is_gone: Callable[[str], bool]) -> Job | None:
        """The job that is to be worked on next, under a lease; None: there is nothing to do.

        Of several callers, the one with the fewest running jobs is next; of one caller's jobs, the oldest. A job whose
        server is gone, or is silent beyond its lease, is gone on with first.

        Args:
            server: who works on it.
            ttl_s: for how long, unless renewed.
            is_gone: whether another server is known to have ended, so that its lease need not run out.
        """
        with self._engine.begin() as connection:
            due = (
                select(service_job)
                .where(
                    service_job.c.state.in_(OPEN),
                    func.coalesce(service_job.c.not_before, 0.0) <= db_now(),
                )
                .order_by(service_job.c.created_at, service_job.c.job_id)
                .with_for_update(skip_locked=True)
            )
            rows = [Job(*row) for row in connection.execute(due)]
            now = float(connection.execute(select(db_now())).scalar_one())
            free = [row for row in rows if _is_free(row, now, is_gone)]
            busy: dict[str, int] = {}
            for row in rows:
                if row not in free:
                    busy[row.owner] = busy.get(row.owner, 0) + 1
            if not free:
                return None
            chosen = min(free, key=lambda row: (row.state != "running", busy.get(row.owner, 0), row.created_at))
            self._set(
                connection,
                chosen.job_id,
                state="running",
                attempts=chosen.attempts + 1,
                started_at=chosen.started_at or now,
                lease_owner=server,
                lease_expires_at=now + ttl_s,
            )
            if chosen.state == "queued":
                self._append(connection, chosen.job_id, "job", {"state": "running"})
        return self.get(chosen.job_id)

    def renew(self, job_id: str, server: str, ttl_s: float) -> Job | None:
        """Go on holding a job; None where it is another server's by now."""
        with self._engine.begin() as connection:
            held = connection.execute(
                update(service_job)
                .where(service_job.c.job_id == job_id, service_job.c.lease_owner == server)
                .values(lease_expires_at=db_now() + ttl_s)
            ).rowcount
        return self.get(job_id) if held else None

    def planned(self, job_id: str, run_id: str) -> None:
        """Note which run is the job's."""
        with self._engine.begin() as connection:
            self._set(connection, job_id, run_id=run_id)

    def put_back(self, job_id: str, server: str, delay_s: float) -> None:
        """Let go of a job that could not be worked on just now."""
        with self._engine.begin() as connection:
            connection.execute(
                update(service_job)
                .where(service_job.c.job_id == job_id, service_job.c.lease_owner == server)
                .values(lease_owner=None, lease_expires_at=None, not_before=db_now() + delay_s)
            )

    def finish(self, job_id: str, server: str, state: str, error: tuple[str, str] | None = None) -> None:
        """End a job that `server` holds: ``finished``, ``failed`` or ``cancelled``, with an error's class and text."""
        with self._engine.begin() as connection:
            row = self._locked(connection, job_id)
            if row is not None and row.state in OPEN and row.lease_owner == server:
                self._end(connection, job_id, state, error)

    def known_among(self, job_ids: Collection[str]) -> set[str]:
        """Those of the ids that are jobs, whatever became of them."""
        found: set[str] = set()
        for some in batched(job_ids):
            with reading(self._engine) as connection:
                found.update(connection.scalars(select(service_job.c.job_id).where(service_job.c.job_id.in_(some))))
        return found

    def over(self, quiet_s: float) -> list[Job]:
        """Jobs that ended `quiet_s` ago or earlier and whose files are still there."""
        with reading(self._engine) as connection:
            rows = connection.execute(
                select(service_job).where(
                    service_job.c.finished_at < db_now() - quiet_s, service_job.c.expired_at.is_(None)
                )
            )
            return [Job(*row) for row in rows]

    def expired(self, job_id: str) -> None:
        """The job's files are deleted, and its events with them."""
        with self._engine.begin() as connection:
            self._set(connection, job_id, expired_at=db_now())
            connection.execute(delete(service_event).where(service_event.c.job_id == job_id))

    # ---------------------------------------------------------------- events

    def add_event(self, job_id: str, event: str, data: dict[str, Any]) -> None:
        """Append to what happened to a job."""
        with self._engine.begin() as connection:
            self._locked(connection, job_id)  # so that two threads' events get two numbers
            self._append(connection, job_id, event, data)

    def events(self, job_id: str, after: int, limit: int = 500) -> list[JobEvent]:
        """What happened to a job after the event with this number, in order."""
        with reading(self._engine) as connection:
            rows = connection.execute(
                select(service_event)
                .where(service_event.c.job_id == job_id, service_event.c.number > after)
                .order_by(service_event.c.number)
                .limit(limit)
            )
            return [JobEvent(*row) for row in rows]

    @staticmethod
    def _locked(connection: Connection, job_id: str) -> Any:
        return connection.execute(
            select(service_job).where(service_job.c.job_id == job_id).with_for_update()
        ).one_or_none()

    @staticmethod
    def _set(connection: Connection, job_id: str, **values: Any) -> None:
        connection.execute(update(service_job).where(service_job.c.job_id == job_id).values(**values))

    def _end(self, connection: Connection, job_id: str, state: str, error: tuple[str, str] | None) -> None:
        error_class, message = error or (None, None)
        self._set(
            connection,
            job_id,
            state=state,
            finished_at=db_now(),
            error_class=error_class,
            error_message=message,
            lease_owner=None,
            lease_expires_at=None,
        )
        said = {} if error is None else {"error": {"class": error_class, "message": message}}
        self._append(connection, job_id, "job", {"state": state, **said})

    @staticmethod
    def _append(connection: Connection, job_id: str, event: str, data: dict[str, Any]) -> None:
        last = select(func.coalesce(func.max(service_event.c.number), 0)).where(service_event.c.job_id == job_id)
        number = int(connection.execute(last).scalar_one()) + 1
        connection.execute(
            insert(service_event).values(job_id=job_id, number=number, event=event, data=data, at=db_now())
        )


_SUBMIT_LOCK: Final = 0x656E685F6A6F6273
"""PostgreSQL advisory locks are numbers: "enh_jobs" in ASCII."""


def _is_free(row: Job, now: float, is_gone: Callable[[str], bool]) -> bool:
    if row.lease_owner is None or row.lease_expires_at is None:
        return True
    return row.lease_expires_at < now or is_gone(row.lease_owner)
