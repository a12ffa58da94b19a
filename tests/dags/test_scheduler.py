"""A real scheduler on PostgreSQL runs the DAGs, by their schedule and triggered through REST, on S3 that only an Airflow
Connection opens.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from operator import itemgetter
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import psycopg
import pytest
from PIL import Image
from skimage import data

from demo.services.airflow import AirflowServices
from demo.services.airflow_api import FINISHED
from demo.services.postgres import PostgresServer
from demo.services.processes import wait_until
from demo.services.s3 import S3Server
from enhancer.ledger import Ledger
from tests.dags.otlp import Collector, otlp_collector
from tests.model_cache import MODEL_CACHE

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(900)]

DAG = "image_enhancement"
COLLECTION = "enhance__phone"
UNCHANGED = {"scale": 1, "denoise_strength": 0}


@dataclass
class Finished:
    """A manual run that is over, the scheduled one before it, and where both happened."""

    airflow: AirflowServices
    s3: S3Server
    run_id: str
    run: dict[str, Any]
    scheduled: dict[str, Any]
    output: str
    nightly_output: str
    collections_night: dict[str, Any]
    collections_output: str
    secrets: dict[str, str]


def _put(s3: S3Server, url: str, key: str, body: bytes) -> None:
    s3.client.put_object(Bucket=url.removeprefix("s3://"), Key=key, Body=body)


def _png(pixels: np.ndarray) -> bytes:
    buffer = BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with otlp_collector() as made:
        yield made


@pytest.fixture(scope="module")
def finished(postgres: PostgresServer, s3: S3Server, service_dir: Path, collector: Collector) -> Iterator[Finished]:
    source, output, nightly_output, collections_output = (s3.bucket() for _ in range(4))
    _put(s3, source, "night/cat.png", _png(data.chelsea()[100:148, 200:264]))
    _put(s3, source, "phone/coffee.png", _png(data.coffee()[100:148, 200:264]))
    collections = service_dir / "collections.toml"
    collections.write_text(
        f"""
        [collection.phone]
        input_url = "{source}/phone"
        output_url = "{collections_output}"
        recipe = {{ scale = 1, denoise_strength = 0 }}
        schedule = "@daily"
        """
    )
    for number, picture in enumerate((data.astronaut(), data.chelsea())):
        _put(s3, source, f"in/{number}.png", _png(picture[100:148, 100:164]))
    _put(s3, source, "in/bad.png", b"nothing that anyone could decode")
    ledger = psycopg.conninfo.conninfo_to_dict(postgres.create_database("scheduled_ledger").replace("+psycopg", ""))
    keys = s3.keys
    aws = f"aws://{quote(keys.access_key, safe='')}:{quote(keys.secret_key, safe='')}@/?endpoint_url={quote(s3.endpoint, safe='')}"
    airflow = AirflowServices(
        service_dir / "airflow",
        database=postgres.create_database("scheduled_airflow"),
        environment={
            "AIRFLOW_CONN_ENHANCER_S3": aws,
            "AIRFLOW_CONN_ENHANCER_LEDGER": json.dumps(
                {"conn_type": "postgres", "login": ledger["user"], "schema": ledger["dbname"]}
                | {name: ledger[name] for name in ("host", "port", "password")}
            ),
            # For `airflow db migrate`, which runs no task and so reads the setting.
            "ENHANCER_LEDGER_DSN": postgres.dsn("scheduled_ledger"),
            "ENHANCER_SCHEDULE": "@daily",
            "ENHANCER_COLLECTIONS": str(collections),
            "ENHANCER_INPUT_URL": f"{source}/night",
            "ENHANCER_OUTPUT_URL": nightly_output,
            "ENHANCER_RECIPE": json.dumps(UNCHANGED),
            "ENHANCER_ALLOWED_ROOTS": f"{source}, {output}, {nightly_output}",
            "ENHANCER_TASK_RETRIES": "1",
            "ENHANCER_TASK_RETRY_DELAY_S": "1",
            "ENHANCER_MODEL_DIR": str(MODEL_CACHE),
            "ENHANCER_THREADS": "1",
            # A machine that is busy with other tests is no failure.
            "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",
            "AIRFLOW__METRICS__OTEL_ON": "True",
            "AIRFLOW__METRICS__METRICS_ALLOW_LIST": "enhancer",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.endpoint,
        },
    )
    with airflow:
        airflow.api.unpause(COLLECTION)
        airflow.api.unpause(DAG)  # which starts the run of the last day at once; a manual one waits behind it
        run_id = airflow.api.trigger(DAG, {"input_url": f"{source}/in", "output_url": output, "recipe": UNCHANGED})

        def over() -> bool:
            runs = [*airflow.api.dag_runs(DAG), *airflow.api.dag_runs(COLLECTION)]
            return len(runs) >= 3 and all(run["state"] in FINISHED for run in runs)  # more where midnight passes

        assert wait_until(over, timeout_s=600, poll_s=1), f"still not over; logs: {airflow.logs}"
        nights = [run for run in airflow.api.dag_runs(DAG) if run["dag_run_id"] != run_id]
        scheduled = min(nights, key=itemgetter("run_after"))
        collections_night = min(airflow.api.dag_runs(COLLECTION), key=itemgetter("run_after"))
        yield Finished(
            airflow,
            s3,
            run_id,
            airflow.api.dag_run(DAG, run_id),
            scheduled,
            output,
            nightly_output,
            collections_night,
            collections_output,
            {"S3 secret": keys.secret_key, "database password": postgres.password, "S3 access key": keys.access_key},
        )
    assert not airflow.running


def test_the_run_ends_well_and_publishes_to_s3(finished: Finished) -> None:
    states = [(ti["task_id"], ti["state"]) for ti in finished.airflow.api.task_instances(DAG, finished.run_id)]
    assert finished.run["state"] == "success", states
    assert {state for _, state in states} == {"success"}
    listing = finished.s3.client.list_objects_v2(Bucket=finished.output.removeprefix("s3://"))
    keys = [entry["Key"] for entry in listing["Contents"] if not entry["Key"].startswith("_enhancer/")]
    assert keys == ["0.png", "1.png"]


def test_the_scheduled_run_does_what_the_settings_say(finished: Finished, postgres: PostgresServer) -> None:
    assert (finished.scheduled["run_type"], finished.scheduled["state"]) == ("scheduled", "success")
    listing = finished.s3.client.list_objects_v2(Bucket=finished.nightly_output.removeprefix("s3://"))
    keys = [entry["Key"] for entry in listing["Contents"] if not entry["Key"].startswith("_enhancer/")]
    assert keys == ["cat.png"]
    with psycopg.connect(postgres.dsn("scheduled_ledger", driver="")) as connection:
        rows = connection.execute(
            "SELECT trigger, outcome FROM run WHERE dag_run_id = %s AND dag_id = %s",
            [finished.scheduled["dag_run_id"], DAG],
        ).fetchall()
    assert rows == [("scheduled", "success")]


def test_two_collections_on_one_schedule_do_each_their_own(finished: Finished, postgres: PostgresServer) -> None:
    """Airflow calls both runs alike; each publishes its own pictures, by a run of its own in the ledger."""
    assert finished.collections_night["dag_run_id"] == finished.scheduled["dag_run_id"]
    assert (finished.scheduled["state"], finished.collections_night["state"]) == ("success", "success")
    listing = finished.s3.client.list_objects_v2(Bucket=finished.collections_output.removeprefix("s3://"))
    keys = [entry["Key"] for entry in listing["Contents"] if not entry["Key"].startswith("_enhancer/")]
    assert keys == ["coffee.png"]
    with psycopg.connect(postgres.dsn("scheduled_ledger", driver="")) as connection:
        rows = connection.execute(
            "SELECT run.dag_id, item.key, item.state FROM run JOIN item USING (run_id) WHERE dag_run_id = %s ORDER BY 1",
            [finished.scheduled["dag_run_id"]],
        ).fetchall()
    assert rows == [(COLLECTION, "coffee.png", "published"), (DAG, "cat.png", "published")]


def test_the_ui_names_the_shards(finished: Finished) -> None:
    tasks = list(finished.airflow.api.task_instances(DAG, finished.run_id))
    labels = {ti["rendered_map_index"] for ti in tasks if ti["map_index"] >= 0}
    assert labels == {"shard 0 (3 pictures)"}


def test_the_asset_event_is_there(finished: Finished) -> None:
    [event] = finished.airflow.api.asset_events(DAG, finished.run_id)
    assert event["extra"]["counts"] == {"published": 2, "quarantined": 1}


def test_the_ledger_of_the_connection_was_used(finished: Finished, postgres: PostgresServer) -> None:
    with psycopg.connect(postgres.dsn("scheduled_ledger", driver="")) as connection:
        [(run, trigger)] = connection.execute(
            "SELECT run_id, trigger FROM run WHERE dag_run_id = %s", [finished.run_id]
        ).fetchall()
        rows = connection.execute("SELECT key, state FROM item WHERE run_id = %s ORDER BY key", [run]).fetchall()
    assert rows == [("0.png", "published"), ("1.png", "published"), ("bad.png", "quarantined")]
    assert trigger == "manual"


def test_the_tasks_tell_airflows_opentelemetry_what_they_did(finished: Finished, collector: Collector) -> None:
    """All three runs', which are the only ones so far."""
    for state, count in {"published": 4, "enhanced": 4, "scored": 4, "quarantined": 1}.items():
        assert collector.total(f"airflow.enhancer.items.{state}") == count, collector.kinds()
    kinds = {name.removeprefix("airflow.enhancer."): kind for name, kind in collector.kinds().items()}
    assert {kinds[name] for name in ("images_per_second", "peak_memory_mb")} == {"gauge"}
    steps = ("enhance", "evaluate", "second_look", "publish")
    timings = ("seconds.decode", "seconds.enhance", "shard.wait", *(f"shard.{step}" for step in steps))
    assert {kinds[name] for name in timings} == {"exponential_histogram"}


