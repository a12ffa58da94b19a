"""CeleryExecutor for real: a broker, two workers on queues of their own, one run through them from end to end.

On the way: the metrics that its tasks send by Airflow's StatsD client, and the notice of a deadline that passed. After
it, a second run in which a worker and the scheduler are killed.
"""

from __future__ import annotations

import contextlib
import http.server
import json
import re
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psycopg
import pytest
from PIL import Image
from skimage import data
from sqlalchemy import create_engine

from demo.promises import broken_promises, folder, watch_results
from demo.services.airflow import AirflowServices
from demo.services.postgres import PostgresServer
from demo.services.processes import wait_until
from demo.services.valkey import ValkeyServer
from tests.model_cache import MODEL_CACHE

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(1500)]

DAG = "image_enhancement"
WORKERS = {"gpu": ("gpu",), "cpu": ("cpu", "default")}
QUEUE = {
    "plan": "default",
    "enhance": "gpu",
    "evaluate": "cpu",
    "second_look": "gpu",
    "publish": "default",
    "report": "default",
}
"""Where each task belongs. What runs on `gpu` computes on the CPU here."""


@dataclass
class Finished:
    """A run that is over, and where it happened."""

    airflow: AirflowServices
    run: dict[str, Any]
    tasks: list[dict[str, Any]]
    received: dict[str, set[str]]
    celery_ids: dict[tuple[str, int], str]
    output: Path
    ledger_url: str
    failures: str
    metrics: list[str]
    notices: list[dict[str, str]]


@pytest.fixture(scope="module")
def finished(
    postgres: PostgresServer, service_dir: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Finished]:
    source, output = tmp_path_factory.mktemp("celery-in"), tmp_path_factory.mktemp("celery-out")
    for number, picture in enumerate((data.astronaut(), data.chelsea(), data.coffee())):
        Image.fromarray(np.ascontiguousarray(picture[100:148, 100:164])).save(source / f"{number}.png")
    database, ledger_url = (postgres.create_database(f"celery_{name}") for name in ("airflow", "ledger"))
    with ValkeyServer(service_dir / "valkey") as broker, udp_lines() as metrics, posted() as (address, notices):
        airflow = AirflowServices(
            service_dir / "airflow-celery",
            database=database,
            broker=broker.url,
            workers=WORKERS,
            parallelism=8,
            start_timeout_s=480,
            environment={
                "ENHANCER_LEDGER_DSN": ledger_url,
                "ENHANCER_SCHEDULE": "",
                "ENHANCER_INPUT_URL": str(source),
                "ENHANCER_OUTPUT_URL": str(output),
                "ENHANCER_ALLOWED_ROOTS": str(tmp_path_factory.getbasetemp()),
                "ENHANCER_RECIPE": '{"scale": 2}',
                "ENHANCER_MIN_SHARDS": "2",
                "ENHANCER_ENHANCE_QUEUE": "gpu",
                "ENHANCER_EVALUATE_QUEUE": "cpu",
                "ENHANCER_ENHANCE_POOL": "gpu",
                "ENHANCER_DEVICE": "cpu",
                "ENHANCER_THREADS": "1",
                "ENHANCER_MODEL_DIR": str(MODEL_CACHE),
                # A machine that is busy with other tests is no failure.
                "ENHANCER_TASK_RETRIES": "2",
                "ENHANCER_TASK_RETRY_DELAY_S": "1",
                "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",
                "ENHANCER_DEADLINE_MINUTES": "0.02",
                "ENHANCER_NOTIFY_URL": address,
                "AIRFLOW__METRICS__STATSD_ON": "True",
                "AIRFLOW__METRICS__STATSD_HOST": "127.0.0.1",
                "AIRFLOW__METRICS__STATSD_PORT": str(metrics.port),
                "AIRFLOW__METRICS__METRICS_ALLOW_LIST": "enhancer",
            },
        )
        with airflow:
            pool = {"name": "gpu", "slots": 0, "description": "one GPU", "include_deferred": False}
            airflow.api.call("POST", "/pools", json=pool)
            airflow.api.unpause(DAG)
            run_id = airflow.api.trigger(DAG, {})
            # Without a slot it cannot end, so that its deadline passes before, however fast the machine is.
            assert wait_until(lambda: bool(notices), timeout_s=240), f"no notice of it\n{_failures(airflow.logs)}"
            airflow.api.call("PATCH", "/pools/gpu", json={"pool": "gpu", "slots": 1, "include_deferred": False})
            over = wait_until(lambda: _is_over(airflow, run_id), timeout_s=600, poll_s=1)
            assert over, f"still not over; logs: {airflow.logs}"
            with psycopg.connect(postgres.dsn("celery_airflow", driver="")) as connection:
                ids = connection.execute(
                    "SELECT task_id, map_index, external_executor_id FROM task_instance WHERE run_id = %s", [run_id]
                ).fetchall()
            yield Finished(
                airflow,
                airflow.api.dag_run(DAG, run_id),
                list(airflow.api.task_instances(DAG, run_id)),
                {name: _received(airflow.logs / f"worker-{name}.log") for name in WORKERS},
                {(task, index): celery_id for task, index, celery_id in ids},
                output,
                ledger_url,
                _failures(airflow.logs),
                list(metrics.lines),
                list(notices),
            )
        assert not airflow.running
    assert not broker.running


