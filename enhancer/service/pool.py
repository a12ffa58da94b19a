"""Warm worker processes for single pictures: started before anybody asks, with a bounded queue before them.

A worker that dies, hangs or takes too much memory costs the one request that it had in hand; another takes its place.
"""

from __future__ import annotations

import queue
import subprocess
import tempfile
import threading
import time
from collections import deque
from concurrent.futures import CancelledError, Future, InvalidStateError
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal

import structlog

from enhancer.batch.worker.events import Event
from enhancer.batch.worker_process import kill_group, pump_lines, relay_stderr, rss_mb, spawn_worker
from enhancer.contract import ItemRecord
from enhancer.reasons import Reason
from enhancer.recipe import Recipe
from enhancer.service.problems import RefusedError
from enhancer.settings import Settings

log = structlog.get_logger(__name__)

Action = Literal["enhance", "inspect"]

TICK_S: Final = 0.2
START_S: Final = 120.0
"""Longest time from a worker's start to its first word."""

PAUSE_S: Final = 2.0
"""Before the next start, after a worker that never got ready."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of a picture.

    Attributes:
        record: in the JSON contract.
        data: the result; empty where there is none.
        content_type: of the result.
    """

    record: ItemRecord
    data: bytes
    content_type: str


@dataclass(slots=True)
class Task:
    """A picture that waits for a worker, and who waits for it."""

    name: str
    data: bytes
    recipe: Recipe
    deadline: float
    action: Action = "enhance"
    answer: Future[Answer] = field(default_factory=Future)


