"""Sites for the tests of the nightly job (see :mod:`tests.batch.site_builder`)."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from enhancer.ledger import ItemState, Ledger
from enhancer.ledger.migrate import upgrade
from enhancer.settings import Settings
from tests.batch.hooked_workers import HOOK
from tests.batch.site_builder import Site, png
from tests.model_cache import MODEL_CACHE


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
        settings = Settings(home=home, model_dir=MODEL_CACHE, **{**quick, **values})
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


@pytest.fixture
def judged(site: Site) -> Site:
    """After a finished run: a rejected, b quarantined, c failed, d published, e not attempted; f is new."""
    site.put(a_png=png(1), b_png=png(2), c_png=png(3), d_png=png(4), e_png=png(5))
    plan = site.plan("r1")
    reasons = {"stage": "score", "error_class": "gate", "error_message": "too smooth"}
    site.settle("r1", "b.png", ItemState.QUARANTINED, stage="decode", error_class="truncated", error_message="cut off")
    site.settle("r1", "c.png", ItemState.FAILED, stage="read", error_class="timeout", error_message="slow")
    for key in ("a.png", "d.png"):
        site.stage("r1", key, key.encode())
    lease = site.ledger.leases.take("r1", 0, "test", 60)
    site.ledger.items.move(lease, "a.png", ItemState.REJECTED, **reasons)
    site.ledger.items.move(lease, "e.png", ItemState.NOT_ATTEMPTED)
    site.publish(plan)
    site.finish("r1")
    site.put(f_png=png(6))
    return site


@pytest.fixture(scope="module")
def hooked_workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Workers import the hook, and know neither the user's home nor what else is in our environment."""
    folder = tmp_path_factory.mktemp("hook")
    (folder / "sitecustomize.py").write_text(HOOK)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder))
        patch.setenv("HOME", str(folder))
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "postgresql://airflow:not-for-workers@db/airflow")
        patch.setenv("SOMEONE_ELSES_TOKEN", "not-for-workers")
        yield
