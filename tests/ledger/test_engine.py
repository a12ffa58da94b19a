from __future__ import annotations

import math
import multiprocessing
import os
import sqlite3
import subprocess
import sys
import threading
import time

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError, IntegrityError, OperationalError

from enhancer.errors import RequestError
from enhancer.ledger import Ledger, migrate
from enhancer.ledger.engine import is_transient, open_engine, parse_url, reading, to_json
from enhancer.ledger.tables import db_now, item


@pytest.mark.parametrize("url", ["mysql://root:geheim@host/db", "oracle://root:geheim@host", "geheim no url"])
def test_refuses_other_databases_without_showing_the_password(url):
    with pytest.raises(RequestError, match="ENHANCER_LEDGER_DSN") as caught:
        open_engine(url)
    assert "geheim" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg2", "postgresql+psycopg"])
def test_every_spelling_of_postgresql_gets_psycopg_3(scheme):
    assert parse_url(f"{scheme}://u:p@h/d").drivername == "postgresql+psycopg"


def test_database_clock(ledger):
    with reading(ledger.engine) as connection:
        first, kind = connection.execute(sa.select(db_now(), db_now() + 60.0)).one()
        time.sleep(0.02)
        second = connection.execute(sa.select(db_now())).scalar_one()
    assert isinstance(first, float)
    assert abs(first - time.time()) < 5
    assert second > first  # the clock, not the transaction's start
    assert 59.9 < kind - first < 60.1


def test_sqlite_is_set_up(tmp_path):
    engine = open_engine(f"sqlite:///{tmp_path / 'new' / 'ledger.db'}")
    with engine.connect() as connection:
        pragmas = {
            name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one()
            for name in ("journal_mode", "foreign_keys", "synchronous", "busy_timeout")
        }
    engine.dispose()
    assert pragmas == {"journal_mode": "wal", "foreign_keys": 1, "synchronous": 2, "busy_timeout": 60_000}


def test_a_reader_neither_waits_for_a_writer_nor_stops_one(ledger, build):
    build.run("r1", ("a0",))
    lease = ledger.leases.take("r1", 0, "w", 60)
    written = threading.Event()
    with reading(ledger.engine) as reader:
        assert reader.execute(sa.select(item.c.state)).scalar_one() == "pending"

        def write():
            ledger.items.move(lease, "a0", "running")
            written.set()

        threading.Thread(target=write).start()
        assert written.wait(30), "the writer waited for the reader"
    with ledger.engine.begin() as writer:
        writer.execute(sa.update(item).values(size=77))
        # Not committed yet; a reader that waited for the writer would end in "database is locked".
        assert ledger.items.get("r1", "a0").size == 10


def test_reading_cannot_write_on_postgresql_and_leaves_the_connection_as_it_was(ledger, build):
    if ledger.engine.dialect.name != "postgresql":
        pytest.skip("SQLite has no read-only transactions")
    build.run("r1", ("a0",))
    with pytest.raises(DBAPIError, match="read-only"), reading(ledger.engine) as connection:
        connection.execute(sa.update(item).values(size=1))
    with ledger.engine.begin() as connection:
        assert connection.execute(sa.update(item).values(size=1)).rowcount == 1


def _open_and_write(url, start, results):
    start.wait()
    try:
        engine = open_engine(url)
        with engine.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE IF NOT EXISTS t (x INTEGER)")
            connection.exec_driver_sql("INSERT INTO t VALUES (1)")
        results.put("ok")
    except Exception as error:
        results.put(repr(error))


def test_processes_may_open_a_new_sqlite_file_at_once(tmp_path):
    context = multiprocessing.get_context("fork")
    start, results = context.Event(), context.Queue()
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    processes = [context.Process(target=_open_and_write, args=(url, start, results)) for _ in range(6)]
    for process in processes:
        process.start()
    start.set()
    assert [results.get(timeout=60) for _ in processes] == ["ok"] * 6
    for process in processes:
        process.join(10)


def test_json_has_no_infinity(ledger, build):
    build.run("r1", ("a0",))
    lease = ledger.leases.take("r1", 0, "w", 60)
    details = {"decisions": [{"numbers": {"psnr": math.inf, "sigma": 1.5, "x": [math.nan, 2]}}], "models": {}}
    ledger.items.move(lease, "a0", "running", details=details)
    assert ledger.items.get("r1", "a0").details == {
        "decisions": [{"numbers": {"psnr": None, "sigma": 1.5, "x": [None, 2]}}],
        "models": {},
    }
    assert to_json({"a": (1, math.inf)}) == '{"a": [1, null]}'