def test_no_secret_in_any_log_param_or_xcom(finished: Finished) -> None:
    api = finished.airflow.api
    told = {str(path): path.read_text(errors="replace") for path in finished.airflow.logs.rglob("*") if path.is_file()}
    assert any("task_id=shard.enhance" in name for name in told), "the tasks' logs are not among the files"
    told["conf"] = json.dumps(finished.run)
    told["task instances"] = json.dumps(list(api.task_instances(DAG, finished.run_id)))
    for task in ("plan", "report"):
        xcoms = api.xcoms(DAG, finished.run_id, task)
        assert xcoms
        told[f"XComs of {task}"] = json.dumps(xcoms)
    report = finished.s3.client.list_objects_v2(Bucket=finished.output.removeprefix("s3://"), Prefix="_enhancer/")
    for entry in report["Contents"]:
        body = finished.s3.client.get_object(Bucket=finished.output.removeprefix("s3://"), Key=entry["Key"])["Body"]
        told[entry["Key"]] = body.read().decode(errors="replace")
    leaks = [
        (what, where) for what, secret in finished.secrets.items() for where, text in told.items() if secret in text
    ]
    assert leaks == []


def test_a_bad_param_is_refused_by_the_api(finished: Finished) -> None:
    import httpx

    with pytest.raises(httpx.HTTPStatusError) as caught:
        finished.airflow.api.trigger(DAG, {"scale": 9})
    assert caught.value.response.status_code == httpx.codes.BAD_REQUEST


