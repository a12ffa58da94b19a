"""The figures in docs/quality.md, reliability.md and performance.md, written from benchmarks/results.

The pages have a block for each benchmark's goals, and for each table that is shown, between two comments that name it.
Whatever stands there is replaced, and the plots are drawn anew, so that pages and results cannot drift apart; a test
holds them together.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from benchmarks.common.speed_plots import drawn
from benchmarks.common.tables import RESULTS, TARGETS, as_table, targets

PAGES = tuple(TARGETS.parents[1] / "docs" / name for name in ("quality.md", "reliability.md", "performance.md"))
IMAGES = TARGETS.parents[1] / "docs" / "images"
BLOCK = re.compile(r"(<!-- figures: (?P<name>[a-z0-9-]+) -->\n).*?(?=<!-- end -->)", re.DOTALL)
TABLE = re.compile(r"(<!-- table: (?P<name>[a-z0-9-]+)/(?P<table>[a-z0-9-]+) -->\n).*?(?=<!-- end -->)", re.DOTALL)


def with_figures(page: str, results: Path = RESULTS) -> str:
    """The page with the figures in `results`; a benchmark without a file there is said not to have been run."""
    page = BLOCK.sub(lambda block: block[1] + figures(block["name"], results), page)
    return TABLE.sub(lambda block: block[1] + table(block["name"], block["table"], results), page)


def figures(name: str, results: Path = RESULTS) -> str:
    """One benchmark's goals as a Markdown table, with the command that prints it.

    Raises:
        KeyError: targets.toml knows no such benchmark.
    """
    wanted = targets(name)
    if not wanted:
        raise KeyError(f"targets.toml has no table [{name}]")
    file = results / f"{name}.json"
    if not file.exists():
        return f"\nNot measured yet: `make bench-{name}` has left no result.\n\n"
    record = json.loads(file.read_text(encoding="utf-8"))
    rows = [
        [
            goal["name"],
            "not measured" if goal["value"] is None else goal["value"],
            _bound(goal, wanted[goal["name"]]["better"]),
            goal["unit"],
            goal["met"],
        ]
        for goal in record["goals"]
    ]
    return f"\n{as_table(['figure', 'measured', 'goal', 'unit', 'met'], rows)}\n\n{_origin(record)}\n\n"


def table(name: str, which: str, results: Path = RESULTS) -> str:
    """One table of a benchmark as it was printed, with the command that prints it where the benchmark has no goals.

    Raises:
        KeyError: its result has no such table.
    """
    file = results / f"{name}.json"
    if not file.exists():
        return f"\nNot measured yet: `make bench-{name}` has left no result.\n\n"
    record = json.loads(file.read_text(encoding="utf-8"))
    shown = record["tables"][which]
    origin = "" if targets(name) else f"{_origin(record)}\n\n"
    return f"\n{as_table(shown['columns'], shown['rows'])}\n\n{origin}"


def _origin(record: dict[str, Any]) -> str:
    machine = f"{record['machine']['cpu']}, {record['machine']['cores']} cores"
    if gpu := record["machine"].get("gpu"):
        machine = f"{gpu}; {machine}"
    return f"`{record['command']}`, {record['time'][:10]}, {record['commit']}, {machine}"


def _bound(goal: dict[str, object], better: str) -> str:
    return f"{'at least' if better == 'higher' else 'at most'} {goal['target']:g}"


def refresh_pages() -> None:
    """Write the blocks of all pages and the plots anew."""
    for page in PAGES:
        page.write_text(with_figures(page.read_text(encoding="utf-8")), encoding="utf-8")
    for name, svg in drawn().items():
        (IMAGES / f"{name}.svg").write_text(svg, encoding="utf-8")
