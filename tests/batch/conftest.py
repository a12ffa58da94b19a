"""Sites for the tests of the nightly job (see :mod:`tests.batch.site_builder`)."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from enhancer.ledger import Ledger
from enhancer.ledger.migrate import upgrade
from enhancer.settings import Settings
from tests.batch.site_builder import Site

USER_MODELS = Path.home() / ".cache" / "enhancer" / "models"


@pytest.fixture(scope="session")
def blank_ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file: migrating for each test would take most of the time."""
    path = tmp_path_factory.mktemp("blank") / "ledger.db"
    upgrade(f"sqlite:///{path}")
    return path


@pytest.fixture(scope="session")
def new_site(blank_ledger: Path) -> Iterator[Callable[..., Site]]:
    """Makes a site in a folder, with settings of one's own."""
    opened: list[Ledger] = []

    def make(root: Path, **values: Any) -> Site:
        home = root / "home"
        home.mkdir(parents=True)
        shutil.copy(blank_ledger, home / "ledger.db")
        quick = {"item_retry_delay_s": 0.0, "threads": 1}
        settings = Settings(home=home, model_dir=USER_MODELS, **{**quick, **values})
        ledger = Ledger(settings.ledger_url())
        opened.append(ledger)
        (root / "in").mkdir()
        return Site(root, settings, ledger)

    yield make
    for ledger in opened:
        ledger.close()


@pytest.fixture
def site(new_site: Callable[..., Site], tmp_path: Path) -> Site:
    return new_site(tmp_path)
