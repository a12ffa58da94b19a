"""The report's page: one HTML file that needs nothing else, not even a network."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from enhancer import viewer
from enhancer.files import visible
from enhancer.ledger import GOOD, TERMINAL, CountedRun, ItemState, Ledger, ScoredItem
from enhancer.records import gain_db

MAX_ROWS: Final = 2000
"""Rows of the page's tables; report.json has every item."""
BINS: Final = 20
NOT_PUBLISHED: Final = sorted((TERMINAL | {ItemState.HELD}) - GOOD)
_TEMPLATES: Final = Path(__file__).parent / "templates"
METRICS: Final = (("psnr", "PSNR, dB"), ("ssim", "SSIM"), ("lpips", "LPIPS (lower is better)"), ("score", "score"))


def render_page(ledger: Ledger, run: CountedRun, pictures: Mapping[str, Mapping[str, Any]]) -> str:
    """The page as text.

    Args:
        ledger: where the run's items are.
        run: its row, with the outcome.
        pictures: by key and side (``before``, ``after``), for the items that have them: data URLs ``thumbnail`` and
            ``picture``, and a ``histogram``, as :mod:`enhancer.batch.worker.thumbnails` sends them.
    """
    run_id = run.run_id
    worst, total = ledger.queries.items(run_id, order="worst", limit=MAX_ROWS, offset=0)
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: visible(value) if type(value) is str else value,
    )
    environment.filters["figure"] = figure
    failures, _ = ledger.queries.items(run_id, state=NOT_PUBLISHED, order="key", limit=MAX_ROWS)
    rows = [{**row.as_dict(), "gain": gain_db(row.scores), "done": done(row)} for row in worst]
    return environment.get_template("report.html").render(
        run=run,
        counts=ledger.items.counts(run_id),
        passed_through=ledger.halts.passed_through(run_id),
        side_files=(run.summary or {}).get("side_files") or {},
        rows=rows,
        total=total,
        shown=len(rows),
        pictures=pictures,
        views={row.key: views(row, pictures[row.key]) for row in worst if row.key in pictures},
        viewer_style=viewer.style() if pictures else "",
        scripts=[*viewer.scripts(), (_TEMPLATES / "report.js").read_text(encoding="utf-8")] if pictures else [],
        failures=failures,
        failure_classes=ledger.queries.failures_by_class(run_id),
        distributions=distributions(ledger, run_id),
    )


def views(row: ScoredItem, pictures: Mapping[str, Any]) -> dict[str, Any]:
    """What the viewer is given of one item (``static/viewer.js`` of :mod:`enhancer.viewer`). Where a side has no
    ``picture``, the page's script takes its thumbnail.
    """
    sizes = {"before": (row.width, row.height), "after": (row.output_width, row.output_height)}
    sides: dict[str, Any] = {}
    for side, (width, height) in sizes.items():
        found = pictures.get(side)
        sides[side] = found and {
            "width": width,
            "height": height,
            "histogram": found["histogram"],
            **({"picture": found["picture"]} if "picture" in found else {}),
        }
    return {"sides": sides}


def distributions(ledger: Ledger, run_id: str) -> list[dict[str, Any]]:
    """Histograms of the scores there are, against truth where it is known, else against the input."""
    values: dict[tuple[str, str], list[float]] = {}
    for row in islice(ledger.queries.iter_items(run_id), 100_000):
        for kind, figures in row.scores.items():
            for metric, _ in METRICS:
                if figures.get(metric) is not None:
                    values.setdefault((kind, metric), []).append(figures[metric])
    for kind, title in (("reference", "against truth"), ("fidelity", "against the input")):
        found = [
            {"title": f"{label} {title}", **histogram(values[kind, metric])}
            for metric, label in METRICS
            if (kind, metric) in values
        ]
        if found:
            return found
    return []


def histogram(values: list[float], bins: int = BINS) -> dict[str, Any]:
    """Counts in equal bins from the least to the greatest value, with the median."""
    low, high = min(values), max(values)
    width = (high - low) / bins or 1.0
    counts = [0] * bins
    for value in values:
        counts[min(bins - 1, int((value - low) / width))] += 1
    ordered = sorted(values)
    middle = len(ordered) // 2
    median = ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
    return {"low": low, "high": high, "median": median, "n": len(values), "counts": counts, "top": max(counts)}


def done(row: ScoredItem) -> str:
    """The stages that were applied, for people."""
    if row.passed_through:
        return "unenhanced: the gate refused the result"
    decisions = (row.details or {}).get("decisions", [])
    return ", ".join(decision["stage"] for decision in decisions if decision["applied"])


def figure(value: float | None, digits: int = 2) -> str:
    """A number for a table; a dash where there is none."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:.{digits}f}"
