"""A collection that is woken by arrivals, and a person who approves what its gate refused: with a real scheduler, triggerer
and API server, PostgreSQL and local folders.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import PIL.Image
import psycopg
import pytest
from skimage import data

from demo.services.airflow import AirflowServices
from demo.services.airflow_api import FINISHED
from demo.services.postgres import PostgresServer
from demo.services.processes import wait_until
from tests.model_cache import MODEL_CACHE

pytestmark = [pytest.mark.airflow, pytest.mark.timeout(900)]

CHECKOUT = Path(__file__).parents[2]
DAG = "enhance__inbox"
APPROVAL = "approve_pictures"
QUESTION = f"/dags/{APPROVAL}/dagRuns/{{run}}/taskInstances/ask/-1/hitlDetails"


def put(folder: Path, key: str, picture: np.ndarray) -> None:
    """In one step, as `mv` does."""
    (folder / key).parent.mkdir(parents=True, exist_ok=True)
    draft = folder.parent / f"{Path(key).stem}.draft.png"
    PIL.Image.fromarray(np.ascontiguousarray(picture[100:148, 200:264])).save(draft)
    draft.rename(folder / key)


@dataclass
class Inbox:
    """An inbox into which pictures came, some of them while a run was working; what its gate refused was approved."""

    airflow: AirflowServices
    out: Path
    first: str
    late: str
    question: dict[str, Any]
    approved: str
    deferred: str


@pytest.fixture(scope="module")
def inbox(postgres: PostgresServer, service_dir: Path) -> Iterator[Inbox]:
    folder, out = service_dir / "inbox" / "in", service_dir / "inbox" / "out"
    folder.mkdir(parents=True)
    collections = service_dir / "inbox" / "collections.toml"
    collections.write_text(
        f"""
        [collection.inbox]
        input_url = "{folder}"
        output_url = "{out}"
        recipe = {{ scale = 1, denoise_strength = 0 }}
        schedule = {{ arrivals = "{folder}", every_s = 1 }}

        [[collection.inbox.rules]]
        match = "refused/*"
        recipe = {{ scale = 2, denoise_strength = 0, gate = {{ max_low_frequency_shift = 0 }} }}
        """.replace("recipe = { scale = 1, denoise_strength = 0 }\n", "", 1)
    )
    dags = service_dir / "inbox" / "dags"
    shutil.copytree(CHECKOUT / "dags", dags)
    shutil.copy(CHECKOUT / "tests" / "dags" / "own_deferred.py", dags)
    put(service_dir / "inbox" / "elsewhere", "cat.png", data.chelsea())
    airflow = AirflowServices(
        service_dir / "arrivals-airflow",
        dags_folder=dags,
        database=postgres.create_database("arrivals_airflow"),
        environment={
            "ENHANCER_LEDGER_DSN": postgres.create_database("arrivals_ledger"),
            "ENHANCER_COLLECTIONS": str(collections),
            "ENHANCER_APPROVAL": "hitl",
            "ENHANCER_SCHEDULE": "",
            "ENHANCER_ALLOWED_ROOTS": str(service_dir / "inbox"),
            "OWN_DAGS_FOLDER": str(service_dir / "inbox"),
            "ENHANCER_TASK_RETRIES": "0",
            "ENHANCER_MODEL_DIR": str(MODEL_CACHE),
            "ENHANCER_THREADS": "1",
            "AIRFLOW__WORKERS__EXECUTION_API_TIMEOUT": "60",
        },
        dag_id=DAG,
        triggerer=True,
    )
    put(folder, "early.png", data.coffee())
    put(folder, "refused/cat.png", data.chelsea())
    with airflow:
        api = airflow.api
        api.unpause(DAG)

        def wait(what: Any, meaning: str) -> None:
            def holds() -> bool:
                with suppress(httpx.HTTPError):  # a busy server
                    return bool(what())
                return False

            assert wait_until(holds, timeout_s=300, poll_s=0.5), f"{meaning}; logs: {airflow.logs}"

        def planned() -> bool:
            return any(
                task["task_id"] == "plan" and task["state"] == "success"
                for run in api.dag_runs(DAG)
                for task in api.task_instances(DAG, run["dag_run_id"])
            )

        wait(planned, "no run was started for what lay there at first")
        first = next(api.dag_runs(DAG))
        assert first["state"] == "running"
        put(folder, "late.png", data.astronaut())
        wait((out / "late.png").exists, "no run took what came while the first one worked")
        wait(lambda: all(run["state"] in FINISHED for run in api.dag_runs(DAG)), "the runs did not end")
        runs = [run["dag_run_id"] for run in api.dag_runs(DAG)]
        [asked] = api.dag_runs(APPROVAL)
        path = QUESTION.format(run=asked["dag_run_id"])
        question: dict[str, Any] = {}
        wait(lambda: question.update(api.call("GET", path)) or question, "no one was asked")
        assert not (out / "refused").exists(), "refused until a person has answered"
        api.call("PATCH", path, json={"chosen_options": ["Approve all"], "params_input": {}})
        approved = asked["dag_run_id"]
        wait(lambda: api.dag_run(APPROVAL, approved)["state"] in FINISHED, "the publishing run did not end")
        for dag_id in ("image_enhancement", "deferred"):
            api.unpause(dag_id)
        deferred = api.trigger("deferred")
        wait(lambda: api.dag_run("deferred", deferred)["state"] in FINISHED, "the deferred run did not end")
        yield Inbox(airflow, out, runs[0], runs[1], question, approved, deferred)


def test_what_lay_there_and_what_came_meanwhile_is_published(inbox: Inbox) -> None:
    assert {path.name for path in inbox.out.glob("*.png")} == {"early.png", "late.png"}
    first, late = (inbox.airflow.api.dag_run(DAG, run) for run in (inbox.first, inbox.late))
    assert (first["run_type"], late["run_type"]) == ("asset_triggered", "asset_triggered")
    assert (first["state"], late["state"]) == ("success", "success"), "a picture that is refused fails no run"


def test_the_question_says_what_waits_and_where_to_look(inbox: Inbox, postgres: PostgresServer) -> None:
    assert inbox.question["options"] == ["Approve all", "Publish all as they came", "Drop all", "Decide one by one"]
    assert inbox.question["defaults"] == ["Decide one by one"], "without an answer, nothing is decided"
    assert inbox.question["subject"].startswith("1 rejected: publish the pictures of run enhance__inbox-")
    assert f"/enhancer/run?run={inbox.approved}" in inbox.question["body"]


def test_the_answer_is_published_by_a_run_of_its_own(inbox: Inbox, postgres: PostgresServer) -> None:
    assert inbox.airflow.api.dag_run(APPROVAL, inbox.approved)["state"] == "success"
    with PIL.Image.open(inbox.out / "refused" / "cat.png") as picture:
        assert picture.size == (128, 96), "as enhanced"
    with psycopg.connect(postgres.dsn("arrivals_ledger", driver="")) as connection:
        rows = connection.execute(
            "SELECT run.dag_id, item.state, item.approved_by FROM run JOIN item USING (run_id) "
            "WHERE item.key = 'refused/cat.png' ORDER BY run.created_at"
        ).fetchall()
    assert rows[0][:2] == (DAG, "rejected")
    assert rows[-1][0] == APPROVAL
    assert rows[-1][1] in ("published", "reused")
    assert rows[-1][2] is not None, "the ledger has who approved it"


def test_no_one_is_asked_where_nothing_waits(inbox: Inbox) -> None:
    for run, state in ((inbox.first, "success"), (inbox.late, "skipped")):
        tasks = {task["task_id"]: task["state"] for task in inbox.airflow.api.task_instances(DAG, run)}
        assert tasks["ask_for_approval"] == state


def test_an_operator_waits_for_a_run_elsewhere_and_has_its_summary(inbox: Inbox) -> None:
    api = inbox.airflow.api
    logs = "".join(log.read_text()[-3000:] for log in (inbox.airflow.logs / "dag_id=deferred").rglob("*.log"))
    assert api.dag_run("deferred", inbox.deferred)["state"] == "success", logs
    [elsewhere] = api.dag_runs("image_enhancement")
    assert elsewhere["dag_run_id"] == f"deferred.{inbox.deferred}.elsewhere.1"
    summary = api.xcoms("deferred", inbox.deferred, "elsewhere")["return_value"]
    assert (summary["outcome"], summary["counts"]) == ("success", {"published": 1})
    assert (inbox.out.parent / "out" / "elsewhere" / "cat.png").exists()
    scored = api.xcoms("deferred", inbox.deferred, "score")["return_value"]
    assert (scored["scored"], scored["failed"], scored["missing"]) == (1, 0, 0)
