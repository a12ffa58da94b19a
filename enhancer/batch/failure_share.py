"""Whether so much of a run failed that the run itself did: of what it attempted, and for reasons that are new."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from enhancer.batch.failures import RUNS_BEFORE_QUARANTINE
from enhancer.batch.side_files import NO_PICTURE
from enhancer.ledger import ItemState, Ledger
from enhancer.ledger.items import NO_SHARD, UNFINISHED
from enhancer.settings import Settings

COUNTED_AS_FAILED: Final = (ItemState.FAILED, ItemState.QUARANTINED, ItemState.NOT_ATTEMPTED)


@dataclass(frozen=True, slots=True)
class FailureShare:
    """How much of a run failed.

    What was unchanged, is no picture, or only repeats an earlier verdict was not attempted and does not count. Nor does
    a picture that was tried again and is quarantined for the very fault that it was known for.

    Attributes:
        rate: failed, quarantined and not attempted pictures over all that count; 0 where none does.
        pictures: how many count.
        cut_short: pictures that the run did not get to, or left in the middle.
    """

    rate: float
    pictures: int
    cut_short: int

    @classmethod
    def of(cls, ledger: Ledger, run_id: str) -> FailureShare:
        """That of a run whose items are all closed."""
        counts = ledger.items.counts(run_id)
        for state, repeated in ledger.items.shard_counts(run_id, NO_SHARD).items():
            counts[state] -= repeated
        known = ledger.items.known_faults(run_id, fewer_failed_runs=RUNS_BEFORE_QUARANTINE - 1)
        counts[ItemState.QUARANTINED] = counts.get(ItemState.QUARANTINED, 0) - known
        passed_over = ledger.items.passed_over(run_id, sorted(NO_PICTURE))
        counts[ItemState.SKIPPED] = counts.get(ItemState.SKIPPED, 0) - passed_over
        groups = ledger.queries.failures_by_class(run_id)
        unfinished = sum(
            group.count for group in groups if (group.state, group.error_class) == (ItemState.FAILED, UNFINISHED)
        )
        cut_short = counts.get(ItemState.NOT_ATTEMPTED, 0) + unfinished
        return cls(failure_rate(counts), sum(counts.values()), cut_short)

    def fails(self, settings: Settings) -> bool:
        """Whether it fails the run.

        A few broken pictures in a quiet night do not; what the run left undone is its own trouble, however few.
        """
        enough = self.pictures >= settings.failure_min_items or self.cut_short > 0
        return enough and self.rate > settings.failure_threshold


def failure_rate(counts: Mapping[str, int]) -> float:
    """Failed, quarantined and not attempted items over all items; 0 for an empty run."""
    total = sum(counts.values())
    return sum(counts.get(state, 0) for state in COUNTED_AS_FAILED) / total if total else 0.0
