"""Targets: one row per output address, saying which bytes lie there and which run may write them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Literal

from sqlalchemy import Connection, Engine, Text, cast, exists, insert, select, update
from sqlalchemy.exc import IntegrityError

from enhancer.errors import EnhancerError
from enhancer.ledger.engine import reading
from enhancer.ledger.leases import Lease, fenced
from enhancer.ledger.rows import Target
from enhancer.ledger.states import ItemState
from enhancer.ledger.tables import db_now, item, result, run, shard, target
from enhancer.paging import batched
from enhancer.reasons import Reason

TargetClaim = Literal["mine", "superseded", "busy"]


class TargetCollisionError(EnhancerError):
    """Two inputs would be written to one address."""

    default_reason = Reason.TARGET_COLLISION


class Targets:
    """Claims on output addresses, and what was published there."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def claim(self, connection: Connection, lease: Lease, address: str, **created: Any) -> TargetClaim:
        """Claim `address` for the lease's run, within the caller's fenced transaction.

        Of two runs the later-started wins. ``superseded`` means that a later run has the target; ``busy``, that an
        earlier one is between its copy and its record right now: a copy of its that lands late must not cover ours.

        Args:
            connection: the caller's transaction.
            lease: the publishing shard's.
            address: the full output address.
            created: `output_url`, `input_url`, `input_key` of a new row.

        Raises:
            TargetCollisionError: the address belongs to another input key.
        """
        started = connection.execute(select(run.c.created_at).where(run.c.run_id == lease.run_id)).scalar_one()
        mine = {"claim_run_id": lease.run_id, "claim_started_at": started}
        row = self._locked(connection, address)
        if row is None:
            try:
                with connection.begin_nested():
                    connection.execute(insert(target).values(address=address, **created, **mine))
            except IntegrityError:  # another transaction inserted it between our look and our insert
                row = self._locked(connection, address)
            else:
                return "mine"
        if row is None or (row.input_url, row.input_key) != (created["input_url"], created["input_key"]):
            owner = f"{row.input_key!r} of {row.input_url}" if row else "another picture"
            raise TargetCollisionError(
                f"{created['input_key']!r} would be written to {address}, which belongs to {owner}: rename one of them "
                "or give the run another output_url"
            )
        holder, since = row.claim_run_id, row.claim_started_at
        if since is not None and (since, holder) > (started, lease.run_id):
            return "superseded"
        if holder != lease.run_id and self._being_written(connection, holder, row.input_key):
            return "busy"
        connection.execute(update(target).where(target.c.address == address).values(**mine))  # its row is locked
        return "mine"

    def held_by(self, connection: Connection, lease: Lease, address: str) -> bool:
        """Whether the lease's run still has the claim; locks the row, so that the answer holds until the commit."""
        owner = connection.execute(
            select(target.c.claim_run_id).where(target.c.address == address).with_for_update()
        ).scalar_one_or_none()
        return owner == lease.run_id

    def record(self, connection: Connection, lease: Lease, address: str, **published: Any) -> None:
        """What lies at `address` now, within the caller's fenced transaction."""
        connection.execute(
            update(target)
            .where(target.c.address == address, target.c.claim_run_id == lease.run_id)
            .values(run_id=lease.run_id, published_at=db_now(), **published)
        )

    def get(self, address: str) -> Target | None:
        """One target."""
        with reading(self._engine) as connection:
            row = connection.execute(select(target).where(target.c.address == address)).one_or_none()
        return None if row is None else Target(*row)

    def published_for(self, output_url: str, input_url: str, keys: Iterable[str]) -> dict[str, Target]:
        """The published targets of these input keys, the newest where there are several."""
        found: dict[str, Target] = {}
        with reading(self._engine) as connection:
            for some in batched(keys):
                rows = connection.execute(
                    select(target)
                    .where(
                        target.c.output_url == output_url,
                        target.c.input_url == input_url,
                        target.c.input_key.in_(some),
                        target.c.identity.is_not(None),
                    )
                    .order_by(target.c.published_at)
                )
                found.update((row.input_key, Target(*row)) for row in rows)
        return found

    def published_with_details(
        self,
        input_url: str,
        output_url: str,
        *,
        mentioning: str = "",
        run_id: str | None = None,
        prefix: str = "",
        batch: int = 500,
    ) -> Iterator[tuple[Target, dict[str, Any]]]:
        """What lies at the targets of these addresses, with the details of the result, in the order of input keys: of
        a key's targets the one that was published last.

        Args:
            input_url: of the runs.
            output_url: of the runs.
            mentioning: only results whose details contain this text somewhere; the caller looks closer.
            run_id: only what this run published.
            prefix: only input keys that start so.
            batch: rows in memory at a time; each batch is a transaction of its own.
        """
        newer = target.alias("newer")
        same_key = (
            newer.c.output_url == output_url,
            newer.c.input_url == input_url,
            newer.c.input_key == target.c.input_key,
        )
        matching = [
            target.c.output_url == output_url,
            target.c.input_url == input_url,
            target.c.identity.is_not(None),
            ~exists().where(*same_key, newer.c.identity.is_not(None), newer.c.published_at > target.c.published_at),
        ]
        if mentioning:
            matching.append(cast(result.c.details, Text).contains(mentioning, autoescape=True))
        if run_id is not None:
            matching.append(target.c.run_id == run_id)
        if prefix:
            matching.append(target.c.input_key.startswith(prefix, autoescape=True))
        joined = select(*target.c, result.c.details).join(result, result.c.identity == target.c.identity)
        after: str | None = None
        while True:
            page = joined.where(*matching)
            if after is not None:
                page = page.where(target.c.input_key > after)
            with reading(self._engine) as connection:
                rows = connection.execute(page.order_by(target.c.input_key).limit(batch)).all()
            for *columns, details in rows:
                found = Target(*columns)
                if found.input_key != after:  # two that were published at the same moment
                    yield found, details or {}
                after = found.input_key
            if len(rows) < batch:
                return

    def forget(self, lease: Lease, address: str) -> None:
        """The object is not there any more: the row no longer vouches for it."""
        with fenced(self._engine, lease) as connection:
            connection.execute(update(target).where(target.c.address == address).values(identity=None, digest=None))

    def doubt(self, address: str, found_digest: str | None) -> None:
        """A copy of ours landed after the target had another owner, and `found_digest` (None: nothing) lies there now:
        where the row says otherwise, it no longer vouches, and the next run makes the picture anew.

        Under no fence: whoever has lost its lease must be able to say so, and it takes nothing from anyone.
        """
        with self._engine.begin() as connection:
            connection.execute(
                update(target)
                .where(target.c.address == address, target.c.digest.is_distinct_from(found_digest))
                .values(identity=None, digest=None)
            )

    def refresh(self, lease: Lease, address: str, *, input_etag: str, input_size: int, recipe_digest: str) -> None:
        """The target was found to hold what is wanted: remember the input as it is now, for the next quick skip."""
        with fenced(self._engine, lease) as connection:
            connection.execute(
                update(target)
                .where(target.c.address == address)
                .values(input_etag=input_etag, input_size=input_size, recipe_digest=recipe_digest)
            )

    @staticmethod
    def _being_written(connection: Connection, run_id: str | None, key: str) -> bool:
        """Whether that run's item is `committing` under a lease that still holds."""
        return bool(
            connection.execute(
                select(
                    exists().where(
                        item.c.run_id == run_id,
                        item.c.key == key,
                        item.c.state == ItemState.COMMITTING,
                        shard.c.run_id == item.c.run_id,
                        shard.c.shard_id == item.c.shard_id,
                        shard.c.lease_expires_at > db_now(),
                    )
                )
            ).scalar()
        )

    @staticmethod
    def _locked(connection: Connection, address: str) -> Target | None:
        row = connection.execute(select(target).where(target.c.address == address).with_for_update()).one_or_none()
        return None if row is None else Target(*row)
