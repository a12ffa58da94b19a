"""The tasks that every DAG over pictures is made of.

    plan_and_run({"input_url": ...}, TaskPlacement())    # plan >> shards >> report, in the DAG or group that is open
    run_shards(plan(), TaskPlacement())                  # after a plan of one's own

Read when a DAG file is parsed, so nothing heavy is imported here; each task imports what it calls.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.sdk import Asset, AssetAlias, TriggerRule, get_current_context, task, task_group
from airflow.sdk.definitions.callback import SyncCallback
from airflow.sdk.definitions.deadline import DeadlineAlert, DeadlineReference
from airflow.sdk.exceptions import AirflowFailException

from enhancer.airflow.arguments import Step, Thresholds, asked_for
from enhancer.airflow.retrying import RetryTransient
from enhancer.settings import get_settings

if TYPE_CHECKING:
    from airflow.sdk import Context, XComArg

    from enhancer.batch.plan.planning import Plan, Trigger
    from enhancer.batch.plan.request import RunRequest
    from enhancer.batch.reporting import RunReport
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


def late_after(minutes: float | None) -> DeadlineAlert | None:
    """The deadline of a run that ought to end so long after it was queued; None: it has none."""
    if minutes is None:
        return None
    return DeadlineAlert(
        reference=DeadlineReference.DAGRUN_QUEUED_AT,
        interval=timedelta(minutes=minutes),
        callback=SyncCallback("enhancer.airflow.notify.run_is_late"),  # in the executor: no triggerer is needed
        name="late",
    )


LATE: DeadlineAlert | None = late_after(SETTINGS.deadline_minutes)
"""The deadline of a run, where the settings have one."""

WHERE_NETS_RUN: dict[str, Any] = {
    "queue": SETTINGS.enhance_queue,
    "pool": SETTINGS.enhance_pool or SETTINGS.pool,
}
"""Of a task that runs nets itself or has a worker run them."""

ADDRESSES = ("input_url", "output_url", "work_url", "reference_url")
"""Params of a run that name stores."""

SHARD_TASK: dict[str, Any] = {
    "map_index_template": (
        "{% set shard = task.op_kwargs.shard %}shard {{ shard.shard }} ({{ shard.n }} picture{{ 's' if shard.n != 1 }})"
    ),
    "do_xcom_push": False,  # what was done stands in the ledger
}


def notify_failure(context: Context) -> None:
    """Send the notice that the run failed."""
    from enhancer.airflow.notify import run_failed

    run_failed(context)


def check_addresses(request: RunRequest, settings: Settings, own: Iterable[str] = ()) -> None:
    """Hold a request's addresses against those at which runs of Airflow's may work.

    Args:
        request: what is asked for, by whoever triggered the run.
        settings: with the allowed addresses.
        own: addresses that the DAG's author wrote into it: these are allowed too.

    Raises:
        ForeignAddressError: one lies elsewhere.
    """
    from enhancer.storage.roots import Roots

    Roots.at((*Roots.of(settings).urls, *own)).check(
        input_url=request.input_url,
        output_url=request.output_url,
        work_url=request.work_url,
        reference_url=request.reference_url,
    )


@dataclass(frozen=True)
class TaskPlacement:
    """Where the tasks of a run go; see :class:`~enhancer.airflow.arguments.PlacementArgs`, whose values it takes."""

    pool: str | None = None
    enhance_pool: str | None = None
    enhance_queue: str | None = None
    evaluate_queue: str | None = None
    executor: str | None = None
    priority_weight: int | None = None
    executor_config: Any = None
    task_args: Mapping[Step, Mapping[str, Any]] = field(default_factory=dict)
    thresholds: Thresholds = field(default_factory=Thresholds)

    def __post_init__(self) -> None:
        if unknown := set(self.task_args) - {"plan", *SHARD_STEPS, "report"}:
            raise TypeError(f"task_args names no task of a run: {', '.join(sorted(unknown))}")
        if strange := set(self.thresholds) - set(Thresholds.__annotations__):
            raise TypeError(f"thresholds names no threshold: {', '.join(sorted(strange))}")

    def of(self, step: Step) -> dict[str, Any]:
        """The arguments of a step's operator."""
        args: dict[str, Any] = {}
        if self.priority_weight is not None:
            args["priority_weight"] = self.priority_weight
        if step in SHARD_STEPS:
            args |= {"pool": self.pool or SETTINGS.pool, "executor": self.executor or SETTINGS.executor}
        if step == "evaluate":
            args["queue"] = self.evaluate_queue or SETTINGS.evaluate_queue
        if step in ("enhance", "second_look"):
            args["queue"] = self.enhance_queue or SETTINGS.enhance_queue
            args["pool"] = self.enhance_pool or self.pool or SETTINGS.enhance_pool or SETTINGS.pool
            args |= {} if self.executor_config is None else {"executor_config": self.executor_config}
        return {**args, **self.task_args.get(step, {})}


