"""A DAG that has another one's run do the work; for tests/dags/test_arrivals_and_approval.py."""

from __future__ import annotations

import os

from airflow.sdk import dag

from enhancer.airflow.operators import EnhanceOperator, ScoreOperator

FOLDER = os.environ.get("OWN_DAGS_FOLDER", "/nowhere")


@dag(schedule=None, default_args={"retries": 0})
def deferred() -> None:
    """Enhanced elsewhere; then scored against what it was made from."""
    enhanced = EnhanceOperator(
        task_id="elsewhere",
        input_url=f"{FOLDER}/elsewhere",
        output_url=f"{FOLDER}/out/elsewhere",
        recipe={"scale": 1, "denoise_strength": 0},
        deferrable=True,
        poll_s=1,
    )
    scored = ScoreOperator(
        task_id="score",
        result_url="{{ ti.xcom_pull(task_ids='elsewhere')['output_url'] }}",
        input_url=f"{FOLDER}/elsewhere",
        at_least={"fidelity.psnr": 30},
    )
    enhanced >> scored


deferred()
