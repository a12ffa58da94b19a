"""The whole nightly job without Airflow: the same functions, shards in threads that each watch a worker process."""

from __future__ import annotations

import os
import socket
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import structlog

from enhancer.batch.plan.planning import Trigger, plan_run
from enhancer.batch.plan.recovery import finish_abandoned
from enhancer.batch.plan.request import RunRequest
from enhancer.batch.reporting import RunReport, report_run
from enhancer.batch.tasks import enhance_shard, evaluate_shard, publish_shard, second_look_at_shard
from enhancer.batch.worker_process import OnEvent, ignore_event
from enhancer.ledger.migrate import upgrade
from enhancer.settings import Settings

log = structlog.get_logger(__name__)


def run_batch(
    request: RunRequest,
    *,
    settings: Settings,
    run_id: str | None = None,
    trigger: Trigger = "cli",
    dag_id: str | None = None,
    dag_run_id: str | None = None,
    jobs: int = 1,
    on_event: OnEvent = ignore_event,
) -> RunReport:
    """Close what earlier runs left open; plan, enhance, evaluate, look again, publish and report.

    Called again with the `run_id` of a run that was cut short, it goes on.

    Args:
        request: what to do; a dry run only plans.
        settings: where ledger and stores are; a SQLite ledger is brought up to date, others must be.
        run_id: a name for the run; None makes one from the time.
        trigger: what started it, for the ledger.
        dag_id: what kind of run it is, for the ledger.
        dag_run_id: Airflow's id of the run, where a task does the whole of it.
        jobs: shards worked on at once.
        on_event: called with every worker's events, from several threads.

    Raises:
        RunFailedError: after the report, when too much failed.
        ExceptionGroup: shards that broke for no picture's fault; their pictures are reported as failed first.
    """
    if settings.ledger_url().startswith("sqlite"):
        upgrade(settings.ledger_url())
    name = run_id or f"cli-{datetime.now(UTC):%Y-%m-%dT%H-%M-%S}-{os.getpid()}"
    finish_abandoned(settings, input_url=request.input_url, output_url=request.output_url, exclude_run=name)
    plan = plan_run(request, settings=settings, run_id=name, trigger=trigger, dag_id=dag_id, dag_run_id=dag_run_id)
    owner = f"{socket.gethostname()}:{os.getpid()}"
    errors: list[Exception] = []

    def one(reference: dict[str, Any]) -> None:
        for task in (enhance_shard, evaluate_shard, second_look_at_shard, publish_shard):
            try:
                task(reference, settings=settings, owner=owner, on_event=on_event)
            except Exception as error:  # what is good goes through when a part failed; raised at the end
                log.exception("shard task failed", shard=reference["shard"], error=str(error), exc_info=error)
                errors.append(error)

    with ThreadPoolExecutor(max_workers=max(1, jobs), thread_name_prefix="shard") as pool:
        list(pool.map(one, plan.shards))
    report = report_run(plan.run_id, settings=settings)
    if errors:
        raise ExceptionGroup(f"{len(errors)} tasks of run {plan.run_id} failed; report: {report.report_url}", errors)
    return report
