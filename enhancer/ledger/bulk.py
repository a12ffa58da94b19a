"""Many rows of a table at once: COPY and arrays on PostgreSQL, one prepared statement on SQLite."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import (
    ARRAY,
    JSON,
    Column,
    ColumnElement,
    Connection,
    String,
    Table,
    Text,
    Update,
    bindparam,
    cast,
    column,
    func,
    insert,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.schema import ScalarElementColumnDefault

from enhancer.ledger.engine import to_json

KEY: Final = "moved_key"
"""The name of an updated row's key among its new values: of no column, since a column may be updated too."""

Statement = Callable[[dict[str, ColumnElement[Any]]], Update]
"""The UPDATE, but for its choice of a row, from the new value of each column."""


def insert_rows(connection: Connection, table: Table, rows: Sequence[dict[str, Any]]) -> None:
    """Insert rows that all have the same columns, within the caller's transaction; those left out get their defaults.

    Raises:
        sqlalchemy.exc.DBAPIError: the database refuses them.
        KeyError: a row lacks a column of the first.
    """
    if connection.dialect.name != "postgresql":
        connection.execute(insert(table), rows)
        return
    defaults = {
        column.name: column.default.arg
        for column in table.c
        if isinstance(column.default, ScalarElementColumnDefault) and column.name not in rows[0]
    }
    names = [*rows[0], *defaults]
    as_json = [isinstance(table.c[name].type, JSON) for name in names]
    quote = connection.dialect.identifier_preparer.quote
    statement = f"COPY {quote(table.name)} ({', '.join(map(quote, names))}) FROM STDIN"
    driver: Any = connection.connection.driver_connection
    base: Any = connection.dialect.loaded_dbapi.Error
    try:
        with driver.cursor() as cursor, cursor.copy(statement) as copy:
            for row in ({**row, **defaults} for row in rows):
                copy.write_row(
                    [
                        to_json(row[name]) if json and row[name] is not None else row[name]
                        for name, json in zip(names, as_json, strict=True)
                    ]
                )
    except base as error:  # as SQLAlchemy's own statements raise it, so that the retry table knows it
        lost = bool(driver.closed)
        raise DBAPIError.instance(
            statement, None, error, base, connection_invalidated=lost, dialect=connection.dialect
        ) from error


def update_rows(
    connection: Connection, rows: Sequence[Mapping[str, Any]], key: Column[Any], statement: Statement
) -> int:
    """Update rows that all have the same columns, each with values of its own, within the caller's transaction.

    PostgreSQL gets one statement and the values of each column as one array: a row then costs a tenth of what a
    statement of its own does. SQLite, which is in this process, gets one prepared statement, once for each row.

    Args:
        connection: the caller's transaction.
        rows: new values by column, and under :data:`KEY` whose they are.
        key: the column that tells a row from the others that `statement` may change.
        statement: makes the UPDATE.

    Returns:
        How many rows were updated; a key that is there twice is updated once on PostgreSQL.
    """
    table, names = key.table, [name for name in rows[0] if name != KEY]
    if connection.dialect.name != "postgresql":
        values: dict[str, ColumnElement[Any]] = {
            name: bindparam(f"new_{name}", type_=table.c[name].type) for name in names
        }
        sent = [{KEY: row[KEY], **{f"new_{name}": row[name] for name in names}} for row in rows]
        return connection.execute(statement(values).where(key == bindparam(KEY)), sent).rowcount
    types = {KEY: Text(), **{name: _sent_as(table.c[name]) for name in names}}
    arrays = [bindparam(f"new_{name}", type_=ARRAY(kind)) for name, kind in types.items()]
    columns = [column(name, kind) for name, kind in types.items()]
    new = func.unnest(*arrays).table_valued(*columns, name="new").render_derived()
    values = {name: cast(new.c[name], JSON) if isinstance(table.c[name].type, JSON) else new.c[name] for name in names}
    lists = {f"new_{name}": [row[name] for row in rows] for name in types}
    for name in names:
        if isinstance(table.c[name].type, JSON):
            lists[f"new_{name}"] = [None if value is None else to_json(value) for value in lists[f"new_{name}"]]
    return connection.execute(statement(values).where(key == new.c[KEY]), lists).rowcount


def _sent_as(target: Column[Any]) -> Any:
    """The type of a column's array: texts without a length, at which the database would cut them off silently."""
    return Text() if isinstance(target.type, String | JSON) else target.type
