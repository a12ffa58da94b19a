"""The queue worked off in a child process, one picture after the other; stop and go on at any time."""

from __future__ import annotations

import contextlib
import threading
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from enhancer.contract import ErrorRecord, ItemRecord
from enhancer.desktop.child import Answer, Child
from enhancer.desktop.jobs import Job, JobQueue, State
from enhancer.desktop.order import Order, place_of
from enhancer.errors import RequestError
from enhancer.recipe import parse_recipe


class Runner:
    """Works off a queue. A bad picture never stops the others; a stop loses at most the picture in hand.

    Args:
        queue: may be added to meanwhile.
        on_change: called, from any thread, with a job that changed, and with None when the work began or ended.
        child: arguments of :class:`enhancer.desktop.child.Child`.
    """

    def __init__(self, queue: JobQueue, on_change: Callable[[Job | None], None], **child: Any) -> None:
        self.queue = queue
        self.child = Child(self._answered, **child)
        self._on_change = on_change
        self._lock = threading.RLock()
        self._order: Order | None = None
        self._job: Job | None = None
        self._request = 0
        self._since = 0.0
        self._part = Path()

    @property
    def running(self) -> bool:
        """Whether it is at work."""
        return self._order is not None

    def start(self, order: Order) -> None:
        """Begin, or go on, with whatever waits; without effect while it is at work."""
        with self._lock:
            if self.running:
                return
            self._order = order
            self._on_change(None)
            self._next()

    def stop(self) -> None:
        """Stop at once: the picture in hand waits again, what is done stays done."""
        with self._lock:
            if not self.running:
                return
            self._order = None
            self.child.stop()
            job, self._job = self._job, None
            if job is not None:
                self._remove_part()
                job.state = State.WAITING
                self._on_change(job)
            self._on_change(None)

    def close(self) -> None:
        """Stop, and end the child."""
        self.stop()
        self.child.stop()

    def again(self, jobs: list[Job]) -> None:
        """Have finished or failed pictures wait once more."""
        with self._lock:
            for job in jobs:
                if job.state in (State.DONE, State.FAILED):
                    job.state, job.record, job.seconds = State.WAITING, None, 0.0
                    self._on_change(job)
            if self.running and self._job is None:
                self._next()

    def _next(self) -> None:
        job = self.queue.waiting()
        if job is None or self._order is None:
            self._order = self._job = None
            self._on_change(None)
            return
        job.state, self._job, self._since = State.WORKING, job, time.monotonic()
        self._part = Path(self._order.output).expanduser() / f".enhancer-{uuid.uuid4().hex}.part"
        values = {"path": str(job.path), "key": job.key, "part": str(self._part), "order": self._order.to_json()}
        self._request = self.child.request("enhance", **values)
        self._on_change(job)

    def _answered(self, answer: Answer) -> None:
        with self._lock:
            job = self._job
            if job is None or answer["id"] != self._request:
                return
            job.record = self._published(_record(job, answer))
            job.state = State.FAILED if job.record.error is not None else State.DONE
            job.seconds = time.monotonic() - self._since
            self._job = None
            self._on_change(job)
            self._next()

    def _published(self, record: ItemRecord) -> ItemRecord:
        """Give the result its name. Only this process does, once it knows of the result: a worker that is killed at any
        moment leaves neither half a picture nor one that is made a second time.
        """
        order = self._order
        if record.output is None or order is None:
            self._remove_part()
            return record
        try:
            recipe = parse_recipe(order.recipe)
            output = Path(order.output).expanduser()
            place = place_of(output, record.output, order.pattern, recipe=recipe.name, scale=recipe.scale)
            place.parent.mkdir(parents=True, exist_ok=True)
            self._part.rename(place)
            return record.model_copy(update={"output": str(place)})
        except (OSError, RequestError) as error:
            self._remove_part()
            message = f"the result cannot be written to {order.output}: {error}; choose another results folder"
            fault = ErrorRecord(error_class="unwritable", message=message, stage="write")
            return record.model_copy(update={"output": None, "state": "failed", "error": fault})

    def _remove_part(self) -> None:
        with contextlib.suppress(OSError):
            self._part.unlink(missing_ok=True)


def _record(job: Job, answer: Answer) -> ItemRecord:
    if answer["event"] == "item":
        return ItemRecord.model_validate(answer["record"])
    error = ErrorRecord(error_class=answer["class"], message=answer["message"], stage="worker")
    return ItemRecord(input=str(job.path), state="failed", error=error)
