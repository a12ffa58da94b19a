"""Bringing the ledger's schema up to date, and checking whether it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

from sqlalchemy import Connection, Engine, text

from enhancer.errors import RequestError
from enhancer.ledger.engine import open_engine, parse_url, reading, sqlite_file
from enhancer.reasons import Reason

if TYPE_CHECKING:
    from alembic.config import Config

VERSION_TABLE: Final = "enhancer_alembic_version"
"""Not Alembic's default name: the ledger may share a database with Airflow, which has that one."""

MIGRATIONS: Final = Path(__file__).parent / "migrations"

_LOCK_KEY: Final = 0x656E68616E636572
"""PostgreSQL advisory locks are numbers: "enhancer" in ASCII."""


def config(connection: Connection | None = None) -> Config:
    """Alembic's configuration, without a file; `connection` is what the migrations run on."""
    from alembic.config import Config

    made = Config()
    made.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    made.set_main_option("path_separator", "os")
    made.attributes["connection"] = connection
    return made


def head() -> str:
    """The revision that this code needs."""
    from alembic.script import ScriptDirectory

    revision = ScriptDirectory.from_config(config()).get_current_head()
    if revision is None:
        raise RequestError(f"the ledger's migrations are missing from {MIGRATIONS}: install the package again")
    return revision


def upgrade(url: str, revision: str = "head") -> str:
    """Bring the schema to `revision` in one transaction, creating the database's file if need be; the revision reached.

    Safe to run from several processes at once: one does the work, the others wait and find it done.

    Raises:
        RequestError: the database is neither SQLite nor PostgreSQL, or its schema is newer than this code.
    """
    from alembic import command

    engine = open_engine(url)
    try:
        with (
            engine.begin() as connection
        ):  # on SQLite this is the lock: only one transaction begins IMMEDIATE at a time
            if engine.dialect.name == "postgresql":
                connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _LOCK_KEY})
            _refuse_unknown(_revision(connection))
            command.upgrade(config(connection), revision)
            reached = _revision(connection)
    finally:
        engine.dispose()
    return reached or ""


def current(url: str) -> str | None:
    """The schema's revision; None where there is no ledger. Creates nothing."""
    file = sqlite_file(parse_url(url))
    if file is not None and not file.exists():
        return None
    engine = open_engine(url)
    try:
        return current_of(engine)
    finally:
        engine.dispose()


def current_of(engine: Engine) -> str | None:
    """:func:`current` on an open engine."""
    with reading(engine) as connection:
        return _revision(connection)


def check(url: str) -> None:
    """Do nothing where the schema is what this code needs.

    Raises:
        RequestError: it is absent, older or newer; says what to do.
    """
    found, needed = current(url), head()
    _refuse_unknown(found)
    if found != needed:
        what = "has no tables yet" if found is None else f"is at revision {found}; this version needs {needed}"
        raise RequestError(f"the ledger {what}: run `enhancer ledger upgrade`", reason=Reason.LEDGER_SCHEMA)


def _revision(connection: Connection) -> str | None:
    from alembic.migration import MigrationContext

    return MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE}).get_current_revision()


def _refuse_unknown(revision: str | None) -> None:
    from alembic.script import ScriptDirectory

    known = {script.revision for script in ScriptDirectory.from_config(config()).walk_revisions()}
    if revision is not None and revision not in known:
        raise RequestError(
            f"the ledger's schema (revision {revision}) is newer than this version of the package: "
            "install the version that wrote it, or a later one",
            reason=Reason.LEDGER_SCHEMA,
        )
