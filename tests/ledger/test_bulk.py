"""Rows that are inserted in bulk are the rows that single statements would have made."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DataError, DBAPIError, IntegrityError

from enhancer.ledger.bulk import insert_rows
from enhancer.ledger.tables import item

ODD = [
    "plain.png",
    "tab\there.png",
    "back\\slash\\N.png",
    "quote\"'.png",
    "новый\nряд.png",
    "\\.",
    "猫 \N{CAT FACE}.png",
]


def rows_of(build, run_id):
    details = [None, {"a": [1, None, "x\ty\\n"]}, [], {"nan": float("nan")}, "text", 0, None]
    made = [
        build.row(run_id, key, number, details=value)
        for number, (key, value) in enumerate(zip(ODD, details, strict=True))
    ]
    return [{"updated_at": 1.5, **row} for row in made]


def kept(ledger, run_id):
    statement = sa.select(item).where(item.c.run_id == run_id).order_by(item.c.position)
    with ledger.engine.connect() as connection:
        return [{**row, "run_id": ""} for row in connection.execute(statement).mappings()]


def test_odd_text_json_and_null_come_out_as_they_went_in(ledger, build):
    for run_id in ("bulk", "single"):
        build.open(run_id)
    with ledger.engine.begin() as connection:
        insert_rows(connection, item, rows_of(build, "bulk"))
        for row in rows_of(build, "single"):
            connection.execute(sa.insert(item).values(row))
    assert [row["key"] for row in kept(ledger, "bulk")] == ODD
    assert kept(ledger, "bulk") == kept(ledger, "single")


def test_what_the_database_refuses_is_its_own_error_and_nothing_stays(ledger, build):
    build.open("r1")
    rows = rows_of(build, "r1")
    with pytest.raises(IntegrityError), ledger.engine.begin() as connection:
        insert_rows(connection, item, [*rows, rows[0]])
    assert kept(ledger, "r1") == []
    if ledger.engine.dialect.name == "postgresql":
        with pytest.raises((DataError, DBAPIError)), ledger.engine.begin() as connection:
            insert_rows(connection, item, [{**rows[0], "etag": "x" * 200}])
        assert kept(ledger, "r1") == []
