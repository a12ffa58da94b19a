"""Runs one command and makes sure that nothing of it outlives its owner. A script, started by :mod:`.processes`.

The owner holds the write end of a pipe. When it writes, closes it or dies, by whatever signal, the guard stops the
command: its stop signal to the process group, a bounded wait, SIGKILL, and SIGKILL to every descendant that left the
group (on Linux the guard is a subreaper and inherits orphans). Unlike PR_SET_PDEATHSIG in the owner's child this does
not hang on the *thread* that started it, and it reaches grandchildren. The command in turn gets PDEATHSIG, so that it
dies with the guard.

Usage: guard.py JSON COMMAND... with JSON
{"lifeline": fd, "report": fd, "stop_signal": n, "grace_s": seconds, "user": [uid, gid] | null}.
The command's process id is written to `report`. The exit status is the command's, 128 + n where signal n ended it.
"""

from __future__ import annotations

import ctypes
import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36


def _prctl(option: int, value: int) -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0)


def _children() -> list[int]:
    """The guard's direct children, which as a subreaper come to be all descendants once their parents are dead."""
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            text = stat.read_text()
        except OSError:
            continue  # it ended while we looked
        if int(text.rpartition(")")[2].split()[1]) == os.getpid():
            found.append(int(stat.parent.name))
    return found


class Guard:
    """One command under guard."""

    def __init__(self, options: dict[str, Any], command: list[str]) -> None:
        self.options = options
        self.status: int | None = None
        self.stopping = False
        _prctl(PR_SET_CHILD_SUBREAPER, 1)
        self.wake, wake_write = os.pipe()
        for end in (self.wake, wake_write):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(wake_write)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # a handler must exist for the wake-up byte to be written
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._ask_to_stop)
        self.child = self._start(command)
        os.write(options["report"], f"{self.child}\n".encode())
        os.close(options["report"])

    def _ask_to_stop(self, *_: object) -> None:
        self.stopping = True

    def _start(self, command: list[str]) -> int:
        guard = os.getpid()

        def die_with_guard() -> None:  # runs after setuid, which would have cleared it
            _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != guard:
                os._exit(1)

        identity: dict[str, Any] = {}
        if self.options["user"]:
            uid, gid = self.options["user"]
            identity = {"user": uid, "group": gid, "extra_groups": []}
        # preexec_fn is unsafe beside threads only, and the guard has one.
        child = subprocess.Popen(command, process_group=0, preexec_fn=die_with_guard, **identity)  # noqa: PLW1509
        child.returncode = 0  # reaped below with all other children, not by Popen
        return child.pid

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            if pid == self.child:
                self.status = os.waitstatus_to_exitcode(status)

    def _sleep(self, timeout: float | None, *more: int) -> list[int]:
        ready = select.select([self.wake, *more], [], [], timeout)[0]
        if self.wake in ready:
            os.read(self.wake, 4096)
        self._reap()
        return ready

    def _signal_group(self, number: int) -> None:
        try:
            os.killpg(self.child, number)
        except ProcessLookupError:
            return

    def run(self) -> int:
        """Wait for the command or for the order to stop; leave nothing behind; return the exit status."""
        lifeline = self.options["lifeline"]
        self._reap()
        while self.status is None and not self.stopping:
            self.stopping = lifeline in self._sleep(None, lifeline) or self.stopping
        if self.status is None:
            self._signal_group(self.options["stop_signal"])
            deadline = time.monotonic() + self.options["grace_s"]
            while self.status is None and (left := deadline - time.monotonic()) > 0:
                self._sleep(left)
        self._signal_group(signal.SIGKILL)
        deadline = time.monotonic() + 5
        while (rest := _children()) and time.monotonic() < deadline:
            for pid in rest:
                os.kill(pid, signal.SIGKILL)  # our child, so it is there, dead or alive, until we reap it
            self._sleep(0.05)
        status = self.status if self.status is not None else -signal.SIGKILL
        return status if status >= 0 else 128 - status


if __name__ == "__main__":
    try:
        sys.exit(Guard(json.loads(sys.argv[1]), sys.argv[2:]).run())
    except OSError as error:  # the command cannot be started
        sys.exit(f"guard: {error}")
