"""What a run will take, before it starts: pictures, bytes, shards, worker time and, with a price, cost.

From sizes and recipes alone: no picture is opened and no net is loaded. Seconds come from
:func:`enhancer.batch.plan.shards.estimate_s`, corrected by what the shards of earlier runs took on the machines at
hand.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Estimate:
    """What planning counted and reckoned.

    Attributes:
        items: pictures of work.
        size: their bytes as listed.
        shards: how many they are cut into.
        work_s: seconds that one worker takes for them.
        history_s: measured seconds of earlier runs that `work_s` goes by; 0: none, so the committed default rate.
        worker_hour_price: of one worker, in any currency; None: no cost is given.
    """

    items: int
    size: int
    shards: int
    work_s: float
    history_s: float
    worker_hour_price: float | None

    @property
    def cost(self) -> float | None:
        """In the currency of the price; what machines idle is not in it."""
        if self.worker_hour_price is None:
            return None
        return self.work_s / 3600 * self.worker_hour_price

    def as_summary(self) -> dict[str, Any]:
        """JSON-able, for the run's row."""
        cost = self.cost
        return {
            "work_items": self.items,
            "bytes": self.size,
            "estimated_shards": self.shards,
            "estimated_s": round(self.work_s, 1),
            "estimated_minutes": round(self.work_s / 60, 1),
            "estimated_from": "earlier runs" if self.history_s > 0 else "default rate",
            "measured_s": round(self.history_s, 1),
            **({} if cost is None else {"worker_hour_price": self.worker_hour_price, "estimated_cost": round(cost, 2)}),
        }


def in_words(summary: Mapping[str, Any]) -> str:
    """A planned run's summary as one sentence for people."""
    basis = (
        f"by {summary['measured_s'] / 60:.0f} measured minutes of earlier runs"
        if summary["estimated_from"] == "earlier runs"
        else "by the default rate, since no earlier run was measured (`make bench-rate`)"
    )
    cost = ""
    if "estimated_cost" in summary:
        cost = f"; {summary['estimated_cost']:.2f} at {summary['worker_hour_price']:g} per worker hour"
    return (
        f"{summary['work_items']} to do ({_size(summary['bytes'])}) in {summary['estimated_shards']} shards, about "
        f"{_duration(summary['estimated_minutes'])} of one worker {basis}{cost}"
    )


def _size(size: int) -> str:
    value = float(size)
    for unit in ("bytes", "kB", "MB", "GB"):
        if value < 1000:
            return f"{value:.0f} {unit}" if unit == "bytes" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:.1f} TB"


def _duration(minutes: float) -> str:
    if minutes < 1:
        return f"{minutes * 60:.0f} seconds"
    return f"{minutes:.1f} minutes" if minutes < 120 else f"{minutes / 60:.1f} hours"
