"""Watching a worker process: deadline per picture, memory limit, lease renewal, and blame only where it is due.

A worker that dies or hangs takes the pictures it has in hand with it. Those that were being worked on run again one by
one, each in a worker of its own; only one that kills that worker too is charged and quarantined. The rest of the shard,
what merely waited for its next step included, goes on in a fresh worker.
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
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import psutil
import structlog
from sqlalchemy.exc import SQLAlchemyError

from enhancer.batch.failures import Failure
from enhancer.batch.relayed_logs import relay
from enhancer.batch.worker.events import EXIT_LEASE_LOST, EXIT_REFUSED, EXIT_TRANSIENT, Event, Mode
from enhancer.errors import EnhancerError, ErrorKind, LeaseLostError
from enhancer.ledger import ItemState, Lease, Ledger
from enhancer.ledger.engine import is_transient
from enhancer.reasons import Reason
from enhancer.settings import Settings

log = structlog.get_logger(__name__)

TICK_S: Final = 0.5
START_DEADLINE_S: Final = 120.0
"""Longest silence of a worker that is still importing, where the deadline of a picture is shorter."""
MAX_IDLE_DEATHS: Final = 3
"""Workers that die without a picture in flight before the task gives up: the trouble is the machine's."""

_KEPT_ENVIRONMENT: Final = (
    "PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "PYTHONPATH",
    "OMP_NUM_THREADS", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY",
    "http_proxy", "https_proxy", "no_proxy", "USER",
)  # fmt: skip
_KEPT_PREFIXES: Final = ("CUDA_", "NVIDIA_", "OPENBLAS_", "PIP_", "XDG_", "COV_", "COVERAGE_")


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


OnEvent = Callable[[Event], None]


