"""The way into the ledger's database: one engine per URL, SQLite or PostgreSQL, one code path."""

from __future__ import annotations

import json
import math
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from tenacity import retry, retry_if_exception, stop_after_delay, wait_random

from enhancer.errors import RequestError
from enhancer.reasons import Reason

SUPPORTED = ("sqlite", "postgresql")

BUSY_TIMEOUT_S = 60.0
"""How long a writer waits for SQLite's one write lock."""

READ_ONLY = "enhancer_read_only"

_SQLITE_TRANSIENT = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
    }
)

_SQLSTATE_TRANSIENT = frozenset({"08", "40", "53", "55", "57", "58"})
"""Classes of PostgreSQL's SQLSTATE (appendix A of its manual): connection, rollback (deadlock, serialization),
resources, object not in the needed state (lock not available), operator intervention (restart), system error."""


def parse_url(url: str) -> URL:
    """The URL of a database that the ledger runs on, with this project's driver; connects to nothing.

    Raises:
        RequestError: not a SQLAlchemy URL, or a database that is neither SQLite nor PostgreSQL.
    """
    ways = "sqlite:////path/ledger.db or postgresql+psycopg://user:password@host/database"
    try:
        parsed = make_url(url)
    except ArgumentError as error:  # its text is not repeated: it could show a password
        raise RequestError(
            f"the ledger's address is not a database URL: set ENHANCER_LEDGER_DSN to {ways}",
            reason=Reason.BAD_LEDGER_DSN,
        ) from error
    dialect = parsed.get_backend_name()
    if dialect == "postgres":  # the older spelling, which Airflow Connections still print
        parsed, dialect = parsed.set(drivername="postgresql"), "postgresql"
    if dialect not in SUPPORTED:
        raise RequestError(
            f"the ledger runs on SQLite or PostgreSQL, not {dialect!r}: set ENHANCER_LEDGER_DSN to {ways}",
            reason=Reason.BAD_LEDGER_DSN,
        )
    if dialect == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    return parsed


def sqlite_file(parsed: URL) -> Path | None:
    """The file of an SQLite URL; None for PostgreSQL and for databases in memory."""
    if parsed.get_backend_name() != "sqlite" or not parsed.database or parsed.database == ":memory:":
        return None
    return Path(parsed.database)


def open_engine(url: str) -> Engine:
    """An engine with this project's settings.

    SQLite: WAL, foreign keys on, and every transaction begins IMMEDIATE, so that a read-then-write never fails half way
    on a lock upgrade (reads go through :func:`reading` and take no lock that a writer waits for). PostgreSQL:
    psycopg 3, connections checked before use (a database that was restarted is no error).

    Raises:
        RequestError: a database that is neither.
    """
    parsed = parse_url(url)
    if parsed.get_backend_name() == "postgresql":
        return create_engine(parsed, pool_pre_ping=True, pool_size=5, max_overflow=10, json_serializer=to_json)
    if file := sqlite_file(parsed):
        _make_private(file)
    engine = create_engine(parsed, connect_args={"timeout": BUSY_TIMEOUT_S}, json_serializer=to_json)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _make_private(file: Path) -> None:
    """A new ledger for its owner alone: it names every picture. SQLite gives its side files the same rights.

    One that is there keeps its rights, which someone may have chosen, and is not even opened: closing it again would
    let go the locks that other connections of this process hold on it (fcntl(2); sqlite.org/howtocorrupt.html, 2.2). So
    the new file is complete before it has its name. Where that cannot be done, SQLite makes the file, or complains.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    if file.exists():
        return
    with suppress(OSError):
        descriptor, draft = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name[:32]}.")  # for its owner alone
        os.close(descriptor)
        try:
            os.link(draft, file)
        finally:
            Path(draft).unlink()


def _prepare_sqlite(connection: Any, record: Any) -> None:
    connection.isolation_level = None  # the driver must not begin transactions of its own
    _use_wal(connection)
    cursor = connection.cursor()
    cursor.execute("PRAGMA synchronous=FULL")
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _locked(error: BaseException) -> bool:
    return isinstance(error, sqlite3.OperationalError) and error.sqlite_errorcode & 0xFF in _SQLITE_TRANSIENT


@retry(
    retry=retry_if_exception(_locked), wait=wait_random(0.01, 0.1), stop=stop_after_delay(BUSY_TIMEOUT_S), reraise=True
)
def _use_wal(connection: Any) -> None:
    # SQLite does not wait for its busy timeout when two connections change the mode of a new file at once.
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    read_only = connection.get_execution_options().get(READ_ONLY, False)
    connection.exec_driver_sql("BEGIN DEFERRED" if read_only else "BEGIN IMMEDIATE")


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A transaction that only reads: on SQLite it waits for no writer and no writer waits for it."""
    with engine.connect() as connection:
        connection.execution_options(**{READ_ONLY: True, "postgresql_readonly": True})
        with connection.begin():
            yield connection


def to_json(value: Any) -> str:
    """JSON text for the database. Infinity and NaN, which JSON does not have and PostgreSQL refuses, become null."""
    try:
        return json.dumps(value, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(value), allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return value


def is_transient(error: BaseException) -> bool:
    """Whether a database error may mend itself: lost connection, lock, deadlock, serialization failure, full disk.

    A missing table or a wrong statement is not: a retry meets it again.
    """
    if isinstance(error, PoolTimeoutError):
        return True
    if not isinstance(error, DBAPIError):
        return False
    if error.connection_invalidated:
        return True
    if isinstance(error.orig, sqlite3.Error):
        return getattr(error.orig, "sqlite_errorcode", 0) & 0xFF in _SQLITE_TRANSIENT
    state = getattr(error.orig, "sqlstate", None)
    if state:
        return state[:2] in _SQLSTATE_TRANSIENT
    # libpq gives no state where it never got through to the server.
    return type(error.orig).__name__ in {"OperationalError", "ConnectionTimeout", "PipelineAborted"}
