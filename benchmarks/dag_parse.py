"""What reading the DAG file costs beyond Airflow itself: ``python -m benchmarks.dag_parse``.

Each of five fresh interpreters has Airflow read a plain DAG first, so that Airflow's own lazy imports are paid for,
then reads ours again and again; the difference between the first reading and the later ones is what our imports
cost. CPU seconds; the median is the figure.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from pathlib import Path
from typing import Final

RUNS: Final = 5
DAG_FILE: Final = Path(__file__).parents[1] / "dags" / "image_enhancement.py"

READ: Final = f"""
import runpy, time
from airflow.sdk import Asset, AssetAlias, Param, TriggerRule, dag, get_current_context, task, task_group

@dag(params={{"any": Param(None, type=["null", "array"], items={{"type": "object"}})}})
def plain():
    @task
    def plan(): ...

    @task_group
    def group(item):
        @task
        def work(item): ...

        work(item=item)

    group.expand(item=plan())

plain()

def read():
    start = time.process_time()
    runpy.run_path({str(DAG_FILE)!r})
    return time.process_time() - start

first = read()
print("COST", first - min(read() for _ in range(3)))
"""


def main() -> None:
    """Print the median and the spread, in milliseconds."""
    costs = []
    for _ in range(RUNS):
        done = subprocess.run([sys.executable, "-c", READ], capture_output=True, text=True, check=True)
        costs.append(float(done.stdout.split("COST ")[1].split()[0]) * 1000)
    print(
        f"DAG file beyond Airflow: median {statistics.median(costs):.0f} ms of CPU "
        f"({min(costs):.0f} to {max(costs):.0f} ms in {RUNS} interpreters)"
    )


if __name__ == "__main__":
    main()
