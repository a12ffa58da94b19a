"""How pictures are cut into shards: balanced by estimated cost, in manifest order, few and minutes long.

Airflow's scheduler pays for every mapped task, pending ones included, so shards are as few as the wanted length allows.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from enhancer.errors import RequestError
from enhancer.reasons import Reason
from enhancer.recipe import Recipe
from enhancer.settings import Settings

BASE_SECONDS: Final = 0.09
"""Work on a picture however small: decoding, deciding, encoding, scoring."""
SECONDS_PER_MB: Final = {"restore": 14.0, "enlarge": 40.0}
"""Work per megabyte of JPEG on top, by the default recipe on one core: ``make bench-rate`` prints all three (0.06 and
0.09; 13.56; 40.19). :func:`calibrate` corrects them by what earlier runs took on the machines at hand."""


def estimate_s(size: int, recipe: Recipe) -> float:
    """Estimated seconds of work for an object of `size` bytes; only ratios matter for balance."""
    kind = "enlarge" if recipe.scale > 1 else "restore"
    return BASE_SECONDS + SECONDS_PER_MB[kind] * size / 1e6


def calibrate(estimated_s: float, measured_s: float) -> float:
    """The factor that corrects estimates, from totals of earlier runs; 1 where there are none."""
    if estimated_s <= 0 or measured_s <= 0:
        return 1.0
    return min(50.0, max(0.02, measured_s / estimated_s))


@dataclass(frozen=True, slots=True)
class Cut:
    """How many shards (at most, and at the least), from how many items and seconds of work."""

    count: int
    least: int
    items: int
    total_s: float

    def numbers(self, costs_s: Iterable[float]) -> Iterator[int]:
        """Each item's shard, from its cost.

        An item belongs to the shard in which the middle of its work lies, so that rounding moves none. A large one may
        fill what was cut as several. Where the last items are needed to make up the least number, each is a shard.
        """
        number, made, before = -1, 0, 0.0
        for place, cost in enumerate(costs_s):
            work = cost / self.total_s if self.total_s > 0 else 1 / self.items
            middle = min(self.count - 1, int((before + work / 2) * self.count)) if place else 0
            before += work
            is_needed = self.items - place <= self.least - made
            wanted = max(middle, number + 1 if is_needed else number)
            made += wanted > number
            number = wanted
            yield number


def cut(items: int, total_s: float, settings: Settings) -> Cut:
    """Decide the number of shards.

    Raises:
        RequestError: more than ``max_shards`` would be needed; names the ways out.
    """
    if items == 0:
        return Cut(0, 0, 0, 0.0)
    wanted = max(
        math.ceil(total_s / (settings.shard_minutes * 60)),
        math.ceil(items / settings.shard_max_items),
        settings.min_shards,
    )
    count = min(wanted, items)
    if count > settings.max_shards:
        raise RequestError(
            f"{items} pictures of about {total_s / 3600:.1f} hours of work need {count} shards, more than "
            f"ENHANCER_MAX_SHARDS={settings.max_shards}: the scheduler pays for each. Raise ENHANCER_SHARD_MINUTES "
            f"(now {settings.shard_minutes:g}), narrow prefix or max_items, or raise ENHANCER_MAX_SHARDS knowingly",
            reason=Reason.TOO_MANY_SHARDS,
        )
    return Cut(count, min(settings.min_shards, items), items, total_s)
