"""What the worker does with each picture of its shard: read, identify, claim, enhance, write, record.

Read this top down to follow one picture; every arrow of its state is a call to ``items.move``.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import md5

import structlog
from sqlalchemy import RowMapping

from enhancer.batch import layout
from enhancer.batch.events import EventStream
from enhancer.batch.failures import RUNS_BEFORE_QUARANTINE, Failure, classify, is_systemic, retry_delay_s
from enhancer.batch.shard_work import ShardWork, log_failure, stamp
from enhancer.codecs import decode, sniff, target_key
from enhancer.errors import ErrorKind, LeaseLostError, ObjectGoneError
from enhancer.identity import digest, identity_of
from enhancer.ledger import ItemState, Lease
from enhancer.ledger.leases import fence
from enhancer.pipeline import encode_result
from enhancer.recipe import Recipe
from enhancer.settings import Settings
from enhancer.storage.base import Fetched

log = structlog.get_logger(__name__)

BUSY_POLL_S = 2.0


@dataclass(slots=True)
class Timings:
    """Seconds by step, and the step that is going on (the `stage` of an error that arises now)."""

    seconds: dict[str, float] = field(default_factory=dict)
    step: str = "read"

    @contextmanager
    def measure(self, step: str) -> Iterator[None]:
        """Time a step; an error leaves `step` naming it."""
        self.step = step
        started = time.monotonic()
        yield
        self.seconds[step] = round(self.seconds.get(step, 0.0) + time.monotonic() - started, 4)


class EnhanceShard(ShardWork):
    """One worker's pass over a shard's pending pictures."""

    def __init__(self, lease: Lease, settings: Settings, events: EventStream) -> None:
        super().__init__(lease, settings, events)
        self._busy_since: dict[str, float] = {}
        self._in_trouble: set[str] = set()
        self._got_through = False

    def run(self, only: str | None = None) -> None:
        """Work until no picture of the shard is pending (or on `only` alone), or the run is halted."""
        self._events.send("ready")
        self._got_through = only is not None or self._watch.got_through()
        while True:
            rows, wait_s = self._ledger.items.due(self._lease)
            tried = 0
            for row in rows:
                if not self._is_next(row["key"], only):
                    continue
                if self._watch.halt() is not None:
                    return
                with structlog.contextvars.bound_contextvars(item=row["key"]):
                    self._one(row)
                tried += 1
            if tried:
                continue
            if wait_s is not None and only is None:
                time.sleep(min(wait_s + 0.01, BUSY_POLL_S))
                self._events.send("progress")
            elif rows and only is None:
                self._got_through = True  # those in trouble came to their end, and the run was not stopped
            else:
                return

    def _is_next(self, key: str, only: str | None) -> bool:
        """Whether to work on this picture now.

        While nothing of the shard got through, the first few in trouble come to their end before others are tried: if
        it is the surroundings that fail, the run is stopped after these.
        """
        if only is not None:
            return key == only
        first = self._settings.stop_first_items
        return self._got_through or not first or len(self._in_trouble) < first or key in self._in_trouble

    def _one(self, row: RowMapping) -> None:
        """One picture, from pending to wherever it gets; an error becomes its state, never the worker's end."""
        key, timings = row["key"], Timings()
        self._events.send("started", key=key)  # first, so that whoever kills us now leaves no running item unnamed
        self._ledger.items.move(self._lease, key, ItemState.RUNNING)
        try:
            state = self._attempt(row, timings)
        except LeaseLostError:
            raise
        except ObjectGoneError as error:
            state = self._gone(row, classify(error, timings.step))
        except Exception as error:  # whatever a picture does to a library becomes that picture's state
            if is_systemic(error):
                raise  # no picture's fault: the task fails and is retried, the pictures stay as they are
            state = self._failed(row, classify(error, timings.step))
            log_failure(log, "picture failed", error, key=key, stage=timings.step)
        if state in (ItemState.ENHANCED, ItemState.SKIPPED):
            self._got_through = True
        self._events.send("item", key=key, state=state.value)

    def _attempt(self, row: RowMapping, timings: Timings) -> ItemState:
        key = row["key"]
        recipe = self._recipes[row["recipe_digest"]]
        with timings.measure("read"):
            fetched = self._source.get(key, max_bytes=self._settings.max_bytes)
            identity = identity_of(digest(fetched.data), recipe)
        if self._published_already(row, fetched, identity):
            self._ledger.items.move(self._lease, key, ItemState.SKIPPED, identity=identity, etag=fetched.etag)
            return ItemState.SKIPPED
        claim = self._ledger.results.claim(self._lease, identity)
        if claim.status == "stored" and claim.row is not None:
            if self._stored_is_there(claim.row):
                return self._reuse(row, fetched, claim.row)
            self._ledger.results.reopen(self._lease, identity, address=claim.row["address"])
            claim = self._ledger.results.claim(self._lease, identity)
        if claim.status == "busy":
            return self._wait_for_other(row)
        return self._compute(row, fetched, identity, recipe, timings)

    def _compute(self, row: RowMapping, fetched: Fetched, identity: str, recipe: Recipe, timings: Timings) -> ItemState:
        """The work itself: decode, enhance, encode, write under work_url, record."""
        key, lease = row["key"], self._lease
        with timings.measure("decode"):
            document = decode(fetched.data, name=key, limits=self._limits, salvage=recipe.input.salvage)
        with timings.measure("enhance"):
            enhanced = self._enhancer.enhance_document(document, recipe)
        with timings.measure("encode"):
            encoded = encode_result(fetched.data, document, enhanced, recipe.output, stamp(recipe, enhanced))
        staged = layout.staged_key(lease.run_id, lease.shard_id, lease.epoch, row["position"], identity)
        with timings.measure("write"):
            self._work.put(staged, encoded.data, content_type=encoded.content_type)
        before, after = document.first, enhanced.document.first
        sizes = {
            "width": before.width,
            "height": before.height,
            "output_width": after.width,
            "output_height": after.height,
        }
        details = {
            "decisions": [decision.model_dump(mode="json") for decision in enhanced.decisions],
            "models": enhanced.models,
            "timings": {**timings.seconds, **{f"enhance.{k}": v for k, v in enhanced.timings.items()}},
            "warnings": [*before.metadata.warnings, *encoded.warnings],
        }
        with self._ledger.engine.begin() as connection:
            fence(connection, lease)
            self._ledger.results.store(
                connection,
                lease,
                identity,
                address=self._work.address(staged),
                digest=digest(encoded.data),
                size=len(encoded.data),
                md5=md5(encoded.data, usedforsecurity=False).hexdigest(),
                format=encoded.format,
                effective_recipe=recipe.model_dump(mode="json"),
                details=details,
                **sizes,
            )
            self._ledger.items.move_in(
                connection,
                lease,
                key,
                ItemState.ENHANCED,
                identity=identity,
                etag=fetched.etag,
                size=len(fetched.data),
                staged_key=staged,
                target_key=target_key(key, document.first.metadata.format, encoded.format),
                details=details,
                reused=0,
                **sizes,
            )
        return ItemState.ENHANCED

    def _reuse(self, row: RowMapping, fetched: Fetched, stored: RowMapping) -> ItemState:
        """The result exists: this picture only needs its copy."""
        source_format = sniff(fetched.data)
        self._ledger.items.move(
            self._lease,
            row["key"],
            ItemState.ENHANCED,
            identity=stored["identity"],
            etag=fetched.etag,
            size=len(fetched.data),
            target_key=target_key(row["key"], source_format, stored["format"]),
            reused=1,
            staged_key=None,
            details=stored["details"],
            width=stored["width"],
            height=stored["height"],
            output_width=stored["output_width"],
            output_height=stored["output_height"],
        )
        return ItemState.ENHANCED

    def _published_already(self, row: RowMapping, fetched: Fetched, identity: str) -> bool:
        """Whether the target holds this very result already (the object changed its ETag but not its bytes, or
        rerun=all); if so, the target's row is brought up to date for the next quick skip.
        """
        targets = self._ledger.targets
        found = targets.published_for(self._run["output_url"], self._run["input_url"], [row["key"]]).get(row["key"])
        if found is None or found["identity"] != identity:
            return False
        there = self._output.head(found["address"].removeprefix(self._output.url + "/"))
        if there is None or there.size != found["size"]:
            targets.forget(self._lease, found["address"])
            return False
        targets.refresh(
            self._lease,
            found["address"],
            input_etag=fetched.etag,
            input_size=len(fetched.data),
            recipe_digest=row["recipe_digest"],
        )
        return True

    def _wait_for_other(self, row: RowMapping) -> ItemState:
        """Another shard or run computes this identity: do the others first, come back, wait at most a picture's
        deadline.
        """
        key = row["key"]
        waited_s = time.monotonic() - self._busy_since.setdefault(key, time.monotonic())
        if waited_s > self._settings.item_deadline_s:
            failure = Failure(
                ErrorKind.TRANSIENT,
                "busy-elsewhere",
                f"another worker holds this result for {waited_s:.0f} s",
                "enhance",
            )
            return self._failed(row, failure)
        self._ledger.items.give_back(self._lease, key, delay_s=BUSY_POLL_S, count_attempt=False)
        return ItemState.PENDING

    def _gone(self, row: RowMapping, failure: Failure) -> ItemState:
        self._ledger.items.move(self._lease, row["key"], ItemState.SKIPPED, **failure.columns())
        return ItemState.SKIPPED

    def _failed(self, row: RowMapping, failure: Failure) -> ItemState:
        """Pending again after a transient failure while attempts remain; else the end of it for this run."""
        key, attempt = row["key"], row["attempts"] + 1
        self._ledger.results.give_up_claims(self._lease)
        if failure.kind is ErrorKind.TRANSIENT:
            self._in_trouble.add(key)
        if failure.kind is ErrorKind.TRANSIENT and attempt < self._settings.item_attempts:
            delay = retry_delay_s(failure, attempt, self._settings.item_retry_delay_s)
            self._ledger.items.give_back(self._lease, key, delay_s=delay, **failure.columns())
            return ItemState.PENDING
        lasting = failure.kind is not ErrorKind.TRANSIENT or row["failed_runs"] + 1 >= RUNS_BEFORE_QUARANTINE
        state = ItemState.QUARANTINED if lasting else ItemState.FAILED
        self._ledger.items.move(self._lease, key, state, **failure.columns())
        if state is ItemState.FAILED:
            self._watch.failed()
        return state
