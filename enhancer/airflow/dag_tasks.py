"""The tasks that every DAG over pictures has in common, once a plan has cut its run into shards.

    shard.expand(shard=plan()) >> report()

Read when a DAG file is parsed, so nothing heavy is imported here; each task imports what it calls.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.sdk import Asset, AssetAlias, TriggerRule, get_current_context, task, task_group
from airflow.sdk.definitions.callback import SyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference
from airflow.sdk.exceptions import AirflowFailException

from enhancer.airflow.retrying import RetryTransient
from enhancer.settings import get_settings

if TYPE_CHECKING:
    from airflow.sdk import Context

    from enhancer.batch.plan.planning import Plan, Trigger
    from enhancer.batch.plan.request import RunRequest
    from enhancer.settings import Settings

SETTINGS = get_settings()

ENHANCED = AssetAlias("enhanced_pictures")
"""Other DAGs schedule on this: an event from each successful run that published something, on its output_url."""

TRIGGERS: dict[str, Trigger] = {"manual": "manual", "operator_triggered": "manual", "backfill": "backfill"}
"""Airflow's run types in the ledger's words; the others are schedules of some kind."""

DEFAULT_ARGS: dict[str, Any] = {
    "owner": "enhancer",
    "retries": SETTINGS.task_retries,
    "retry_delay": timedelta(seconds=SETTINGS.task_retry_delay_s),
    "retry_policy": RetryTransient(),
    # A shard that has begun is published before the next begins: results come early, staged objects stay few.
    "weight_rule": "upstream",
    # No execution_timeout: it is SIGALRM in the task, which native code ignores, and it would cut off a long shard
    # that gets on well. The worker's supervisor holds each picture to its deadline (item_deadline_s), by SIGKILL.
}

LATE: DeadlineAlert | None = None
"""The deadline of a run, where the settings have one."""

if SETTINGS.deadline_minutes is not None:
    LATE = DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=timedelta(minutes=SETTINGS.deadline_minutes),
        callback=SyncCallback("enhancer.airflow.notify.run_is_late"),  # in the executor: no triggerer is needed
        name="late",
    )

WHERE_NETS_RUN: dict[str, Any] = {
    "queue": SETTINGS.enhance_queue,
    "pool": SETTINGS.enhance_pool or SETTINGS.pool,
}
"""Of a task that runs nets itself or has a worker run them."""

SHARD_TASK: dict[str, Any] = {
    "executor": SETTINGS.executor,
    "map_index_template": (
        "{% set shard = task.op_kwargs.shard %}shard {{ shard.shard }} ({{ shard.n }} picture{{ 's' if shard.n != 1 }})"
    ),
    "do_xcom_push": False,  # what was done stands in the ledger
}


def notify_failure(context: Context) -> None:
    """Send the notice that the run failed."""
    from enhancer.airflow.notify import run_failed

    run_failed(context)


def check_addresses(request: RunRequest, settings: Settings) -> None:
    """Hold a request's addresses against those at which runs of Airflow's may work.

    Raises:
        ForeignAddressError: one lies elsewhere.
    """
    from enhancer.storage.roots import Roots

    Roots.of(settings).check(
        input_url=request.input_url,
        output_url=request.output_url,
        work_url=request.work_url,
        reference_url=request.reference_url,
    )


def close_abandoned(request: RunRequest, settings: Settings) -> None:
    """Report the runs at the request's addresses that no one works on any more, but for the running task's own.

    Raises:
        ForeignAddressError: an address of the request's is not allowed.
    """
    from enhancer.batch.plan.recovery import finish_abandoned

    check_addresses(request, settings)
    dag_run = get_current_context()["dag_run"]
    finish_abandoned(
        settings,
        input_url=request.input_url,
        output_url=request.output_url,
        exclude_dag_run=(dag_run.dag_id, dag_run.run_id),
    )


def plan_in_airflow(request: RunRequest, settings: Settings) -> list[dict[str, Any]]:
    """Plan a run for the running task's DAG run; its shards. The run's id goes to `report` as the XCom ``run``.

    Args:
        request: what to do.
        settings: with the Connections' secrets.

    Raises:
        ForeignAddressError: an address of the request's is not allowed.
    """
    from enhancer.batch.layout import dag_run_name
    from enhancer.batch.plan.planning import plan_run

    check_addresses(request, settings)
    context = get_current_context()
    dag_run = context["dag_run"]
    planned: Plan = plan_run(
        request,
        settings=settings,
        run_id=dag_run_name(dag_run.dag_id, dag_run.run_id),
        trigger=TRIGGERS.get(dag_run.run_type, "scheduled"),
        dag_id=dag_run.dag_id,
        dag_run_id=dag_run.run_id,
    )
    context["ti"].xcom_push("run", planned.run_id)
    return planned.shards


@task(queue=WHERE_NETS_RUN["queue"], pool=WHERE_NETS_RUN["pool"], **SHARD_TASK)
def enhance(shard: dict[str, Any]) -> dict[str, Any]:
    """Enhance the shard's pictures in a worker process and stage the results."""
    from enhancer.airflow.connections import settings_from_airflow
    from enhancer.airflow.metrics import measured
    from enhancer.batch.tasks import enhance_shard

    return measured("enhance")(enhance_shard)(shard, settings=settings_from_airflow(), owner=this_attempt())


