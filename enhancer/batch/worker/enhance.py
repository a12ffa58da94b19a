"""What the worker does with the pictures of its shard: read, identify, claim, enhance, write, record.

Several pictures are in hand at once, each at another step (:mod:`enhancer.batch.worker.pipelining`). This module is
their owner and runs in the worker's main thread, which alone talks to the ledger and, on a CPU, runs the nets; reading,
decoding, encoding and writing have threads. On a CUDA device the nets have threads too, so that tiles of several
pictures share a batch (:mod:`enhancer.backends.joining`). Read it top down to follow one picture; every arrow of its
state is a call to ``items.move``.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterable
from contextlib import ExitStack
from hashlib import md5
from queue import Empty, SimpleQueue
from typing import Any, Final

import structlog

from enhancer.batch.failures import Failure, classify, end_state, is_systemic, pause_before_retry
from enhancer.batch.side_files import DETAIL, NO_PICTURE
from enhancer.batch.worker.enhance_steps import EnhanceSteps, PictureInHand, details_of
from enhancer.batch.worker.events import EventStream
from enhancer.batch.worker.pipelining import ByteBudget, Done, StepThread, carry_out
from enhancer.batch.worker.shard_work import log_failure
from enhancer.codecs import sniff, target_key
from enhancer.errors import ErrorKind, LeaseLostError, ObjectGoneError, StorageError
from enhancer.identity import digest
from enhancer.ledger import Item, ItemState, Lease, Result
from enhancer.ledger.rows import NOT_APPROVED
from enhancer.reasons import Reason
from enhancer.settings import Settings

log = structlog.get_logger(__name__)

BUSY_POLL_S: Final = 2.0


class EnhanceShard(EnhanceSteps):
    """One worker's pass over a shard's pending pictures."""

    def __init__(self, lease: Lease, settings: Settings, events: EventStream) -> None:
        super().__init__(lease, settings, events)
        self._busy_since: dict[str, float] = {}
        self._in_trouble: set[str] = set()
        self._got_through = False
        self._begun = 0
        self._in_hand: dict[str, PictureInHand] = {}
        self._budget = ByteBudget(settings.overlap_mb * 1_000_000)
        self._computing: dict[str, PictureInHand] = {}
        self._same_result: dict[str, list[PictureInHand]] = {}
        self._to_decode: list[PictureInHand] = []
        self._to_enhance: deque[PictureInHand] = deque()
        self._done: SimpleQueue[Done[PictureInHand]] = SimpleQueue()
        steps = {"read": self.read, "decode": self.decode, "encode": self.encode, "write": self.write}
        self._threads = {name: StepThread(name, self.reported(step), self._done) for name, step in steps.items()}
        if self._pipeline.nets.gains_by_dynamic_batching and settings.gpu_pictures > 1:
            self._threads["enhance"] = StepThread(
                "enhance", self.reported(self.enhance), self._done, count=settings.gpu_pictures
            )

    def run(self, only: str | None = None) -> None:
        """Work until no picture of the shard is pending (or on `only` alone), or the run is halted."""
        self._events.send("ready")
        self._ledger.results.give_up_claims(self._lease)  # of a worker of this shard that died
        self._got_through = only is not None or self._watch.got_through()
        with ExitStack() as running:
            for thread in self._threads.values():
                running.enter_context(thread)
            while True:
                rows, wait_s = self._ledger.items.due(self._lease)
                tried = self._work_through(row for row in rows if only in (None, row.key))
                if self._watch.halt() is not None:
                    return
                if tried:
                    continue
                if wait_s is not None and only is None:
                    time.sleep(min(wait_s + 0.01, BUSY_POLL_S))
                    self._events.send("progress")
                elif rows and only is None:
                    self._got_through = True  # those in trouble came to their end, and the run was not stopped
                else:
                    return

    # ---------------------------------------------------------------- several pictures

    def _work_through(self, rows: Iterable[Item]) -> int:
        """Begin pictures as room allows, and see them all to their end; how many were begun."""
        before = self._begun
        for row in rows:
            while self._in_hand and not self._may_begin(row):
                self._advance()
            if not self._may_begin(row):
                continue
            if self._watch.halt() is not None:
                break
            self._begin(row)
        while self._in_hand:
            self._advance()
        return self._begun - before

    def _may_begin(self, row: Item) -> bool:
        """Whether there is room for this picture, and it is its turn.

        While nothing of the shard got through, the first few come to their end before others are tried: if it is the
        surroundings that fail, the run is stopped after these.
        """
        if len(self._in_hand) >= self._settings.overlap_pictures or not self._budget.fits(row.key, row.size or 0):
            return False
        first = self._settings.stop_first_items
        key, tried = row.key, self._in_trouble | self._in_hand.keys()
        return self._got_through or not first or len(tried) < first or key in tried

    def _begin(self, row: Item) -> None:
        key = row.key
        self._events.send("started", key=key)  # first, so that whoever kills us now leaves no running item unnamed
        self._ledger.items.move(self._lease, key, ItemState.RUNNING)
        picture = PictureInHand(name=key, recipe=self._recipes[row.recipe_digest], row=row, number=self._begun)
        self._begun += 1
        self._in_hand[key] = picture
        self._budget.charge(key, row.size or 0)
        self._events.send("waiting", key=key)
        self._threads["read"].hand(picture)

    def _advance(self) -> None:
        """Do what is next: decide for a picture that a thread is done with, else run the nets, else wait."""
        try:
            done = self._done.get_nowait()
        except Empty:
            if self._to_enhance:
                done = carry_out("enhance", self.reported(self.enhance), self._to_enhance.popleft())
            else:
                done = self._done.get()
        self._take(done)
        self._decode_what_fits()

    def _decode_what_fits(self) -> None:
        """Hand claimed pictures on to be decoded, in the order in which they were begun, as far as memory allows."""
        for picture in sorted(self._to_decode, key=lambda one: one.number):
            if not self._budget.fits(picture.key, picture.expected_bytes):
                return
            self._budget.charge(picture.key, picture.expected_bytes)
            self._to_decode.remove(picture)
            self._threads["decode"].hand(picture)

    # ---------------------------------------------------------------- one picture

    def _take(self, done: Done[PictureInHand]) -> None:
        """A picture after one of its steps: on to the next, or to its end. An error becomes its state, never the
        worker's end.
        """
        picture = done.work
        with structlog.contextvars.bound_contextvars(item=picture.key):
            try:
                state = self._go_on(done)
            except LeaseLostError:
                raise
            except ObjectGoneError as error:
                state = self._gone(picture, classify(error, picture.timings.step))
            except Exception as error:  # whatever a picture does to a library becomes that picture's state
                if is_systemic(error):
                    self._give_back(picture, error)
                    raise  # no picture's fault: the task fails and is retried, the pictures stay as they are
                state = self._failed(picture, classify(error, picture.timings.step))
                log_failure(log, "picture failed", error, key=picture.key, stage=picture.timings.step)
            if state is not None:
                self._end(picture, state)

    def _go_on(self, done: Done[PictureInHand]) -> ItemState | None:
        """What comes after a step; the picture's state where that is its end for this time.

        Raises:
            Exception: what the step raised.
        """
        step, picture = done.step, done.work
        if done.error is not None:
            raise done.error
        if step == "read":
            return self._identified(picture)
        if step == "decode":
            self._budget.charge(picture.key, picture.bytes_decoded())
            if picture.cached:
                self._threads["write"].hand(picture)
            elif "enhance" in self._threads:
                self._threads["enhance"].hand(picture)
            else:
                self._to_enhance.append(picture)
        elif step == "enhance":
            self._threads["encode"].hand(picture)
        elif step == "encode":
            self._threads["write"].hand(picture)
        else:
            return self._record(picture)
        return None

    def _identified(self, picture: PictureInHand) -> ItemState | None:
        """The identity is known: is there anything to compute, and is it ours to compute?"""
        key, identity = picture.key, picture.identity
        if self._published_already(picture):
            self._ledger.items.move(self._lease, key, ItemState.SKIPPED, identity=identity, etag=picture.etag)
            return ItemState.SKIPPED
        if identity in self._computing:
            self._same_result.setdefault(identity, []).append(picture)
            return None
        claim = self._ledger.results.claim(self._lease, identity)
        if claim.status == "stored" and claim.row is not None:
            if self._stored_is_there(claim.row):
                return self._reuse(picture, claim.row)
            self._ledger.results.reopen(self._lease, identity, address=claim.row.address)
            claim = self._ledger.results.claim(self._lease, identity)
        if claim.status == "busy":
            return self._wait_for_other(picture)
        self._compute(picture)
        return None

    def _compute(self, picture: PictureInHand) -> None:
        """The work itself, now that its result is claimed: decode, enhance, encode, write under work_url."""
        self._computing[picture.identity] = picture
        self._to_decode.append(picture)

    def _end(self, picture: PictureInHand, state: ItemState) -> None:
        """The picture is out of hand; others that wait for the same result are asked again."""
        del self._in_hand[picture.key]
        self._budget.release(picture.key)
        if state in (ItemState.ENHANCED, ItemState.SKIPPED):
            self._got_through = True
        self._events.send("item", key=picture.key, state=state.value)
        if self._computing.get(picture.identity) is picture:
            del self._computing[picture.identity]
            for other in self._same_result.pop(picture.identity, ()):
                self._done.put(Done("read", other))

    def _record(self, picture: PictureInHand) -> ItemState:
        """The written result into the ledger, and the item `enhanced`, in one transaction."""
        lease, identity, data, parts = self._lease, picture.identity, picture.result.data, picture.result.parts
        sizes, details = parts.sizes, details_of(picture)
        with self._ledger.fenced(lease) as connection:
            self._ledger.results.store(
                connection,
                lease,
                identity,
                address=self._work.address(picture.staged),
                digest=digest(data),
                size=len(data),
                md5=md5(data, usedforsecurity=False).hexdigest(),
                format=parts.format,
                effective_recipe=picture.recipe.model_dump(mode="json"),
                details=details,
                **sizes,
            )
            self._ledger.items.move_in(
                connection,
                lease,
                picture.key,
                ItemState.ENHANCED,
                identity=identity,
                etag=picture.etag,
                size=len(picture.data),
                **_approval_lost(picture),
                staged_key=picture.staged,
                target_key=target_key(picture.key, parts.source_format, parts.format),
                details=details,
                reused=0,
                **sizes,
            )
        return ItemState.ENHANCED

    def _reuse(self, picture: PictureInHand, stored: Result) -> ItemState:
        """The result exists: this picture only needs its copy."""
        source_format = sniff(picture.data)
        if stored.format is None:
            raise ValueError(f"the stored result {stored.identity} has no format: its row is damaged")
        self._ledger.items.move(
            self._lease,
            picture.key,
            ItemState.ENHANCED,
            identity=stored.identity,
            etag=picture.etag,
            size=len(picture.data),
            **_approval_lost(picture),
            target_key=target_key(picture.key, source_format, stored.format),
            reused=1,
            staged_key=None,
            details={name: value for name, value in (stored.details or {}).items() if name != "cached"},
            width=stored.width,
            height=stored.height,
            output_width=stored.output_width,
            output_height=stored.output_height,
        )
        return ItemState.ENHANCED

    def _published_already(self, picture: PictureInHand) -> bool:
        """Whether the target holds this very result already (the object changed its ETag but not its bytes, or
        rerun=all); if so, the target's row is brought up to date for the next quick skip.
        """
        targets, key = self._ledger.targets, picture.key
        found = targets.published_for(self._run.output_url, self._run.input_url, [key]).get(key)
        if found is None or found.identity != picture.identity:
            return False
        there = self._output.head(found.address.removeprefix(self._output.url + "/"))
        if there is None or there.size != found.size:
            targets.forget(self._lease, found.address)
            return False
        targets.refresh(
            self._lease,
            found.address,
            input_etag=picture.etag,
            input_size=len(picture.data),
            recipe_digest=picture.row.recipe_digest,
        )
        return True

    def _wait_for_other(self, picture: PictureInHand) -> ItemState:
        """Another shard or run computes this identity: do the others first, come back, wait at most a picture's
        deadline.
        """
        key = picture.key
        waited_s = time.monotonic() - self._busy_since.setdefault(key, time.monotonic())
        if waited_s > self._settings.item_deadline_s:
            failure = Failure(
                ErrorKind.TRANSIENT,
                Reason.BUSY_ELSEWHERE,
                f"another worker holds this result for {waited_s:.0f} s",
                "enhance",
            )
            return self._failed(picture, failure)
        self._ledger.items.give_back(self._lease, key, delay_s=BUSY_POLL_S, count_attempt=False)
        return ItemState.PENDING

    def _gone(self, picture: PictureInHand, failure: Failure) -> ItemState:
        self._ledger.items.move(self._lease, picture.key, ItemState.SKIPPED, **failure.columns())
        return ItemState.SKIPPED

    def _failed(self, picture: PictureInHand, failure: Failure) -> ItemState:
        """Pending again where it gets another try; else the end of it for this run."""
        row, key, attempt = picture.row, picture.key, picture.row.attempts + 1
        self._give_up_claim(picture)
        if not failure.blames_picture:
            self._in_trouble.add(key)
        pause = pause_before_retry(failure, attempt, self._settings)
        if pause is not None:
            self._ledger.items.give_back(self._lease, key, delay_s=pause, **failure.columns())
            return ItemState.PENDING
        said = {} if picture.content_type is None else {"details": {DETAIL: picture.content_type}}
        if failure.error_class in NO_PICTURE and not picture.is_declared:  # a side file, which is no failure
            self._ledger.items.move(self._lease, key, ItemState.SKIPPED, **failure.columns(), **said)
            return ItemState.SKIPPED
        state = end_state(failure, row.failed_runs)
        self._ledger.items.move(self._lease, key, state, **failure.columns(), **said)
        if state is ItemState.FAILED:
            self._watch.failed()
        return state

    def _give_back(self, picture: PictureInHand, error: Exception) -> None:
        """Pending as before, with what is in the way: should the run end meanwhile, its row says why."""
        if isinstance(error, StorageError):
            self._give_up_claim(picture)
            columns = classify(error, picture.timings.step).columns()
            self._ledger.items.give_back(self._lease, picture.key, delay_s=0, count_attempt=False, **columns)

    def _give_up_claim(self, picture: PictureInHand) -> None:
        """So that another picture's or run's attempt need not wait for the lease."""
        if self._computing.get(picture.identity) is picture:
            with self._ledger.fenced(self._lease) as connection:
                self._ledger.results.give_up(connection, self._lease, picture.identity)


def _approval_lost(picture: PictureInHand) -> dict[str, Any]:
    """Columns that take a person's approval off a picture that is another by now: they never saw this one."""
    return NOT_APPROVED if picture.etag != picture.row.etag else {}
