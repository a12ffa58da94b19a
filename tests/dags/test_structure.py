"""What Airflow makes of the DAG file: its tasks, how they hang together, and what its params accept."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk import DAG, TriggerRule
from airflow.sdk.definitions.mappedoperator import MappedOperator
from airflow.sdk.definitions.param import ParamsDict
from airflow.sdk.definitions.retry_policy import RetryAction
from airflow.sdk.definitions.taskgroup import MappedTaskGroup
from airflow.sdk.exceptions import ParamValidationError
from airflow.serialization.serialized_objects import DagSerialization

from enhancer.errors import ErrorKind, LeaseLostError, ModelError, RequestError, StorageError

CHECKOUT = Path(__file__).parents[2]
DAG_FILE = CHECKOUT / "dags" / "image_enhancement.py"
SHARD_TASKS = ["shard.enhance", "shard.evaluate", "shard.second_look", "shard.publish"]


@pytest.fixture(scope="module")
def dag() -> DAG:
    bag = DagBag(DAG_FILE)
    assert bag.import_errors == {}
    assert list(bag.dags) == ["image_enhancement"]
    return bag.dags["image_enhancement"]


def test_every_dag_file_is_read_without_an_error() -> None:
    bag = DagBag(CHECKOUT / "dags")
    assert bag.import_errors == {}
    assert "image_enhancement" in bag.dags


def test_the_order_of_the_tasks(dag: DAG) -> None:
    order = ["plan", *SHARD_TASKS, "report"]
    for before, after in pairwise(order):
        assert before in dag.get_task(after).upstream_task_ids
    assert [task.task_id for task in dag.leaves] == ["report"], "the report decides the state of the DAG run"


def test_shards_are_one_mapped_group_and_not_four_mapped_tasks(dag: DAG) -> None:
    """Flat mapping would make every evaluate wait for all, and fail with the first failed, enhance."""
    group = dag.task_group_dict["shard"]
    assert isinstance(group, MappedTaskGroup)
    assert sorted(group.children) == sorted(SHARD_TASKS)
    assert not any(isinstance(dag.get_task(name), MappedOperator) for name in SHARD_TASKS)


def test_what_is_good_goes_through_when_a_part_failed(dag: DAG) -> None:
    for name in (*SHARD_TASKS[1:], "report"):
        assert dag.get_task(name).trigger_rule == TriggerRule.ALL_DONE
    assert dag.get_task("shard.enhance").trigger_rule == TriggerRule.ALL_SUCCESS


def test_run_and_retry_settings(dag: DAG) -> None:
    assert (dag.catchup, dag.max_active_runs) == (False, 1)
    assert dag.doc_md
    assert "enhancer" in dag.tags
    assert dag.schedule == "@daily"
    for task in dag.tasks:
        assert (task.retries, task.retry_delay, task.execution_timeout) == (3, timedelta(minutes=5), None)
        assert task.retry_policy is not None
    assert not any(dag.get_task(name).do_xcom_push for name in SHARD_TASKS), "only references travel by XCom"


def test_it_survives_serialisation_with_its_retry_policies(dag: DAG) -> None:
    data = DagSerialization.to_dict(dag)
    json.dumps(data)
    loaded = DagSerialization.from_dict(data)
    assert set(loaded.task_dict) == {"plan", "report", *SHARD_TASKS}
    assert all(task.has_retry_policy for task in loaded.tasks)


@pytest.mark.parametrize(
    ("error", "action"),
    [
        (RequestError("input_url is not set"), RetryAction.FAIL),
        (ModelError("no model is called x"), RetryAction.FAIL),
        (ModelError("the mirror does not answer", kind=ErrorKind.TRANSIENT), RetryAction.DEFAULT),
        (StorageError("SlowDown"), RetryAction.DEFAULT),
        (StorageError("access denied", kind=ErrorKind.PERMANENT), RetryAction.FAIL),
        (LeaseLostError("another attempt owns it"), RetryAction.DEFAULT),
        (ConnectionResetError(), RetryAction.DEFAULT),
        (ValueError("unknown trouble"), RetryAction.DEFAULT),
    ],
)
def test_only_what_a_retry_may_mend_is_retried(dag: DAG, error: Exception, action: RetryAction) -> None:
    policy = dag.get_task("shard.enhance").retry_policy
    assert policy.evaluate(error, 1, 3).action is action


def test_a_failed_run_is_not_reported_again(dag: DAG) -> None:
    from enhancer.batch.reporting import RunFailedError

    decision = dag.get_task("report").retry_policy.evaluate(RunFailedError("60 % of the pictures failed"), 1, 3)
    assert decision.action is RetryAction.FAIL


def test_every_param_is_described_and_nothing_is_required(dag: DAG) -> None:
    expected = "input_url output_url work_url reference_url prefix rules recipe scale denoise_strength model max_items"
    assert list(dag.params) == [*expected.split(), "run_gate", "on_rejection", "rerun", "dry_run", "worker_hour_price"]
    for name in dag.params:
        param = dag.params.get_param(name)
        assert param.description
        assert "type" in param.schema
        if name not in ("rerun", "dry_run"):
            assert dag.params[name] is None, "null: as the rules or the preset say"
    dag.params.validate()


GOOD: list[dict[str, Any]] = [
    {"input_url": "s3://in/scans", "output_url": "/data/out", "prefix": ""},
    {"rules": [{"match": "scans/*", "recipe": "scan", "scale": 2}, {"match": "*", "recipe": {"scale": 1}}]},
    {"rules": [{"match": "*", "recipe": {"name": "old-photo", "sharpen": {"mode": "auto", "amount": 0.5}}}]},
    {"recipe": "photo"},
    {"recipe": {"scale": 2, "denoise_strength": 0}},
    {"recipe": '{"scale": 2}'},
    {"scale": 1, "denoise_strength": 0},
    {"scale": 8, "denoise_strength": 1},
    {"scale": 2.5, "max_items": 1, "rerun": "failed", "dry_run": True, "model": "dat-light-x2"},
    {"run_gate": 0.1, "on_rejection": "pass_through"},
    {"scale": None, "rules": None, "recipe": None, "max_items": None},
]
BAD: list[dict[str, Any]] = [
    {"input_url": ""},
    {"output_url": 5},
    {"rules": {"match": "*"}},
    {"rules": [{"recipe": "scan"}]},
    {"rules": [{"match": "*", "scale": 9}]},
    {"rules": [{"match": "*", "colour": "red"}]},
    {"recipe": 4},
    {"scale": 0.5},
    {"scale": 8.1},
    {"scale": "4"},
    {"denoise_strength": -0.1},
    {"denoise_strength": 1.1},
    {"max_items": 0},
    {"max_items": 1.5},
    {"rerun": "always"},
    {"run_gate": 0},
    {"run_gate": 1.1},
    {"on_rejection": "ignore"},
    {"rerun": None},
    {"dry_run": "yes"},
    {"dry_run": None},
    {"worker_hour_price": -1},
]


def _with(dag: DAG, conf: dict[str, Any]) -> ParamsDict:
    params = ParamsDict({name: dag.params.get_param(name).__copy__() for name in dag.params})
    params.update(conf)
    return params


@pytest.mark.parametrize("conf", GOOD, ids=json.dumps)
def test_good_params_are_accepted(dag: DAG, conf: dict[str, Any]) -> None:
    validated = _with(dag, conf).validate()
    assert {name: validated[name] for name in conf} == conf


@pytest.mark.parametrize("conf", BAD, ids=json.dumps)
def test_bad_params_are_refused(dag: DAG, conf: dict[str, Any]) -> None:
    with pytest.raises(ParamValidationError):
        _with(dag, conf).validate()


def test_the_redrive_differs_from_the_nightly_run_in_its_plan_only(dag: DAG) -> None:
    again = DagBag(CHECKOUT / "dags" / "redrive_failed.py").dags["redrive_failed"]
    assert set(again.task_dict) == set(dag.task_dict)
    for name in (*SHARD_TASKS, "report"):
        ours, theirs = again.get_task(name), dag.get_task(name)
        assert ours.upstream_task_ids == theirs.upstream_task_ids
        assert (ours.trigger_rule, ours.pool, ours.queue, ours.retries) == (
            theirs.trigger_rule,
            theirs.pool,
            theirs.queue,
            theirs.retries,
        )
    assert again.schedule is None, "by hand, unless ENHANCER_REDRIVE_SCHEDULE says when"
    assert (again.catchup, again.max_active_runs) == (False, 1)
    again.params.validate()


SHOW = f"""
import json
from airflow.dag_processing.dagbag import DagBag
bag = DagBag({str(DAG_FILE)!r})
assert bag.import_errors == {{}}, bag.import_errors
dag = bag.dags["image_enhancement"]
tasks = {{t.task_id: [t.pool, t.queue, t.executor, t.retries, t.retry_delay.total_seconds()] for t in dag.tasks}}
print("RESULT", json.dumps([dag.schedule, tasks]))
"""


def test_the_layout_comes_from_the_settings() -> None:
    environment = {
        **os.environ,
        "ENHANCER_SCHEDULE": "",
        "ENHANCER_POOL": "shards",
        "ENHANCER_ENHANCE_POOL": "gpu",
        "ENHANCER_ENHANCE_QUEUE": "gpu-queue",
        "ENHANCER_EVALUATE_QUEUE": "cpu-queue",
        "ENHANCER_EXECUTOR": "LocalExecutor",
        "ENHANCER_TASK_RETRIES": "1",
        "ENHANCER_TASK_RETRY_DELAY_S": "2.5",
    }
    done = subprocess.run([sys.executable, "-c", SHOW], env=environment, capture_output=True, text=True, check=True)
    schedule, tasks = json.loads(done.stdout.split("RESULT ")[1].splitlines()[0])
    assert schedule is None, "an empty schedule: manual runs only"
    assert tasks == {
        "plan": ["default_pool", "default", None, 1, 2.5],
        "shard.enhance": ["gpu", "gpu-queue", "LocalExecutor", 1, 2.5],
        "shard.evaluate": ["shards", "cpu-queue", "LocalExecutor", 1, 2.5],
        "shard.second_look": ["gpu", "gpu-queue", "LocalExecutor", 1, 2.5],
        "shard.publish": ["shards", "default", "LocalExecutor", 1, 2.5],
        "report": ["default_pool", "default", None, 1, 2.5],
    }


SHOW_DEADLINES = f"""
from airflow.dag_processing.dagbag import DagBag
for name, dag in sorted(DagBag({str(CHECKOUT / "dags")!r}).dags.items()):
    for late in dag.deadline or ():
        print("DEADLINE", name, late.interval.total_seconds(), late.callback.path)
