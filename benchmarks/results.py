"""What a benchmark leaves behind: tables for people, ``benchmarks/results/NAME.json`` for machines.

The goals come from benchmarks/targets.toml, one table a benchmark: ``[denoise."sigma 5, best"]`` with ``target``,
``unit`` and ``better`` (``higher`` or ``lower``). A figure without a target is no goal, a target without a figure is a
goal that was not measured; both are errors, so that the two files cannot drift apart.
"""

from __future__ import annotations

import json
import math
import os
import platform
import subprocess
import sys
import time
import tomllib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RESULTS = HERE / "results"
TARGETS = HERE / "targets.toml"


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


def write_results(
    name: str,
    figures: Mapping[str, float],
    tables: Mapping[str, Any],
    started: float,
    *,
    whole: bool = True,
    command: str | None = None,
    gpu: str | None = None,
    commit: str | None = None,
) -> list[dict[str, Any]]:
    """Print the goals; write the JSON file and its blocks of the pages in docs/ (:mod:`benchmarks.summary`).

    Args:
        name: of the benchmark, as in ``make bench-NAME``.
        figures: the value of each goal in targets.toml.
        tables: whatever was measured, JSON-able.
        started: ``time.monotonic()`` at the benchmark's begin.
        whole: False where only a part of the pictures was measured: goals are printed, nothing is written.
        command: what printed the figures; None: ``make bench-NAME``.
        gpu: the device that they were measured on, where it is not the processor.
        commit: of what was measured; None: as git says.

    Returns:
        The goals with their figures.
    """
    from benchmarks.summary import refresh_pages

    rows = goals(name, figures)
    print_table(["goal", "value", "unit", "target", "met"], [[*row.values()] for row in rows])
    if whole:
        RESULTS.mkdir(exist_ok=True)
        record = {
            "name": name,
            "command": command or f"make bench-{name}",
            "commit": commit or _commit(),
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": round(time.monotonic() - started),
            "machine": machine() if gpu is None else {"gpu": gpu, **machine()},
            "goals": rows,
            "tables": tables,
        }
        (RESULTS / f"{name}.json").write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
        refresh_pages()
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


def _commit() -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=HERE, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()
