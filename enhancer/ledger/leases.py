"""Leases on shards. Every write to a shard's items names the lease it believes in; who is wrong stops at once.

A lease's epoch only ever grows. :func:`fence` locks the shard's row for the length of the caller's transaction, so no
one can take the lease over between the check and the write.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import Connection, Engine, select, update

from enhancer.errors import ErrorKind, LeaseLostError
from enhancer.ledger.states import ItemState
from enhancer.ledger.tables import db_now, item, run, shard


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to write a shard's items, until someone takes a higher epoch."""

    run_id: str
    shard_id: int
    owner: str
    epoch: int


def fence(connection: Connection, lease: Lease) -> None:
    """Raise :class:`LeaseLostError` unless `lease` is still the shard's; holds the row until the transaction ends."""
    epoch = connection.execute(
        select(shard.c.lease_epoch)
        .where(shard.c.run_id == lease.run_id, shard.c.shard_id == lease.shard_id)
        .with_for_update(read=True)
    ).scalar_one_or_none()
    if epoch != lease.epoch:
        raise LeaseLostError(
            f"shard {lease.shard_id} of run {lease.run_id} is owned by epoch {epoch} now, not {lease.epoch}: "
            "another attempt took over; this one stops and publishes nothing"
        )


@contextmanager
def fenced(engine: Engine, lease: Lease) -> Iterator[Connection]:
    """A transaction in which `lease` is the shard's to the end; it commits at the end, and rolls back on any error.

    Raises:
        LeaseLostError: the shard is someone else's; nothing was written.
    """
    with engine.begin() as connection:
        fence(connection, lease)
        yield connection


class Leases:
    """Taking, renewing and giving back."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def take(self, run_id: str, shard_id: int, owner: str, ttl_s: float) -> Lease:
        """Take the shard at once, whoever holds it.

        For the shard's next try or next task, which its scheduler lets run only when the one before is over. What the
        one before left `running` goes back to `pending`.

        Raises:
            LeaseLostError: permanent: there is no such shard, or its run is finished.
        """
        with self._engine.begin() as connection:
            # Locked, so that the run cannot finish between this look and our commit.
            state = connection.execute(
                select(run.c.state).where(run.c.run_id == run_id).with_for_update(read=True)
            ).scalar_one_or_none()
            epoch = connection.execute(
                update(shard)
                .where(shard.c.run_id == run_id, shard.c.shard_id == shard_id)
                .values(lease_epoch=shard.c.lease_epoch + 1, lease_owner=owner, lease_expires_at=db_now() + ttl_s)
                .returning(shard.c.lease_epoch)
            ).scalar_one_or_none()
            if epoch is None or state == "finished":
                raise LeaseLostError(
                    f"shard {shard_id} of run {run_id} does not exist or its run is finished; finished runs never "
                    f"reopen: start a new run, which does what is missing (`enhancer batch redrive --run {run_id}`)",
                    kind=ErrorKind.PERMANENT,
                )
            connection.execute(
                update(item)
                .where(item.c.run_id == run_id, item.c.shard_id == shard_id, item.c.state == ItemState.RUNNING)
                .values(state=ItemState.PENDING, not_before=None, updated_at=db_now())
            )
        return Lease(run_id, shard_id, owner, int(epoch))

    def renew(self, lease: Lease, ttl_s: float) -> None:
        """Push the expiry on.

        Raises:
            LeaseLostError: someone else owns the shard.
        """
        with self._engine.begin() as connection:
            renewed = connection.execute(
                update(shard)
                .where(
                    shard.c.run_id == lease.run_id,
                    shard.c.shard_id == lease.shard_id,
                    shard.c.lease_epoch == lease.epoch,
                )
                .values(lease_expires_at=db_now() + ttl_s)
            ).rowcount
        if renewed != 1:
            raise LeaseLostError(f"shard {lease.shard_id} of run {lease.run_id} was taken over from {lease.owner}")

    def release(self, lease: Lease, *, busy_s: float = 0.0, peak_rss_mb: float | None = None) -> None:
        """Give it back early, with what the work cost; a lease lost meanwhile is no error."""
        values: dict[str, object] = {"lease_expires_at": db_now(), "busy_s": shard.c.busy_s + busy_s}
        if peak_rss_mb is not None:
            values["peak_rss_mb"] = peak_rss_mb
        with self._engine.begin() as connection:
            connection.execute(
                update(shard)
                .where(
                    shard.c.run_id == lease.run_id,
                    shard.c.shard_id == lease.shard_id,
                    shard.c.lease_epoch == lease.epoch,
                )
                .values(**values)
            )
