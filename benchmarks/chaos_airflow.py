"""A round of the chaos benchmark through Airflow: its scheduler and LocalExecutor run the DAG, and its processes die.

Beside workers, SIGKILL hits a task (the process that runs its Python), the supervisor that Airflow gave that task, and
the scheduler with all that it runs. Only the scheduler is started again, as an init system would; tasks come back by
their retries. A Dag run that used those up is cleared, as docs/operations.md says.
"""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

import httpx
import psutil

from benchmarks.chaos_site import UNTOUCHED
from benchmarks.chaos_tally import Tally, kill, moment_of
from demo.services.airflow import AirflowServices
from demo.services.airflow_api import FINISHED
from enhancer.batch.layout import dag_run_name

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.chaos_site import Site

DAG: Final = "image_enhancement"
WEIGHTS: Final = {"worker": 4, "Airflow task": 3, "Airflow task's supervisor": 3, "Airflow scheduler": 1}
PAUSE_S: Final = 8.0
"""Between two kills, at most: about as long as a task takes that is left alone."""
STALL_S: Final = 240
"""A scheduler whose executor lost a process in a bad moment may stand still: after so long it is started again."""
HUNG_S: Final = 1500
MOST_CLEARED: Final = 5

SETTINGS: Final = {
    "ENHANCER_SCHEDULE": "",
    "ENHANCER_TASK_RETRIES": "40",
    "ENHANCER_TASK_RETRY_DELAY_S": "1",
    "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",
    # A task whose supervisor was killed is found by its missing heartbeats.
    "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30",
}
_TASK: Final = re.compile(r"airflow worker -- [0-9a-f-]{36}$")
_SUPERVISOR: Final = re.compile(r"airflow worker -- LocalExecutor: (?!<idle>)")


def play_night(site: Site, run_id: str, state_dir: Path, database: str, rng: random.Random, tally: Tally) -> None:
    """One Dag run with kills, until the ledger's run of that name is over.

    Args:
        site: what the Dag run works on.
        run_id: of the DAG run.
        state_dir: Airflow's home, kept between rounds.
        database: URL of Airflow's own database, likewise.
        rng: decides which process is killed, and when.
        tally: counts what happens.
    """
    environment = {**site.environment, **SETTINGS, "ENHANCER_ALLOWED_ROOTS": ",".join(site.urls.values())}
    services = AirflowServices(state_dir, database=database, environment=environment, start_timeout_s=600)
    kills = rng.randint(6, 12)
    with services:
        _begin(services, {**site.urls, "recipe": json.loads(UNTOUCHED)}, run_id)
        begun = heard = time.monotonic()
        due = begun + rng.uniform(0, PAUSE_S)
        cleared = 0
        while not site.is_finished(dag_run_name(DAG, run_id)):
            now = time.monotonic()
            if now - begun > HUNG_S:
                tally.broken.append(f"{run_id} hung: through Airflow it was not over in {HUNG_S} s")
                return
            if kills and now > due:
                struck = _strike(site, run_id, services, rng, tally)
                kills -= struck
                heard = time.monotonic() if struck else heard
                due = time.monotonic() + rng.uniform(0, PAUSE_S if struck else 1)
            elif now - heard > STALL_S:
                tally.stalls += 1
                services.kill("scheduler")
                services.processes["scheduler"].start()
                heard = time.monotonic()
            elif _has_ended(services, run_id) and not site.is_finished(dag_run_name(DAG, run_id)):
                cleared += 1
                if cleared > MOST_CLEARED:
                    tally.broken.append(f"{run_id} is not over, though its Dag run was cleared {MOST_CLEARED} times")
                    return
                with suppress(httpx.HTTPError):
                    services.api.call("POST", f"/dags/{DAG}/dagRuns/{run_id}/clear", json={"dry_run": False})
            time.sleep(0.2)


def _begin(services: AirflowServices, conf: dict[str, Any], run_id: str) -> None:
    """Trigger the Dag run; a machine that the other rounds keep busy may let the API wait."""
    for left in reversed(range(5)):
        try:
            services.api.unpause(DAG)
            if not any(run["dag_run_id"] == run_id for run in services.api.dag_runs(DAG)):
                services.api.trigger(DAG, conf, run_id=run_id)
            return
        except httpx.HTTPError:
            if not left:
                raise


def _has_ended(services: AirflowServices, run_id: str) -> bool:
    with suppress(httpx.HTTPError):  # busy: polled again
        return services.api.dag_run(DAG, run_id)["state"] in FINISHED
    return False


def _strike(site: Site, run_id: str, services: AirflowServices, rng: random.Random, tally: Tally) -> int:
    """Kill something; 1, or 0 where what was to be killed did not live."""
    [kind] = rng.choices(list(WEIGHTS), list(WEIGHTS.values()))
    moment = moment_of(site.states(dag_run_name(DAG, run_id)))
    if kind == "Airflow scheduler":
        services.kill("scheduler")
        services.processes["scheduler"].start()
    else:
        found = [pid for what, pid in _below(services.processes["scheduler"].pid) if what == kind]
        if not found:
            return 0
        kill(rng.choice(found))
    tally.count(kind, moment)
    return 1


def _below(scheduler: int | None) -> Iterator[tuple[str, int]]:
    """The scheduler's processes that a kill may hit; those whose parent was killed are its guard's by now."""
    with suppress(psutil.NoSuchProcess):
        guard = psutil.Process(scheduler).parent()
        for process in guard.children(recursive=True) if guard is not None else ():
            with suppress(psutil.NoSuchProcess):
                title = " ".join(process.cmdline())
                if "enhancer.batch.worker" in title:
                    yield "worker", process.pid
                elif _TASK.match(title.strip()):
                    yield "Airflow task", process.pid
                elif _SUPERVISOR.match(title):
                    yield "Airflow task's supervisor", process.pid
