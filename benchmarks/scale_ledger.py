"""A ledger as large as one likes, and a bucket that makes its listing up, for :mod:`benchmarks.bench_scale`.

The rows are real and so is every query; only their making is one statement in SQL instead of years of nights. Objects
have the ETag of their number and version, so that a listing can be compared with the ledger, key by key.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from sqlalchemy import Connection, Engine, bindparam, func, select, text, update

from enhancer.ledger.tables import item, run
from enhancer.storage.base import ObjectInfo

INPUT: Final = "s3://simulated"
OUTPUT: Final = "s3://enhanced"
PREFIX: Final = 1000
"""Objects under one folder."""


def size_of(number: int) -> int:
    """Bytes of an object: 200 kB to 1.2 MB."""
    return 200_000 + number * 7919 % 1_000_000


class Listing:
    """The part of an object store that planning uses of its input, without objects."""

    def __init__(self, objects: int, version: int) -> None:
        self.url = INPUT
        self._objects, self._version = objects, version

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Every object in key order, made up one by one."""
        for number in range(self._objects):
            key = f"{number // PREFIX:06d}/{number:09d}.jpg"
            yield ObjectInfo(key, size_of(number), f"{number:032x}-{self._version}")


_KEY: Final = "printf('%06d/%09d.jpg', n / 1000, n)"
_SERIES: Final = {
    "sqlite": """(WITH RECURSIVE s(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM s WHERE n + 1 < :objects)
        SELECT n FROM s)""",
    "postgresql": "(SELECT generate_series(0, :objects - 1) AS n)",
}


def fill(engine: Engine, objects: int, recipe_digest: str, runs: int) -> None:
    """Targets of `objects` pictures as version 1, published by `runs` finished runs that had each an equal part."""
    dialect = engine.dialect.name
    series = f"{_SERIES[dialect]} AS series"
    key, pad = _KEY, "printf('%032x-1', n)"
    if dialect == "postgresql":
        key = "lpad((n / 1000)::text, 6, '0') || '/' || lpad(n::text, 9, '0') || '.jpg'"
        pad = "lpad(to_hex(n), 32, '0') || '-1'"
    share = -(-objects // runs)
    size = "200000 + n * CAST(7919 AS BIGINT) % 1000000"
    values: dict[str, Any] = {"objects": objects, "recipe": recipe_digest, "in": INPUT, "out": OUTPUT, "share": share}
    statements = [
        f"""INSERT INTO run (run_id, state, outcome, trigger, input_url, output_url, work_url, params, recipes, listed,
            quick_skipped, items, shards, code_version, created_at, finished_at)
            SELECT 'old-' || n, 'finished', 'success', 'scheduled', :in, :out, 's3://work', '{{}}', '{{}}', :share, 0,
            :share, 1, '0', 1000 + n, 2000 + n FROM {series} WHERE n < {runs}""",
        f"""INSERT INTO item (run_id, key, shard_id, position, state, size, etag, recipe_name, recipe_digest, identity,
            reused, attempts, failed_runs, released, target_key, updated_at)
            SELECT 'old-' || (n / :share), {key}, 0, n % :share,
            CASE WHEN n % 50 = 7 THEN 'failed' ELSE 'published' END, {size}, {pad}, 'photo', :recipe, {pad}, 0, 1, 0, 0,
            {key}, 1500 FROM {series}""",
        """UPDATE item SET error_class = 'timeout', error_message = 'read timed out', stage = 'read'
            WHERE state = 'failed'""",
        f"""INSERT INTO score (run_id, key, kind, psnr, ssim, lpips, composite, score, protocol, updated_at)
            SELECT 'old-' || (n / :share), {key}, 'fidelity', 30, 0.9, 0.1, 12.5, (n % 997) / 997.0, '{{}}', 1500
            FROM {series}""",
        f"""INSERT INTO target (address, output_url, input_url, input_key, input_size, input_etag, recipe_digest,
            identity, digest, size, run_id, published_at, claim_run_id, claim_started_at)
            SELECT :out || '/' || {key}, :out, :in, {key}, {size}, {pad}, :recipe, {pad}, {pad}, 1000, 'old-0', 1500,
            'old-0', 1000 FROM {series}""",
    ]
    with engine.begin() as connection:
        for statement in statements:
            connection.execute(text(statement), values)
        _report(connection)
    with engine.connect() as connection:
        connection.execution_options(isolation_level="AUTOCOMMIT").execute(text("ANALYZE"))


def _report(connection: Connection) -> None:
    """Each run's items by state in its summary, where its report would have put them."""
    counts: dict[str, dict[str, int]] = {}
    for run_id, state, count in connection.execute(
        select(item.c.run_id, item.c.state, func.count()).group_by(item.c.run_id, item.c.state)
    ):
        counts.setdefault(run_id, {})[state] = count
    summaries = [{"of": run_id, "told": {"counts": by_state}} for run_id, by_state in counts.items()]
    connection.execute(update(run).where(run.c.run_id == bindparam("of")).values(summary=bindparam("told")), summaries)
