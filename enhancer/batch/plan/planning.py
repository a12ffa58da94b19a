"""Planning: choose what is work, freeze it as a manifest, cut it into shards, say what it will take. What an earlier
run left undone comes first; a re-drive takes nothing else, and from the ledger.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final, Literal

import structlog
from sqlalchemy.exc import SQLAlchemyError

from enhancer.batch import layout
from enhancer.batch.failures import classify
from enhancer.batch.plan.choosing import Tally, work_of
from enhancer.batch.plan.continuing import may_continue
from enhancer.batch.plan.estimate import Estimate, in_words
from enhancer.batch.plan.manifest import freeze, spool
from enhancer.batch.plan.request import RunRequest
from enhancer.batch.plan.shards import calibrate, cut
from enhancer.batch.side_files import Pictures, few_kinds
from enhancer.errors import LeaseLostError
from enhancer.ledger import Ledger
from enhancer.ledger.migrate import check
from enhancer.settings import Settings
from enhancer.storage import open_store

log = structlog.get_logger(__name__)

Trigger = Literal["scheduled", "manual", "backfill", "cli", "api"]
MANY: Final = 10_000
"""Items after which the database is asked to look its table over."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What Airflow passes on: the run and a small reference per shard."""

    run_id: str
    shards: list[dict[str, Any]]
    summary: dict[str, Any]


def plan_run(
    request: RunRequest,
    *,
    settings: Settings,
    run_id: str,
    trigger: Trigger,
    dag_id: str | None = None,
    dag_run_id: str | None = None,
) -> Plan:
    """Plan a run and freeze its manifest. Called again after a crash, it plans anew; once the manifest is frozen, it
    returns the same shards.

    Raises:
        RequestError: absurd shard counts, a ledger without schema, bad URLs, an open run of that name that is another
            DAG's or was begun for another request.
        StorageError: the input cannot be listed or the manifest cannot be written.
    """
    check(settings.ledger_url())
    with Ledger(settings.ledger_url()) as ledger:
        run_id = ledger.runs.open(
            layout.ledger_run_id(run_id),
            check=may_continue(request, dag_id, dag_run_id),
            trigger=trigger,
            dag_id=dag_id,
            dag_run_id=dag_run_id,
            input_url=request.input_url,
            output_url=request.output_url,
            work_url=request.work_url,
            reference_url=request.reference_url,
            params=request.as_params(),
            recipes={},
        )
        if ledger.runs.get(run_id).state == "planning":
            with _noted(ledger, run_id):
                _plan(request, settings, ledger, run_id)
        return _plan_of(ledger, run_id)


@contextmanager
def _noted(ledger: Ledger, run_id: str) -> Iterator[None]:
    """Note in the run's row what ends its planning, where the ledger still takes it."""
    try:
        yield
    except LeaseLostError:  # another attempt plans it, or has
        raise
    except Exception as error:
        failure = classify(error, "list")
        with suppress(SQLAlchemyError):
            ledger.runs.planning_failed(run_id, {"class": failure.error_class, "message": failure.message})
        raise


def _plan(request: RunRequest, settings: Settings, ledger: Ledger, run_id: str) -> None:
    source, pictures = open_store(request.input_url, settings), Pictures.from_settings(settings)
    tally = Tally()
    estimated_s, history_s = ledger.queries.cost_history(without_dag=layout.REFERENCE_CHECK_DAG)
    factor = calibrate(estimated_s, history_s)
    with spool() as planned:
        for row in work_of(request, ledger, run_id, source, pictures, tally):
            planned.add(row)
        tally.cost_s *= factor
        chosen = cut(tally.items, tally.cost_s, settings)
        digest, shards = None, 0
        if not request.dry_run:
            digest, shards = freeze(planned, ledger, run_id, open_store(request.work_url, settings), chosen, factor)
            if tally.items >= MANY:
                ledger.upkeep.settle_items()
    price = settings.worker_hour_price if request.worker_hour_price is None else request.worker_hour_price
    estimate = Estimate(tally.items, tally.bytes, chosen.count, tally.cost_s, history_s, price).as_summary()
    ledger.runs.start(
        run_id,
        manifest_digest=digest,
        listed=tally.listed,
        quick_skipped=tally.quick_skipped,
        items=0 if request.dry_run else tally.items + tally.repeated,
        shards=shards,
        recipes=tally.recipes,
        summary={
            **estimate,
            "repeated_verdicts": tally.repeated,
            "repeated_by_state": dict(tally.repeated_by_state),
            "refused_keys": tally.refused,
            "side_files": few_kinds(tally.side_files),
            "dry_run": request.dry_run,
        },
    )
    log.info(
        "planned",
        run=run_id,
        listed=tally.listed,
        unchanged=tally.quick_skipped,
        side_files=tally.side_files.total(),
        items=tally.items,
        shards=shards,
        estimate=in_words(estimate),
    )


def _plan_of(ledger: Ledger, run_id: str) -> Plan:
    row = ledger.runs.get(run_id)
    uri = f"{row.work_url}/{layout.manifest_key(run_id)}"
    references = [
        {
            "run": run_id,
            "shard": shard.shard_id,
            "uri": uri,
            "n": shard.items,
        }
        for shard in ledger.runs.shards_of(run_id)
    ]
    counts = {"listed": row.listed, "quick_skipped": row.quick_skipped, "items": row.items, "shards": row.shards}
    return Plan(run_id, references, {**counts, **(row.summary or {})})