def _sqlite_error(code: int) -> OperationalError:
    original = sqlite3.OperationalError("x")
    original.sqlite_errorcode = code
    return OperationalError("select", {}, original)


@pytest.mark.parametrize(
    ("error", "transient"),
    [
        (_sqlite_error(sqlite3.SQLITE_BUSY), True),
        (_sqlite_error(sqlite3.SQLITE_BUSY_SNAPSHOT), True),
        (_sqlite_error(sqlite3.SQLITE_FULL), True),
        (_sqlite_error(sqlite3.SQLITE_ERROR), False),
        (DBAPIError("s", {}, psycopg.errors.DeadlockDetected()), True),
        (DBAPIError("s", {}, psycopg.errors.SerializationFailure()), True),
        (DBAPIError("s", {}, psycopg.errors.AdminShutdown()), True),
        (DBAPIError("s", {}, psycopg.errors.DiskFull()), True),
        (OperationalError("s", {}, psycopg.OperationalError("connection refused")), True),
        (DBAPIError("s", {}, psycopg.errors.UndefinedTable()), False),
        (IntegrityError("s", {}, psycopg.errors.UniqueViolation()), False),
        (sa.exc.TimeoutError("pool"), True),
        (ValueError("x"), False),
    ],
)
def test_is_transient(error, transient):
    assert is_transient(error) is transient


def test_a_missing_table_is_permanent_and_a_missing_server_transient(empty_url):
    with Ledger(empty_url) as ledger, pytest.raises(DBAPIError) as caught:
        ledger.runs.shards_of("r1")
    assert not is_transient(caught.value)
    if empty_url.startswith("postgresql"):
        gone = sa.make_url(empty_url).set(port=1).render_as_string(hide_password=False)
        with pytest.raises(OperationalError) as refused:
            migrate.current(gone)
        assert is_transient(refused.value)


def test_a_connection_cut_by_the_server_is_no_error_for_the_next_user(ledger, build):
    if ledger.engine.dialect.name != "postgresql":
        pytest.skip("SQLite has no server")
    build.run("r1", ("a0",))
    with ledger.engine.connect() as connection:
        connection.execute(
            sa.text(
                "select pg_terminate_backend(pid) from pg_stat_activity "
                "where datname = current_database() and pid <> pg_backend_pid()"
            )
        )
    other = Ledger(ledger.engine.url.render_as_string(hide_password=False))
    with other.engine.connect() as connection:
        connection.execute(
            sa.text(
                "select pg_terminate_backend(pid) from pg_stat_activity "
                "where datname = current_database() and pid <> pg_backend_pid()"
            )
        )
    other.close()
    assert ledger.runs.get("r1").state == "running"


def test_a_new_ledger_is_for_its_owner_alone_and_an_old_one_keeps_its_rights(tmp_path):
    """Its rows name every picture. With SQLite's side files, whatever the umask."""
    from enhancer.ledger import migrate

    old = os.umask(0o022)
    try:
        url = f"sqlite:///{tmp_path / 'folder' / 'ledger.db'}"
        migrate.upgrade(url)
        with Ledger(url) as ledger:
            ledger.queries.runs()
            modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "folder").iterdir()}
    finally:
        os.umask(old)
    assert modes.keys() >= {"ledger.db", "ledger.db-wal"}
    assert set(modes.values()) == {0o600}
    (tmp_path / "folder" / "ledger.db").chmod(0o640)
    with Ledger(url) as ledger:
        ledger.queries.runs()
    assert (tmp_path / "folder" / "ledger.db").stat().st_mode & 0o777 == 0o640


def test_opening_a_ledger_again_lets_no_lock_go(tmp_path):
    """POSIX locks fall when any descriptor of the file is closed, so a second engine must open and close none itself."""
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    migrate.upgrade(url)
    with Ledger(url) as first, first.engine.begin() as connection:
        connection.execute(item.delete())
        for _ in range(3):
            open_engine(url).dispose()
        code = f"import sqlite3; sqlite3.connect({str(tmp_path / 'ledger.db')!r}, timeout=0).execute('BEGIN IMMEDIATE')"
        other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert "database is locked" in other.stderr, "another process got the lock that this one holds"
