"""The figures in docs/quality.md and docs/reliability.md, written from benchmarks/results: ``python -m
benchmarks.summary``.

The pages have a block for each benchmark, between two comments that name it. Whatever stands there is replaced, so that
pages and results cannot drift apart; a test holds them together.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from benchmarks.results import RESULTS, TARGETS, as_table, targets

PAGES = tuple(TARGETS.parents[1] / "docs" / name for name in ("quality.md", "reliability.md"))
BLOCK = re.compile(r"(<!-- figures: (?P<name>[a-z-]+) -->\n).*?(?=<!-- end -->)", re.DOTALL)


def with_figures(page: str, results: Path = RESULTS) -> str:
    """The page with the figures in `results`; a benchmark without a file there is said not to have been run."""
    return BLOCK.sub(lambda block: block[1] + figures(block["name"], results), page)


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
    machine = f"{record['machine']['cpu']}, {record['machine']['cores']} cores"
    return (
        f"\n{as_table(['figure', 'measured', 'goal', 'unit', 'met'], rows)}\n\n"
        f"`{record['command']}`, {record['time'][:10]}, {record['commit']}, {machine}\n\n"
    )


def _bound(goal: dict[str, object], better: str) -> str:
    return f"{'at least' if better == 'higher' else 'at most'} {goal['target']:g}"


def refresh_pages() -> None:
    """Write the blocks of both pages anew."""
    for page in PAGES:
        page.write_text(with_figures(page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    refresh_pages()
