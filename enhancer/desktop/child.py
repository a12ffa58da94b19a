"""One worker process of the window: started when first needed, fed requests, held to a deadline and a memory limit.

The window never waits for it: requests are written to its standard input, answers come in a thread. A child that dies,
hangs or takes too much memory is reported as the end of its request, and the next request starts a fresh one.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any, Final

import psutil

TICK_S: Final = 0.25
START_DEADLINE_S: Final = 120.0
MEMORY_SHARE: Final = 0.8
"""Of the machine's memory, where ENHANCER_WORKER_MEMORY_MB sets no limit."""

Answer = dict[str, Any]


class Child:
    """A worker process and what it is working on. Its methods may be called from any thread.

    Args:
        on_answer: called in a thread of this object with each answer: a mapping with the request's ``id`` and
            ``event``; after a death ``event`` is ``died``, with ``class`` and ``message``.
        deadline_s: longest time for one request.
        memory_mb: limit of its resident memory; 0: a share of the machine's.
        environment: variables set for it, over those of this process.
    """

    def __init__(
        self,
        on_answer: Callable[[Answer], None],
        *,
        deadline_s: float = 600.0,
        memory_mb: int = 0,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._on_answer = on_answer
        self._deadline_s = deadline_s
        self._memory_mb = memory_mb or psutil.virtual_memory().total * MEMORY_SHARE / 1e6
        self._environment = dict(environment or {})
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._life: _Life | None = None

    def request(self, do: str, **values: Any) -> int:
        """Hand it a request; answers bear the number that is returned."""
        with self._lock:
            number = next(self._numbers)
            if self._life is None or self._life.over:
                self._life = _Life(self._environment, self._on_answer, self._deadline_s, self._memory_mb)
            self._life.send({"id": number, "do": do, **values})
            return number

    def warm_up(self) -> None:
        """Start it before it is needed, so that its imports are done when it is."""
        self.request("ping")

    def stop(self) -> None:
        """End it at once, with what it has in hand; no answers follow."""
        with self._lock:
            life, self._life = self._life, None
        if life is not None:
            life.end()

    def configure(self, environment: Mapping[str, str]) -> None:
        """Other variables; a child with the old ones is ended."""
        if dict(environment) != self._environment:
            self.stop()
            self._environment = dict(environment)

    @property
    def pid(self) -> int | None:
        """Of the process that runs now."""
        return None if self._life is None or self._life.over else self._life.process.pid


class _Life:
    """One process from start to end."""

    def __init__(
        self, environment: dict[str, str], on_answer: Callable[[Answer], None], deadline_s: float, memory_mb: float
    ) -> None:
        self._on_answer = on_answer
        self._deadline_s, self._memory_mb = deadline_s, memory_mb
        self._open: dict[int, float] = {}
        self._ready = False
        self._dropped = False
        self._fault: tuple[str, str] | None = None
        self._stderr: deque[str] = deque(maxlen=30)
        self.over = False
        self.process = subprocess.Popen(
            [sys.executable, "-m", "enhancer.desktop.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **environment, "PYTHONUNBUFFERED": "1", "PYTHONUTF8": "1"},
            text=True,
            encoding="utf-8",
            errors="replace",
        )
        for work in (self._read, self._keep_stderr, self._watch):
            threading.Thread(target=work, daemon=True).start()

    def send(self, request: dict[str, Any]) -> None:
        """Write a request; a broken pipe is the death that the reader reports."""
        self._open[request["id"]] = time.monotonic()
        stdin = self.process.stdin
        with contextlib.suppress(OSError, ValueError):
            if stdin is not None:
                stdin.write(json.dumps(request) + "\n")
                stdin.flush()

    def end(self) -> None:
        """Kill it and be silent about it."""
        self._dropped = True
        _kill(self.process)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(5)  # what it wrote can be removed only once it writes no more

    def _read(self) -> None:
        stdout = self.process.stdout
        for line in stdout or ():
            answer = json.loads(line)
            if answer["event"] == "ready":
                self._ready = True
                self._open = dict.fromkeys(self._open, time.monotonic())
                continue
            self._open.pop(answer["id"], None)
            # Requests are answered in turn: the clock of the next one starts here.
            self._open = dict.fromkeys(self._open, time.monotonic())
            if not self._dropped:
                self._on_answer(answer)
        status = self.process.wait()
        self.over = True
        for stream in (self.process.stdin, stdout):
            with contextlib.suppress(OSError, ValueError):
                if stream is not None:
                    stream.close()
        reason, message = self._fault or self._death(status)
        for number in list(self._open):
            if not self._dropped:
                self._on_answer({"id": number, "event": "died", "class": reason, "message": message})

    def _death(self, status: int) -> tuple[str, str]:
        tail = next((line for line in reversed(self._stderr) if line.strip()), "")
        hint = " (out of memory? close other programs, or take a smaller scale)" if status in (-9, 137) else ""
        return "worker-died", f"the worker process ended with status {status}{hint}. {tail}".strip()

    def _keep_stderr(self) -> None:
        stream = self.process.stderr
        for line in stream or ():
            self._stderr.append(line.rstrip())
        if stream is not None:
            stream.close()

    def _watch(self) -> None:
        while self.process.poll() is None:
            time.sleep(TICK_S)
            used = _memory_mb(self.process.pid)
            if used > self._memory_mb:
                self._fault = (
                    "memory-limit",
                    f"the picture needed more than the {self._memory_mb:.0f} MB that a picture may take: choose a "
                    "smaller scale, or raise ENHANCER_WORKER_MEMORY_MB",
                )
                _kill(self.process)
            limit = self._deadline_s if self._ready else max(self._deadline_s, START_DEADLINE_S)
            oldest = min(list(self._open.values()), default=None)
            if oldest is not None and time.monotonic() - oldest > limit:
                self._fault = (
                    "hung",
                    f"no result after {limit:.0f} s: choose a smaller scale, or raise ENHANCER_ITEM_DEADLINE_S",
                )
                _kill(self.process)


def _memory_mb(pid: int) -> float:
    try:
        return float(psutil.Process(pid).memory_info().rss) / 1e6
    except psutil.Error:
        return 0.0  # it has just ended


def _kill(process: subprocess.Popen[str]) -> None:
    """The process and whatever it started; without signals and process groups, which not every system has."""
    try:
        family = [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]
    except psutil.Error:
        return
    for member in family:
        with contextlib.suppress(psutil.Error):
            member.kill()
