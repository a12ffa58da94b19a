"""Results: one row per identity, so that no identity is computed twice, not even by two runs at once.

A result is claimed by inserting its row. The claim is as good as the lease of the shard that made it: when that lease
has expired or moved on, the claim has fallen and the next one takes it over.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import Connection, Engine, and_, delete, exists, insert, select, update
from sqlalchemy.exc import IntegrityError

from enhancer.errors import EnhancerError, ErrorKind
from enhancer.ledger.engine import reading
from enhancer.ledger.leases import Lease, fenced
from enhancer.ledger.rows import Result
from enhancer.ledger.tables import db_now, result, shard
from enhancer.paging import batched
from enhancer.reasons import Reason


class ClaimLostError(EnhancerError):
    """Another shard took this result's claim over, since our lease had expired for a while: try the picture again."""

    default_kind = ErrorKind.TRANSIENT
    default_reason = Reason.CLAIM_LOST


@dataclass(frozen=True, slots=True)
class Claim:
    """What claiming an identity found.

    Attributes:
        status: ``mine`` (compute it), ``stored`` (there already: `row`), ``busy`` (someone is computing it).
        row: the result's row, where it is stored.
    """

    status: Literal["mine", "stored", "busy"]
    row: Result | None = None


class Results:
    """Claims and stored results."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def claim(self, lease: Lease, identity: str) -> Claim:
        """Claim `identity` for `lease`, or learn who has it."""
        mine = {
            "state": "claimed",
            "run_id": lease.run_id,
            "shard_id": lease.shard_id,
            "lease_epoch": lease.epoch,
        }
        with fenced(self._engine, lease) as connection:
            row = self._locked(connection, identity)
            if row is None:
                try:
                    with connection.begin_nested():
                        connection.execute(
                            insert(result).values(identity=identity, attempts=1, updated_at=db_now(), **mine)
                        )
                except IntegrityError:
                    return Claim("busy")  # another transaction inserted it between our look and our insert
                return Claim("mine")
            if row.state == "stored":
                return Claim("stored", row)
            own = (row.run_id, row.shard_id) == (lease.run_id, lease.shard_id)
            if not own and self._claim_stands(connection, row):
                return Claim("busy")
            connection.execute(
                update(result)
                .where(result.c.identity == identity)
                .values(attempts=result.c.attempts + 1, updated_at=db_now(), **mine)
            )
            return Claim("mine")

    def store(self, connection: Connection, lease: Lease, identity: str, **values: Any) -> None:
        """Record the claimed result's object, within the caller's fenced transaction.

        Raises:
            ClaimLostError: the claim is not this lease's any more.
        """
        stored = connection.execute(
            update(result)
            .where(
                result.c.identity == identity,
                result.c.run_id == lease.run_id,
                result.c.shard_id == lease.shard_id,
                result.c.lease_epoch == lease.epoch,
            )
            .values(state="stored", updated_at=db_now(), **values)
        ).rowcount
        if stored != 1:
            raise ClaimLostError(f"the claim on result {identity} was taken over; the next try finds what became of it")

    def get(self, identity: str) -> Result | None:
        """One result."""
        with reading(self._engine) as connection:
            row = connection.execute(select(result).where(result.c.identity == identity)).one_or_none()
        return None if row is None else Result(*row)

    def moved(self, connection: Connection, identity: str, address: str) -> None:
        """The stored object now lies at `address` (its staged copy is about to be deleted)."""
        connection.execute(
            update(result)
            .where(result.c.identity == identity, result.c.state == "stored")
            .values(address=address, updated_at=db_now())
        )

    def reopen(self, lease: Lease, identity: str, *, address: str | None) -> None:
        """The stored object is gone from `address`: the identity is work again.

        No effect when it has moved meanwhile or is being computed anew.
        """
        with fenced(self._engine, lease) as connection:
            connection.execute(
                delete(result).where(
                    result.c.identity == identity, result.c.state == "stored", result.c.address == address
                )
            )

    def give_up(self, connection: Connection, lease: Lease, identity: str) -> None:
        """Drop a claim whose work failed, so that another picture's or run's attempt need not wait for the lease."""
        connection.execute(
            delete(result).where(
                result.c.identity == identity,
                result.c.state == "claimed",
                result.c.run_id == lease.run_id,
                result.c.shard_id == lease.shard_id,
            )
        )

    def give_up_claims(self, lease: Lease) -> None:
        """:meth:`give_up` for whatever the lease's shard has claimed and not stored."""
        with fenced(self._engine, lease) as connection:
            connection.execute(
                delete(result).where(
                    result.c.state == "claimed",
                    result.c.run_id == lease.run_id,
                    result.c.shard_id == lease.shard_id,
                )
            )

    def replace(self, connection: Connection, identity: str, **values: Any) -> None:
        """A gentler attempt's object takes the place of the stored one, within the caller's fenced transaction."""
        connection.execute(
            update(result)
            .where(result.c.identity == identity, result.c.state == "stored")
            .values(attempts=result.c.attempts + 1, updated_at=db_now(), **values)
        )

    def points_to(self, address: str) -> bool:
        """Whether some result's stored object is the one at `address`."""
        with reading(self._engine) as connection:
            return bool(connection.execute(select(exists().where(result.c.address == address))).scalar())

    def pointed_to(self, addresses: Iterable[str]) -> set[str]:
        """Those of `addresses` at which some result's stored object is."""
        found: set[str] = set()
        with reading(self._engine) as connection:
            for some in batched(addresses):
                found.update(connection.execute(select(result.c.address).where(result.c.address.in_(some))).scalars())
        return found

    @staticmethod
    def _locked(connection: Connection, identity: str) -> Result | None:
        row = connection.execute(select(result).where(result.c.identity == identity).with_for_update()).one_or_none()
        return None if row is None else Result(*row)

    @staticmethod
    def _claim_stands(connection: Connection, row: Result) -> bool:
        """Whether the shard that claimed it still holds the same, unexpired lease."""
        return bool(
            connection.execute(
                select(
                    exists().where(
                        and_(
                            shard.c.run_id == row.run_id,
                            shard.c.shard_id == row.shard_id,
                            shard.c.lease_epoch == row.lease_epoch,
                            shard.c.lease_expires_at > db_now(),
                        )
                    )
                )
            ).scalar()
        )
