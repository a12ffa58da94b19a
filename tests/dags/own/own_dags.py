"""DAGs as users write them, for tests/dags/test_own_dags.py; the folders come from the environment."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from airflow.sdk import dag, task

from enhancer.airflow.operators import EnhanceOperator
from enhancer.airflow.task_group import EnhanceTaskGroup

FOLDER = Path(os.environ.get("OWN_DAGS_FOLDER", "/nowhere"))
UNCHANGED = {"scale": 1, "denoise_strength": 0}


@dag(schedule=None, params={"recipe": "scan"})
def own_groups() -> None:
    """Two groups in a loop, the input of both from another task, and what is done with their summaries."""

    @task
    def unpack() -> str:
        return str(FOLDER / "bucket")

    @task
    def together(summaries: list[dict[str, Any]]) -> dict[str, int]:
        return {summary["output_url"]: sum(summary["counts"].values()) for summary in summaries}

    source = unpack()
    groups = [
        EnhanceTaskGroup(
            name,
            input_url=source,
            output_url=str(FOLDER / "out" / name / "{{ dag.dag_id }}"),
            prefix=prefix,
            recipe=UNCHANGED,
            thresholds={"failure_threshold": 1.0},
        )
        for name, prefix in (("all", ""), ("below", "below/"))
    ]
    together([group.summary for group in groups])


@dag(schedule=None)
def own_operators() -> None:
    """Pictures by name, one of which is not there; and an operator mapped over prefixes."""
    EnhanceOperator(
        task_id="named",
        input_url=str(FOLDER / "bucket"),
        pictures=["astronaut.png", str(FOLDER / "bucket" / "below" / "cat.jpg"), "gone.png"],
        output_url=str(FOLDER / "out" / "named"),
        recipe=UNCHANGED,
    )
    EnhanceOperator.partial(
        task_id="each",
        input_url=str(FOLDER / "bucket"),
        output_url=str(FOLDER / "out" / "each" / "{{ ti.map_index }}"),
        recipe=UNCHANGED,
    ).expand(prefix=["astro", "below/"])


own_groups()
own_operators()
