"""What a benchmark writes: tables for people, ``benchmarks/results/NAME.json`` for machines."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from benchmarks.common.pages import refresh_pages
from benchmarks.common.tables import BENCHMARKS, RESULTS, goals, machine, print_table, targets

__all__ = ["print_table", "targets", "write_results"]


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
    """Print the goals; write the JSON file and its blocks of the pages in docs/ (:mod:`benchmarks.common.pages`).

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


def _commit() -> str:
    done = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=BENCHMARKS, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()