class Supervisor:
    """Runs workers for one shard and mode until nothing is left to do."""

    def __init__(
        self, mode: Mode, lease: Lease, ledger: Ledger, settings: Settings, on_event: OnEvent | None = None
    ) -> None:
        self._mode = mode
        self._lease = lease
        self._ledger = ledger
        self._settings = settings
        self._on_event = on_event or (lambda event: None)
        self._renewed_at = time.monotonic()
        self._overlap = True
        self.peak_rss_mb = 0.0

    def run(self) -> None:
        """Work until the shard has nothing left for this mode.

        Raises:
            LeaseLostError: another attempt owns the shard; nothing more was written.
            WorkerError: workers keep dying with no picture to blame.
        """
        idle_deaths = 0
        while self._something_left():
            watch = self._one_worker()
            if watch.finished:
                return
            if not watch.in_hand:
                idle_deaths += 1
                if idle_deaths >= MAX_IDLE_DEATHS:
                    raise WorkerError(f"{MAX_IDLE_DEATHS} workers died before any picture: {_why(watch).message}")
                continue
            idle_deaths = 0
            if len(watch.in_hand) > 1 and watch.ran_out_of_memory():
                self._overlap = False  # together they may take too much; one by one they get what there is
            self._sort_out(watch)

    def _something_left(self, key: str | None = None) -> bool:
        """Whether the shard, or this one picture of it, is still to be worked on."""
        halt = self._ledger.halts.of(self._lease.run_id)
        if halt is not None and (halt.kind == "stopped" or self._mode == "enhance"):
            return False
        wanted = ItemState.PENDING if self._mode == "enhance" else ItemState.ENHANCED
        if key is not None:
            row = self._ledger.items.get(self._lease.run_id, key)
            return row is not None and row.state == wanted
        return self._ledger.items.shard_counts(self._lease.run_id, self._lease.shard_id).get(wanted, 0) > 0

    def run_once(self) -> Watch:
        """One worker to its end, without a second; for work that has no item states (thumbnails)."""
        return self._one_worker()

    def _sort_out(self, watch: Watch) -> None:
        """After a worker's death: the suspects run again one by one; the rest of what it had in hand is as it was."""
        suspects = watch.suspects()
        for key in watch.in_hand:
            self._give_back(key, tried=key in suspects)
        for key in suspects:
            if self._something_left(key):
                self._try_alone(key, _why(watch))

    def _try_alone(self, key: str, first: Failure) -> None:
        """Run a picture that was worked on when its worker died in a worker of its own; charge it if that dies too."""
        log.warning("worker died; its picture runs again alone", key=key, reason=first.message, mode=self._mode)
        watch = self._one_worker(only=key)
        if watch.finished or key not in watch.in_hand:
            return
        failure = _why(watch)
        log.error("picture quarantined: it killed a worker on its own", key=key, reason=failure.message)
        self._ledger.items.move(self._lease, key, ItemState.QUARANTINED, **failure.columns())
        self._on_event(Event(event="item", key=key, state=ItemState.QUARANTINED.value))

    def _give_back(self, key: str, *, tried: bool) -> None:
        """A picture that a dead worker had in hand is pending; it loses no attempt where it only waited."""
        row = self._ledger.items.get(self._lease.run_id, key)
        if row is not None and row.state == ItemState.RUNNING:
            self._ledger.items.give_back(self._lease, key, delay_s=0, count_attempt=tried)

    def _one_worker(self, only: str | None = None) -> Watch:
        """Start a worker and see it to its end."""
        lease = self._lease
        command = [sys.executable, "-m", "enhancer.batch.worker", self._mode, lease.run_id, str(lease.shard_id),
                   str(lease.epoch), lease.owner]  # fmt: skip
        if only is not None:
            command += [f"--only={only}"]
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=worker_environment(self._settings if self._overlap else _one_by_one(self._settings)),
            start_new_session=True,
            text=True,
            encoding="utf-8",
            errors="replace",
        )
        watch = Watch()
        try:
            self._follow(process, watch)
        finally:
            _kill(process)
            watch.exit_code = process.wait()
            for stream in (process.stdin, process.stdout, process.stderr):
                if stream is not None:
                    stream.close()
        self.peak_rss_mb = max(self.peak_rss_mb, watch.peak_rss_mb)
        if watch.exit_code == EXIT_LEASE_LOST:
            raise LeaseLostError((watch.said or {}).get("message", "the worker lost its lease"))
        if watch.exit_code in (EXIT_TRANSIENT, EXIT_REFUSED) and watch.said:
            kind = ErrorKind.TRANSIENT if watch.exit_code == EXIT_TRANSIENT else ErrorKind.PERMANENT
            raise WorkerError(watch.said["message"], reason=watch.said["reason"], kind=kind)
        return watch

    def _follow(self, process: subprocess.Popen[str], watch: Watch) -> None:
        """Read events until the worker ends; enforce deadline and memory, renew the lease."""
        lines: queue.Queue[str | None] = queue.Queue()
        readers = [
            threading.Thread(target=_pump, args=(process.stdout, lines), daemon=True),
            threading.Thread(target=_log_stderr, args=(process.stderr, watch.stderr), daemon=True),
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
            self._renew()
            watch.failure = self._overstepped(process, watch)
            if watch.failure is not None:
                _kill(process)
                break
        if watch.failure is None:
            try:
                process.wait(timeout=30)  # it closed its output; a hang in its exit handlers must not hang us
            except subprocess.TimeoutExpired:
                _kill(process)
        readers[1].join(timeout=5)

    def _take(self, event: Event, watch: Watch) -> None:
        watch.take(event)
        self._on_event(event)

    def _overstepped(self, process: subprocess.Popen[str], watch: Watch) -> Failure | None:
        """Measure memory; the reason to kill the worker, if there is one."""
        rss_mb = _rss_mb(process.pid)
        watch.peak_rss_mb = max(watch.peak_rss_mb, rss_mb)
        limit = self._settings.worker_memory_mb
        if limit and rss_mb > limit:
            message = f"the worker used {rss_mb:.0f} MB, more than ENHANCER_WORKER_MEMORY_MB={limit}"
            return Failure(ErrorKind.POISON, Reason.MEMORY_LIMIT, message, "worker")
        deadline_s = self._settings.item_deadline_s
        silence_s, key = watch.silence()
        if silence_s > (deadline_s if watch.ready else max(deadline_s, START_DEADLINE_S)):
            message = f"no progress for {silence_s:.0f} s (ENHANCER_ITEM_DEADLINE_S={deadline_s:g})"
            watch.hung = key
            return Failure(ErrorKind.POISON, Reason.HUNG, message, "worker")
        return None

    def _renew(self) -> None:
        """Renew the lease each third of its life; bear a database that is away for as long as the lease lasts."""
        if self._lease.shard_id < 0:
            return  # not a shard's worker: there is no lease to lose
        age = time.monotonic() - self._renewed_at
        if age < self._settings.lease_ttl_s / 3:
            return
        try:
            self._ledger.leases.renew(self._lease, self._settings.lease_ttl_s)
            self._renewed_at = time.monotonic()
        except SQLAlchemyError as error:
            if not is_transient(error) or age > self._settings.lease_ttl_s:
                raise
            log.warning("the ledger does not answer; the lease still holds", age_s=round(age))


def worker_environment(settings: Settings) -> dict[str, str]:
    """The least a worker needs: a few system variables and the settings. AWS_* only where the settings hold no keys, so
    that boto3's own chain (instance role, profile) works.
    """
    keep = {
        name: value
        for name, value in os.environ.items()
        if name in _KEPT_ENVIRONMENT or name.startswith(_KEPT_PREFIXES)
    }
    if settings.s3_access_key_id is None:
        keep.update({name: value for name, value in os.environ.items() if name.startswith("AWS_")})
    return {**keep, **settings.worker_environment(), "PYTHONUNBUFFERED": "1"}


def _one_by_one(settings: Settings) -> Settings:
    return settings.model_copy(update={"overlap_pictures": 1})


def _why(watch: Watch) -> Failure:
    """The reason for a worker's end, as the failure of the picture that was in flight."""
    if watch.failure is not None:
        return watch.failure
    tail = next((line for line in reversed(watch.stderr) if line.strip()), "")
    if watch.exit_code < 0:
        name = signal.Signals(-watch.exit_code).name
        hint = " (out of memory?)" if name == "SIGKILL" else ""
        return Failure(ErrorKind.POISON, Reason.WORKER_KILLED, f"the worker died of {name}{hint}. {tail}", "worker")
    return Failure(
        ErrorKind.POISON, Reason.WORKER_DIED, f"the worker ended with status {watch.exit_code}. {tail}", "worker"
    )


def _rss_mb(pid: int) -> float:
    try:
        return float(psutil.Process(pid).memory_info().rss) / 1e6
    except psutil.Error:
        return 0.0  # it has just ended


def _kill(process: subprocess.Popen[str]) -> None:
    if process.poll() is None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            return  # it ended between the look and the kill


def _pump(stream: Any, lines: queue.Queue[str | None]) -> None:
    for line in stream:
        lines.put(line)
    lines.put(None)


def _log_stderr(stream: Any, kept: deque[str]) -> None:
    for line in stream:
        kept.append(relay(line.rstrip()))


def supervise(
    mode: Mode, reference: Mapping[str, Any], *, settings: Settings, owner: str, on_event: OnEvent | None = None
) -> dict[str, int]:
    """Take a shard's lease, see a worker of `mode` through its pictures, and return the shard's items by state."""
    run_id, shard_id = str(reference["run"]), int(reference["shard"])
    started = time.monotonic()
    with Ledger(settings.ledger_url()) as ledger:
        lease = ledger.leases.take(run_id, shard_id, owner, settings.lease_ttl_s)
        supervisor = Supervisor(mode, lease, ledger, settings, on_event)
        try:
            supervisor.run()
        finally:
            worked = supervisor.peak_rss_mb > 0
            ledger.leases.release(
                lease,
                busy_s=time.monotonic() - started if worked else 0.0,
                peak_rss_mb=supervisor.peak_rss_mb if worked else None,
            )
        counts = ledger.items.shard_counts(run_id, shard_id)
    log.info("shard done", mode=mode, run=run_id, shard=shard_id, **counts)
    return counts
