"""### Canary pictures with known truth through the production recipe, each night.

Recipe, rules, nets, device and worker are those of `image_enhancement`. True PSNR, SSIM and LPIPS go into the ledger.
The task fails when a picture comes out worse than the recorded baseline by more than its bound, or not at all; the
message says which. The first check of a recipe is its baseline; `accept` makes this one the baseline.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.sdk import Param, dag, get_current_context, task

from enhancer.airflow.dag_tasks import DEFAULT_ARGS, WHERE_NETS_RUN
from enhancer.settings import get_settings

SETTINGS = get_settings()

PARAMS = {
    "recipe": Param(None, "A preset or a recipe as JSON, instead of the settings'.", type=["null", "string", "object"]),
    "accept": Param(False, "Make this run the baseline, however it comes out.", type="boolean"),
}


@dag(
    schedule=SETTINGS.reference_check_schedule or None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    params=PARAMS,
    tags=["enhancer", "images"],
    doc_md=__doc__,
    default_args=DEFAULT_ARGS,
)
def reference_check() -> None:
    """One task, where the nets run."""

    @task(executor=SETTINGS.executor, multiple_outputs=False, **WHERE_NETS_RUN)
    def check() -> dict[str, Any]:
        """Run the canary set and hold its true scores against the baseline."""
        from enhancer.airflow.connections import settings_from_airflow
        from enhancer.batch.layout import dag_run_name
        from enhancer.batch.reference_check import check_reference

        context = get_current_context()
        checked = check_reference(
            settings=settings_from_airflow(),
            run_id=dag_run_name(context["dag_run"].dag_id, context["dag_run"].run_id),
            trigger="scheduled" if context["dag_run"].run_type == "scheduled" else "manual",
            recipe=context["params"]["recipe"],
            accept=context["params"]["accept"],
        )
        checked.raise_on_drift()
        return {"run": checked.run_id, "baseline": checked.baseline_run, "figures": checked.figures}

    check()


reference_check()
