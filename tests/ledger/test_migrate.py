"""The Alembic chain makes exactly the tables of tables.py, from several processes at once if need be."""

from __future__ import annotations

import multiprocessing
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from enhancer.errors import RequestError
from enhancer.ledger import migrate
from enhancer.ledger.engine import open_engine
from enhancer.ledger.tables import metadata


def schema(url):
    engine = open_engine(url)
    inspector = sa.inspect(engine)
    found = {
        table: {
            "columns": [(c["name"], str(c["type"]), c["nullable"]) for c in inspector.get_columns(table)],
            "pk": inspector.get_pk_constraint(table),
            "fks": inspector.get_foreign_keys(table),
            "indexes": sorted((i["name"], i["column_names"], i["unique"]) for i in inspector.get_indexes(table)),
        }
        for table in inspector.get_table_names()
    }
    engine.dispose()
    return found


def test_the_chain_and_the_tables_agree(empty_url):
    migrate.upgrade(empty_url)
    engine = open_engine(empty_url)
    with engine.begin() as connection:
        options = {"compare_type": True, "compare_server_default": True, "version_table": migrate.VERSION_TABLE}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, metadata) == []
    by_chain = schema(empty_url)
    assert set(by_chain) == {*metadata.tables, "enhancer_alembic_version"}
    with engine.begin() as connection:
        metadata.drop_all(connection)
        metadata.create_all(connection)
    engine.dispose()
    assert schema(empty_url) == by_chain  # also what compare_metadata does not look at: primary keys, names


def test_current_check_and_upgrade(empty_url):
    assert migrate.current(empty_url) is None
    with pytest.raises(RequestError, match="enhancer ledger upgrade"):
        migrate.check(empty_url)
    assert migrate.upgrade(empty_url) == migrate.head() == migrate.current(empty_url)
    migrate.check(empty_url)
    assert migrate.upgrade(empty_url) == migrate.head()


def _set_revision(url, revision):
    engine = open_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE enhancer_alembic_version SET version_num = :r"), {"r": revision})
    engine.dispose()


def test_a_ledger_newer_than_the_code_is_left_alone(empty_url):
    migrate.upgrade(empty_url)
    _set_revision(empty_url, "9999")
    for action in (migrate.check, migrate.upgrade):
        with pytest.raises(RequestError, match="newer than this version"):
            action(empty_url)


def test_looking_creates_no_file(tmp_path):
    url = f"sqlite:///{tmp_path / 'folder' / 'ledger.db'}"
    assert migrate.current(url) is None
    with pytest.raises(RequestError):
        migrate.check(url)
    assert list(tmp_path.iterdir()) == []


def test_downgrade_leaves_nothing(empty_url):
    migrate.upgrade(empty_url)
    engine = open_engine(empty_url)
    with engine.begin() as connection:
        command.downgrade(migrate.config(connection), "base")
    engine.dispose()
    assert set(schema(empty_url)) == {"enhancer_alembic_version"}


def test_a_migration_that_fails_leaves_nothing(empty_url):
    """Also on SQLite, whose driver would commit before each CREATE TABLE."""
    engine = open_engine(empty_url)
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE score (x INTEGER)")  # the chain's last table is in the way
    with pytest.raises(sa.exc.DBAPIError):
        migrate.upgrade(empty_url)
    engine.dispose()
    assert set(schema(empty_url)) == {"score"}


def _upgrade(url, start, results):
    start.wait()
    try:
        results.put(migrate.upgrade(url))
    except Exception as error:
        results.put(repr(error))


def test_four_processes_upgrade_at_once(empty_url):
    context = multiprocessing.get_context("fork")
    start, results = context.Event(), context.Queue()
    processes = [context.Process(target=_upgrade, args=(empty_url, start, results)) for _ in range(4)]
    for process in processes:
        process.start()
    start.set()
    assert [results.get(timeout=60) for _ in processes] == [migrate.head()] * 4
    for process in processes:
        process.join(10)


def test_the_migrations_are_packaged():
    import tomllib

    setuptools = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["tool"]["setuptools"]
    assert {"enhancer.ledger.migrations", "enhancer.ledger.migrations.versions"} <= set(setuptools["packages"])
    assert (migrate.MIGRATIONS / "env.py").is_file()
