"""`airflow db migrate` brings the ledger up to date in its own database and leaves nothing in Airflow's."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from enhancer.ledger import migrate
from enhancer.ledger.tables import metadata

pytestmark = pytest.mark.airflow

MANAGER = "enhancer.airflow.airflow_db.LedgerDBManager"


def tables(path: Path) -> set[str]:
    engine = sa.create_engine(f"sqlite:///{path}")
    found = set(sa.inspect(engine).get_table_names())
    engine.dispose()
    return found


@pytest.fixture
def airflow(tmp_path):
    """Runs `airflow ARGS` with a home of its own."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("AIRFLOW")},
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{tmp_path / 'airflow' / 'airflow.db'}",
        "AIRFLOW__DATABASE__EXTERNAL_DB_MANAGERS": MANAGER,
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "ENHANCER_LEDGER_DSN": f"sqlite:///{tmp_path / 'ledger' / 'ledger.db'}",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [str(Path(sys.executable).with_name("airflow")), *arguments],
            env=environment, cwd=tmp_path, capture_output=True, text=True, timeout=400, check=False,
        )  # fmt: skip

    return run


def test_airflow_db_migrate(airflow, tmp_path):
    done = airflow("db", "migrate")
    assert done.returncode == 0, done.stdout + done.stderr
    ledger, home = tmp_path / "ledger" / "ledger.db", tmp_path / "airflow" / "airflow.db"
    assert tables(ledger) == {*metadata.tables, migrate.VERSION_TABLE}
    assert migrate.current(f"sqlite:///{ledger}") == migrate.head()
    assert "dag_run" in tables(home)
    assert not tables(home) & {*metadata.tables, migrate.VERSION_TABLE}

    # A ledger that is behind (here: lost) counts as an unfinished migration, and the next migrate makes it good.
    ledger.unlink()
    for beside in ledger.parent.iterdir():
        beside.unlink()
    behind = airflow("db", "check-migrations", "--migration-wait-timeout", "1")
    assert behind.returncode != 0
    assert not ledger.exists()
    again = airflow("db", "migrate")
    assert again.returncode == 0, again.stdout + again.stderr
    assert migrate.current(f"sqlite:///{ledger}") == migrate.head()
