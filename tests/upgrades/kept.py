"""Puts what an earlier version left behind (``tests/upgrades/VERSION``) back to work: its folders and its ledger."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from enhancer.ledger import migrate
from enhancer.ledger.engine import open_engine

HERE = Path(__file__).parent


def etag_of(path: Path) -> str:
    """What a local store called a file's content in 0.1.0: time, size and inode, as the store of today must have it."""
    status = path.stat()
    return f"{status.st_mtime_ns:x}-{status.st_size:x}-{status.st_ino:x}"


def restore(version: str, root: Path, url: str) -> dict[str, Any]:
    """Copy the folders to `root`, fill the empty database at `url`; the params of the version's nightly run."""
    for name in ("input", "output", "work"):
        shutil.copytree(HERE / version / name, root / name)
    text = (HERE / version / "ledger.json").read_text(encoding="utf-8").replace("@ROOT@", str(root))
    kept = json.loads(re.sub(r"@ETAG:([^@]+)@", lambda found: etag_of(root / "input" / found[1]), text))
    migrate.upgrade(url, kept["revision"])
    engine = open_engine(url)
    tables = sa.MetaData()
    tables.reflect(engine)
    with engine.begin() as connection:
        for table in tables.sorted_tables:
            if rows := kept["tables"].get(table.name):
                connection.execute(sa.insert(table), rows)
    engine.dispose()
    params: dict[str, Any] = kept["params"]
    return params


def forget_noted_recipes(url: str) -> None:
    """What runs look like that noted none, since every picture was unchanged: only params say what was asked for."""
    engine = open_engine(url)
    with engine.begin() as connection:
        connection.execute(sa.text("UPDATE run SET recipes = '{}'"))
    engine.dispose()
