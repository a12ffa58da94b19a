"""docs/production.md, section "Into an Airflow that you have", followed line by line in a fresh AIRFLOW_HOME: its commands in
its order, its settings, its Connections as `airflow connections add` makes them. Only names and passwords are replaced.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import httpx
import psycopg
import pytest
from sqlalchemy import make_url

from demo.services.postgres import PostgresServer
from demo.services.processes import ManagedProcess, free_port
from demo.services.s3 import S3Server
from enhancer.ledger import CountedRun, Ledger
from tests.batch.site_builder import png
from tests.model_cache import MODEL_CACHE

CHECKOUT = Path(__file__).parents[2]
PAGE = (CHECKOUT / "docs" / "production.md").read_text(encoding="utf-8")
DAG = "image_enhancement"

airflow = pytest.mark.airflow
slow = pytest.mark.timeout(900)


def blocks() -> list[str]:
    """The section's blocks of code in order, but for the installation (which `.ci/check-wheel` tries)."""
    section = PAGE.split("## Into an Airflow that you have")[1].split("\n## ")[0]
    found = re.findall(r"(?:^ {7}.*\n|^\n(?= {7}))+", section, re.MULTILINE)
    return [block for block in (dedent(one).strip() for one in found) if block and not block.startswith("pip ")]


def is_settings(block: str) -> bool:
    return all(re.fullmatch(r"ENHANCER_\w+=\S.*", line) for line in block.splitlines()) and " enhancer " not in block


def test_the_settings_mean_the_same_to_a_shell_and_to_whatever_reads_an_environment_file() -> None:
    [settings] = [block for block in blocks() if is_settings(block)]
    words = shlex.split(settings)
    assert [word.partition("=")[0] for word in words] == [line.partition("=")[0] for line in settings.splitlines()]
    rules = dict(word.split("=", 1) for word in words)["ENHANCER_RULES"]
    assert [rule["match"] for rule in json.loads(rules)] == ["scans/*", "phone/*"]


@dataclass
class Followed:
    """An Airflow in which the page was followed."""

    home: Path
    environment: dict[str, str]
    ledger_url: str
    said: str
    runs: list[CountedRun]
    published: bool

    def shell(self, script: str) -> str:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            env=self.environment,
            cwd=CHECKOUT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{script}\n{done.stdout[-6000:]}"
        return done.stdout


def own_database(postgres: PostgresServer, password: str) -> str:
    """The database and the role that the page names, on this server."""
    url = make_url(postgres.dsn("postgres"))
    with psycopg.connect(url.set(drivername="postgresql").render_as_string(hide_password=False), autocommit=True) as db:
        db.execute("DROP DATABASE IF EXISTS enhancer")
        db.execute("DROP ROLE IF EXISTS enhancer")
        db.execute(f"CREATE ROLE enhancer LOGIN PASSWORD '{password}'")
        db.execute("CREATE DATABASE enhancer OWNER enhancer")
    return url.set(username="enhancer", password=password, database="enhancer").render_as_string(hide_password=False)


def filled_in(block: str, values: dict[str, str]) -> str:
    for name, value in values.items():
        block = re.sub(rf"(?<![A-Z_]){re.escape(name)}(?![A-Z_])", value, block)
    return block


