"""A thousand pictures through the real scheduler, in twenty shards, one in twenty bad; then one shard cleared by hand."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text

from benchmarks.chaos_site import BAD, UNTOUCHED, Site, picture, server_site
from demo.promises import JOURNAL
from demo.services.airflow import AirflowServices
from demo.services.airflow_api import FINISHED
from demo.services.postgres import PostgresServer
from demo.services.processes import wait_until
from demo.services.s3 import S3Server

pytestmark = [pytest.mark.chaos, pytest.mark.airflow, pytest.mark.timeout(3000)]

DAG, RUN = "image_enhancement", "thousand"
LEDGER_RUN = f"{DAG}-{RUN}"
PICTURES, COPIES, BAD_ONES, SHARDS = 1000, 50, 50, 20
CLEARED = 7
"""The shard that is cleared."""


@pytest.fixture(scope="module")
def site(postgres: PostgresServer, s3: S3Server, tmp_path_factory: pytest.TempPathFactory) -> Site:
    """The input: good pictures, copies of some under other keys, bad ones, all over the listing's order."""
    made = server_site(tmp_path_factory.mktemp("thousand") / "site", postgres, s3, "thousand")
    for number in range(PICTURES):
        kind = number % 20
        good = picture(number - 1 if kind == 13 else number)
        made.write(f"in/{number:04}.png", BAD if kind == 7 else good)
    return made


@pytest.fixture(scope="module")
def airflow(site: Site, postgres: PostgresServer, service_dir: Path) -> Iterator[AirflowServices]:
    """Airflow, with the run over."""
    environment = {
        **site.environment,
        "ENHANCER_SCHEDULE": "",
        "ENHANCER_ALLOWED_ROOTS": ",".join(site.urls.values()),
        "ENHANCER_MIN_SHARDS": str(SHARDS),
        "ENHANCER_TASK_RETRIES": "2",
        "ENHANCER_TASK_RETRY_DELAY_S": "1",
        # A machine that is busy with other tests is no failure.
        "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",
    }
    services = AirflowServices(
        service_dir / "airflow-thousand",
        database=postgres.create_database("thousand_airflow"),
        environment=environment,
        start_timeout_s=480,
    )
    with services:
        services.api.unpause(DAG)
        services.api.trigger(DAG, {**site.urls, "recipe": json.loads(UNTOUCHED)}, run_id=RUN)
        over = wait_until(
            lambda: services.api.dag_run(DAG, RUN)["state"] in FINISHED and site.is_finished(LEDGER_RUN),
            timeout_s=2400,
            poll_s=2,
        )
        assert over, f"still not over: {site.states(LEDGER_RUN)}; logs: {services.logs}"
        yield services


def shards(airflow: AirflowServices) -> list[dict[str, Any]]:
    return [ti for ti in airflow.api.task_instances(DAG, RUN) if ti["task_id"].startswith("shard.")]


def journal(site: Site) -> list[tuple[str, str]]:
    """What ever happened to a result."""
    engine = create_engine(site.ledger_url)
    with engine.connect() as connection:
        rows = connection.execute(text(f"SELECT identity, state FROM {JOURNAL} ORDER BY number"))
        found = [(identity, state) for identity, state in rows]
    engine.dispose()
    return found


def test_all_of_it_is_done_and_nothing_is_wrong(airflow: AirflowServices, site: Site) -> None:
    tasks = shards(airflow)
    assert len(tasks) == 3 * SHARDS
    assert {ti["state"] for ti in tasks} == {"success"}
    states = site.states(LEDGER_RUN) or {}
    assert states == {
        "published": PICTURES - BAD_ONES - COPIES,
        "reused": COPIES,
        "quarantined": BAD_ONES,
    }
    stored = [identity for identity, state in journal(site) if state == "stored"]
    assert len(stored) == len(set(stored)) == PICTURES - BAD_ONES - COPIES, "each content is computed once"
    assert [*site.broken(), *site.wrong_in_the_end()] == []


def test_a_shard_that_is_cleared_by_hand_afterwards_changes_nothing_and_says_what_to_do(
    airflow: AirflowServices, site: Site
) -> None:
    states, results = site.states(LEDGER_RUN), journal(site)
    airflow.api.call(
        "POST",
        f"/dags/{DAG}/clearTaskInstances",
        json={
            "dag_run_id": RUN,
            "task_ids": [["shard.enhance", CLEARED]],
            "include_downstream": True,
            "only_failed": False,
            "dry_run": False,
        },
    )
    assert wait_until(lambda: airflow.api.dag_run(DAG, RUN)["state"] in FINISHED, timeout_s=600, poll_s=1)
    ran_again = {(ti["task_id"], ti["map_index"]): ti["state"] for ti in shards(airflow) if ti["try_number"] > 1}
    assert ran_again == {(f"shard.{task}", CLEARED): "failed" for task in ("enhance", "evaluate", "publish")}
    folder = airflow.logs / f"dag_id={DAG}" / f"run_id={RUN}" / "task_id=shard.enhance" / f"map_index={CLEARED}"
    assert f"enhancer batch redrive --run {LEDGER_RUN}" in (folder / "attempt=2.log").read_text()
    assert (site.states(LEDGER_RUN), journal(site)) == (states, results)
    assert [*site.broken(), *site.wrong_in_the_end()] == []
