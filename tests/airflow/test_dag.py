"""DAGs and groups of one's own: the tasks of `image_enhancement`, wherever and however often they are put."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from airflow.sdk import DAG, Asset, Param, TriggerRule, task
from airflow.sdk.definitions.taskgroup import MappedTaskGroup
from airflow.serialization.serialized_objects import DagSerialization

from enhancer.airflow.arguments import asked_for
from enhancer.airflow.dag import EnhanceDag
from enhancer.airflow.dag_tasks import notify_failure
from enhancer.airflow.retrying import RetryTransient
from enhancer.airflow.task_group import EnhanceTaskGroup

STEPS = ["plan", "shard.enhance", "shard.evaluate", "shard.second_look", "shard.publish", "report"]
URLS: dict[str, Any] = {"input_url": "/data/in", "output_url": "/data/out"}


def heard(context: Any) -> None:
    """A callback of a DAG author's."""


def order(dag: DAG, prefix: str = "") -> Iterator[tuple[str, set[str]]]:
    for step in STEPS:
        yield step, {name.removeprefix(prefix) for name in dag.get_task(prefix + step).upstream_task_ids}


def in_order(dag: DAG, prefix: str = "") -> bool:
    steps = dict(order(dag, prefix))
    return all(before in steps[after] for before, after in pairwise(STEPS))


def test_what_is_given_are_the_defaults_of_the_params() -> None:
    rules = [{"match": "maps/*", "scale": 1}]
    dag = EnhanceDag("mine", **URLS, scale=2, rules=rules, recipe="scan", params={"mine": Param(3, type="integer")})
    assert in_order(dag)
    given = {name: dag.params[name] for name in ("input_url", "output_url", "scale", "rules", "recipe")}
    assert given == {**URLS, "scale": 2, "rules": rules, "recipe": "scan"}
    assert (dag.params["work_url"], dag.params["rerun"], dag.params["mine"]) == (None, "missing", 3)
    dag.params.validate()
    assert dag.get_task("plan").op_kwargs["given"] == {**URLS, "scale": 2, "rules": rules, "recipe": "scan"}


@pytest.mark.parametrize(
    "given", [{"scale": 9}, {"scale": "large"}, {"rules": [{"scale": 2}]}, {"rerun": "always"}, {"input_url": ""}]
)
def test_a_value_that_no_run_could_be_asked_for_is_an_error_when_the_file_is_read(given: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(given))):
        EnhanceDag("mine", **{**URLS, **given})


def test_an_argument_that_nobody_knows_is_an_error() -> None:
    with pytest.raises(TypeError, match="outputs_url"):
        EnhanceDag("mine", outputs_url="/data/out")
    with pytest.raises(TypeError, match="task_args names no task of a run: enhanse"):
        EnhanceDag("mine", **URLS, task_args={"enhanse": {}})
    with pytest.raises(TypeError, match="thresholds names no threshold: stop"):
        EnhanceDag("mine", **URLS, thresholds={"stop": 1})


def test_a_template_is_left_to_the_run() -> None:
    dag = EnhanceDag("mine", input_url="s3://in/{{ ds }}", output_url="/data/out")
    assert dag.params["input_url"] is None
    assert dag.get_task("plan").op_kwargs["given"]["input_url"] == "s3://in/{{ ds }}"
    rendered = {"input_url": "s3://in/2026-01-02", "output_url": "/data/out", "scale": 2}
    params = {**dag.params.validate(), "scale": 3, "prefix": ""}
    assert asked_for(rendered, params) == {**rendered, "scale": 3, "rerun": "missing", "dry_run": False}


def test_airflows_own_arguments_are_passed_on() -> None:
    dag = EnhanceDag(
        "mine",
        **URLS,
        schedule=[Asset("s3://in")],
        start_date=datetime(2026, 3, 1, tzinfo=UTC),
        max_active_runs=2,
        tags=["scans"],
        default_args={"owner": "archive", "retries": 7, "on_failure_callback": heard},
        on_success_callback=heard,
        dagrun_timeout=timedelta(hours=1),
    )
    assert (dag.max_active_runs, dag.catchup, dag.dagrun_timeout) == (2, False, timedelta(hours=1))
    assert dag.tags >= {"scans", "enhancer"}
    assert dag.on_success_callback is heard
    assert {(t.owner, t.retries) for t in dag.tasks} == {("archive", 7)}
    assert all(isinstance(t.retry_policy, RetryTransient) for t in dag.tasks)
    assert dag.get_task("plan").on_failure_callback == [heard]
    assert dag.get_task("report").on_failure_callback == [notify_failure, heard]
    assert dag.fileloc == __file__


