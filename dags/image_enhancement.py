"""### Enhance the pictures of a bucket, every night or on demand.

`plan` lists the input, freezes the manifest and cuts it into shards. Each shard is enhanced, evaluated and published
on its own, so that a bad shard holds up no other. `report` writes what became of every picture, and fails the run when
too much of it failed. What an earlier night left comes first.

Pictures that fail are data, not task failures: they are rows in the ledger, with their reason, and lines in the report.
A task fails, and is retried, only for trouble that a retry may mend. Running again does only what is missing.

Params left empty mean: as the rules, the preset or the `ENHANCER_*` settings say.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from airflow.sdk import Param, dag, get_current_context, task

from enhancer.airflow.dag_tasks import DEFAULT_ARGS, LATE, close_abandoned, plan_in_airflow, report, shard
from enhancer.recipe import PRESETS, Rule
from enhancer.settings import get_settings

SETTINGS = get_settings()

URL: dict[str, Any] = {"type": ["null", "string"], "minLength": 1}

PARAMS = {
    "input_url": Param(None, "Pictures to enhance: s3://bucket/prefix or a folder. Never written to.", **URL),
    "output_url": Param(None, "Where the enhanced twins go, under the same keys.", **URL),
    "work_url": Param(None, "Manifests and staged results. Empty: _enhancer/work below output_url.", **URL),
    "reference_url": Param(None, "True pictures under the same keys, where there are any, to score against.", **URL),
    "prefix": Param(None, "Only keys that start so.", type=["null", "string"]),
    "rules": Param(
        None,
        'Recipes by key, the first match wins: [{"match": "scans/*", "recipe": "scan", "scale": 2}].',
        type=["null", "array"],
        items=Rule.model_json_schema(),
    ),
    "recipe": Param(
        None,
        f"A preset ({', '.join(PRESETS)}) or a recipe as JSON. Replaces the recipes of the rules.",
        type=["null", "string", "object"],
        examples=list(PRESETS),
    ),
    "scale": Param(None, "Enlargement, 1 to 8; 1 restores only.", type=["null", "number"], minimum=1, maximum=8),
    "denoise_strength": Param(
        None, "0: off, 0.5: as measured, 1: twice as strong.", type=["null", "number"], minimum=0, maximum=1
    ),
    "model": Param(None, "Super-resolution net (`enhancer models list`).", type=["null", "string"], minLength=1),
    "max_items": Param(None, "At most so many pictures.", type=["null", "integer"], minimum=1),
    "run_gate": Param(
        None,
        "Hold the run for a person when more than this share of its results is refused; 1: never. Empty: "
        "ENHANCER_RUN_GATE.",
        type=["null", "number"],
        exclusiveMinimum=0,
        maximum=1,
    ),
    "on_rejection": Param(
        None,
        "reject a picture whose result is refused, or publish it as it came (pass_through). Empty: "
        "ENHANCER_ON_REJECTION.",
        type=["null", "string"],
        enum=[None, "reject", "pass_through"],
    ),
    "rerun": Param(
        "missing",
        "What is not there yet, only what failed before, or every picture again.",
        type="string",
        enum=["missing", "failed", "all"],
    ),
    "dry_run": Param(False, "Plan, count and estimate; touch no picture.", type="boolean"),
    "worker_hour_price": Param(
        None, "What a worker costs an hour: the plan then gives the cost.", type=["null", "number"], minimum=0
    ),
}


@dag(
    schedule=SETTINGS.schedule or None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    deadline=LATE,
    params=PARAMS,
    tags=["enhancer", "images"],
    doc_md=__doc__,
    default_args=DEFAULT_ARGS,
)
def image_enhancement() -> None:
    """List -> manifest -> shards -> [enhance -> evaluate -> second look -> publish] per shard -> report."""

    @task
    def plan() -> list[dict[str, Any]]:
        """Close what earlier nights left open; list the input, freeze the manifest, cut it into shards; none in a dry
        run or when there is nothing to do.
        """
        from enhancer.airflow.connections import settings_from_airflow
        from enhancer.batch.plan.request import RunRequest

        settings = settings_from_airflow()
        request = RunRequest.from_params(get_current_context()["params"], settings)
        close_abandoned(request, settings)
        return plan_in_airflow(request, settings)

    shard.expand(shard=plan()) >> report()


image_enhancement()
