"""A task group that enhances the pictures of a folder or bucket, for DAGs that do more than that."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Unpack

from airflow.sdk import TaskGroup

from enhancer.airflow.arguments import PLACEMENT_ARGS, REQUEST_ARGS, PlacementArgs, RequestArgs, taken
from enhancer.airflow.dag_tasks import DEFAULT_ARGS, TaskPlacement, plan_and_run

if TYPE_CHECKING:
    from airflow.sdk import DAG, XComArg


class GroupArgs(RequestArgs, PlacementArgs, total=False):
    """The arguments of :class:`EnhanceTaskGroup` beside its id: those of a run, and Airflow's own for any group."""

    add_suffix_on_collision: bool
    dag: DAG
    default_args: dict[str, Any]
    doc_md: str | None
    group_display_name: str
    parent_group: TaskGroup | None
    tooltip: str
    ui_color: str
    ui_fgcolor: str


class EnhanceTaskGroup(TaskGroup):
    """List -> manifest -> shards -> [enhance -> evaluate -> second look -> publish] per shard -> report.

        with DAG("arrivals", schedule="@hourly"):
            folder = unpack()
            enhanced = EnhanceTaskGroup("enhance", input_url=folder, output_url="s3://enhanced/{{ ds }}")
            announce(enhanced.summary)

    Several may stand in one DAG, in a loop too: each has a run of its own in the ledger. (Within a mapped group it
    cannot be, for its shards are mapped and Airflow maps no group within another; see
    :class:`~enhancer.airflow.operators.EnhanceOperator` for that.) The DAG's params mean nothing to it: what they are
    to change is given as a template, ``recipe="{{ params.recipe }}"``.

    The DAG's and the group's `default_args` win over this package's task defaults.

    Args:
        group_id: unique in the DAG; part of the name of the run in the ledger.
        kwargs: see :class:`~enhancer.airflow.arguments.RequestArgs`, :class:`~enhancer.airflow.arguments.PlacementArgs`
            and Airflow's TaskGroup.

    Attributes:
        plan: the output of the first task, the shards.
        summary: the output of the last task: ``run``, ``outcome``, ``counts``, ``output_url``, ``report_url``.
    """

    plan: XComArg
    summary: XComArg

    def __init__(self, group_id: str = "enhance", **kwargs: Unpack[GroupArgs]) -> None:
        args: dict[str, Any] = dict(kwargs)
        given, placement = taken(args, REQUEST_ARGS), TaskPlacement(**taken(args, PLACEMENT_ARGS))
        super().__init__(group_id, **args)
        self.default_args = {**DEFAULT_ARGS, **self.dag.default_args, **self.default_args}
        with self.dag, self:  # the DAG is not open where the group is given one by `dag`
            self.plan, self.summary = plan_and_run(
                given,
                placement,
                group=str(self.group_id),
                on_failure_callback=self.default_args.get("on_failure_callback"),
            )
