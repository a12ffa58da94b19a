"""The ledger keeps its promises through any interleaving of three workers, four runs and a clock that runs out."""

from __future__ import annotations

import itertools
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy import make_url, text

from enhancer.ledger import Ledger
from enhancer.ledger.tables import metadata
from tests.ledger.conftest import BACKENDS
from tests.ledger.night_machine import NightMachine

EXAMPLES = {"sqlite": 30, "postgresql": 10}


@pytest.mark.parametrize("backend", BACKENDS)
def test_any_interleaving(backend: str, migrated: Callable[[str], str], tmp_path: Path) -> None:
    url, numbers = migrated(backend), itertools.count()

    def new_ledger() -> Ledger:
        if backend == "sqlite":
            file = tmp_path / f"{next(numbers)}.db"
            shutil.copy(str(make_url(url).database), file)
            return Ledger(f"sqlite:///{file}")
        ledger = Ledger(url)
        with ledger.engine.begin() as connection:
            connection.execute(text(f"TRUNCATE {', '.join(metadata.tables)} CASCADE"))
        return ledger

    machine = type("Nights", (NightMachine,), {"new_ledger": staticmethod(new_ledger)})
    run_state_machine_as_test(  # type: ignore[no-untyped-call]
        machine,
        settings=settings(
            max_examples=EXAMPLES[backend],
            stateful_step_count=60,
            deadline=None,
            database=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
