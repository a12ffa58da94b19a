"""What reading the DAG files costs beyond Airflow itself: ``python -m benchmarks.dag_parse``.

Each of five fresh interpreters has Airflow read a plain DAG first, so that Airflow's own lazy imports are paid for,
then reads ours again and again; the difference between the first reading and the later ones is what our imports
cost. The DAGs of 300 collections are held against as many plain DAGs with the same tasks and groups. CPU
seconds; the median is the figure.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

RUNS: Final = 5
COLLECTIONS: Final = 300
DAGS: Final = Path(__file__).parents[1] / "dags"

PLAIN: Final = """
import runpy, time
from airflow.sdk import Asset, AssetAlias, Param, TriggerRule, dag, get_current_context, task, task_group

@task
def plan(given): ...

@task
def work(item, given): ...

@task(trigger_rule=TriggerRule.ALL_DONE)
def report(given): ...

def plain(name):
    @dag(dag_id=name, params={"any": Param(None, type=["null", "array"], items={"type": "object"})})
    def made():
        @task_group
        def group(item):
            one, two, three, four = (
                work.override(task_id=step, pool="default_pool", queue="default")(item=item, given={})
                for step in ("one", "two", "three", "four")
            )
            one >> two >> three >> four

        group.expand(item=plan({})) >> report({})

    made()

def cpu(function, *arguments):
    start = time.process_time()
    function(*arguments)
    return time.process_time() - start

plain("first")
"""

ONE: Final = f"""{PLAIN}
first = cpu(runpy.run_path, {str(DAGS / "image_enhancement.py")!r})
print("COST", first - min(cpu(runpy.run_path, {str(DAGS / "image_enhancement.py")!r}) for _ in range(3)))
"""

MANY: Final = f"""{PLAIN}
runpy.run_path({str(DAGS / "image_enhancement.py")!r})
ours = cpu(runpy.run_path, {str(DAGS / "enhance_collections.py")!r})
airflows = cpu(lambda: [plain(f"plain_{{number}}") for number in range({COLLECTIONS})])
print("COST", ours - airflows)
"""

COLLECTION: Final = """
[collection.c{number}]
input_url = "s3://archive/{number}"
output_url = "s3://enhanced/{number}"
recipe = "scan"
schedule = "{minute} 3 * * *"
rules = [{{ match = "maps/*", scale = 1 }}]
owner = "archive"
tags = ["nightly"]
"""


def main() -> None:
    """Print each median and its spread, in milliseconds."""
    _measure("DAG file beyond Airflow", ONE, {})
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "collections.toml"
        file.write_text("".join(COLLECTION.format(number=number, minute=number % 60) for number in range(COLLECTIONS)))
        _measure(
            f"DAGs of {COLLECTIONS} collections beyond as many plain ones", MANY, {"ENHANCER_COLLECTIONS": str(file)}
        )


def _measure(what: str, program: str, environment: dict[str, str]) -> None:
    costs = []
    for _ in range(RUNS):
        done = subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=True,
        )
        costs.append(float(done.stdout.split("COST ")[1].split()[0]) * 1000)
    print(
        f"{what}: median {statistics.median(costs):.0f} ms of CPU "
        f"({min(costs):.0f} to {max(costs):.0f} ms in {RUNS} interpreters)"
    )


if __name__ == "__main__":
    main()