class Pool:
    """Workers, each with a thread of this process that feeds it.

    A thread each, because the kernel ends a worker with the thread that started it (see
    :mod:`enhancer.batch.worker.__main__`): it has to live as long as the worker.

    Args:
        settings: how many, their limits and deadline.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._tasks: queue.Queue[Task | None] = queue.Queue(settings.service_workers + settings.service_waiting)
        self._folder = tempfile.TemporaryDirectory(prefix="enhancer-requests-")  # for its owner alone
        self._workers = [
            _Worker(number, settings, self._tasks, Path(self._folder.name))
            for number in range(settings.service_workers)
        ]

    def start(self) -> None:
        """Start the workers."""
        for worker in self._workers:
            worker.thread.start()

    def stop(self) -> None:
        """End the workers and refuse who waits."""
        for worker in self._workers:
            worker.stopping.set()
        with suppress(queue.Empty):
            while True:
                task = self._tasks.get_nowait()
                if task is not None:
                    task.answer.cancel()
        for worker in self._workers:
            if worker.thread.is_alive():
                worker.thread.join(5)
        self._folder.cleanup()

    @property
    def is_well(self) -> bool:
        """Whether at least one worker is ready, or was not yet given the time to be."""
        return any(worker.thread.is_alive() and worker.failed_starts < 2 for worker in self._workers)

    @property
    def waiting(self) -> int:
        """Requests that no worker has taken up."""
        return self._tasks.qsize()

    def pids(self) -> list[int]:
        """The worker processes that are alive."""
        return [worker.pid for worker in self._workers if worker.pid is not None]

    def enhance(self, name: str, data: bytes, recipe: Recipe, *, action: Action = "enhance") -> Answer:
        """Enhance one picture, or only inspect it, and wait for it.

        Args:
            name: what errors call it.
            data: its bytes.
            recipe: what to do.
            action: ``inspect``: measure it, and say what the recipe's stages would do; there is no result.

        Raises:
            RefusedError: the queue is full (``queue-full``), or it took too long (``timeout``); a worker died of it
                (``worker-killed``) or would have taken too much memory (``memory-limit``).
        """
        seconds = self._settings.service_deadline_s
        task = Task(name, data, recipe, time.monotonic() + seconds, action)
        try:
            self._tasks.put_nowait(task)
        except queue.Full:
            raise RefusedError(
                "all workers are busy and enough requests wait for them: try again later, or give a job",
                reason=Reason.QUEUE_FULL,
            ) from None
        try:
            return task.answer.result(seconds + 2 * TICK_S)
        except FutureTimeoutError:
            task.answer.cancel()
            raise _too_long(seconds) from None
        except CancelledError:
            raise RefusedError("the service is being stopped", reason=Reason.TIMEOUT) from None


class _Worker:
    """One worker process after another."""

    def __init__(self, number: int, settings: Settings, tasks: queue.Queue[Task | None], folder: Path) -> None:
        self.thread = threading.Thread(target=self._run, name=f"warm-{number}", daemon=True)
        self._settings = settings.model_copy(
            update={
                "max_pixels": min(settings.max_pixels, settings.service_max_pixels),
                "max_bytes": min(settings.max_bytes, settings.service_max_bytes),
                "cache": False,
            }
        )
        self._tasks = tasks
        self._files = folder / str(number)
        self._number = 0
        self._process: subprocess.Popen[str] | None = None
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._stderr: deque[str] = deque(maxlen=30)
        self.stopping = threading.Event()
        self.failed_starts = 0

    @property
    def pid(self) -> int | None:
        """Of the process that is alive."""
        process = self._process
        return None if process is None or process.poll() is not None else process.pid

    def _run(self) -> None:
        """Keep a process ready and give it what waits, until it is to stop."""
        self._files.mkdir(mode=0o700)
        try:
            while not self.stopping.is_set():
                if self.pid is None and not self._begin():
                    self.stopping.wait(PAUSE_S)
                    continue
                try:
                    task = self._tasks.get(timeout=TICK_S)
                except queue.Empty:
                    continue
                if task is not None and task.answer.set_running_or_notify_cancel():
                    self._carry_out(task)
        finally:
            self._end()

    def _begin(self) -> bool:
        """Start a process and wait for its word that it is ready."""
        self._end()
        self._lines = queue.Queue()
        self._process = process = spawn_worker(["requests"], self._settings)
        for target, arguments in (
            (pump_lines, (process.stdout, self._lines)),
            (relay_stderr, (process.stderr, self._stderr)),
        ):
            threading.Thread(target=target, args=arguments, daemon=True).start()
        event = self._next(time.monotonic() + START_S)
        if event is not None and event.event == "ready":
            self.failed_starts = 0
            return True
        self.failed_starts += 1
        log.error("a warm worker does not start", said=list(self._stderr)[-3:])
        self._end()
        return False

    def _carry_out(self, task: Task) -> None:
        try:
            answer = self._answer(task)
        except Exception as error:  # whatever it is, who waits has to hear of it
            with suppress(InvalidStateError):
                task.answer.set_exception(error)
            return
        with suppress(InvalidStateError):
            task.answer.set_result(answer)

    def _answer(self, task: Task) -> Answer:
        process = self._process
        if process is None or process.stdin is None or time.monotonic() >= task.deadline:
            raise _too_long(self._settings.service_deadline_s)
        recipe = task.recipe.model_dump(mode="json")
        self._number += 1
        source, target = self._files / "input", self._files / "output"
        target.unlink(missing_ok=True)
        source.write_bytes(task.data)
        line = {"number": self._number, "name": task.name, "input": str(source), "output": str(target)}
        try:
            process.stdin.write(_json({**line, "action": task.action, "recipe": recipe}))
            process.stdin.flush()
            event = self._next(task.deadline)
        except OSError:
            event = None
        finally:
            source.unlink(missing_ok=True)
        if event is None:
            late, used_mb = time.monotonic() >= task.deadline, rss_mb(process.pid)
            self._end()
            raise self._why(late, used_mb)
        data = target.read_bytes() if target.exists() else b""
        target.unlink(missing_ok=True)
        return Answer(ItemRecord.model_validate(event.data["record"]), data, str(event.data.get("content_type", "")))

    def _next(self, deadline: float) -> Event | None:
        """The process's next word; None where it ends, oversteps its memory or says nothing until the deadline."""
        limit_mb = self._settings.worker_memory_mb
        while self._process is not None and not self.stopping.is_set():
            try:
                line = self._lines.get(timeout=min(TICK_S, max(0.0, deadline - time.monotonic())))
            except queue.Empty:
                line = ""
            if line is None:
                return None
            if line:
                event = Event.model_validate_json(line)
                if event.event in ("ready", "item", "error"):
                    return event
            too_large = limit_mb and rss_mb(self._process.pid) > limit_mb
            if too_large or time.monotonic() >= deadline:
                return None
        return None

    def _why(self, late: bool, used_mb: float) -> RefusedError:
        if late:
            return _too_long(self._settings.service_deadline_s)
        limit_mb = self._settings.worker_memory_mb
        if limit_mb and used_mb > limit_mb:
            return RefusedError(
                f"the picture needs more memory than ENHANCER_WORKER_MEMORY_MB={limit_mb}", reason=Reason.MEMORY_LIMIT
            )
        return RefusedError("the worker died of this picture: try again, or give a job", reason=Reason.WORKER_KILLED)

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        kill_group(process)
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                with suppress(OSError):
                    stream.close()


def _json(value: Any) -> str:
    import json

    return json.dumps(value) + "\n"


def _too_long(seconds: float) -> RefusedError:
    return RefusedError(
        f"it took longer than ENHANCER_SERVICE_DEADLINE_S={seconds:g}: try again, or give a job", reason=Reason.TIMEOUT
    )
