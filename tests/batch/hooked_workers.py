"""A hook in the interpreter of real workers: what kills, hangs or hogs acts when the worker opens a file of that name."""

from __future__ import annotations

import psutil

from tests.batch.site_builder import child_pids

HOOK = """
import os, signal, sys, time

if any(part.endswith("enhancer.batch.worker") for part in sys.orig_argv):
    def act(event, arguments):
        if event != "open" or not isinstance(arguments[0], str):
            return
        name = os.path.basename(arguments[0])
        if name.startswith(".enhancer-") and os.path.exists(os.path.join(os.environ["HOME"], "disk-is-full")):
            raise OSError(28, os.strerror(28))
        if name.startswith("poison"):
            time.sleep(0.5)  # the test looks at the process first
            os.kill(os.getpid(), signal.SIGKILL)
        if name.startswith("flaky"):
            marker = os.path.join(os.environ["HOME"], "was-here")
            if not os.path.exists(marker):
                os.close(os.open(marker, os.O_CREAT))
                time.sleep(0.5)
                os.kill(os.getpid(), signal.SIGKILL)
        if name.startswith("hang"):
            time.sleep(600)
        if name.startswith("hog"):
            hoard = bytearray(500_000_000)
            hoard[::4096] = b"x" * len(hoard[::4096])
            time.sleep(600)

    sys.addaudithook(act)
"""


def workers_of(pid: int) -> list[psutil.Process]:
    """The worker processes that a process started and that run still."""
    found = []
    for child in child_pids(pid):
        try:
            if "enhancer.batch.worker" in psutil.Process(child).cmdline():
                found.append(psutil.Process(child))
        except psutil.NoSuchProcess:
            continue
    return found
