"""A real `enhancer serve`, to be called, killed and started again."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import psutil

from tests.model_cache import MODEL_CACHE

PATIENCE_S = 240.0


class Server:
    """The command as users run it, in a home of its own; `start` after `kill` is the same server again."""

    def __init__(self, home: Path, **settings: Any) -> None:
        self.home = home
        given = {"home": home, "model_dir": MODEL_CACHE, "threads": 1, "lease_ttl_s": 30, **settings}
        named = {f"ENHANCER_{name.upper()}": str(value) for name, value in given.items()}
        plain = {name: value for name, value in os.environ.items() if not name.startswith("ENHANCER_")}
        self.environment = {**plain, **named, "OMP_NUM_THREADS": "1"}
        self.log: list[str] = []

    def start(self) -> Server:
        command = [sys.executable, "-m", "enhancer.cli", "serve", "--port", "0", "--anonymous"]
        self.process = subprocess.Popen(
            command, env=self.environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
        )
        serving = threading.Event()

        def read() -> None:
            for line in self.process.stderr or ():
                self.log.append(line)
                if found := re.match(r"serving on (http://\S+)", line):
                    self.address = found[1]
                    serving.set()
            serving.set()

        threading.Thread(target=read, daemon=True).start()
        assert serving.wait(60), self.log
        assert self.process.poll() is None, self.log
        self.client = httpx.Client(base_url=self.address, timeout=PATIENCE_S)
        wait_for(self._answers)
        return self

    def _answers(self) -> bool:
        try:
            return self.client.get("/healthz").status_code == 200
        except httpx.TransportError:
            return False

    def workers(self, mode: str) -> list[psutil.Process]:
        """Its worker processes of a mode."""
        found = []
        for child in psutil.Process(self.process.pid).children(recursive=True):
            try:
                if "enhancer.batch.worker" in child.cmdline() and mode in child.cmdline():
                    found.append(child)
            except psutil.NoSuchProcess:
                continue
        return found

    def kill(self) -> None:
        self.client.close()
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(30)

    def stop(self) -> int:
        self.client.close()
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def finished(self, job: dict[str, Any]) -> dict[str, Any]:
        """The job, once it is over."""
        found: dict[str, Any] = {}

        def over() -> bool:
            found.update(self.client.get(job["links"]["self"]).json())
            return found["state"] not in ("queued", "running")

        wait_for(over)
        return found


def wait_for(condition: Callable[[], Any]) -> Any:
    """What `condition` gives, once that is true."""
    deadline = time.monotonic() + PATIENCE_S
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)
    return found
