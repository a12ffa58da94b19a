"""### A person's approval of what a run refused or held.

Started by a run of which something waits for a person, where `ENHANCER_APPROVAL` is `hitl`; or by hand, with a run of
the ledger. `ask` waits for an answer under *Required actions*, at most `ENHANCER_APPROVAL_TIMEOUT_HOURS`, after which
nothing is decided. What was approved is published by this DAG's own run, with whatever else that run left undone.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.sdk import Param, dag, get_current_context, task

from enhancer.airflow.approval import APPROVAL_DAG, ask, question
from enhancer.airflow.dag_tasks import DEFAULT_ARGS, TaskPlacement, check_addresses, plan_in_airflow, run_shards
from enhancer.settings import get_settings

PARAMS = {"run": Param(description="The run whose pictures wait (`enhancer ledger runs`).", type="string", minLength=1)}


@dag(
    dag_id=APPROVAL_DAG,
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=100,  # each waits for a person
    is_paused_upon_creation=False,
    params=PARAMS,
    tags=["enhancer", "images"],
    doc_md=__doc__,
    default_args=DEFAULT_ARGS,
)
def approve_pictures() -> None:
    """Question -> answer -> [ledger -> manifest -> shards -> report, where something was approved]."""

    @task(task_id="question", multiple_outputs=False)
    def make_question() -> dict[str, str]:
        """Say what waits; skipped where nothing does any more."""
        from enhancer.airflow.connections import settings_from_airflow

        return question(get_current_context()["params"]["run"], settings_from_airflow())

    @task.short_circuit
    def answer(answered: Any) -> dict[str, Any] | None:
        """Enter the answer in the ledger; go on where something is to be published."""
        from enhancer.airflow.approval import enter
        from enhancer.airflow.connections import settings_from_airflow

        return enter(get_current_context()["params"]["run"], answered, settings_from_airflow())

    @task
    def plan(redrive: Any) -> list[dict[str, Any]]:
        """Look up what was approved, freeze it as a manifest, cut it into shards."""
        from enhancer.airflow.connections import settings_from_airflow
        from enhancer.batch.plan.redriving import redrive_request

        settings = settings_from_airflow()
        request = redrive_request(redrive, settings)
        check_addresses(request, settings)
        return plan_in_airflow(request, settings)

    asking = ask(get_settings())
    make_question() >> asking
    run_shards(plan(answer(asking.output)), TaskPlacement(), asks=False)


approve_pictures()
