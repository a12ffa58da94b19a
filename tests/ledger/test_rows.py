"""Rows as objects: their fields are their tables' columns, in order, and what the tables say may be null may be None."""

from __future__ import annotations

import typing
from dataclasses import FrozenInstanceError, fields

import pytest
from sqlalchemy import Table

from enhancer.ledger import rows, tables

PAIRS = [
    (rows.Run, tables.run),
    (rows.Shard, tables.shard),
    (rows.Item, tables.item),
    (rows.Result, tables.result),
    (rows.Target, tables.target),
    (rows.Action, tables.action),
    (rows.Note, tables.note),
]


@pytest.mark.parametrize(("kind", "table"), PAIRS, ids=lambda one: getattr(one, "name", None))
def test_fields_are_the_columns(kind: type[rows.Row], table: Table) -> None:
    assert [field.name for field in fields(kind)] == list(table.c.keys())
    hints = typing.get_type_hints(kind)
    for column in table.c:
        kinds = typing.get_args(hints[column.name]) or (hints[column.name],)
        assert (type(None) in kinds) == bool(column.nullable), column.name


def test_a_row_is_what_was_read() -> None:
    shard = rows.Shard("r", 1, 2, 0.5, None, 0, None, None, 0.0)
    assert shard.as_dict() == dict(zip(tables.shard.c.keys(), ("r", 1, 2, 0.5, None, 0, None, None, 0.0), strict=True))
    with pytest.raises(FrozenInstanceError):
        shard.items = 3  # type: ignore[misc]
