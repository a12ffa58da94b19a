"""The promises of the design, checked after the fact with other eyes than the product's: plain SQL on the ledger, plain
files or boto3 on the stores.

:func:`broken_promises` is what the demo, the chaos tests and the chaos benchmark hold a site against. That nothing is
computed again once it was stored leaves no trace of its own, so :func:`watch_results` has the database itself write
down what happens to every result, before the first run.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from blake3 import blake3
from sqlalchemy import Connection, Engine, bindparam, create_engine, text

OPEN: Final = ("pending", "running", "enhanced", "scored", "committing")
OWN: Final = "_enhancer/"
JOURNAL: Final = "result_journal"

_POSTGRESQL: Final = (
    "CREATE TABLE result_journal (number BIGSERIAL PRIMARY KEY, identity VARCHAR(64), state VARCHAR(16))",
    """CREATE FUNCTION keep_result_journal() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        IF TG_OP = 'DELETE' THEN
            INSERT INTO result_journal (identity, state) VALUES (OLD.identity, 'deleted');
        ELSIF TG_OP = 'INSERT' OR NEW.state <> OLD.state THEN
            INSERT INTO result_journal (identity, state) VALUES (NEW.identity, NEW.state);
        END IF; RETURN NULL; END $$""",
    """CREATE TRIGGER keep_result_journal AFTER INSERT OR UPDATE OR DELETE ON result
        FOR EACH ROW EXECUTE FUNCTION keep_result_journal()""",
)
_SQLITE: Final = (
    "CREATE TABLE result_journal (number INTEGER PRIMARY KEY, identity TEXT, state TEXT)",
    """CREATE TRIGGER result_made AFTER INSERT ON result BEGIN
        INSERT INTO result_journal (identity, state) VALUES (NEW.identity, NEW.state); END""",
    """CREATE TRIGGER result_gone AFTER DELETE ON result BEGIN
        INSERT INTO result_journal (identity, state) VALUES (OLD.identity, 'deleted'); END""",
    """CREATE TRIGGER result_changed AFTER UPDATE ON result WHEN NEW.state <> OLD.state BEGIN
        INSERT INTO result_journal (identity, state) VALUES (NEW.identity, NEW.state); END""",
)


@dataclass(frozen=True)
class Place:
    """One store as it really is.

    Attributes:
        url: as the ledger spells it.
        listing: every key in it, leftovers of interrupted writes included.
        read: a key's bytes.
    """

    url: str
    listing: Callable[[], list[str]]
    read: Callable[[str], bytes]


def folder(path: Path) -> Place:
    """A local folder."""

    def listing() -> list[str]:
        return sorted(str(found.relative_to(path)) for found in path.rglob("*") if found.is_file())

    return Place(str(path), listing, lambda key: (path / key).read_bytes())


def bucket(client: Any, url: str) -> Place:
    """A bucket, or a prefix of one, by a boto3 client."""
    name, _, prefix = url.removeprefix("s3://").partition("/")
    above = f"{prefix}/" if prefix else ""

    def listing() -> list[str]:
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=name, Prefix=above)
        return sorted(found["Key"].removeprefix(above) for page in pages for found in page.get("Contents", []))

    return Place(url, listing, lambda key: bytes(client.get_object(Bucket=name, Key=above + key)["Body"].read()))


def watch_results(engine: Engine) -> None:
    """Make the database keep a journal of the results' states: one row for each change, a deletion included."""
    statements = _POSTGRESQL if engine.dialect.name == "postgresql" else _SQLITE
    with engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)


def broken_promises(ledger_url: str, output: Place, work: Place, *, swept: bool = True) -> Iterator[str]:
    """Each promise that the runs in the ledger broke, in words; nothing where all hold. Every run must be over.

    Args:
        ledger_url: the ledger's SQLAlchemy URL.
        output: where the runs published.
        work: where they staged.
        swept: whether staged objects that nothing needs must be gone.
    """
    engine = create_engine(ledger_url)
    try:
        with engine.connect() as connection:
            yield from _broken_runs(connection)
            yield from _broken_targets(connection, output)
            yield from _computed_again(connection)
            if swept:
                yield from _orphans(connection, output, work)
    finally:
        engine.dispose()


