"""One worker process from its start to its end: start it, follow its events, hold it to its deadline and memory limit,
kill it where it oversteps them.

Which pictures it works on, and what its death means for them, is :mod:`enhancer.batch.shard_supervisor`'s.
"""

from __future__ import annotations

import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import psutil

from enhancer.batch.failures import Failure
from enhancer.batch.relayed_keys import KeySender
from enhancer.batch.relayed_logs import relay
from enhancer.batch.worker.events import EXIT_LEASE_LOST, EXIT_REFUSED, EXIT_TRANSIENT, Event, Mode
from enhancer.errors import EnhancerError, ErrorKind, LeaseLostError
from enhancer.reasons import Reason
from enhancer.settings import Settings

TICK_S: Final = 0.5
START_DEADLINE_S: Final = 120.0
"""Longest silence of a worker that is still importing, where the deadline of a picture is shorter."""

_KEPT_ENVIRONMENT: Final = (
    "PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "PYTHONPATH",
    "OMP_NUM_THREADS", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY",
    "http_proxy", "https_proxy", "no_proxy", "USER",
)  # fmt: skip
_KEPT_PREFIXES: Final = ("CUDA_", "NVIDIA_", "OPENBLAS_", "PIP_", "XDG_", "COV_", "COVERAGE_", "ENHANCER_STORE_")

_AWS_CREDENTIALS: Final = (
    "AWS_ACCESS_KEY", "AWS_SECRET_", "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN", "AWS_CREDENTIAL_", "AWS_PROFILE",
    "AWS_DEFAULT_PROFILE", "AWS_SHARED_CREDENTIALS_FILE", "AWS_ROLE_", "AWS_WEB_IDENTITY_TOKEN", "AWS_CONTAINER_",
    "AWS_BEARER_TOKEN",
)  # fmt: skip
"""Beginnings of the variables by which boto3 finds an identity. The others say how a store is reached: AWS_CA_BUNDLE,
AWS_REGION, AWS_MAX_ATTEMPTS.
"""


class WorkerError(EnhancerError):
    """The worker process failed for no picture's fault; the task is worth another try."""

    default_kind = ErrorKind.TRANSIENT
    default_reason = Reason.WORKER


@dataclass(slots=True)
class Watch:
    """What the supervisor knows of one worker's life.

    Attributes:
        in_hand: the pictures it has begun and not ended; since when (``time.monotonic()``) it works on each without a
            word, or None for one that waits for its next step.
        ready: its imports are done.
        finished: it said that nothing is left.
        failure: why it was killed, where the supervisor did it.
        hung: the picture that it was killed for.
        said: its own last word, an ``error`` event.
        peak_rss_mb: largest resident memory seen.
        exit_code: of the process; negative for a signal.
    """

    in_hand: dict[str, float | None] = field(default_factory=dict)
    last_word: float = field(default_factory=time.monotonic)
    ready: bool = False
    finished: bool = False
    failure: Failure | None = None
    hung: str | None = None
    said: dict[str, Any] | None = None
    peak_rss_mb: float = 0.0
    exit_code: int = 0
    stderr: deque[str] = field(default_factory=lambda: deque(maxlen=30))

    def take(self, event: Event) -> None:
        """Note what the worker says."""
        self.last_word = time.monotonic()
        if event.event in ("started", "progress") and event.key is not None:
            self.in_hand[event.key] = self.last_word
        elif event.event == "waiting" and event.key is not None:
            self.in_hand[event.key] = None
        elif event.event == "item" and event.key is not None:
            self.in_hand.pop(event.key, None)
        elif event.event == "ready":
            self.ready = True
        elif event.event == "finished":
            self.finished = True
        elif event.event == "error":
            self.said = event.data

    def silence(self) -> tuple[float, str | None]:
        """The longest silence: seconds, and the picture that is worked on so long (None: the worker as a whole)."""
        now = time.monotonic()
        working = [(now - since, key) for key, since in self.in_hand.items() if since is not None]
        return max(working) if working else (now - self.last_word, None)

    def suspects(self) -> list[str]:
        """The pictures that its end may be due to: the one that hung, else those being worked on, else all in hand."""
        if self.hung is not None:
            return [self.hung]
        return [key for key, since in self.in_hand.items() if since is not None] or list(self.in_hand)

    def ran_out_of_memory(self) -> bool:
        """Whether it was, or may have been, killed for the memory it took."""
        if self.failure is not None:
            return self.failure.error_class == Reason.MEMORY_LIMIT
        return self.exit_code == -signal.SIGKILL

    def why(self) -> Failure:
        """The reason for the worker's end, as the failure of the picture that it worked on."""
        if self.failure is not None:
            return self.failure
        tail = next((line for line in reversed(self.stderr) if line.strip()), "")
        if self.exit_code < 0:
            name = signal.Signals(-self.exit_code).name
            hint = " (out of memory?)" if name == "SIGKILL" else ""
            return Failure(ErrorKind.POISON, Reason.WORKER_KILLED, f"the worker died of {name}{hint}. {tail}", "worker")
        message = f"the worker ended with status {self.exit_code}. {tail}"
        return Failure(ErrorKind.POISON, Reason.WORKER_DIED, message, "worker")


OnEvent = Callable[[Event], None]


def ignore_event(event: Event) -> None:
    """For a caller that only waits for the worker's end."""


