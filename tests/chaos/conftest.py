"""Nights that die where a test says: the command and its workers are forked with their imports done, all else is real."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from benchmarks.chaos_site import Site
from benchmarks.forked import Nursery

Play = Callable[..., int]


@pytest.fixture(scope="session")
def nursery() -> Iterator[Nursery]:
    made = Nursery(spawned=True)
    yield made
    made.close()


@pytest.fixture
def play(nursery: Nursery, tmp_path: Path) -> Iterator[Play]:
    """play(site, run_id, kill_at=("module:callable", who), **environment) -> the exit status of ``enhancer batch run``."""
    log = tmp_path / "night.log"

    def start(site: Site, run_id: str, *, kill_at: tuple[str, str] | None = None, **environment: str) -> int:
        death = {}
        if kill_at is not None:
            death = {"KILL_AT": kill_at[0], "KILL_WHO": kill_at[1], "KILL_MARK": str(tmp_path / "killed")}
        nothing, told = os.open(os.devnull, os.O_RDONLY), os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        try:
            child = nursery.fork(
                "night", site.command(run_id), {**site.environment, **environment, **death}, [nothing, told, told]
            )
            return child.wait(300)
        finally:
            os.close(nothing)
            os.close(told)

    yield start
    sys.stdout.write(log.read_text(errors="replace")[-4000:] if log.exists() else "no night was played")
