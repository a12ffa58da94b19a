"""### Keep ledger and stores in step.

Closes runs that no one works on any more, drops fallen claims, deletes staged objects that no result needs
(`ENHANCER_ORPHAN_TTL_S`), compares what the ledger says was published with a listing of the output, and drops rows and
work files of runs long past (`ENHANCER_RETENTION_DAYS`). Safe beside running runs: it never touches an input, what a
running run has staged, or the results of held pictures.

`enhancer ledger maintain` is the same without Airflow.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.sdk import dag, task

from enhancer.airflow.dag_tasks import DEFAULT_ARGS
from enhancer.settings import get_settings


@dag(
    schedule=get_settings().maintenance_schedule or None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    tags=["enhancer"],
    doc_md=__doc__,
    default_args=DEFAULT_ARGS,
)
def ledger_maintenance() -> None:
    """One task, for its steps belong together."""

    @task
    def maintain() -> dict[str, Any]:
        """Do all of it; fails, and is retried, where a store could not be reached."""
        from enhancer.airflow.connections import settings_from_airflow
        from enhancer.batch import maintenance

        return maintenance.maintain(settings_from_airflow()).as_dict()

    maintain()


ledger_maintenance()
