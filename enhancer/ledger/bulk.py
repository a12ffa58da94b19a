"""Many rows of a table at once: COPY on PostgreSQL, one prepared statement on SQLite."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import JSON, Connection, Table, insert
from sqlalchemy.exc import DBAPIError
from sqlalchemy.sql.schema import ScalarElementColumnDefault

from enhancer.ledger.engine import to_json


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