class UdpLines:
    """A StatsD daemon as far as a client can tell: it keeps what comes."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        with contextlib.suppress(OSError):  # closed
            while True:
                self.lines += self._socket.recv(65536).decode().splitlines()

    def close(self) -> None:
        self._socket.close()


@contextlib.contextmanager
def udp_lines() -> Iterator[UdpLines]:
    with contextlib.closing(UdpLines()) as listener:
        yield listener


@contextlib.contextmanager
def posted() -> Iterator[tuple[str, list[dict[str, str]]]]:
    """A webhook on loopback, and what was posted to it."""
    bodies: list[dict[str, str]] = []

    class Hook(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hook) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/hook/secret-token", bodies
        server.shutdown()


def _is_over(airflow: AirflowServices, run_id: str) -> bool:
    try:
        return airflow.api.dag_run(DAG, run_id)["state"] in ("success", "failed")
    except httpx.TransportError:  # a busy machine: ask again, until time is up
        return False


def _failures(logs: Path) -> str:
    """What the tasks logged as errors."""
    found = []
    for path in logs.rglob("attempt=*.log"):
        for line in path.read_text(errors="replace").splitlines():
            if line.startswith("{") and (said := json.loads(line))["level"] == "error":
                causes = [f"{one['exc_type']}: {one['exc_value']}" for one in said.get("error_detail", ())]
                found.append(f"{path.parent.name}: {said['event']} {causes}")
    for path in logs.glob("worker-*.log"):
        found += [line for line in path.read_text(errors="replace").splitlines() if "rror" in line][-20:]
    return "\n".join(found)


def _received(log: Path) -> set[str]:
    """The ids of the Celery tasks that a worker says it took."""
    return set(re.findall(r"execute_workload\[([0-9a-f-]{36})\] received", log.read_text(errors="replace")))


def test_the_run_ends_well(finished: Finished) -> None:
    states = {(ti["task_id"], ti["map_index"]): ti["state"] for ti in finished.tasks}
    assert finished.run["state"] == "success", f"{states}\n{finished.failures}"
    assert len(states) == 2 + 4 * 2
    assert set(states.values()) == {"success"}
    for name in ("0.png", "1.png", "2.png"):
        with Image.open(finished.output / name) as result:
            assert result.size == (128, 96)


def test_each_task_was_sent_to_its_queue(finished: Finished) -> None:
    queues = {(ti["task_id"].removeprefix("shard."), ti["queue"]) for ti in finished.tasks}
    assert queues == set(QUEUE.items())
    assert {ti["pool"] for ti in finished.tasks if ti["task_id"] in ("shard.enhance", "shard.second_look")} == {"gpu"}


def test_each_task_ran_on_the_worker_of_its_queue(finished: Finished) -> None:
    """By the workers' own logs, which name the Celery task that Airflow's database knows the task by."""
    for (task, index), celery_id in finished.celery_ids.items():
        queue = QUEUE[task.removeprefix("shard.")]
        took = [name for name, received in finished.received.items() if celery_id in received]
        assert took == [name for name, queues in WORKERS.items() if queue in queues], (task, index)


def test_the_tasks_tell_airflows_statsd_what_they_did(finished: Finished) -> None:
    counts: dict[str, int] = {}
    names = set()
    for line in finished.metrics:
        name, value, kind = re.fullmatch(r"airflow\.enhancer\.([^:]+):([^|]+)\|(\w+)", line).groups()  # type: ignore[union-attr]
        names.add((name, kind))
        if kind == "c":
            counts[name] = counts.get(name, 0) + int(value)
    assert counts == {"items.enhanced": 3, "items.scored": 3, "items.published": 3}
    steps = ("enhance", "evaluate", "second_look", "publish")
    for name in ("seconds.decode", "seconds.enhance", "shard.wait", *(f"shard.{step}" for step in steps)):
        assert (name, "ms") in names
    assert {("images_per_second", "g"), ("peak_memory_mb", "g")} <= names


def test_the_deadline_that_passed_was_told_once(finished: Finished) -> None:
    [notice] = finished.notices
    assert notice["kind"] == "late"
    assert notice["subject"] == f"{DAG}/{finished.run['dag_run_id']}"
    assert notice["text"].startswith(f"{DAG} is late: run {finished.run['dag_run_id']} has not ended")
    leaks = [path for path in finished.airflow.logs.rglob("*") if path.is_file() and "secret-token" in path.read_text()]
    assert leaks == [], "the webhook's address is a secret"


def test_a_killed_worker_and_a_killed_scheduler_cost_no_picture(
    finished: Finished, postgres: PostgresServer, tmp_path: Path
) -> None:
    """SIGKILL to the Celery worker while it enhances and to the scheduler before the end; both are started again."""
    airflow, pictures = finished.airflow, 8
    urls = {f"{name}_url": str(tmp_path / name) for name in ("input", "output", "work")}
    (tmp_path / "input").mkdir()
    for number in range(pictures):
        picture = data.rocket()[100 + 10 * number :, 200:][:48, :64]
        Image.fromarray(np.ascontiguousarray(picture)).save(tmp_path / "input" / f"{number}.png")
    engine = create_engine(finished.ledger_url)
    watch_results(engine)
    engine.dispose()

    def states() -> dict[str, int]:
        with psycopg.connect(postgres.dsn("celery_ledger", driver="")) as connection:
            counted = "SELECT state, count(*) FROM item WHERE run_id = 'image_enhancement-killed' GROUP BY state"
            return dict(connection.execute(counted).fetchall())

    def killed_while(*wanted: str, name: str) -> dict[str, int]:
        assert wait_until(lambda: not states().keys().isdisjoint(wanted), timeout_s=400, poll_s=0.02), states()
        airflow.kill(name)
        found = states()
        airflow.processes[name].start()
        return found

    airflow.api.trigger(DAG, urls, run_id="killed")
    assert killed_while("running", name="worker-gpu").keys() & {"pending", "running"}, "it was killed too late"
    assert killed_while("scored", "committing", "published", name="scheduler") != {"published": pictures}
    assert wait_until(lambda: _is_over(airflow, "killed"), timeout_s=600, poll_s=1), f"not over; logs: {airflow.logs}"
    assert airflow.api.dag_run(DAG, "killed")["state"] == "success", _failures(airflow.logs)
    assert states() == {"published": pictures}
    output, work = folder(tmp_path / "output"), folder(tmp_path / "work")
    assert [*broken_promises(finished.ledger_url, output, work)] == []
    tries = [ti["try_number"] for ti in airflow.api.task_instances(DAG, "killed") if ti["task_id"] == "shard.enhance"]
    assert max(tries) > 1, "no task was lost with the worker"
    assert airflow.running