def _broken_runs(connection: Connection) -> Iterator[str]:
    """The manifest is complete, every picture of it has one row, and each row one end."""
    runs = connection.execute(text("SELECT run_id, state, listed, quick_skipped, items FROM run")).all()
    for run_id, state, listed, skipped, items in runs:
        if state != "finished":
            yield f"run {run_id} is {state}"
        rows = connection.execute(text("SELECT count(*) FROM item WHERE run_id = :run"), {"run": run_id}).scalar_one()
        if items != rows or rows + skipped != listed:
            yield f"run {run_id} listed {listed}, but has {rows} items (of {items}) and {skipped} quick skips"
    unfinished = text("SELECT run_id, key, state FROM item WHERE state IN :open").bindparams(
        bindparam("open", OPEN, expanding=True)
    )
    for run_id, key, state in connection.execute(unfinished):
        yield f"{key} of run {run_id} ended as {state}, which is no end"
    unexplained = text(
        "SELECT run_id, key, state FROM item WHERE state IN ('failed', 'quarantined', 'rejected') "
        "AND (error_class IS NULL OR error_message IS NULL)"
    )
    for run_id, key, state in connection.execute(unexplained):
        yield f"{key} of run {run_id} is {state} without a reason"


def _broken_targets(connection: Connection, output: Place) -> Iterator[str]:
    """Every target has the bytes that its row records, every published picture a target, and every object a row."""
    statement = text("SELECT address, digest FROM target WHERE output_url = :url")
    recorded = {row.address: row.digest for row in connection.execute(statement, {"url": output.url})}
    for key in output.listing():
        if key.startswith(OWN) or _is_leftover(key):
            continue
        address = f"{output.url}/{key}"
        if address not in recorded:
            yield f"{key} lies in the output, but no target row knows it"
        digest = recorded.pop(address, None)
        if digest is not None and blake3(output.read(key)).hexdigest() != digest:
            yield f"{key} does not hold the bytes that the ledger records"
    for address, digest in recorded.items():
        if digest is not None:
            yield f"{address} is in the ledger, but not in the output"
    statement = text(
        "SELECT item.run_id, item.key FROM item JOIN run ON run.run_id = item.run_id LEFT JOIN target "
        "ON target.output_url = run.output_url AND target.input_url = run.input_url AND target.input_key = item.key "
        "WHERE run.output_url = :url AND item.state IN ('published', 'reused') AND target.address IS NULL"
    )
    for run_id, key in connection.execute(statement, {"url": output.url}):
        yield f"{key} of run {run_id} was published, but there is no target row"


def _computed_again(connection: Connection) -> Iterator[str]:
    """Once stored, a result may only vanish (its object was gone) before anyone claims it anew."""
    if not _has_journal(connection):
        return
    stored: set[str] = set()
    for identity, state in connection.execute(text("SELECT identity, state FROM result_journal ORDER BY number")):
        if identity in stored and state != "deleted":
            yield f"result {identity} was {state} again after it had been stored"
        if state == "stored":
            stored.add(identity)
        else:
            stored.discard(identity)


def _has_journal(connection: Connection) -> bool:
    return connection.dialect.has_table(connection, JOURNAL)


def _orphans(connection: Connection, output: Place, work: Place) -> Iterator[str]:
    """Staged objects that no result needs, and what interrupted writers left behind."""
    needed = {address for (address,) in connection.execute(text("SELECT address FROM result"))}
    for key in work.listing():
        if "/staged/" in key and f"{work.url}/{key}" not in needed:
            yield f"a staged object was left behind: {key}"
    for key in output.listing():
        if _is_leftover(key):
            yield f"an interrupted write left {key} behind"


def _is_leftover(key: str) -> bool:
    """What the local store calls its temporary files."""
    name = key.rpartition("/")[2]
    return name.startswith(".enhancer-") and name.endswith(".part")
