"""Processes that are forked from one that has imported what they need, so that hundreds may be killed in minutes.

A fresh worker costs seconds of processor time in imports alone, and a kill at a random moment would nearly always hit
those. Here a :class:`Nursery` forks it instead: before any thread, connection or model exists, so that the child has
what a fresh interpreter has after its imports. All else is the product's: its supervisor starts the worker through
:class:`ForkedWorker`, which looks like ``subprocess.Popen``, and the worker's ``main`` runs with the same arguments,
environment and pipes, in a session of its own, and dies with its parent.
"""

from __future__ import annotations

import ctypes
import json
import os
import random
import select
import signal
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial, reduce
from importlib import import_module
from pathlib import Path
from typing import Any, Final, Literal, NoReturn

What = Literal["night", "worker"]

_PDEATHSIG: Final = 1
_POLL_S: Final = 0.02
_MESSAGE: Final = 1 << 20

_role = ""
"""``night`` or ``worker``, in a process that became one."""


class Child:
    """A process of a nursery.

    Attributes:
        pid: its id.
        returncode: as ``subprocess`` has it; None while it runs.
    """

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._over = threading.Event()

    def poll(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end.

        Raises:
            subprocess.TimeoutExpired: as Popen.wait does.
        """
        if not self._over.wait(timeout):
            raise subprocess.TimeoutExpired(["forked"], timeout or 0.0)
        assert self.returncode is not None
        return self.returncode

    def ended(self, status: int) -> None:
        """Called by the nursery when the child has ended."""
        self.returncode = os.waitstatus_to_exitcode(status)
        self._over.set()


class Nursery:
    """Forks processes on demand from a copy of the process as it was when this object was made.

    Make it while the process has one thread. It dies with its owner, and its children with it.

    Args:
        spawned: fork from a fresh interpreter that has imported what nights and workers need, whatever this one holds.
    """

    def __init__(self, *, spawned: bool = False) -> None:
        self._socket, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        if spawned:
            process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.forked", str(theirs.fileno())], pass_fds=[theirs.fileno()]
            )
            self._wait: Callable[[], object] = process.wait
        else:
            sys.stdout.flush()
            sys.stderr.flush()
            pid = os.fork()
            if pid == 0:
                self._socket.close()
                _serve(theirs)
            self._wait = partial(os.waitpid, pid, 0)
        theirs.close()
        self._asking = threading.Lock()
        self._answers: list[int] = []
        self._answered = threading.Semaphore(0)
        self._children: dict[int, Child] = {}
        self._early: dict[int, int] = {}  # exits reported before the fork was
        threading.Thread(target=self._listen, name="nursery", daemon=True).start()

    def fork(self, what: What, arguments: Sequence[str], env: Mapping[str, str], streams: Sequence[int]) -> Child:
        """Start `what` with these arguments, environment and three standard streams."""
        request = json.dumps({"what": what, "arguments": list(arguments), "env": dict(env)}).encode()
        with self._asking:
            socket.send_fds(self._socket, [request], list(streams))
            self._answered.acquire()
            child = Child(self._answers.pop())
            self._children[child.pid] = child
            if child.pid in self._early:
                child.ended(self._early.pop(child.pid))
        return child

    def close(self) -> None:
        """End the nursery and everything in it."""
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._wait()

    def _listen(self) -> None:
        while message := self._socket.recv(_MESSAGE):
            report = json.loads(message)
            if "born" in report:
                self._answers.append(report["born"])
                self._answered.release()
            elif (child := self._children.pop(report["pid"], None)) is not None:
                child.ended(report["status"])
            else:
                self._early[report["pid"]] = report["status"]


def _serve(requests: socket.socket) -> NoReturn:
    """The nursery's own process: fork on request, report exits, end with the owner."""
    _die_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    alive: set[int] = set()
    while True:
        ready, _, _ = select.select([requests], [], [], _POLL_S if alive else None)
        if ready:
            message, streams, _, _ = socket.recv_fds(requests, _MESSAGE, 3)
            if not message:
                for pid in alive:
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                os._exit(0)
            pid = os.fork()
            if pid == 0:
                requests.close()
                _become(json.loads(message), streams)
            for stream in streams:
                os.close(stream)
            alive.add(pid)
            requests.send(json.dumps({"born": pid}).encode())
        while alive:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                break
            alive.discard(pid)
            requests.send(json.dumps({"pid": pid, "status": status}).encode())


def _become(request: dict[str, Any], streams: Sequence[int]) -> NoReturn:
    """The child: as after exec and imports, then the product's own entry point."""
    status = 1
    try:
        os.setsid()
        _die_with_parent()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
        for stream in streams:
            os.close(stream)
        os.environ.clear()
        os.environ.update(request["env"])
        random.seed()
        global _role  # noqa: PLW0603 - what this process is from now on
        _role = request["what"]
        status = _RUN[request["what"]](request["arguments"])
    except SystemExit as error:
        status = error.code if isinstance(error.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _worker(arguments: Sequence[str]) -> int:
    from enhancer.batch.worker.__main__ import main
    from enhancer.settings import get_settings

    get_settings.cache_clear()
    return main(arguments)


def _night(arguments: Sequence[str]) -> int:
    """``enhancer ARGUMENTS`` with workers from a nursery of its own.

    With KILL_AT (a callable as ``module:name.name``), KILL_WHO (``night`` or ``worker``) and KILL_MARK (a file) in the
    environment, the first such process to call that callable is killed there; once, since the file stays.
    """
    from enhancer.batch import worker_process
    from enhancer.cli import main
    from enhancer.settings import get_settings

    get_settings.cache_clear()
    if "KILL_AT" in os.environ:
        # Before the nursery is made, so that the workers inherit it.
        _kill_at(os.environ["KILL_AT"], os.environ["KILL_WHO"], Path(os.environ["KILL_MARK"]))
    ForkedWorker.nursery = Nursery()
    worker_process.subprocess = _Subprocess  # type: ignore[assignment, attr-defined]
    sys.argv = ["enhancer", *arguments]
    main()
    return 0


def _kill_at(where: str, who: str, mark: Path) -> None:
    module, _, path = where.partition(":")
    *owners, name = path.split(".")
    owner = reduce(getattr, owners, import_module(module))
    real = getattr(owner, name)

    def fatal(*arguments: Any, **more: Any) -> Any:
        if _role == who and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return real(*arguments, **more)

    setattr(owner, name, fatal)


_RUN: Final = {"worker": _worker, "night": _night}


class ForkedWorker(Child):
    """What the supervisor takes for ``subprocess.Popen``: its child comes from the nursery."""

    nursery: Nursery

    def __init__(self, command: Sequence[str], *, env: Mapping[str, str], **_: Any) -> None:
        pipes = [os.pipe() for _ in range(3)]
        (theirs_in, ours_in), (ours_out, theirs_out), (ours_err, theirs_err) = pipes
        theirs = [theirs_in, theirs_out, theirs_err]
        child = self.nursery.fork("worker", command[3:], env, theirs)  # past "python -m enhancer.batch.worker"
        for stream in theirs:
            os.close(stream)
        self._child = child
        super().__init__(child.pid)
        self.stdin = os.fdopen(ours_in, "w", encoding="utf-8")
        self.stdout = os.fdopen(ours_out, encoding="utf-8", errors="replace")
        self.stderr = os.fdopen(ours_err, encoding="utf-8", errors="replace")

    def poll(self) -> int | None:
        """As Popen has it."""
        return self._child.poll()

    def wait(self, timeout: float | None = None) -> int:
        """As Popen has it."""
        return self._child.wait(timeout)


class _Subprocess:
    """The part of the module ``subprocess`` that the supervisor uses."""

    Popen = ForkedWorker
    PIPE = subprocess.PIPE
    TimeoutExpired = subprocess.TimeoutExpired


def import_everything() -> None:
    """What nights and workers import, so that forked ones need not."""
    import boto3
    import cv2

    import enhancer.batch.run
    import enhancer.batch.worker.__main__
    import enhancer.batch.worker.enhance
    import enhancer.batch.worker.evaluate
    import enhancer.batch.worker.second_look
    import enhancer.batch.worker.thumbnails
    import enhancer.cli.app
    import enhancer.cli.batch
    import enhancer.cli.following
    import enhancer.ledger.migrate  # noqa: F401

    cv2.setNumThreads(1)
    boto3.session.Session().client("s3", region_name="us-east-1")  # what botocore imports on first use


def _die_with_parent() -> None:
    ctypes.CDLL(None, use_errno=True).prctl(_PDEATHSIG, signal.SIGKILL)


if __name__ == "__main__":
    import_everything()
    _serve(socket.socket(fileno=int(sys.argv[1])))
