"""### Enhance the pictures of a bucket, every night or on demand.

`plan` lists the input, freezes the manifest and cuts it into shards. Each shard is enhanced, evaluated and published
on its own, so that a bad shard holds up no other. `report` writes what became of every picture, and fails the run when
too much of it failed.

Pictures that fail are data, not task failures: they are rows in the ledger, with their reason, and lines in the report.
A task fails, and is retried, only for trouble that a retry may mend. Running again does only what is missing.

Params left empty mean: as the rules, the preset or the `ENHANCER_*` settings say.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from airflow.sdk import Asset, AssetAlias, Param, TriggerRule, dag, get_current_context, task, task_group
from airflow.sdk.exceptions import AirflowFailException

from enhancer.batch.retrying import RetryTransient
from enhancer.recipe import PRESETS, Rule
from enhancer.settings import get_settings

if TYPE_CHECKING:
    from enhancer.batch.planning import Trigger

SETTINGS = get_settings()

ENHANCED = AssetAlias("enhanced_pictures")
"""Other DAGs schedule on this: an event from each successful run that published something, on its output_url."""

TRIGGERS: dict[str, Trigger] = {"manual": "manual", "operator_triggered": "manual", "backfill": "backfill"}
"""Airflow's run types in the ledger's words; the others are schedules of some kind."""

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
    "rerun": Param(
        "missing",
        "What is not there yet, only what failed before, or every picture again.",
        type="string",
        enum=["missing", "failed", "all"],
    ),
    "dry_run": Param(False, "Plan, count and estimate; touch no picture.", type="boolean"),
}

SHARD_TASK: dict[str, Any] = {
    "pool": SETTINGS.pool,
    "executor": SETTINGS.executor,
    "map_index_template": (
        "{% set shard = task.op_kwargs.shard %}shard {{ shard.shard }} ({{ shard.n }} picture{{ 's' if shard.n != 1 }})"
    ),
    "do_xcom_push": False,  # what was done stands in the ledger
}


@dag(
    schedule=SETTINGS.schedule or None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    params=PARAMS,
    tags=["enhancer", "images"],
    doc_md=__doc__,
    default_args={
        "owner": "enhancer",
        "retries": SETTINGS.task_retries,
        "retry_delay": timedelta(seconds=SETTINGS.task_retry_delay_s),
        "retry_policy": RetryTransient(),
        # A shard that has begun is published before the next begins: results come early, staged objects stay few.
        "weight_rule": "upstream",
        # No execution_timeout: it is SIGALRM in the task, which native code ignores, and it would cut off a long shard
        # that gets on well. The worker's supervisor holds each picture to its deadline (item_deadline_s), by SIGKILL.
    },
)
def image_enhancement() -> None:
    """List -> manifest -> shards -> [enhance -> evaluate -> publish] per shard -> report."""

    @task
    def plan() -> list[dict[str, Any]]:
        """List the input, freeze the manifest, cut it into shards; none in a dry run or when there is nothing to do."""
        from enhancer.batch.connections import settings_from_airflow
        from enhancer.batch.planning import plan_run
        from enhancer.batch.request import RunRequest

        context = get_current_context()
        dag_run, settings = context["dag_run"], settings_from_airflow()
        planned = plan_run(
            RunRequest.from_params(context["params"], settings),
            settings=settings,
            run_id=dag_run.run_id,
            trigger=TRIGGERS.get(dag_run.run_type, "scheduled"),
            dag_id=dag_run.dag_id,
            dag_run_id=dag_run.run_id,
        )
        context["ti"].xcom_push("run", planned.run_id)
        return planned.shards

    @task(queue=SETTINGS.enhance_queue, **SHARD_TASK)
    def enhance(shard: dict[str, Any]) -> dict[str, Any]:
        """Enhance the shard's pictures in a worker process and stage the results."""
        from enhancer.batch.connections import settings_from_airflow
        from enhancer.batch.enhancing import enhance_shard

        return enhance_shard(shard, settings=settings_from_airflow(), owner=this_attempt())

    @task(queue=SETTINGS.evaluate_queue, trigger_rule=TriggerRule.ALL_DONE, **SHARD_TASK)
    def evaluate(shard: dict[str, Any]) -> dict[str, Any]:
        """Score and judge what was enhanced; what the gate rejects gets one gentler attempt."""
        from enhancer.batch.connections import settings_from_airflow
        from enhancer.batch.evaluation import evaluate_shard

        return evaluate_shard(shard, settings=settings_from_airflow(), owner=this_attempt())

    @task(trigger_rule=TriggerRule.ALL_DONE, **SHARD_TASK)
    def publish(shard: dict[str, Any]) -> dict[str, Any]:
        """Bring what passed to its target, each picture in one atomic step."""
        from enhancer.batch.connections import settings_from_airflow
        from enhancer.batch.publication import publish_shard

        return publish_shard(shard, settings=settings_from_airflow(), owner=this_attempt())

    @task(trigger_rule=TriggerRule.ALL_DONE, outlets=[ENHANCED], multiple_outputs=False)
    def report() -> dict[str, str]:
        """Close the run, write its report, announce what was published; fail when too much of the run failed."""
        from enhancer.batch.connections import settings_from_airflow
        from enhancer.batch.reporting import report_run

        context = get_current_context()
        run = context["ti"].xcom_pull(task_ids="plan", key="run")
        if run is None:  # all_done lets this task run, and as the last one it decides the state of the DAG run
            raise AirflowFailException("the task plan failed, so there is no run to report on; plan's log says why")
        settings = settings_from_airflow()
        result = report_run(run, settings=settings)
        if result.published:
            output = Asset(quote(str(context["params"]["output_url"] or settings.output_url), safe="/:"))
            about = {"run": run, "counts": result.counts, "report_url": result.report_url}
            context["outlet_events"][ENHANCED].add(output, extra=about)
        return {"run": run, "outcome": result.outcome, "report_url": result.report_url}

    @task_group
    def shard(shard: dict[str, Any]) -> None:
        enhance(shard=shard) >> evaluate(shard=shard) >> publish(shard=shard)

    shard.expand(shard=plan()) >> report()


def this_attempt() -> str:
    """This try of this task: who owns the shard's lease."""
    ti = get_current_context()["ti"]
    return f"{ti.run_id}/{ti.task_id}/{ti.map_index}/{ti.try_number}"


image_enhancement()
