"""What reading the DAG file imports: Airflow does it again and again, and once more for every task.

What it costs is measured by ``python -m benchmarks.dag_parse``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).parents[2]
DAG_FILE = CHECKOUT / "dags" / "image_enhancement.py"
HEAVY = ("torch", "torchvision", "cv2", "skimage", "scipy", "lpips", "spandrel", "boto3", "botocore", "numpy", "PIL")

READ = f"""
import json, runpy, sys
from airflow.sdk import Asset, AssetAlias, Param, TriggerRule, dag, get_current_context, task, task_group

@dag(params={{"any": Param(None, type=["null", "array"], items={{"type": "object"}})}})
def plain():  # loads what Airflow itself loads lazily for such a DAG
    @task
    def plan(): ...

    @task_group
    def group(item):
        @task
        def work(item): ...

        work(item=item)

    group.expand(item=plan())

plain()
before = set(sys.modules)

runpy.run_path({str(DAG_FILE)!r})
print("RESULT", json.dumps({{"new": sorted(set(sys.modules) - before), "all": sorted(sys.modules)}}))
"""


@pytest.fixture(scope="module")
def reading() -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", READ], env=os.environ.copy(), capture_output=True, text=True, check=True
    )
    result: dict[str, Any] = json.loads(done.stdout.split("RESULT ")[1].splitlines()[0])
    return result


def test_nothing_heavy_is_imported(reading: dict[str, Any]) -> None:
    loaded = set(reading["all"])
    assert "enhancer.recipe" in loaded, "the measurement read something else"
    assert [name for name in HEAVY if name in loaded] == []


def test_no_work_of_the_tasks_is_imported(reading: dict[str, Any]) -> None:
    ours = {name for name in reading["new"] if name.startswith("enhancer.")}
    allowed = {
        "enhancer.airflow",
        "enhancer.airflow.arguments",
        "enhancer.airflow.dag",
        "enhancer.airflow.dag_tasks",
        "enhancer.airflow.retrying",
        "enhancer.errors",
        "enhancer.extensions",
        "enhancer.options",
        "enhancer.presets",
        "enhancer.reasons",
        "enhancer.recipe",
        "enhancer.recipe_names",
        "enhancer.settings",
    }
    assert ours <= {*allowed, "enhancer.version"}
