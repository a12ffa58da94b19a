"""### Try again what earlier runs left undone.

The manifest comes from the ledger instead of a listing: pictures that their last run left failed or not attempted,
those that were released, and on request quarantined ones, each with the recipe that was asked for then. What is good by
now is not touched, unless `stage` and `before` ask for published pictures on which a stage acted under an older
pipeline. Everything after the plan is as in `image_enhancement`.

By hand, or scheduled by `ENHANCER_REDRIVE_SCHEDULE`. The nightly run takes up failures of its own accord; this is for a
store or a machine that was mended during the day, or for quarantined pictures after an upgrade.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.sdk import Param, dag, get_current_context, task

from enhancer.airflow.dag_tasks import DEFAULT_ARGS, LATE, TaskPlacement, check_addresses, plan_in_airflow, run_shards
from enhancer.settings import get_settings

SETTINGS = get_settings()

TEXT: dict[str, Any] = {"type": ["null", "string"], "minLength": 1}

PARAMS = {
    "run": Param(None, "Only what this run left undone, at its addresses (`enhancer ledger runs`).", **TEXT),
    "error_class": Param(None, "Only pictures whose last error is of this class, such as slow-down.", **TEXT),
    "quarantined": Param(False, "Quarantined pictures too.", type="boolean"),
    "stage": Param(
        None, "Instead: published pictures on which this stage acted (a record's decisions name it).", **TEXT
    ),
    "before": Param(None, "With stage: under a pipeline older than this version.", type=["null", "integer"], minimum=1),
    "collection": Param(
        None, "Only what runs of this collection left undone; default: the ENHANCER_* settings'.", **TEXT
    ),
    "input_url": Param(None, "Of the earlier runs. Empty: of the run or collection, or ENHANCER_INPUT_URL.", **TEXT),
    "output_url": Param(None, "Of the earlier runs. Empty: likewise.", **TEXT),
    "prefix": Param(None, "Only keys that start so.", type=["null", "string"]),
    "max_items": Param(None, "At most so many pictures.", type=["null", "integer"], minimum=1),
    "dry_run": Param(False, "Plan, count and estimate; touch no picture.", type="boolean"),
}


@dag(
    schedule=SETTINGS.redrive_schedule or None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    deadline=LATE,
    params=PARAMS,
    tags=["enhancer", "images"],
    doc_md=__doc__,
    default_args=DEFAULT_ARGS,
)
def redrive_failed() -> None:
    """Ledger -> manifest -> shards -> [enhance -> evaluate -> second look -> publish] per shard -> report."""

    @task
    def plan() -> list[dict[str, Any]]:
        """Look up what is undone, freeze it as a manifest, cut it into shards."""
        from enhancer.airflow.connections import settings_from_airflow
        from enhancer.batch.plan.redriving import redrive_request

        settings = settings_from_airflow()
        request = redrive_request(get_current_context()["params"], settings)
        check_addresses(request, settings)
        return plan_in_airflow(request, settings)

    run_shards(plan(), TaskPlacement())


redrive_failed()
