"""What a person decides on pictures that the gate refused or held, or that were quarantined."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from enhancer.ledger import Ledger, ScoredItem

PAGE: Final = 500


@dataclass(frozen=True)
class Decided:
    """What came of a person's decision.

    Attributes:
        run: whose pictures were decided on.
        keys: of those on which it could be decided here.
        count: how many of them were not decided on like that before.
        unknown: named pictures on which there was nothing to decide.
        standing: pictures on which a later run has the last word, with that run.
    """

    run: str
    keys: list[str]
    count: int
    unknown: list[str]
    standing: dict[str, str]


def decide(
    ledger: Ledger, run: str, keys: Iterable[str] | None, states: list[str], act: Callable[[str, list[str]], int]
) -> Decided:
    """Let `act` decide on the run's items in these states (or on those of `keys` that are)."""
    row = ledger.runs.get(run)
    there = [item.key for item in items_in(ledger, run, states)]
    wanted = list(dict.fromkeys(keys)) if keys else there
    known = set(there)
    here = [key for key in wanted if key in known]
    # A later run that repeated the verdict has one of its own, which is the one that counts: nothing is decided here.
    later = ledger.runs.verdicts_for(row.input_url, row.output_url, here)
    standing = {key: other.run_id for key, other in later.items() if other.run_id != run}
    chosen = [key for key in here if key not in standing]
    return Decided(run, chosen, act(run, chosen), [key for key in wanted if key not in known], standing)


def items_in(ledger: Ledger, run: str, states: list[str]) -> Iterator[ScoredItem]:
    """The run's items in these states, released ones too."""
    seen = 0
    while True:
        rows, total = ledger.queries.items(run, state=states, limit=PAGE, offset=seen)
        yield from rows
        seen += len(rows)
        if not rows or seen >= total:
            return