@pytest.fixture(scope="module")
def followed(postgres: PostgresServer, s3: S3Server, service_dir: Path) -> Followed:
    home = service_dir / "page"
    (home / "dags").mkdir(parents=True)
    for bucket in ("archive", "archive-enhanced"):
        s3.create_bucket(bucket)
    for key, seed in (("scans/1.png", 1), ("2.png", 2)):
        s3.client.put_object(Bucket="archive", Key=f"incoming/{key}", Body=png(seed))
    ledger_url = own_database(postgres, "a-password")
    server = make_url(ledger_url)
    metadata = postgres.create_database("page_airflow")
    config = (CHECKOUT / "airflow.cfg.example").read_text(encoding="utf-8")
    replaced = config.replace("postgresql+psycopg://airflow:PASSWORD@db.example.com/airflow", metadata)
    assert replaced.count(metadata) == 2
    (home / "airflow.cfg").write_text(replaced, encoding="utf-8")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "ENHANCER"))}
    made = Followed(
        home,
        {
            **kept,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}",
            "PYTHONPATH": f"{CHECKOUT}{os.pathsep}{CHECKOUT / 'plugins'}",
            "AIRFLOW_HOME": str(home),
            "ENHANCER_HOME": str(home / "enhancer"),
            "ENHANCER_MODEL_DIR": str(MODEL_CACHE),
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
            "AIRFLOW__API_AUTH__JWT_SECRET": "for tests, and long enough to sign with: 0123456789abcdef0123456789abcdef",
        },
        ledger_url,
        "",
        [],
        published=True,
    )
    # The Airflow that was there before: its database, and a DAG processor that has read the DAGs.
    (home / "passwords.json").write_text(json.dumps({"admin": "admin"}))
    for path in (CHECKOUT / "dags").glob("*.py"):
        shutil.copy(path, home / "dags")
    made.shell("AIRFLOW__DATABASE__EXTERNAL_DB_MANAGERS= airflow db migrate && airflow dags reserialize")
    replacements = {
        "--conn-host db.example.com --conn-port 5432": f"--conn-host {server.host} --conn-port {server.port}",
        "db.example.com:5432": f"{server.host}:{server.port}",
        "PASSWORD": "a-password",
        "ACCESS_KEY": s3.keys.access_key,
        "SECRET_KEY": s3.keys.secret_key,
        '"region_name"': f'"endpoint_url": "{s3.endpoint}", "region_name"',
    }
    script = []
    for block in blocks():
        if is_settings(block):
            made.environment |= dict(word.split("=", 1) for word in shlex.split(block))
            script.append(f"set -a\n{block}\nset +a")
        else:
            script.append(filled_in(block, replacements))
    made.said = made.shell("\n".join(script))
    with Ledger(made.ledger_url) as ledger:
        made.runs = list(ledger.queries.runs())
    made.published = "Contents" in s3.client.list_objects_v2(Bucket="archive-enhanced", Prefix="scans")
    return made


@airflow
@slow
def test_looking_first_plans_and_touches_nothing(followed: Followed) -> None:
    [planned] = followed.runs
    assert (planned.listed, planned.counts) == (2, {})
    assert planned.state == "finished"
    assert not followed.published


@airflow
@slow
def test_the_dag_is_paused_until_the_last_step(followed: Followed) -> None:
    listed = json.loads(followed.shell("airflow dags list -o json 2>/dev/null").splitlines()[-1])
    paused = {row["dag_id"]: row["is_paused"] for row in listed}
    assert paused[DAG] == "False"
    assert set(paused.values()) == {"True", "False"}


@airflow
@slow
def test_a_night_and_the_page_work_with_these_connections_and_settings(followed: Followed, s3: S3Server) -> None:
    followed.shell(f"airflow dags test {DAG}")
    with Ledger(followed.ledger_url) as ledger:
        night = ledger.queries.runs()[0]
    assert night.counts == {"published": 2}
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    server = ManagedProcess(
        "api-server",
        [sys.executable, "-m", "airflow", "api-server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"],
        log=followed.home / "api-server.log",
        ready=lambda: answers(f"{url}/api/v2/monitor/health"),
        env={**followed.environment, "AIRFLOW__API__BASE_URL": url},
        ports=[port],
        start_timeout_s=180,
    )
    with server:
        login = httpx.post(f"{url}/auth/token", json={"username": "admin", "password": "admin"}, timeout=30)
        page = httpx.Client(
            base_url=f"{url}/enhancer/",
            headers={"Authorization": f"Bearer {login.json()['access_token']}"},
            timeout=60,
        )
        runs = page.get("api/runs").json()["runs"]
        assert [run["counts"] for run in runs] == [{"published": 2}, {}]
        for side in ("before", "after"):
            shown = page.get("picture", params={"run_id": night.run_id, "key": "scans/1.png", "side": side})
            assert (shown.status_code, shown.headers["content-type"]) == (200, "image/png"), shown.text


def answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=5).status_code == 200
    except httpx.HTTPError:
        return False
