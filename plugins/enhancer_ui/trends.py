"""How the nights of a collection went: one small chart for each figure, drawn on the server as SVG."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from enhancer.ledger.rows import CountedRun
from enhancer.ledger.states import ItemState
from enhancer_ui.showing import figure, when

NIGHTS: Final = 90
DAY_S: Final = 86_400.0

WIDTH: Final = 640.0
HEIGHT: Final = 120.0
MARGIN: Final = 8.0

_FAILED: Final = (ItemState.FAILED, ItemState.QUARANTINED)


@dataclass(frozen=True, slots=True)
class Point:
    """One run in a chart: where it is drawn, its figure, and both in words."""

    run_id: str
    x: float
    y: float
    value: float
    words: str


@dataclass(frozen=True, slots=True)
class Chart:
    """One figure over the nights; without points there was none."""

    title: str
    meaning: str
    unit: str
    points: list[Point]
    low: float
    high: float

    @property
    def line(self) -> str:
        """The points for an SVG polyline."""
        return " ".join(f"{point.x:.1f},{point.y:.1f}" for point in self.points)


def _figures(run: CountedRun) -> dict[str, Any]:
    return dict((run.summary or {}).get("figures") or {})


def _an_hour(run: CountedRun, amount: float | None) -> float | None:
    busy_s = _figures(run).get("busy_s")
    return None if not busy_s or amount is None else amount / busy_s * 3600


def _published(run: CountedRun) -> float:
    return run.counts.get(ItemState.PUBLISHED, 0)


def _new(run: CountedRun, *states: str) -> float:
    return sum(run.counts.get(state, 0) - run.known.get(state, 0) for state in states)


def _refused_share(run: CountedRun) -> float | None:
    refused = _new(run, ItemState.REJECTED)
    judged = refused + _published(run) + run.counts.get(ItemState.REUSED, 0)
    return 100 * refused / judged if judged else None


def _cost(run: CountedRun) -> float | None:
    price, busy_s = (run.summary or {}).get("worker_hour_price"), _figures(run).get("busy_s")
    return None if price is None or busy_s is None else busy_s / 3600 * price


FIGURES: Final[tuple[tuple[str, str, str, Callable[[CountedRun], float | None]], ...]] = (
    ("Pictures", "published by each run", "", _published),
    ("Pictures an hour", "published, for each hour of one worker", "", lambda run: _an_hour(run, _published(run))),
    (
        "Megapixels an hour",
        "of results, for each hour of one worker",
        "",
        lambda run: _an_hour(run, _figures(run).get("megapixels")),
    ),
    ("New failures", "failed or quarantined in this run, and not known before", "", lambda run: _new(run, *_FAILED)),
    ("Known failures", "verdicts of earlier runs that still stand", "", lambda run: sum(run.known.values())),
    ("Refused by the gate", "of the results that it judged", "%", _refused_share),
    ("Mean score", "0 to 1; against the truth where there is one", "", lambda run: _figures(run).get("score_mean")),
    ("Least score", "of the worst picture", "", lambda run: _figures(run).get("score_least")),
    ("Cost", "of workers, in the currency of the price", "", _cost),
)
"""Each chart's title, meaning and unit, and the figure of a run; None where a run has none."""


CLASSES: Final = 4
"""Classes of errors that have a chart of their own: the most frequent ones."""

CANARY: Final = (
    ("psnr", "Canary PSNR", "mean of the reference check's pictures with known truth", " dB"),
    ("ssim", "Canary SSIM", "of the same pictures", ""),
    ("lpips", "Canary LPIPS", "of the same pictures; lower is better", ""),
)


def charts(runs: Sequence[CountedRun], now: float) -> list[Chart]:
    """The charts of finished runs.

    Args:
        runs: of the last :data:`NIGHTS` days, the oldest first.
        now: the right edge.
    """
    drawn = [_chart(title, meaning, unit, runs, of, now) for title, meaning, unit, of in FIGURES]
    by_class: Counter[str] = Counter()
    for run in runs:
        by_class.update(_failures(run) or {})
    for error_class, _ in by_class.most_common(CLASSES):
        drawn.append(_chart(error_class, "new failures of this class", "", runs, partial(_of_class, error_class), now))
    return drawn


def canary_charts(checks: Sequence[CountedRun], now: float) -> list[Chart]:
    """The figures of reference checks, of those that have some.

    Args:
        checks: of the last :data:`NIGHTS` days, the oldest first.
        now: the right edge.
    """
    drawn = [_chart(title, meaning, unit, checks, partial(_canary, name), now) for name, title, meaning, unit in CANARY]
    return [chart for chart in drawn if chart.points]


def _failures(run: CountedRun) -> dict[str, int] | None:
    found = _figures(run).get("failures")
    return found if isinstance(found, dict) else None


def _of_class(error_class: str, run: CountedRun) -> float | None:
    failures = _failures(run)
    return None if failures is None else failures.get(error_class, 0)


def _canary(name: str, run: CountedRun) -> float | None:
    figures = ((run.summary or {}).get("reference_check") or {}).get("figures") or {}
    values = [float(one[name]) for one in figures.values() if name in one]
    return sum(values) / len(values) if values else None


def _chart(
    title: str,
    meaning: str,
    unit: str,
    runs: Sequence[CountedRun],
    of: Callable[[CountedRun], float | None],
    now: float,
) -> Chart:
    values = [(run, float(value)) for run in runs if (value := of(run)) is not None]
    high = max((value for _, value in values), default=0.0)
    low = min(0.0, *(value for _, value in values)) if values else 0.0
    span = high - low or 1.0
    begin = now - NIGHTS * DAY_S
    points = [
        Point(
            run.run_id,
            MARGIN + (WIDTH - 2 * MARGIN) * min(1.0, max(0.0, (run.created_at - begin) / (NIGHTS * DAY_S))),
            HEIGHT - MARGIN - (HEIGHT - 2 * MARGIN) * (value - low) / span,
            value,
            f"{when(run.created_at)} UTC: {shown(value)}{unit}",
        )
        for run, value in values
    ]
    return Chart(title, meaning, unit, points, low, high)


def shown(value: float) -> str:
    """A figure of a chart: counts whole, others with as many digits as they need."""
    if value == int(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return figure(value, 1 if value >= 5 else 3)