"""


def test_a_deadline_is_set_where_the_settings_say_so(dag: DAG) -> None:
    assert not dag.deadline
    environment = {**os.environ, "ENHANCER_DEADLINE_MINUTES": "90"}
    done = subprocess.run(
        [sys.executable, "-c", SHOW_DEADLINES], env=environment, capture_output=True, text=True, check=True
    )
    assert [line for line in done.stdout.splitlines() if line.startswith("DEADLINE")] == [
        f"DEADLINE {name} 5400.0 enhancer.airflow.notify.run_is_late"
        for name in ("image_enhancement", "redrive_failed")
    ]
    from airflow.sdk._shared.module_loading import import_string

    assert callable(import_string("enhancer.airflow.notify.run_is_late"))


def test_nets_are_built_where_they_run() -> None:
    dags = DagBag(CHECKOUT / "dags" / "model_build.py").dags
    [build] = dags["model_build"].tasks
    assert (build.task_id, build.queue, build.pool) == ("build", "default", "default_pool")
    assert dags["model_build"].max_active_runs == 1, "two at once would overwrite each other's builds"


def test_the_reference_check_runs_where_the_nets_run() -> None:
    dags = DagBag(CHECKOUT / "dags" / "reference_check.py").dags
    [check] = dags["reference_check"].tasks
    assert (check.task_id, check.queue, check.pool) == ("check", "default", "default_pool")
    assert dags["reference_check"].max_active_runs == 1, "two at once would overwrite each other's pictures"