class WorkerProcess:
    """One worker: ``python -m enhancer.batch.worker MODE ARGUMENTS``.

    Args:
        mode: what it does.
        arguments: what it does it to, as its command line has them.
        settings: passed on in its environment; its limits are enforced here.
        on_event: called with every event of the worker.
        on_tick: called between events, at least each half second.

    Attributes:
        watch: what is known of it, also where :meth:`run` raises.
    """

    def __init__(
        self,
        mode: Mode,
        arguments: Sequence[str],
        settings: Settings,
        *,
        on_event: OnEvent = ignore_event,
        on_tick: Callable[[], None] = lambda: None,
    ) -> None:
        self._arguments = [mode, *arguments]
        self._settings = settings
        self._on_event = on_event
        self._on_tick = on_tick
        self.watch = Watch()

    def run(self) -> Watch:
        """Start the worker and see it to its end, whatever that is: a death is in what is returned.

        Raises:
            LeaseLostError: the worker found that its shard is someone else's.
            WorkerError: the worker itself gave up, with its reason.
        """
        process = spawn_worker(self._arguments, self._settings)
        watch = self.watch
        keys = None
        if self._settings.s3_key_source is not None and process.stdin is not None:
            keys = KeySender(self._settings.s3_key_source, process.stdin)
        try:
            self._follow(process, watch)
        finally:
            kill_group(process)
            watch.exit_code = process.wait()
            if keys is not None:
                keys.stop()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    stream.close()
        if watch.exit_code == EXIT_LEASE_LOST:
            raise LeaseLostError((watch.said or {}).get("message", "the worker lost its lease"))
        if watch.exit_code in (EXIT_TRANSIENT, EXIT_REFUSED) and watch.said:
            kind = ErrorKind.TRANSIENT if watch.exit_code == EXIT_TRANSIENT else ErrorKind.PERMANENT
            raise WorkerError(watch.said["message"], reason=watch.said["reason"], kind=kind)
        return watch

    def _follow(self, process: subprocess.Popen[str], watch: Watch) -> None:
        """Read events until the worker ends; enforce deadline and memory."""
        lines: queue.Queue[str | None] = queue.Queue()
        readers = [
            threading.Thread(target=pump_lines, args=(process.stdout, lines), daemon=True),
            threading.Thread(target=relay_stderr, args=(process.stderr, watch.stderr), daemon=True),
        ]
        for reader in readers:
            reader.start()
        while True:
            try:
                line = lines.get(timeout=TICK_S)
            except queue.Empty:
                line = ""
            if line is None:
                break
            if line:
                self._take(Event.model_validate_json(line), watch)
            self._on_tick()
            watch.failure = self._overstepped(process, watch)
            if watch.failure is not None:
                kill_group(process)
                break
        if watch.failure is None:
            try:
                process.wait(timeout=30)  # it closed its output; a hang in its exit handlers must not hang us
            except subprocess.TimeoutExpired:
                kill_group(process)
        readers[1].join(timeout=5)

    def _take(self, event: Event, watch: Watch) -> None:
        watch.take(event)
        self._on_event(event)

    def _overstepped(self, process: subprocess.Popen[str], watch: Watch) -> Failure | None:
        """Measure memory; the reason to kill the worker, if there is one."""
        used_mb = rss_mb(process.pid)
        watch.peak_rss_mb = max(watch.peak_rss_mb, used_mb)
        limit = self._settings.worker_memory_mb
        if limit and used_mb > limit:
            message = f"the worker used {used_mb:.0f} MB, more than ENHANCER_WORKER_MEMORY_MB={limit}"
            return Failure(ErrorKind.POISON, Reason.MEMORY_LIMIT, message, "worker")
        deadline_s = self._settings.item_deadline_s
        silence_s, key = watch.silence()
        if silence_s > (deadline_s if watch.ready else max(deadline_s, START_DEADLINE_S)):
            message = f"no progress for {silence_s:.0f} s (ENHANCER_ITEM_DEADLINE_S={deadline_s:g})"
            watch.hung = key
            return Failure(ErrorKind.POISON, Reason.HUNG, message, "worker")
        return None


def spawn_worker(arguments: Sequence[str], settings: Settings) -> subprocess.Popen[str]:
    """Start ``python -m enhancer.batch.worker ARGUMENTS`` with pipes for its streams, in a process group of its own."""
    return subprocess.Popen(  # noqa: S603 - our own interpreter and module
        [sys.executable, "-m", "enhancer.batch.worker", *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=worker_environment(settings),
        start_new_session=True,
        text=True,
        encoding="utf-8",
        errors="replace",
    )


def worker_environment(settings: Settings) -> dict[str, str]:
    """The least a worker needs: a few system variables, what says how AWS is reached, and the settings. Credentials of
    the environment only where the settings hold no keys and name no source of keys, so that boto3's own chain (instance
    role, profile) works.
    ENHANCER_STORE_* configures other packages' stores.
    """
    has_own_keys = settings.s3_access_key_id is not None or settings.s3_key_source is not None
    credentials = _AWS_CREDENTIALS if has_own_keys else ()
    keep = {
        name: value
        for name, value in os.environ.items()
        if name in _KEPT_ENVIRONMENT
        or name.startswith(_KEPT_PREFIXES)
        or (name.startswith("AWS_") and not name.startswith(credentials))
    }
    return {**keep, **settings.worker_environment(), "PYTHONUNBUFFERED": "1"}


def rss_mb(pid: int) -> float:
    """Resident memory of a process."""
    try:
        return float(psutil.Process(pid).memory_info().rss) / 1e6
    except psutil.Error:
        return 0.0  # it has just ended


def kill_group(process: subprocess.Popen[str]) -> None:
    """End a worker, and what it may have started, at once."""
    if process.poll() is None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return  # it ended between the look and the kill


def pump_lines(stream: Any, lines: queue.Queue[str | None]) -> None:
    """Pass a worker's lines on until it ends, which None says."""
    for line in stream:
        lines.put(line)
    lines.put(None)


def relay_stderr(stream: Any, kept: deque[str]) -> None:
    """Pass on what a worker logs, and keep its last lines."""
    for line in stream:
        kept.append(relay(line.rstrip()))
