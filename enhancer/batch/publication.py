"""Publication: bring each scored result to its target so that a crash at any moment leaves either the old or the
whole new object, and a ledger that can tell which.

    row `committing`, with the target claimed -> copy in one atomic step -> verify size and checksum
    -> row `published` or `reused` -> delete the staged object

Recovery starts with what is `committing`: the same steps again, which change nothing where they were done. (The
protocol follows Ray Data's two-phase checkpoint, ray-project/ray#61821; the ledger, not a conditional put, is the
arbiter.)
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import structlog

from enhancer.batch import layout
from enhancer.batch.checksums import columns_for
from enhancer.batch.failures import Failure, attempt_all, classify, end_state, is_systemic, pause_before_retry
from enhancer.batch.halting import RunWatch
from enhancer.errors import LeaseLostError, ObjectGoneError, StorageError
from enhancer.identity import digest
from enhancer.ledger import Item, ItemState, Lease, Ledger, Result
from enhancer.reasons import Reason
from enhancer.settings import Settings
from enhancer.storage import open_store, split_address
from enhancer.storage.base import ObjectInfo, ObjectStore

log = structlog.get_logger(__name__)


class TargetBusyError(StorageError):
    """Another run is copying to this target right now."""

    default_reason = Reason.TARGET_BUSY


class ResultMovedError(StorageError):
    """The stored object has moved since its address was read: another try finds it."""

    default_reason = Reason.MOVED


@dataclass(frozen=True, slots=True)
class _Target:
    key: str
    address: str


class Publisher:
    """Publishes the items of one shard under one lease."""

    def __init__(self, lease: Lease, ledger: Ledger, settings: Settings) -> None:
        self._lease = lease
        self._ledger = ledger
        self._settings = settings
        self._run = ledger.runs.get(lease.run_id)
        self._output = open_store(self._run.output_url, settings)
        self._work = open_store(self._run.work_url, settings)
        self._renewed_at = time.monotonic()
        self._watch = RunWatch(ledger, settings, lease, self._run.params)
        self._written: dict[str, _Target] = {}
        """By key, where a copy was begun that is not recorded."""

    def run(self, *states: ItemState) -> None:
        """Publish what was `committing` when someone crashed, then what is `scored` (or only `states`).

        Of a halted run only what was begun.
        """
        pictures = self._pictures(states or (ItemState.COMMITTING, ItemState.SCORED))
        try:
            attempt_all(pictures, self._attempt, self._renew)
        except LeaseLostError:  # who has lost the lease leaves no target that its row misdescribes
            for key in [*self._written]:
                self._check_what_was_written(key)
            raise

    def _pictures(self, states: tuple[ItemState, ...]) -> Iterator[Item]:
        for state in states:
            for row in self._ledger.items.of_shard(self._lease.run_id, self._lease.shard_id, state):
                if state is not ItemState.COMMITTING and self._watch.halt() is not None:
                    return
                if state is ItemState.COMMITTING:  # someone died over it, and may have left half a copy beside it
                    self._output.clear_interrupted(row.require_target_key().rpartition("/")[0])
                yield row

    def _attempt(self, row: Item, number: int) -> float | None:
        """One try of one picture; the pause before its next one, or None: it came to its end."""
        self._renew()
        try:
            self._publish(row)
        except LeaseLostError:
            raise
        except Exception as error:  # one picture's trouble must not stop the others
            if is_systemic(error):
                raise
            failure = classify(error, "publish")
            log.warning("publishing failed", key=row.key, attempt=number, error=str(error))
            pause = pause_before_retry(failure, number, self._settings)
            if pause is None:
                self._give_up(row, failure)
            return pause
        return None

    def _give_up(self, row: Item, failure: Failure) -> None:
        """The end of it for this run. Where the copy had begun, the target may hold either bytes: its row stops
        vouching for the old ones, and the next run makes it anew.
        """
        item = self._ledger.items.get(self._lease.run_id, row.key)
        if item is not None and item.state == ItemState.COMMITTING:
            self._ledger.targets.forget(self._lease, self._output.address(row.require_target_key()))
        self._written.pop(row.key, None)
        state = end_state(failure, row.failed_runs)
        self._ledger.items.move(self._lease, row.key, state, **failure.columns())
        if state is ItemState.FAILED:
            self._watch.failed()

    def _publish(self, row: Item) -> None:
        stored = self._ledger.results.get(row.require_identity())
        if stored is None or stored.address is None:
            raise ObjectGoneError(f"the result of {row.key!r} is not stored any more; the next run makes it again")
        target = _Target(row.require_target_key(), self._output.address(row.require_target_key()))
        if not self._commit(row, target):
            self._check_what_was_written(row.key)
            return
        there: ObjectInfo | None
        if stored.address != target.address:
            self._written[row.key] = target
            there = self._copy(row, stored.address, target)
        else:
            there = self._output.head(target.key)
        verify(self._output, target.key, there, stored)
        if self._record(row, stored, target):
            self._written.pop(row.key, None)
            self._delete_staged(row, stored)
        else:
            self._check_what_was_written(row.key)

    def _copy(self, row: Item, address: str, target: _Target) -> ObjectInfo:
        """Copy the stored object to the target.

        Raises:
            ResultMovedError: another run published it first, and its staged copy is gone.
        """
        root, key = split_address(address)
        try:
            return self._output.copy_from(open_store(root, self._settings), key, target.key)
        except StorageError as error:
            stored = self._ledger.results.get(row.require_identity())
            is_away = error.reason in (Reason.GONE, Reason.NO_SUCH_STORE)
            if is_away and stored is not None and stored.address not in (None, address):
                raise ResultMovedError(f"{address} has moved to {stored.address}") from error
            raise

    def _commit(self, row: Item, target: _Target) -> bool:
        """Claim the target and say in the ledger that it is about to be written; False: a later run has it."""
        lease, key = self._lease, row.key
        with self._ledger.fenced(lease) as connection:
            claim = self._ledger.targets.claim(
                connection,
                lease,
                target.address,
                output_url=self._run.output_url,
                input_url=self._run.input_url,
                input_key=key,
            )
            if claim == "busy":
                raise TargetBusyError(f"another run is publishing to {target.address}")
            if claim == "superseded":
                self._superseded(connection, row)
                return False
            if row.state != ItemState.COMMITTING and not self._is_committing(connection, row):
                self._ledger.items.move_in(connection, lease, key, ItemState.COMMITTING)
        return True

    def _is_committing(self, connection: Any, row: Item) -> bool:
        """Whether an earlier attempt of this very loop got so far already."""
        return self._ledger.items.state_in(connection, self._lease.run_id, row.key) == ItemState.COMMITTING

    def _record(self, row: Item, stored: Result, target: _Target) -> bool:
        """The target holds the bytes: say so, all in one transaction; False: a later run took the target meanwhile."""
        lease, key = self._lease, row.key
        with self._ledger.fenced(lease) as connection:
            if not self._ledger.targets.held_by(connection, lease, target.address):
                self._superseded(connection, row)
                return False
            self._ledger.targets.record(
                connection,
                lease,
                target.address,
                identity=row.identity,
                digest=stored.digest,
                size=stored.size,
                input_etag=row.etag,
                input_size=row.size,
                recipe_digest=row.recipe_digest,
            )
            self._ledger.results.moved(connection, row.require_identity(), target.address)
            end = ItemState.REUSED if row.reused else ItemState.PUBLISHED
            self._ledger.items.move_in(connection, lease, key, end, **columns_for(row, stored))
        return True

    def _check_what_was_written(self, key: str) -> None:
        """The target has another owner by now, and our copy may lie over what that one published: no store can fence
        us out. So compare, and let a row that is wrong now vouch for nothing.
        """
        target = self._written.pop(key, None)
        if target is None:
            return
        try:
            found = digest(self._output.get(target.key).data)
        except ObjectGoneError:
            found = None
        self._ledger.targets.doubt(target.address, found)

    def _superseded(self, connection: Any, row: Item) -> None:
        self._ledger.items.move_in(
            connection,
            self._lease,
            row.key,
            ItemState.SKIPPED,
            stage="publish",
            error_class=Reason.SUPERSEDED,
            error_message="a later run publishes this picture",
        )

    def _delete_staged(self, row: Item, stored: Result) -> None:
        """What was staged has served: this run's, and an earlier run's where its result was reused and, by being
        recorded here, has moved. Who is about to copy from there finds it gone, looks again and finds it moved.
        """
        if row.staged_key:
            delete_staged(self._work, row.staged_key)
        address = stored.address
        if address is not None and layout.is_staged(address) and self._ledger.targets.get(address) is None:
            root, key = split_address(address)
            delete_staged(open_store(root, self._settings), key)

    def _renew(self) -> None:
        if time.monotonic() - self._renewed_at > self._settings.lease_ttl_s / 3:
            self._ledger.leases.renew(self._lease, self._settings.lease_ttl_s)
            self._renewed_at = time.monotonic()


def delete_staged(work: ObjectStore, key: str) -> None:
    """Delete a staged object; one that cannot be deleted now is swept by maintenance."""
    try:
        work.delete(key)
    except StorageError as error:
        log.warning("staged object left behind", key=key, error=error.message)


def verify(store: ObjectStore, key: str, there: ObjectInfo | None, stored: Result) -> None:
    """Whether the object is what the ledger says: its size, and its checksum (the ETag where that is an MD5 of the
    whole, else the bytes read back).

    Raises:
        StorageError: it is not (transient: the copy is made again).
    """
    if there is None or there.size != stored.size:
        found = "nothing" if there is None else f"{there.size} bytes"
        raise StorageError(
            f"{store.address(key)} holds {found} instead of {stored.size} bytes after copying", reason=Reason.BAD_COPY
        )
    if there.etag == stored.md5:
        return
    if digest(store.get(key).data) != stored.digest:
        raise StorageError(
            f"{store.address(key)} does not hold the bytes that were copied to it", reason=Reason.BAD_COPY
        )
