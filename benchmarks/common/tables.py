"""Goals, tables and what they were measured on: what results, pages and plots of the benchmarks are made of.

The goals come from benchmarks/targets.toml, one table a benchmark: ``[denoise."sigma 5, best"]`` with ``target``,
``unit`` and ``better`` (``higher`` or ``lower``). A figure without a target is no goal, a target without a figure is a
goal that was not measured; both are errors, so that the two files cannot drift apart.
"""

from __future__ import annotations

import math
import os
import platform
import sys
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

BENCHMARKS: Final = Path(__file__).parents[1]
RESULTS: Final = BENCHMARKS / "results"
TARGETS: Final = BENCHMARKS / "targets.toml"
SHARED: Final = BENCHMARKS.parents[1] / "shared"
"""Pictures and weights beside the checkout, no part of the repository."""


def targets(name: str) -> dict[str, dict[str, Any]]:
    """The goals of one benchmark."""
    found: dict[str, dict[str, Any]] = tomllib.loads(TARGETS.read_text(encoding="utf-8")).get(name, {})
    return found


def goals(name: str, figures: Mapping[str, float]) -> list[dict[str, Any]]:
    """Each goal of a benchmark with its figure, and whether it is met; NaN, which could not be measured, is not.

    Raises:
        KeyError: figures and targets do not have the same names.
    """
    wanted = targets(name)
    if strange := set(figures) ^ set(wanted):
        raise KeyError(f"figures and [{name}] of targets.toml differ in {sorted(strange)}")
    rows = []
    for goal, target in wanted.items():
        value = float(figures[goal])
        met = value >= target["target"] if target["better"] == "higher" else value <= target["target"]
        row = {"name": goal, "value": round(value, 4), "unit": target["unit"], "target": target["target"], "met": met}
        row["value"] = None if math.isnan(value) else row["value"]
        rows.append(row)
    return rows


def print_table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a Markdown table."""
    print(as_table(heads, rows))
    sys.stdout.flush()


def as_table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A Markdown table, its columns aligned."""
    cells = [[str(head) for head in heads], *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(heads))]
    padded = [[cell.ljust(width) for cell, width in zip(row, widths, strict=True)] for row in cells]
    padded.insert(1, ["-" * width for width in widths])
    return "\n".join("| " + " | ".join(row) + " |" for row in padded)


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    model = ""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
        model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "")
    return {"cpu": model or platform.processor(), "cores": os.cpu_count(), "python": platform.python_version()}


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "NO"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