SHARD_STEPS: tuple[Step, ...] = ("enhance", "evaluate", "second_look", "publish")


def task_settings(thresholds: Thresholds | None = None) -> Settings:
    """The settings of the running task: with the Connections' secrets, and the thresholds of its run."""
    from enhancer.airflow.connections import settings_from_airflow

    return settings_from_airflow().model_copy(update=dict(thresholds or {}))


def close_abandoned(request: RunRequest, settings: Settings, group: str = "") -> None:
    """Report the runs at the request's addresses that no one works on any more, but for the running task's own."""
    from enhancer.batch.plan.recovery import finish_abandoned

    dag_run = get_current_context()["dag_run"]
    finish_abandoned(
        settings,
        input_url=request.input_url,
        output_url=request.output_url,
        exclude_dag_run=(dag_run.dag_id, id_in_ledger(dag_run.run_id, group)),
    )


def id_in_ledger(dag_run_id: str, group: str) -> str:
    """What the ledger calls a DAG run: each group in it has a run of its own, that of the DAG itself the plain id."""
    return f"{dag_run_id}#{group}" if group else dag_run_id


def plan_in_airflow(request: RunRequest, settings: Settings, group: str = "") -> list[dict[str, Any]]:
    """Plan a run for the running task's DAG run; its shards. The run's id goes to `report` as the XCom ``run``.

    Args:
        request: what to do.
        settings: with the Connections' secrets.
        group: of the tasks within their DAG; "" where the DAG has no other run in the ledger.
    """
    from enhancer.batch.layout import dag_run_name
    from enhancer.batch.plan.planning import plan_run

    context = get_current_context()
    dag_run = context["dag_run"]
    dag_run_id = id_in_ledger(dag_run.run_id, group)
    planned: Plan = plan_run(
        request,
        settings=settings,
        run_id=dag_run_name(dag_run.dag_id, dag_run_id),
        trigger=TRIGGERS.get(dag_run.run_type, "scheduled"),
        dag_id=dag_run.dag_id,
        dag_run_id=dag_run_id,
    )
    context["ti"].xcom_push("run", planned.run_id)
    return planned.shards


def request_of(given: dict[str, Any], settings: Settings, *, stands_alone: bool) -> RunRequest:
    """The request of a run that is asked for `given`; one that stands alone takes no address of the settings."""
    from enhancer.batch.plan.request import RunRequest
    from enhancer.collections import standing_alone

    return RunRequest.from_params(given, standing_alone(settings) if stands_alone else settings)


@task
def plan(given: dict[str, Any], thresholds: Thresholds, group: str) -> list[dict[str, Any]]:
    """Close what earlier nights left open; list the input, freeze the manifest, cut it into shards; none in a dry run
    or when there is nothing to do.
    """
    settings = task_settings(thresholds)
    params = {} if group else get_current_context()["params"]  # those of a DAG with a group mean other things
    request = request_of(asked_for(given, params), settings, stands_alone="input_url" in given)
    check_addresses(request, settings, [given[name] for name in ADDRESSES if given.get(name)])
    close_abandoned(request, settings, group)
    return plan_in_airflow(request, settings, group)


@task(trigger_rule=TriggerRule.ALL_SUCCESS, **SHARD_TASK)
def enhance(shard: dict[str, Any], thresholds: Thresholds) -> dict[str, Any]:
    """Enhance the shard's pictures in a worker process and stage the results."""
    from enhancer.airflow.metrics import measured
    from enhancer.batch.tasks import enhance_shard

    return measured("enhance")(enhance_shard)(shard, settings=task_settings(thresholds), owner=this_attempt())


@task(trigger_rule=TriggerRule.ALL_DONE, **SHARD_TASK)
def evaluate(shard: dict[str, Any], thresholds: Thresholds) -> dict[str, Any]:
    """Score and judge what was enhanced. No net of a recipe runs here: what needs one is left for the second look."""
    from enhancer.airflow.metrics import measured
    from enhancer.batch.tasks import evaluate_shard

    return measured("evaluate")(evaluate_shard)(shard, settings=task_settings(thresholds), owner=this_attempt())


@task(trigger_rule=TriggerRule.ALL_DONE, **SHARD_TASK)
def second_look(shard: dict[str, Any], thresholds: Thresholds) -> dict[str, Any]:
    """Where the nets are: a gentler attempt at what the gate refused, and scores that need a net. Usually nothing."""
    from enhancer.airflow.metrics import measured
    from enhancer.batch.tasks import second_look_at_shard

    return measured("second_look")(second_look_at_shard)(
        shard, settings=task_settings(thresholds), owner=this_attempt()
    )