@task(queue=SETTINGS.evaluate_queue, pool=SETTINGS.pool, trigger_rule=TriggerRule.ALL_DONE, **SHARD_TASK)
def evaluate(shard: dict[str, Any]) -> dict[str, Any]:
    """Score and judge what was enhanced. No net of a recipe runs here: what needs one is left for the second look."""
    from enhancer.airflow.connections import settings_from_airflow
    from enhancer.airflow.metrics import measured
    from enhancer.batch.tasks import evaluate_shard

    return measured("evaluate")(evaluate_shard)(shard, settings=settings_from_airflow(), owner=this_attempt())


@task(queue=WHERE_NETS_RUN["queue"], pool=WHERE_NETS_RUN["pool"], trigger_rule=TriggerRule.ALL_DONE, **SHARD_TASK)
def second_look(shard: dict[str, Any]) -> dict[str, Any]:
    """Where the nets are: a gentler attempt at what the gate refused, and scores that need a net. Usually nothing."""
    from enhancer.airflow.connections import settings_from_airflow
    from enhancer.airflow.metrics import measured
    from enhancer.batch.tasks import second_look_at_shard

    return measured("second_look")(second_look_at_shard)(shard, settings=settings_from_airflow(), owner=this_attempt())


@task(pool=SETTINGS.pool, trigger_rule=TriggerRule.ALL_DONE, **SHARD_TASK)
def publish(shard: dict[str, Any]) -> dict[str, Any]:
    """Bring what passed to its target, each picture in one atomic step."""
    from enhancer.airflow.connections import settings_from_airflow
    from enhancer.airflow.metrics import measured
    from enhancer.batch.tasks import publish_shard

    return measured("publish")(publish_shard)(shard, settings=settings_from_airflow(), owner=this_attempt())


@task_group
def shard(shard: dict[str, Any]) -> None:
    """One shard's way: enhance -> evaluate -> second look -> publish."""
    enhance(shard=shard) >> evaluate(shard=shard) >> second_look(shard=shard) >> publish(shard=shard)


@task(trigger_rule=TriggerRule.ALL_DONE, outlets=[ENHANCED], multiple_outputs=False, on_failure_callback=notify_failure)
def report() -> dict[str, str]:
    """Close the run, write its report, announce what was published; fail when too much of the run failed."""
    from enhancer.airflow.connections import settings_from_airflow
    from enhancer.batch.reporting import report_run

    context = get_current_context()
    run = context["ti"].xcom_pull(task_ids="plan", key="run")
    if run is None:  # all_done lets this task run, and as the last one it decides the state of the DAG run
        raise AirflowFailException("the task plan failed, so there is no run to report on; plan's log says why")
    result = report_run(run, settings=settings_from_airflow())
    if result.published:
        output = Asset(quote(result.output_url, safe="/:"))
        about = {"run": run, "counts": result.counts, "report_url": result.report_url}
        context["outlet_events"][ENHANCED].add(output, extra=about)
    return {"run": run, "outcome": result.outcome, "report_url": result.report_url}


def this_attempt() -> str:
    """This try of this task: who owns the shard's lease."""
    ti = get_current_context()["ti"]
    return f"{ti.run_id}/{ti.task_id}/{ti.map_index}/{ti.try_number}"
