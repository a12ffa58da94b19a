"""Child processes that are owned: a log file each, readiness by polling, and an end that is certain."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

LOOPBACK = "127.0.0.1"
_GUARD = Path(__file__).with_name("guard.py")
_POLL_S = 0.1


class ServiceError(RuntimeError):
    """A service that did not start, died or did not stop; the message names its log and shows the end of it."""


class Service(Protocol):
    """What the demo starts and stops. Enter it, or put it on an :class:`contextlib.ExitStack`."""

    name: str

    def start(self) -> None:
        """Start and return when it can be used; raise :class:`ServiceError` otherwise."""
        ...

    def stop(self) -> None:
        """Stop and return when it and its ports are gone; no error where it does not run."""
        ...

    @property
    def running(self) -> bool:
        """Whether the process is alive."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(self, *exc: object) -> None: ...


def free_ports(count: int) -> list[int]:
    """`count` different TCP ports that are free on the loopback address at this moment."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for bound in sockets:
            bound.bind((LOOPBACK, 0))
        return [bound.getsockname()[1] for bound in sockets]


def free_port() -> int:
    """A TCP port that is free on the loopback address at this moment."""
    return free_ports(1)[0]


def port_answers(port: int) -> bool:
    """Whether something accepts connections on this loopback port."""
    try:
        with socket.create_connection((LOOPBACK, port), timeout=1):
            return True
    except OSError:
        return False


def wait_until(condition: Callable[[], bool], *, timeout_s: float, poll_s: float = _POLL_S) -> bool:
    """Poll until `condition` holds; False when it did not within `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() >= deadline:
            return False
        time.sleep(poll_s)
    return True


def tail(path: Path, lines: int = 30) -> str:
    """The last lines of a log."""
    if not path.exists():
        return "(no log was written)"
    with path.open("rb") as log:
        log.seek(max(0, path.stat().st_size - 64 * 1024))
        return "\n".join(log.read().decode(errors="replace").splitlines()[-lines:])


class ManagedProcess:
    """One command, run under :mod:`.guard` in a session of its own.

    Ctrl-C in the terminal does not reach it; the owner decides. It is stopped when `stop` is called, when the context
    ends, and when the owner dies in whatever way, SIGKILL included. After that, or a crash, it may be started again.

    Args:
        name: for messages.
        command: program and arguments. Credentials belong in `env`, never here.
        log: file that stdout and stderr are appended to.
        ready: True once the service can be used; polled. None: ready as soon as it runs.
        env: the whole environment; None: the owner's.
        cwd: working directory; None: the owner's.
        ports: loopback ports that must be free again before `stop` returns.
        user: run as this system user (only root can).
        stop_signal: sent to the process group first.
        start_timeout_s: for `ready`.
        stop_timeout_s: between `stop_signal` and SIGKILL.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        log: Path,
        ready: Callable[[], bool] | None = None,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        ports: Sequence[int] = (),
        user: str | None = None,
        stop_signal: signal.Signals = signal.SIGTERM,
        start_timeout_s: float = 60,
        stop_timeout_s: float = 15,
    ) -> None:
        self.name = name
        self.command = [str(part) for part in command]
        self.log = log
        self.ready = ready
        self.env = env
        self.cwd = cwd
        self.ports = tuple(ports)
        self.user = user
        self.stop_signal = stop_signal
        self.start_timeout_s = start_timeout_s
        self.stop_timeout_s = stop_timeout_s
        self.pid: int | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self._lifeline: int | None = None

    @property
    def running(self) -> bool:
        """Whether the command is alive."""
        return self._guard is not None and self._guard.poll() is None

    @property
    def returncode(self) -> int | None:
        """How the last run ended: its exit status, 128 + n after signal n; None while it runs or before it ran."""
        return None if self._guard is None else self._guard.poll()

    def start(self) -> None:
        """Start and wait until ready.

        Raises:
            ServiceError: it ended or was not ready in time; it has been stopped then.
        """
        if self.running:
            return
        try:
            self._launch()
            self._await_ready()
        except BaseException:  # Ctrl-C too: what was started is stopped
            self.stop()
            raise

    def _launch(self) -> None:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        lifeline, self._lifeline = os.pipe()
        report, report_write = os.pipe()
        options = {
            "lifeline": lifeline,
            "report": report_write,
            "stop_signal": int(self.stop_signal),
            "grace_s": self.stop_timeout_s,
            "user": None if self.user is None else pwd.getpwnam(self.user)[2:4],
        }
        try:
            with self.log.open("ab") as log:
                self._guard = subprocess.Popen(
                    [sys.executable, "-I", "-S", str(_GUARD), json.dumps(options), *self.command],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=None if self.env is None else dict(self.env),
                    cwd=self.cwd,
                    start_new_session=True,
                    pass_fds=(lifeline, report_write),
                )
        finally:
            os.close(lifeline)
            os.close(report_write)
        with os.fdopen(report) as text:  # ends at once when the command could not be started
            pid = text.readline().strip()
        if not pid:
            raise self._failure("could not be started")
        self.pid = int(pid)

    def _await_ready(self) -> None:
        deadline = time.monotonic() + self.start_timeout_s
        while self.ready is not None and not self.ready():
            if not self.running:
                raise self._failure(f"ended with status {self.returncode} before it was ready")
            if time.monotonic() >= deadline:
                raise self._failure(f"was not ready within {self.start_timeout_s:g} s")
            time.sleep(_POLL_S)

    def _failure(self, what: str) -> ServiceError:
        return ServiceError(f"{self.name} {what}; log: {self.log}\n{tail(self.log)}")

    def kill(self) -> None:
        """SIGKILL to the command's process group, as a crash would end it; for tests of recovery."""
        if self.running and self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
        self.stop()

    def stop(self) -> None:
        """Stop and wait until the process and its ports are gone.

        Raises:
            ServiceError: a port is still taken afterwards.
        """
        lifeline, self._lifeline = self._lifeline, None
        if lifeline is not None:
            with contextlib.suppress(BrokenPipeError):
                os.write(lifeline, b".")  # an order, where a forked copy of the pipe would keep a mere close unseen
            os.close(lifeline)
        if self._guard is None or self._guard.returncode is not None:
            return
        try:
            self._guard.wait(self.stop_timeout_s + 10)
        except subprocess.TimeoutExpired:
            self._guard.kill()  # the command dies with it by PDEATHSIG
            self._guard.wait()
        if not wait_until(lambda: not any(map(port_answers, self.ports)), timeout_s=10):
            raise self._failure(f"was stopped, but one of its ports {self.ports} still answers")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class OneProcessService(ABC):
    """A service that is one process, which `start` makes; it may be started again after a stop or a crash."""

    def __init__(self) -> None:
        self._process: ManagedProcess | None = None

    @abstractmethod
    def start(self) -> None:
        """Start and return when it can be used; raise :class:`ServiceError` otherwise."""

    def stop(self) -> None:
        """Stop in order; no error where it does not run."""
        if self._process is not None:
            self._process.stop()

    def kill(self) -> None:
        """End it as a crash would."""
        if self._process is not None:
            self._process.kill()

    @property
    def running(self) -> bool:
        """Whether the process is alive."""
        return self._process is not None and self._process.running

    @property
    def pid(self) -> int | None:
        """The process's id, once it was started."""
        return None if self._process is None else self._process.pid

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()