@task(trigger_rule=TriggerRule.ALL_DONE, **SHARD_TASK)
def publish(shard: dict[str, Any], thresholds: Thresholds) -> dict[str, Any]:
    """Bring what passed to its target, each picture in one atomic step."""
    from enhancer.airflow.metrics import measured
    from enhancer.batch.tasks import publish_shard

    return measured("publish")(publish_shard)(shard, settings=task_settings(thresholds), owner=this_attempt())


@task(trigger_rule=TriggerRule.ALL_DONE, outlets=[ENHANCED], multiple_outputs=False)
def report(plan_task: str, thresholds: Thresholds) -> dict[str, Any]:
    """Close the run, write its report, announce what was published; fail when too much of the run failed."""
    from enhancer.batch.reporting import report_run

    run = get_current_context()["ti"].xcom_pull(task_ids=plan_task, key="run")
    if run is None:  # all_done lets this task run, and as the last one it decides the state of the DAG run
        raise AirflowFailException("the task plan failed, so there is no run to report on; plan's log says why")
    return announced(report_run(run, settings=task_settings(thresholds)))


def announced(result: RunReport) -> dict[str, Any]:
    """Emit the asset event of a run that published something; the run's summary, as tasks return it.

    Returns:
        ``run`` (the ledger's id), ``outcome``, ``counts`` (pictures by state), ``output_url`` and ``report_url``.
    """
    about: dict[str, Any] = {"run": result.run_id, "counts": result.counts, "report_url": result.report_url}
    if result.published:
        output = Asset(quote(result.output_url, safe="/:"))
        get_current_context()["outlet_events"][ENHANCED].add(output, extra=about)
    return {**about, "outcome": result.outcome, "output_url": result.output_url}


def run_shards(
    planned: XComArg, placement: TaskPlacement, on_failure_callback: Any = (), *, asks: bool = True
) -> XComArg:
    """The tasks after a plan: each shard enhanced, evaluated, looked at again and published, and at last the report.

    Args:
        planned: the output of a task that calls :func:`plan_in_airflow`.
        placement: where the tasks go.
        on_failure_callback: of the report, beside the notice that the run failed.
        asks: start the approval of what was refused or held, where ``ENHANCER_APPROVAL`` is ``hitl``.

    Returns:
        The report's output, the run's summary.
    """
    thresholds = placement.thresholds

    @task_group
    def shard(shard: dict[str, Any]) -> None:
        """One shard's way: enhance -> evaluate -> second look -> publish."""
        enhanced = enhance.override(**placement.of("enhance"))(shard=shard, thresholds=thresholds)
        evaluated = evaluate.override(**placement.of("evaluate"))(shard=shard, thresholds=thresholds)
        looked_at = second_look.override(**placement.of("second_look"))(shard=shard, thresholds=thresholds)
        (
            enhanced
            >> evaluated
            >> looked_at
            >> publish.override(**placement.of("publish"))(shard=shard, thresholds=thresholds)
        )

    args = placement.of("report")
    callbacks = _as_list(args.pop("on_failure_callback", on_failure_callback))
    reporting = report.override(**args, on_failure_callback=[notify_failure, *callbacks])
    [(plan_task, _)] = planned.iter_references()
    summary = reporting(plan_task=plan_task.task_id, thresholds=thresholds)
    shard.expand(shard=planned) >> summary
    if asks and SETTINGS.approval == "hitl":
        from enhancer.airflow.approval import AskForApproval

        # A teardown has no say in the state of the DAG run, which is the report's: a held run fails.
        asking = AskForApproval(task_id="ask_for_approval", plan_task=plan_task.task_id)
        asking.as_teardown(on_failure_fail_dagrun=False)
        summary >> asking
    return summary


def plan_and_run(
    given: Mapping[str, Any], placement: TaskPlacement, group: str = "", on_failure_callback: Any = ()
) -> tuple[XComArg, XComArg]:
    """All tasks of a run, in the DAG or the task group that is open: plan, shards, report.

    Args:
        given: what the run is asked for.
        placement: where the tasks go.
        group: the id of the group; "" for the run of a whole DAG, whose params then win over `given`.
        on_failure_callback: as of :func:`run_shards`.

    Returns:
        The outputs of plan and report.
    """
    planned = plan.override(**placement.of("plan"))(given=dict(given), thresholds=placement.thresholds, group=group)
    return planned, run_shards(planned, placement, on_failure_callback)


def _as_list(callbacks: Any) -> list[Any]:
    if callbacks is None:
        return []
    return list(callbacks) if isinstance(callbacks, list | tuple) else [callbacks]


def this_attempt() -> str:
    """This try of this task: who owns the shard's lease."""
    ti = get_current_context()["ti"]
    return f"{ti.run_id}/{ti.task_id}/{ti.map_index}/{ti.try_number}"
