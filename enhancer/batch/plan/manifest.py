"""The manifest: the pictures of a run in their order, cut into shards, frozen.

The ledger's rows are what is worked from. One listing per run lies under work_url as evidence of what was found,
written once; its digest stands in the run's row.
"""

from __future__ import annotations

import gzip
import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain, tee
from typing import IO, Any, Final

from blake3 import blake3

from enhancer.batch import layout
from enhancer.batch.plan.choosing import BATCH, columns_of
from enhancer.batch.plan.shards import Cut
from enhancer.ledger import Ledger
from enhancer.paging import batched
from enhancer.storage.base import ObjectStore

LISTED: Final = ("position", "key", "size", "etag", "recipe_name", "recipe_digest")
"""What the listing says of each picture."""

_as_line: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
"""Made once, since json.dumps makes one for each line."""


class Spool:
    """Planned rows in local files, so that memory does not grow with the bucket: what an earlier run tried or should
    have tried, and after it the others.
    """

    def __init__(self, earlier: IO[str], others: IO[str]) -> None:
        self._earlier, self._others = earlier, others

    def add(self, row: dict[str, Any]) -> None:
        """Note a row."""
        (self._earlier if row["tried_before"] else self._others).write(_as_line(row) + "\n")

    def rows(self) -> Iterator[dict[str, Any]]:
        """All of them in the manifest's order, with their positions in it."""
        for file in (self._earlier, self._others):
            file.seek(0)
        for position, text in enumerate(chain(self._earlier, self._others)):
            yield {**json.loads(text), "position": position}


@contextmanager
def spool() -> Iterator[Spool]:
    """A spool that is gone afterwards."""
    with _temporary() as earlier, _temporary() as others:
        yield Spool(earlier, others)


def _temporary() -> IO[str]:
    return tempfile.TemporaryFile("w+", encoding="utf-8", prefix="enhancer-plan-")


@dataclass(slots=True)
class _Shards:
    """The shards that were cut so far, and the rows of the one that is being filled."""

    ledger: Ledger
    run_id: str
    made: list[tuple[int, int, float]] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(default_factory=list)
    number: int = 0
    cost_s: float = 0.0

    def add(self, row: dict[str, Any], number: int) -> None:
        if number != self.number:
            self.close()
            self.number, self.cost_s = number, 0.0
        self.rows.append(row)
        self.cost_s += row["cost_s"]  # uncorrected: the next run learns its factor from these

    def close(self) -> None:
        if self.rows:
            for some in batched(self.rows, BATCH):
                self.ledger.runs.add_items([columns_of(row, self.number) for row in some])
            self.made.append((self.number, len(self.rows), self.cost_s))
            self.rows.clear()


def freeze(
    planned: Spool, ledger: Ledger, run_id: str, work: ObjectStore, chosen: Cut, factor: float
) -> tuple[str, int]:
    """Second pass over what was planned: rows and shards into the ledger, then the listing.

    Args:
        planned: rows, with ``cost_s``.
        ledger: where to.
        run_id: the run, which is being planned.
        work: the store of its work_url.
        chosen: how to cut.
        factor: that corrects the estimated costs.

    Returns:
        The listing's digest, and how many shards there are: one large picture may fill what was cut as several.
    """
    shards = _Shards(ledger, run_id)
    with tempfile.TemporaryFile(prefix="enhancer-manifest-") as file:
        hasher = blake3()
        with gzip.GzipFile(filename="", fileobj=file, mode="wb", compresslevel=1, mtime=0) as listing:
            rows, same = tee(planned.rows())
            for row, number in zip(rows, chosen.numbers(row["cost_s"] * factor for row in same), strict=True):
                shards.add(row, number)
                line = (_as_line({name: row[name] for name in LISTED}) + "\n").encode()
                hasher.update(line)
                listing.write(line)
        shards.close()
        ledger.runs.add_shards(run_id, shards.made)
        file.seek(0)
        work.put(layout.manifest_key(run_id), file.read(), content_type="application/gzip")
    return hasher.hexdigest(), len(shards.made)
