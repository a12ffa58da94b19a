"""What it costs to read the DAG file, which Airflow does again and again, and once more for every task."""

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

MEASURE = f"""
import json, runpy, sys, time
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

def read():
    start = time.process_time()
    runpy.run_path({str(DAG_FILE)!r})
    return time.process_time() - start

first = read()  # our imports, and Airflow's own work on the DAG
again = min(read() for _ in range(3))  # that work alone
print("RESULT", json.dumps({{"cost_s": first - again, "new": sorted(set(sys.modules) - before), "all": sorted(sys.modules)}}))
"""


@pytest.fixture(scope="module")
def readings() -> list[dict[str, Any]]:
    results = []
    for _ in range(3):
        done = subprocess.run(
            [sys.executable, "-c", MEASURE], env=os.environ.copy(), capture_output=True, text=True, check=True
        )
        results.append(json.loads(done.stdout.split("RESULT ")[1].splitlines()[0]))
    return results


def test_nothing_heavy_is_imported(readings: list[dict[str, Any]]) -> None:
    loaded = set(readings[0]["all"])
    assert "enhancer.recipe" in loaded, "the measurement read something else"
    assert [name for name in HEAVY if name in loaded] == []


def test_no_work_of_the_tasks_is_imported(readings: list[dict[str, Any]]) -> None:
    ours = {name for name in readings[0]["new"] if name.startswith("enhancer.")}
    allowed = {"enhancer.batch", "enhancer.batch.retrying", "enhancer.errors", "enhancer.recipe", "enhancer.settings"}
    assert ours <= {*allowed, "enhancer.version"}


def test_reading_costs_less_than_100_ms_beyond_airflow(readings: list[dict[str, Any]]) -> None:
    """CPU seconds, the least of three fresh interpreters: what other processes do at the time does not count."""
    assert min(reading["cost_s"] for reading in readings) < 0.1
