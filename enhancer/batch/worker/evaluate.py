"""What the worker does with each enhanced picture: score it and pass it through the gate.

No net of a recipe runs here, since this worker's machine may have another device than the one that enhanced: a net
would give other pixels. What needs one (a gentler attempt at a refused picture, a correction that must be made again to
have something to compare with) is marked for the second look (:mod:`enhancer.batch.worker.second_look`). What is
refused for good is rejected or let through as it came, as the run asks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from hashlib import md5
from typing import Any

import structlog
from sqlalchemy import Connection

from enhancer.batch import layout
from enhancer.batch.checksums import KNOWN_AS, checksum
from enhancer.batch.failures import Failure, attempt_all, classify, end_state, is_systemic, pause_before_retry
from enhancer.batch.second_look import is_marked, marked, unmarked
from enhancer.batch.worker.events import EventStream
from enhancer.batch.worker.judging import Judged, expectation_of, judged, score_columns
from enhancer.batch.worker.shard_work import ShardWork, log_failure
from enhancer.batch.worker.viewmaking import Seen, ViewMaker
from enhancer.codecs import decode, target_key
from enhancer.errors import ErrorKind, LeaseLostError, PictureError, StorageError
from enhancer.identity import digest, identity_of
from enhancer.image import Document, Image
from enhancer.ledger import Item, ItemState, Lease, Result
from enhancer.ledger.halts import GATE
from enhancer.ledger.items import HELD_ERROR
from enhancer.processing import Picture, Processing
from enhancer.quality.perceptual import LpipsScorer
from enhancer.reasons import Reason
from enhancer.settings import Settings
from enhancer.stages.nets import NetNeededError, Nets, NoNets
from enhancer.storage import open_store, split_address

log = structlog.get_logger(__name__)


class EvaluateShard(ShardWork):
    """One worker's pass over a shard's enhanced pictures."""

    def __init__(self, lease: Lease, settings: Settings, events: EventStream) -> None:
        super().__init__(lease, settings, events)
        self._reference = open_store(self._run.reference_url, settings) if self._run.reference_url else None
        self._result_limits = replace(self._limits, max_bytes=1 << 40, max_pixels=settings.max_output_pixels)
        self._scorer = LpipsScorer(settings)
        self._processing = Processing(self._pipeline, limits=self._limits)
        self._nets: Nets = NoNets(settings)
        self._views = ViewMaker(self._work, lease.run_id, settings)

    def run(self, only: str | None = None) -> None:
        """Judge every picture of the shard that this pass is for (or `only` alone), unless the run is stopped.

        Of a run that is held, what was enhanced is still scored: whoever decides can see by what.
        """
        self._events.send("ready")
        attempt_all(self._pictures(only), self._attempt, lambda: self._events.send("progress"))
        self._watch.refused(at_last=True)

    def _is_for_me(self, row: Item) -> bool:
        return not is_marked(row)

    def _pictures(self, only: str | None) -> Iterator[Item]:
        for row in self._ledger.items.of_shard(self._lease.run_id, self._lease.shard_id, ItemState.ENHANCED):
            halt = self._watch.halt()
            if halt is not None and halt.kind == "stopped":
                return
            if only in (None, row.key) and self._is_for_me(row):
                yield row

    def _attempt(self, row: Item, number: int) -> float | None:
        """One try of one picture; the pause before its next one, or None: it came to its end."""
        key = row.key
        with structlog.contextvars.bound_contextvars(item=key):
            self._events.send("started" if number == 1 else "progress", key=key)
            try:
                state = self._evaluate(row)
            except LeaseLostError:
                raise
            except Exception as error:  # a picture that cannot be scored is that picture's failure
                if is_systemic(error):
                    raise
                failure = classify(error, "score")
                log_failure(log, "scoring failed", error, key=key, attempt=number)
                pause = pause_before_retry(failure, number, self._settings)
                if pause is not None:
                    self._events.send("waiting", key=key)
                    return pause
                state = self._failed(row, failure)
            self._events.send("item", key=key, state=state.value)
        return None

    def _evaluate(self, row: Item) -> ItemState:
        stored = self._ledger.results.get(row.require_identity())
        if stored is None or stored.address is None:
            raise StorageError(f"the result of {row.key!r} is not stored any more", reason=Reason.RESULT_GONE)
        picture = Picture(name=row.key, recipe=self._recipes[row.recipe_digest], data=self._input(row))
        self._processing.decode(picture)
        before = picture.document.first
        try:
            expected = expectation_of(before, row.details or {}, picture.recipe, self._nets)
        except NetNeededError as error:
            return self._leave_for_second_look(row, error.message, None)
        after = self._result(picture, stored, stored.address)
        truth = self._truth(row.key)
        found = judged(before, after.first, truth, expected, picture.recipe, self._scorer)
        self._keep_views(row, picture, Seen(after, stored.size or 0), found)
        if row.approved_as == "original":
            return self._pass_through(row, picture, found)
        if found.verdict.passed or row.approved_as == "enhanced":
            return self._record(row, found, passed=True)
        return self._refused(row, picture, truth, found)

    def _keep_views(self, row: Item, picture: Picture, after: Seen, found: Judged) -> None:
        """What the page shows of the picture and of this result of it."""
        before = Seen(picture.document, len(picture.data))
        judged_by = next((one for one in found.scores if one.kind == "reference"), found.scores[0])
        refused = not found.verdict.passed
        self._views.keep(row.position, before, after, refused=refused, score=judged_by.score)

    def _input(self, row: Item) -> bytes:
        """The input's bytes, the very ones that were enhanced.

        Raises:
            StorageError: permanent, ``changed``: they are others by now; the next run sees a new picture.
        """
        fetched = self._source.get(row.key, max_bytes=self._settings.max_bytes)
        recipe, signer = self._recipes[row.recipe_digest], self._processing.signer
        if fetched.etag != row.etag and identity_of(digest(fetched.data), recipe, signer=signer) != row.identity:
            raise StorageError(
                f"{row.key!r} changed after it was enhanced; the next run enhances it as it is now",
                reason=Reason.CHANGED,
                kind=ErrorKind.PERMANENT,
            )
        return fetched.data

    def _result(self, picture: Picture, stored: Result, address: str) -> Document:
        """The stored result, decoded; the input itself where that was given back byte by byte.

        Raises:
            StorageError: permanent, ``bad-result``: what is stored is no picture. The next run makes it anew.
        """
        if stored.digest == digest(picture.data):
            return picture.document
        root, name = split_address(address)
        try:
            return decode(open_store(root, self._settings).get(name).data, name=name, limits=self._result_limits)
        except PictureError as error:
            self._ledger.results.reopen(self._lease, stored.identity, address=address)
            raise StorageError(
                f"the result of {picture.name!r} is stored at {address}, damaged ({error.message}); the next run makes "
                "it anew",
                reason=Reason.BAD_RESULT,
                kind=ErrorKind.PERMANENT,
            ) from error

    def _truth(self, key: str) -> Image | None:
        """The reference picture with this key, where there is one; one that cannot be read is as good as none."""
        if self._reference is None or self._reference.head(key) is None:
            return None
        data = self._reference.get(key).data
        try:
            return decode(data, name=f"reference {key}", limits=self._result_limits).first
        except PictureError as error:
            log.warning("the reference cannot be read; scored without it", key=key, reason=error.message)
            return None

    def _refused(self, row: Item, picture: Picture, truth: Image | None, found: Judged) -> ItemState:
        """The gate refused it: a second look where a gentler attempt may help, else the end of it.

        A copy of another picture's result gets no attempt of its own, and waits for that of the picture that made it.
        """
        if picture.recipe.gentler() != picture.recipe:
            return self._leave_for_second_look(row, "; ".join(found.verdict.reasons), found)
        return self._turn_down(row, picture, found)

    def _leave_for_second_look(self, row: Item, reason: str, found: Judged | None) -> ItemState:
        """Still `enhanced`, with a mark; what was scored so far is on record."""
        with self._ledger.fenced(self._lease) as connection:
            if found is not None:
                self._ledger.items.add_scores(connection, self._lease, row.key, map(score_columns, found.scores))
            self._ledger.items.annotate(connection, self._lease, row.key, marked(row, reason))
        return ItemState.ENHANCED

    def _turn_down(self, row: Item, picture: Picture, found: Judged) -> ItemState:
        """Rejected, or let through as it came where the run asks for that."""
        if self._run.params.get("on_rejection") == "pass_through":
            return self._pass_through(row, picture, found)
        return self._record(row, found, passed=False)

    def _pass_through(self, row: Item, picture: Picture, found: Judged) -> ItemState:
        """A refused picture goes out as it came, but for what the recipe's output asks of any file (format, private
        metadata); the scores of what was refused stay on record.
        """
        lease, key = self._lease, row.key
        identity = digest(f"passed through {row.identity}".encode())
        claim = self._ledger.results.claim(lease, identity)
        if claim.status == "stored" and claim.row is not None and not self._stored_is_there(claim.row):
            self._ledger.results.reopen(lease, identity, address=claim.row.address)
            claim = self._ledger.results.claim(lease, identity)
        if claim.status == "busy":
            raise StorageError(
                f"another worker passes the bytes of {key!r} through just now", reason=Reason.BUSY_ELSEWHERE
            )
        self._processing.leave(picture)
        self._processing.encode(picture)
        data, parts, page = picture.result.data, picture.result.parts, picture.document.first
        decoding = sum(len(one.metadata.warnings) for one in picture.document.pages)
        why = f"for the gate refused the result: {'; '.join(found.verdict.reasons)}"
        if row.approved_as is not None:
            why = f"as {row.approved_by} decided"
        self._keep_views(row, picture, Seen(picture.document, len(data)), found)
        details = {
            "warnings": [
                f"published unenhanced, {why}",
                *parts.warnings[decoding:],
            ],
            "refused": {"decisions": (row.details or {}).get("decisions", []), "identity": row.identity},
            KNOWN_AS: checksum(data),
        }
        sizes = {"output_width": page.width, "output_height": page.height}
        columns: dict[str, Any] = {"reused": 1, "staged_key": None}
        if claim.status == "mine":
            staged = layout.staged_key(lease.run_id, lease.shard_id, lease.epoch, row.position, identity)
            self._work.put(staged, data, content_type=parts.content_type)
            columns = {"reused": 0, "staged_key": staged}
        with self._ledger.fenced(lease) as connection:
            if claim.status == "mine":
                self._ledger.results.store(
                    connection,
                    lease,
                    identity,
                    address=self._work.address(columns["staged_key"]),
                    digest=digest(data),
                    size=len(data),
                    md5=md5(data, usedforsecurity=False).hexdigest(),
                    format=parts.format,
                    details=details,
                    width=page.width,
                    height=page.height,
                    **sizes,
                )
            self._ledger.items.add_scores(connection, lease, key, map(score_columns, found.scores))
            state = self._pass(
                connection,
                key,
                identity=identity,
                target_key=target_key(key, parts.source_format, parts.format),
                passed_through=1,
                details=details,
                **columns,
                **sizes,
            )
        self._watch.refused()
        return state

    def _pass(self, connection: Connection, key: str, **columns: Any) -> ItemState:
        """The picture may be published, within a fenced transaction: `scored`, or `held` where the run is."""
        halt = self._watch.halt()
        if halt is None:
            self._ledger.items.move_in(connection, self._lease, key, ItemState.SCORED, **columns)
            return ItemState.SCORED
        held = {**HELD_ERROR, "error_message": halt.reason}
        self._ledger.items.move_in(connection, self._lease, key, ItemState.HELD, **columns, **held)
        return ItemState.HELD

    def _record(self, row: Item, found: Judged, *, passed: bool) -> ItemState:
        """Scores always; the state as the gate says, or the person who approved it."""
        key, columns = row.key, _mark_removed(row)
        with self._ledger.fenced(self._lease) as connection:
            self._ledger.items.add_scores(connection, self._lease, key, map(score_columns, found.scores))
            if passed:
                return self._pass(connection, key, **columns)
            columns |= {"stage": "score", "error_class": GATE, "error_message": "; ".join(found.verdict.reasons)}
            self._ledger.items.move_in(connection, self._lease, key, ItemState.REJECTED, **columns)
        self._watch.refused()
        return ItemState.REJECTED

    def _failed(self, row: Item, failure: Failure) -> ItemState:
        state = end_state(failure, row.failed_runs)
        self._ledger.items.move(self._lease, row.key, state, **_mark_removed(row), **failure.columns())
        if state is ItemState.FAILED:
            self._watch.failed()
        return state


def _mark_removed(row: Item) -> dict[str, Any]:
    """Columns that take the mark for the second look off a picture that moves on."""
    return {"details": unmarked(row)} if is_marked(row) else {}
