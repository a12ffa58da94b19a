"""Keeping the ledger true and small: claims that fell, targets that are gone, rows of runs long past."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from sqlalchemy import Engine, and_, delete, exists, or_, select, text, tuple_, update

from enhancer.ledger.engine import reading
from enhancer.ledger.rows import Result, Run, Target
from enhancer.ledger.states import GOOD, OPEN, ItemState
from enhancer.ledger.tables import db_now, item, result, run, shard, target
from enhancer.paging import batched

BATCH: Final = 2000
"""Rows deleted in one transaction: writers wait no longer than for these."""


class Upkeep:
    """What maintenance does to the ledger, between runs and beside them."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def drop_fallen_claims(self) -> int:
        """Delete claims on results whose shard's lease moved on or ran out; whoever wants the result claims it anew."""
        stands = exists().where(
            shard.c.run_id == result.c.run_id,
            shard.c.shard_id == result.c.shard_id,
            shard.c.lease_epoch == result.c.lease_epoch,
            shard.c.lease_expires_at > db_now(),
        )
        with self._engine.begin() as connection:
            return connection.execute(delete(result).where(result.c.state == "claimed", ~stands)).rowcount

    def work_places(self) -> list[str]:
        """Every work_url that a run has used."""
        with reading(self._engine) as connection:
            return sorted(connection.execute(select(run.c.work_url).distinct()).scalars())

    def finished_before(self, seconds_ago: float, run_ids: Iterable[str] | None = None) -> Iterator[Run]:
        """Runs (of `run_ids`) that finished so long ago, the oldest first."""
        wanted = select(run).where(run.c.state == "finished", run.c.finished_at < db_now() - seconds_ago)
        for some in [None] if run_ids is None else batched(run_ids):
            page = wanted if some is None else wanted.where(run.c.run_id.in_(some))
            with reading(self._engine) as connection:
                rows = connection.execute(page.order_by(run.c.created_at)).all()
            yield from (Run(*row) for row in rows)

    def settle_items(self) -> None:
        """Let PostgreSQL look over the item table after many rows came at once, as it does itself some minutes later.

        Until then it takes the new run for a small one, and might look for a few keys by reading all of the run; and it
        counts the run's items by reading each row instead of the index alone.
        """
        if self._engine.dialect.name != "postgresql":  # SQLite chooses by its indexes, and would read all of each
            return
        lightly = "ANALYZE, SKIP_LOCKED, INDEX_CLEANUP OFF, TRUNCATE OFF"  # what was deleted is for its own maintenance
        with self._engine.connect() as connection:  # VACUUM allows no transaction around it
            connection.execution_options(isolation_level="AUTOCOMMIT").execute(text(f"VACUUM ({lightly}) {item.name}"))

    # ---------------------------------------------------------------- targets

    def outputs(self) -> list[str]:
        """Every output_url that something was published to."""
        with reading(self._engine) as connection:
            return sorted(connection.execute(select(target.c.output_url).distinct()).scalars())

    def targets_of(self, output_url: str, before: float) -> Iterator[Sequence[Target]]:
        """Targets that were published before a moment by the database's clock, page by page."""
        after = ""
        while True:
            with reading(self._engine) as connection:
                page = connection.execute(
                    select(target)
                    .where(
                        target.c.output_url == output_url,
                        target.c.identity.is_not(None),
                        target.c.published_at < before,
                        target.c.address > after,
                    )
                    .order_by(target.c.address)
                    .limit(BATCH)
                )
                rows = [Target(*row) for row in page]
            if not rows:
                return
            yield rows
            after = rows[-1].address

    def clear_target(self, row: Target) -> bool:
        """The object of a target row is gone: the row no longer vouches for it, unless it was published since."""
        with self._engine.begin() as connection:
            cleared = connection.execute(
                update(target)
                .where(target.c.address == row.address, target.c.published_at == row.published_at)
                .values(identity=None, digest=None)
            ).rowcount
        return cleared == 1

    def now(self) -> float:
        """The database's clock."""
        with reading(self._engine) as connection:
            return float(connection.execute(select(db_now())).scalar_one())

    # ---------------------------------------------------------------- retention

    def trim_items(self, run_id: str) -> int:
        """Delete the finished run's item rows that later runs need no more: those that a later run's row follows, and
        those that ended well. What stays is a last word that still matters: held, rejected, quarantined, failed.

        To be called for every run that has rows, the oldest first: a good row must not go before the bad ones that it
        follows.
        """
        row = select(run.c.input_url, run.c.output_url, run.c.created_at).where(run.c.run_id == run_id).subquery()
        newer_run, newer = run.alias("newer_run"), item.alias("newer")
        followed = exists().where(
            newer.c.key == item.c.key,
            newer_run.c.run_id == newer.c.run_id,
            newer_run.c.input_url == row.c.input_url,
            newer_run.c.output_url == row.c.output_url,
            newer_run.c.state == "finished",
            newer_run.c.created_at > row.c.created_at,
        )
        return self._delete_items(
            and_(item.c.run_id == run_id, or_(followed, item.c.state.in_(GOOD))),
        )

    def _delete_items(self, which: Any) -> int:
        deleted = 0
        while True:
            some = select(item.c.run_id, item.c.key).where(which).limit(BATCH)
            with self._engine.begin() as connection:
                count = connection.execute(delete(item).where(tuple_(item.c.run_id, item.c.key).in_(some))).rowcount
            deleted += count
            if count < BATCH:
                return deleted

    def never_published(self, run_id: str, folder: str) -> Iterator[Result]:
        """The run's results that lie below an address still and that nobody waits for: no picture with such a result is
        open or held.
        """
        waits = exists().where(item.c.identity == result.c.identity, item.c.state.in_(OPEN | {ItemState.HELD}))
        with reading(self._engine) as connection:
            rows = connection.execute(
                select(result).where(
                    result.c.run_id == run_id,
                    result.c.state == "stored",
                    result.c.address.startswith(folder, autoescape=True),
                    ~waits,
                )
            ).all()
        yield from (Result(*row) for row in rows)

    def drop_result(self, row: Result) -> bool:
        """Forget a stored result, unless it moved meanwhile; its identity is work again."""
        with self._engine.begin() as connection:
            dropped = connection.execute(
                delete(result).where(result.c.identity == row.identity, result.c.address == row.address)
            ).rowcount
        return dropped == 1

    def retire(self, run_id: str) -> bool:
        """Note that a run has no item rows and no work files any more; False while it has rows."""
        with self._engine.begin() as connection:
            if connection.execute(select(exists().where(item.c.run_id == run_id))).scalar_one():
                return False
            summary = connection.execute(select(run.c.summary).where(run.c.run_id == run_id)).scalar_one() or {}
            connection.execute(update(run).where(run.c.run_id == run_id).values(summary={**summary, "retired": True}))
        return True
