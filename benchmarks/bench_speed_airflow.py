"""The same work through the DAG and as a bare loop: ``make bench-speed-airflow``.

Mixed pictures in three shards, as many as half an hour has at the usual ten minutes a shard. Once the bare loop
(enhance, evaluate, second look, publish of one shard after the other, and the report; each in this process, which
watches the same worker processes), once Airflow: scheduler, LocalExecutor, API server and DAG processor of this
machine, one task at a time. Ledger in PostgreSQL, stores in folders, scoring in both. What the DAG takes longer depends
on the number of its tasks (plan, four for each shard, report), not on how long they work: its share of half an hour is
that difference over 1,800 seconds, an extrapolation from a shorter run. Every task of Airflow is broken down: waiting
to be scheduled, and what it takes beyond the loop's time for the same step (starting a process, imports, Connections).
"""

from __future__ import annotations

import argparse
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from benchmarks.common.results import print_table, write_results
from benchmarks.common.speed import NET_ALONE
from benchmarks.common.speed_site import Site
from demo.services.airflow import AirflowServices
from demo.services.airflow_api import FINISHED
from demo.services.postgres import PostgresServer
from enhancer.settings import Settings, get_settings

COUNT, SHARDS = 45, 3
HALF_AN_HOUR_S: Final = 1800
DAG: Final = "image_enhancement"
RUN: Final = "speed"
LONGEST_S: Final = 1200


def settings_for(root: Path, dsn: str) -> Settings:
    """What both sides run with."""
    return get_settings().model_copy(
        update={"home": root, "model_dir": get_settings().models_path, "min_shards": SHARDS, "ledger_dsn": _secret(dsn)}
    )


def _secret(text: str) -> Any:
    from pydantic import SecretStr

    return SecretStr(text)


def through_airflow(site: Site, services: AirflowServices) -> tuple[float, list[dict[str, Any]]]:
    """Seconds from the trigger to the end of the Dag run, and its task instances."""
    services.api.unpause(DAG)
    begin = time.monotonic()
    run = services.api.trigger(DAG, site.params, run_id=RUN)
    while (state := services.api.dag_run(DAG, run)["state"]) not in FINISHED:
        if time.monotonic() - begin > LONGEST_S:
            raise TimeoutError(f"the Dag run is {state} after {LONGEST_S} s; logs: {services.logs}")
        time.sleep(0.5)
    if state != "success":
        raise RuntimeError(f"the Dag run ended {state}; logs: {services.logs}")
    finished = services.api.dag_run(DAG, run)
    spent = (_moment(finished["end_date"]) - _moment(finished["queued_at"])).total_seconds()
    return spent, list(services.api.task_instances(DAG, run))


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text)


def by_step(tasks: list[dict[str, Any]]) -> dict[str, float]:
    """Seconds of Airflow's tasks by step: plan, enhance, evaluate, second_look, publish, report."""
    spent: dict[str, float] = {}
    for task in tasks:
        step = task["task_id"].rpartition(".")[2]
        spent[step] = spent.get(step, 0.0) + float(task["duration"] or 0)
    return spent


def main() -> None:
    """Print the tables and write benchmarks/results/speed-airflow.json."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=COUNT)
    options = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="speed-airflow-") as name:
        root = Path(name)
        root.chmod(0o711)  # PostgreSQL's user passes through
        postgres = PostgresServer(root / "postgres")
        try:
            postgres.start()
            bare = _site(root / "bare", postgres.create_database("bare_ledger"), options.count)
            through = _site(root / "through", postgres.create_database("dag_ledger"), options.count)
            counts = bare.run(RUN)
            if counts != {"published": options.count}:
                raise RuntimeError(f"of {options.count} pictures became {counts}")
            services = AirflowServices(
                root / "airflow",
                database=postgres.create_database("airflow"),
                environment=_environment(through),
                parallelism=1,
                start_timeout_s=600,
            )
            with services:
                whole, tasks = through_airflow(through, services)
        finally:
            postgres.remove()
    report(bare, whole, tasks, options, started)


def _site(root: Path, dsn: str, count: int) -> Site:
    root.mkdir()
    site = Site(root, NET_ALONE, settings_for(root, dsn))
    site.fill(count)
    return site


def _environment(site: Site) -> dict[str, str]:
    settings = site.settings
    return {
        "ENHANCER_LEDGER_DSN": settings.ledger_url(),
        "ENHANCER_HOME": str(settings.home),
        "ENHANCER_MODEL_DIR": str(settings.models_path),
        "ENHANCER_MIN_SHARDS": str(SHARDS),
        "ENHANCER_SCHEDULE": "",
        "ENHANCER_ALLOWED_ROOTS": str(site.root),
    }


def report(bare: Site, whole: float, tasks: list[dict[str, Any]], options: argparse.Namespace, started: float) -> None:
    """Print and write."""
    loop = sum(bare.seconds.values())
    in_tasks = by_step(tasks)
    rows = [[step, seconds, in_tasks[step], in_tasks[step] - seconds] for step, seconds in bare.seconds.items()]
    waited = whole - sum(in_tasks.values())
    rows.append([f"between the {len(tasks)} tasks", 0.0, waited, waited])
    rows.append(["whole run", loop, whole, whole - loop])
    overhead = whole - loop
    tables: dict[str, dict[str, Any]] = {
        "steps": {"columns": ["step", "bare loop, s", "Airflow, s", "more, s"], "rows": rows},
        "overhead": {
            "columns": ["of", "s", "overhead"],
            "rows": [
                [f"this run of {options.count} pictures in {SHARDS} shards", loop, f"{100 * overhead / loop:.0f} %"],
                [
                    "half an hour in as many shards (extrapolated)",
                    HALF_AN_HOUR_S,
                    f"{100 * overhead / HALF_AN_HOUR_S:.1f} %",
                ],
            ],
        },
    }
    for table in tables.values():
        print_table(table["columns"], table["rows"])
        print()
    figures = {"overhead of the DAG, half an hour of work": 100 * overhead / HALF_AN_HOUR_S}
    write_results("speed-airflow", figures, tables, started, whole=options.count == COUNT)


if __name__ == "__main__":
    main()
