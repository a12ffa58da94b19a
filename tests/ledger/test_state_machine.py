"""The ledger keeps its promises through any interleaving of three workers, four runs and a clock that runs out; one that
breaks them does not get through.
"""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy import make_url, text

from enhancer.ledger import Ledger
from enhancer.ledger.results import Results
from enhancer.ledger.tables import metadata
from tests.ledger.conftest import BACKENDS
from tests.ledger.night_machine import NightMachine

pytestmark = pytest.mark.timeout(1800)  # half a minute of processor time, which a busy machine stretches

EXAMPLES = {"sqlite": 25, "postgresql": 10}


BROKEN: dict[str, tuple[type, str, Any]] = {
    "a live claim is taken over": (Results, "_claim_stands", staticmethod(lambda *_: False)),
}
"""Ledgers that break a promise: where, and what stands there instead."""


def play(new_ledger: Callable[[], Ledger], examples: int, phases: tuple[Phase, ...]) -> None:
    machine = type("Nights", (NightMachine,), {"new_ledger": staticmethod(new_ledger)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=50,
            deadline=None,
            database=None,
            phases=phases,
            suppress_health_check=list(HealthCheck),
        ),
    )


def copies(template: str, folder: Path) -> Callable[[], Ledger]:
    """New SQLite ledgers, one file each."""
    numbers = itertools.count()

    def new_ledger() -> Ledger:
        file = folder / f"{next(numbers)}.db"
        shutil.copy(str(make_url(template).database), file)
        return Ledger(f"sqlite:///{file}")

    return new_ledger


def emptied(url: str) -> Callable[[], Ledger]:
    """The same PostgreSQL ledger, empty each time."""

    def new_ledger() -> Ledger:
        ledger = Ledger(url)
        with ledger.engine.begin() as connection:
            connection.execute(text(f"TRUNCATE {', '.join(metadata.tables)} CASCADE"))
        return ledger

    return new_ledger


@pytest.mark.parametrize("backend", BACKENDS)
def test_any_interleaving(backend: str, migrated: Callable[[str], str], tmp_path: Path) -> None:
    url = migrated(backend)
    new_ledger = copies(url, tmp_path) if backend == "sqlite" else emptied(url)
    # Without an explanation, which takes minutes of a failing machine.
    play(new_ledger, EXAMPLES[backend], (Phase.generate, Phase.shrink))


@pytest.mark.parametrize("broken", BROKEN)
def test_a_ledger_that_breaks_a_promise_is_seen(
    broken: str, migrated: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    where, name, instead = BROKEN[broken]
    monkeypatch.setattr(where, name, instead)
    with pytest.raises(AssertionError):
        play(copies(migrated("sqlite"), tmp_path), 100, (Phase.generate,))
