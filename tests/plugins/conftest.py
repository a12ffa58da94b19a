"""A real Airflow api-server with the plugin, on a seeded ledger. Started once, for all tests that ask for it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path

import httpx
import pytest
from sqlalchemy import delete

from demo.services.processes import ManagedProcess, free_port
from enhancer.ledger import Ledger
from enhancer.ledger.tables import action, note, run
from tests.plugins.browsing import browser, page, visit  # noqa: F401
from tests.plugins.seeding import DAG_ID, DAG_RUN_ID, DONE, Seeded, add_finished_run, seed

REPOSITORY = Path(__file__).parents[2]

DAG = f"""
from airflow.sdk import DAG
from airflow.providers.standard.operators.empty import EmptyOperator

for dag_id in ("{DAG_ID}", "secret_dag", "redrive_failed"):
    with DAG(dag_id, schedule=None) as dag:
        EmptyOperator(task_id="nothing")
    globals()[dag_id] = dag
"""


@dataclass(frozen=True)
class Airflow:
    """The running server."""

    url: str
    seeded: Seeded

    def token(self, user: str) -> str:
        answer = httpx.post(f"{self.url}/auth/token", json={"username": user, "password": f"{user}-password"})
        answer.raise_for_status()
        return str(answer.json()["access_token"])

    def client(self, user: str | None) -> httpx.Client:
        """A client at the plugin's prefix, logged in as `user`."""
        headers = {"Authorization": f"Bearer {self.token(user)}"} if user else {}
        return httpx.Client(base_url=f"{self.url}/enhancer/", headers=headers, timeout=30)


def _entry_point(folder: Path) -> Path:
    """What `pip install` would write, so that Airflow finds the plugin in its own way where the package is not installed."""
    metadata = folder / "enhancer_ui_for_tests-0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: enhancer-ui-for-tests\nVersion: 0\n")
    (metadata / "entry_points.txt").write_text("[airflow.plugins]\nenhancer_ui = enhancer_ui.plugin:EnhancerPlugin\n")
    return folder


@pytest.fixture(scope="session")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Seeded:
    """A ledger with runs, and folders with their pictures."""
    return seed(tmp_path_factory.mktemp("pictures"))


@pytest.fixture(scope="session")
def airflow(tmp_path_factory: pytest.TempPathFactory, seeded: Seeded) -> Iterator[Airflow]:
    """The running api-server."""
    with api_server(tmp_path_factory.mktemp("airflow"), seeded) as running:
        yield running


@pytest.fixture
def ledger(airflow: Airflow) -> Iterator[Ledger]:
    """The server's ledger, with a finished run to decide on; what comes of it is taken away again."""
    with Ledger(airflow.seeded.ledger_url) as opened:
        add_finished_run(airflow.seeded, opened)
        yield opened
        with opened.engine.begin() as connection:
            for statement in (delete(action), delete(note), delete(run).where(run.c.run_id == DONE)):
                connection.execute(statement)


@contextmanager
def api_server(home: Path, seeded: Seeded) -> Iterator[Airflow]:
    """An api-server with users admin, editor (who may edit DAG runs), viewer and nobody (who may log in and do nothing),
    and one DAG run.
    """
    (home / "dags").mkdir()
    (home / "dags" / "dags.py").write_text(DAG)
    users = {"admin": "admin", "editor": "user", "viewer": "viewer", "nobody": ""}
    passwords = home / "passwords.json"
    passwords.write_text(json.dumps({name: f"{name}-password" for name in users}))
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    path = [str(REPOSITORY), str(REPOSITORY / "plugins")]
    if not any(point.name == "enhancer_ui" for point in entry_points(group="airflow.plugins")):
        path.append(str(_entry_point(home / "site")))
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(path),
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(home / "dags"),
        "AIRFLOW__CORE__AUTH_MANAGER": "tests.plugins.auth_manager.PickyAuthManager",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{name}:{role}" for name, role in users.items()),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
        "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home / 'airflow.db'}",
        "AIRFLOW__API__BASE_URL": url,
        "AIRFLOW__API__SECRET_KEY": "for tests",
        "AIRFLOW__API_AUTH__JWT_SECRET": "for tests, and long enough to sign with it: 0123456789abcdef0123456789abcdef",
        # The ledger comes from a Connection, as in production; the addresses from the settings.
        "AIRFLOW_CONN_ENHANCER_LEDGER": json.dumps(
            {"conn_type": "sqlite", "host": seeded.ledger_url.removeprefix("sqlite:///")}
        ),
        "ENHANCER_HOME": str(home / "enhancer"),
        "ENHANCER_INPUT_URL": str(seeded.input),
        "ENHANCER_OUTPUT_URL": str(seeded.output),
        "ENHANCER_WORK_URL": str(seeded.work),
    }
    for command in ("db migrate", "dags reserialize"):
        subprocess.run(
            [sys.executable, "-m", "airflow", *command.split()],
            env=environment,
            check=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def ready() -> bool:
        try:
            return httpx.get(f"{url}/api/v2/monitor/health", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False

    server = ManagedProcess(
        "api-server",
        [sys.executable, "-m", "airflow", "api-server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"],
        log=home / "api-server.log",
        ready=ready,
        env=environment,
        ports=[port],
        start_timeout_s=180,
    )
    with server:
        running = Airflow(url, seeded)
        trigger = {"dag_run_id": DAG_RUN_ID, "logical_date": None}
        headers = {"Authorization": f"Bearer {running.token('admin')}"}
        answer = httpx.post(f"{url}/api/v2/dags/{DAG_ID}/dagRuns", json=trigger, headers=headers, timeout=30)
        assert answer.status_code == 200, answer.text
        yield running
