"""A DAG that enhances the pictures of a folder or bucket."""

from __future__ import annotations

import sys
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Unpack

from airflow.sdk import DAG

from enhancer.airflow.arguments import PLACEMENT_ARGS, REQUEST_ARGS, PlacementArgs, RequestArgs, run_params, taken
from enhancer.airflow.dag_tasks import DEFAULT_ARGS, TaskPlacement, plan_and_run

if TYPE_CHECKING:
    from airflow.sdk import XComArg

FIRST_DAY: Final = datetime(2026, 1, 1, tzinfo=UTC)
"""Before which no run is scheduled, where a DAG names no start."""


class DagArgs(RequestArgs, PlacementArgs, total=False):
    """The arguments of :class:`EnhanceDag` beside its id: those of a run, and Airflow's own for any DAG."""

    access_control: dict[str, dict[str, Collection[str]]] | None
    auto_register: bool
    catchup: bool
    dag_display_name: str
    dagrun_timeout: timedelta | None
    deadline: Any
    default_args: Mapping[str, Any]
    description: str | None
    disable_bundle_versioning: bool
    doc_md: str | None
    end_date: datetime | None
    fail_fast: bool
    is_paused_upon_creation: bool | None
    jinja_environment_kwargs: dict[str, Any] | None
    max_active_runs: int
    max_active_tasks: int
    max_consecutive_failed_dag_runs: int
    on_failure_callback: Any
    on_success_callback: Any
    owner_links: dict[str, str]
    params: Mapping[str, Any]
    render_template_as_native_obj: bool
    schedule: Any
    start_date: datetime | None
    tags: Collection[str]
    template_searchpath: str | list[str] | None
    user_defined_filters: dict[str, Any] | None
    user_defined_macros: dict[str, Any] | None


class EnhanceDag(DAG):
    """List -> manifest -> shards -> [enhance -> evaluate -> second look -> publish] per shard -> report.

        EnhanceDag("scans", input_url="s3://archive/scans", output_url="s3://enhanced/scans", schedule="@daily")

    What a run is asked for is shown as the DAG's params, which a trigger may change; a param left empty means what is
    given here, and what is given nowhere is as the ``ENHANCER_*`` settings say. Where `input_url` is given, the DAG
    stands alone: the settings' addresses, rules and recipe do not apply to it.

    It is a DAG like any other: more tasks go into it ``with`` it, before :attr:`plan` or after :attr:`summary`. Unlike
    Airflow's own, it has no catch-up and one active run unless it is told otherwise, a start, and the task defaults of
    this package (retries for what a retry may mend), over which `default_args` win.

    Args:
        dag_id: unique in the deployment; part of the names of the DAG's runs in the ledger.
        kwargs: see :class:`~enhancer.airflow.arguments.RequestArgs`, :class:`~enhancer.airflow.arguments.PlacementArgs`
            and Airflow's DAG. `params` are added to those of the run.

    Attributes:
        plan: the output of the first task, the shards.
        summary: the output of the last task: ``run``, ``outcome``, ``counts``, ``output_url``, ``report_url``.
    """

    plan: XComArg
    summary: XComArg

    def __init__(self, dag_id: str, **kwargs: Unpack[DagArgs]) -> None:
        args: dict[str, Any] = dict(kwargs)
        given, placement = taken(args, REQUEST_ARGS), TaskPlacement(**taken(args, PLACEMENT_ARGS))
        defaults = {**DEFAULT_ARGS, **args.pop("default_args", {})}
        super().__init__(
            dag_id,
            default_args=defaults,
            tags={"enhancer", "images", *args.pop("tags", ())},
            **{"start_date": FIRST_DAY, "catchup": False, "max_active_runs": 1, **args},
        )
        self.fileloc = sys._getframe(1).f_code.co_filename  # Airflow's guess is this file
        with self:
            self.plan, self.summary = plan_and_run(
                given, placement, on_failure_callback=defaults.get("on_failure_callback")
            )
        # After the tasks, for each would take a deep copy of all params, several times over, and past Airflow's check,
        # which looks over each schema anew: together 20 ms a DAG. What is given is checked in `run_params`.
        own = {name: self.params.get_param(name) for name in self.params}
        for name in own:
            del self.params[name]
        self.params.update({**run_params(given), **own})