@pytest.mark.network  # LPIPS' weights, once
def test_the_reference_check_ends_well_and_fails_loudly_on_drift(finished: Finished, postgres: PostgresServer) -> None:
    """A first night becomes the baseline; a second one is held against a baseline that was better than it is."""
    api, check = finished.airflow.api, "reference_check"
    api.unpause(check)

    def night(name: str) -> str:
        api.trigger(check, {"recipe": {"scale": 2}}, run_id=name)
        assert wait_until(lambda: api.dag_run(check, name)["state"] in FINISHED, timeout_s=400, poll_s=1), name
        return str(api.dag_run(check, name)["state"])

    assert night("first") == "success", "see the task's log below finished.airflow.logs"
    told = api.xcoms(check, "first", "check")["return_value"]
    assert (told["run"], told["baseline"]) == (f"{check}-first", f"{check}-first")
    # None loses; the JPEG is restored for looks, which costs what is left of its gain in dB.
    assert {key: one["psnr"] > one["bicubic"] - 0.1 for key, one in told["figures"].items()} == {
        f"canary/{name}": True for name in ("clean.png", "jpeg.jpg", "noisy.png", "noisy-dark.png")
    }
    with Ledger(postgres.dsn("scheduled_ledger")) as ledger:
        record = ledger.runs.get(told["run"]).summary[check]
        record["baseline"]["canary/clean.png"]["psnr"] += 1.0
        ledger.runs.annotate(told["run"], {check: record})
    assert night("second") == "failed"
    logs = (finished.airflow.logs / f"dag_id={check}" / "run_id=second" / "task_id=check").glob("attempt=*.log")
    [log] = [path.read_text() for path in logs]  # one attempt: a retry would mend nothing
    assert "against reference_check-first: canary/clean.png: psnr" in log
    assert "reference-check --accept" in log