def test_tasks_go_where_they_are_sent() -> None:
    pod = {"pod_override": "a pod with a GPU"}
    dag = EnhanceDag(
        "mine",
        **URLS,
        pool="shards",
        enhance_pool="gpus",
        enhance_queue="gpu",
        evaluate_queue="cpu",
        executor="CeleryExecutor",
        priority_weight=4,
        executor_config=pod,
        task_args={"enhance": {"pool_slots": 2}, "report": {"on_failure_callback": heard}},
        thresholds={"failure_threshold": 0.1},
    )
    places = {t.task_id: (t.pool, t.queue, t.executor, t.pool_slots, t.executor_config) for t in dag.tasks}
    assert places == {
        "plan": ("default_pool", "default", None, 1, {}),
        "shard.enhance": ("gpus", "gpu", "CeleryExecutor", 2, pod),
        "shard.evaluate": ("shards", "cpu", "CeleryExecutor", 1, {}),
        "shard.second_look": ("gpus", "gpu", "CeleryExecutor", 1, pod),
        "shard.publish": ("shards", "default", "CeleryExecutor", 1, {}),
        "report": ("default_pool", "default", None, 1, {}),
    }
    assert {t.priority_weight for t in dag.tasks} == {4}
    assert {t.op_kwargs["thresholds"]["failure_threshold"] for t in dag.tasks} == {0.1}
    assert dag.get_task("report").on_failure_callback == [notify_failure, heard]


def test_a_group_stands_between_tasks_of_ones_own() -> None:
    @task
    def unpack() -> str:
        return "/data/unpacked"

    @task
    def announce(summary: dict[str, Any]) -> None: ...

    with DAG("arrivals", default_args={"retries": 1, "owner": "archive"}) as dag:
        group = EnhanceTaskGroup("enhance", input_url=unpack(), output_url="/data/{{ ds }}", pool="shards")
        announce(group.summary)
    assert in_order(dag, "enhance.")
    assert dag.get_task("enhance.plan").upstream_task_ids == {"unpack"}
    assert dag.get_task("announce").upstream_task_ids == {"enhance.report"}
    assert isinstance(dag.task_group_dict["enhance.shard"], MappedTaskGroup)
    inside = [t for t in dag.tasks if t.task_id.startswith("enhance.")]
    assert {(t.owner, t.retries) for t in inside} == {("archive", 1)}, "the DAG's defaults win over ours"
    assert all(isinstance(t.retry_policy, RetryTransient) for t in inside)
    assert dag.get_task("enhance.report").op_kwargs["plan_task"] == "enhance.plan"
    assert dag.get_task("enhance.plan").op_kwargs["group"] == "enhance"


def test_groups_in_a_loop_and_under_dag_equals() -> None:
    dag = DAG("many")
    groups = [EnhanceTaskGroup(name, dag=dag, **URLS, prefix=f"{name}/") for name in ("maps", "prints")]
    groups[0] >> groups[1]
    for group in groups:
        assert in_order(dag, f"{group.group_id}.")
    assert dag.get_task("prints.plan").upstream_task_ids == {"maps.report"}
    assert dag.get_task("maps.report").trigger_rule == TriggerRule.ALL_DONE
    assert {dag.get_task(f"{name}.plan").op_kwargs["group"] for name in ("maps", "prints")} == {"maps", "prints"}


def test_more_tasks_go_into_a_dag() -> None:
    @task
    def before() -> None: ...

    @task
    def after(summary: dict[str, Any]) -> None: ...

    with EnhanceDag("mine", **URLS) as dag:
        before() >> dag.plan
        after(dag.summary)
    assert dag.get_task("plan").upstream_task_ids == {"before"}
    assert [leaf.task_id for leaf in dag.leaves] == ["after"]


@pytest.mark.parametrize("schedule", [None, "0 3 * * *"])
def test_they_survive_serialisation(schedule: str | None) -> None:
    dag = EnhanceDag("mine", schedule=schedule, **URLS, rules=[{"match": "*", "scale": 1}])
    with dag:
        EnhanceTaskGroup("more", **URLS)
    loaded = DagSerialization.from_dict(json.loads(json.dumps(DagSerialization.to_dict(dag))))
    assert set(loaded.task_dict) == {*STEPS, *(f"more.{step}" for step in STEPS)}
    assert loaded.params["input_url"] == "/data/in"
