"""Closing what earlier runs left open: a run whose tasks died, were failed by hand or deleted has no report."""

from __future__ import annotations

import structlog

from enhancer.batch import layout
from enhancer.batch.reporting import RunFailedError, report_run
from enhancer.errors import EnhancerError
from enhancer.ledger import Ledger
from enhancer.ledger.migrate import check
from enhancer.settings import Settings

log = structlog.get_logger(__name__)


def finish_abandoned(
    settings: Settings,
    *,
    input_url: str | None = None,
    output_url: str | None = None,
    exclude_run: str | None = None,
    exclude_dag_run: tuple[str, str] | None = None,
) -> list[str]:
    """Report every run that no one works on any more: what is `committing` is resolved, the rest ends as failed or not
    attempted, so that the next run takes it up.

    Abandoned is a run that began ``abandoned_after_s`` ago or earlier, and none of whose shards had a lease since.
    Should it live in spite of that, nothing is lost: its tasks find it finished, and the next run does the rest.

    Args:
        settings: where ledger and stores are.
        input_url: only runs that read here.
        output_url: only runs that publish here.
        exclude_run: the name of a run to leave alone, since it is about to go on.
        exclude_dag_run: ids of a DAG and of its run, whose run in the ledger is to be left alone likewise.

    Returns:
        The runs that were closed. One that cannot be closed now (its store is away) is logged and left for the next
        time.

    Raises:
        RequestError: a ledger without schema, or with another version's.
    """
    check(settings.ledger_url())
    with Ledger(settings.ledger_url()) as ledger:
        abandoned = ledger.runs.abandoned(settings.abandoned_after_s, input_url=input_url, output_url=output_url)
        goes_on = ledger.queries.find_by_dag_run(*exclude_dag_run) if exclude_dag_run else None
    excluded = None if exclude_run is None else _without_number(layout.ledger_run_id(exclude_run))
    closed = []
    for run_id in abandoned:
        if _without_number(run_id) == excluded or (goes_on is not None and run_id == goes_on.run_id):
            continue
        try:
            report_run(run_id, settings=settings)
        except RunFailedError as error:
            log.warning("abandoned run closed", run=run_id, outcome=error.message)
        except EnhancerError as error:
            log.warning("abandoned run cannot be closed now", run=run_id, error=error.message)
            continue
        closed.append(run_id)
    return closed


def _without_number(run_id: str) -> str:
    """``nightly`` of ``nightly~2``."""
    return run_id.partition("~")[0]
