"""The report task: fence out stragglers, resolve what is half published, close the run, write what happened.

Report files lie under ``output_url/_enhancer/reports/RUN/``: ``report.json`` (the one JSON contract, every item),
``report.html`` (one self-contained page) and ``manifest-sha256.txt`` (checksums of what was published).
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import structlog

from enhancer.batch import checksums, layout
from enhancer.batch.failure_share import FailureShare
from enhancer.batch.publication import Publisher, delete_staged
from enhancer.batch.report_page import render_page
from enhancer.batch.side_files import found_by_run
from enhancer.batch.worker_process import WorkerProcess
from enhancer.contract import Envelope
from enhancer.errors import EnhancerError, StorageError
from enhancer.ledger import GOOD, CountedRun, ItemState, Ledger, Run
from enhancer.reasons import Reason
from enhancer.records import record_of
from enhancer.settings import Settings
from enhancer.storage import open_store
from enhancer.storage.base import ObjectStore

log = structlog.get_logger(__name__)

REPORT_OWNER = "report"
WAYS_OUT: Final = {
    "stopped": "Mend the store, the network or the machine; the next run takes up what was not reached",
    "held": "Look at what was refused, then `enhancer ledger release` or `enhancer ledger drop` what is held",
}


class RunFailedError(EnhancerError):
    """The run is over and reported, but too much of it failed."""

    default_reason = Reason.RUN_FAILED


@dataclass(frozen=True, slots=True)
class RunReport:
    """How a run ended.

    Attributes:
        run_id: the ledger's id.
        outcome: ``success`` or ``failed``.
        counts: items by state.
        report_url: address of the HTML page.
        published: pictures whose target was written by this run (copies of known results included).
        failure_rate: failed, quarantined and not attempted items over all that count
            (:class:`~enhancer.batch.failure_share.FailureShare`).
        output_url: where it published.
    """

    run_id: str
    outcome: str
    counts: dict[str, int]
    report_url: str
    published: int
    failure_rate: float
    output_url: str = ""


def report_run(run_id: str, *, settings: Settings) -> RunReport:
    """Close a run and report it. Run again after a crash, it picks up where it was; on a finished run it only answers.

    Raises:
        RunFailedError: after everything is closed and written: the run was halted, or its failure rate passed
            ``failure_threshold`` with at least ``failure_min_items`` pictures attempted.
        RequestError: the ledger knows no such run.
    """
    with Ledger(settings.ledger_url()) as ledger:
        run = ledger.runs.get(run_id)
        output = open_store(run.output_url, settings)
        page_address = output.address(layout.report_key(run_id, "report.html"))
        if run.state != "finished":
            _close(ledger, run_id, settings)
        counts = ledger.items.counts(run_id)
        share = FailureShare.of(ledger, run_id)
        rate = share.rate
        halt = ledger.halts.of(run_id)
        failed = share.fails(settings) or halt is not None
        outcome = run.outcome or ("failed" if failed else "success")
        if run.state != "finished":
            planned = run.summary or {}
            summary = {
                **planned,
                "counts": counts,
                "side_files": found_by_run(ledger, run_id, planned.get("side_files") or {}),
                "failure_rate": rate,
                "passed_through": ledger.halts.passed_through(run_id),
                "figures": ledger.queries.run_figures(run_id),
            }
            write_report(ledger, run_id, outcome, settings, output, summary)
            _sweep(run, settings, ledger)  # before the end: who is killed in between sweeps again
            ledger.runs.finish(run_id, outcome, report_address=page_address, summary=summary)
    report = RunReport(
        run_id,
        outcome,
        counts,
        page_address,
        counts.get(ItemState.PUBLISHED, 0) + counts.get(ItemState.REUSED, 0),
        rate,
        run.output_url,
    )
    log.info("run finished", run=run_id, outcome=outcome, **counts)
    if halt is not None:
        raise RunFailedError(f"run {run_id} was {halt.kind}: {halt.reason}. {WAYS_OUT[halt.kind]}. See {page_address}")
    if outcome == "failed":
        raise RunFailedError(
            f"{rate:.0%} of the {share.pictures} pictures that run {run_id} attempted failed, more than "
            f"ENHANCER_FAILURE_THRESHOLD={settings.failure_threshold:g}: see {page_address}"
        )
    return report


def _close(ledger: Ledger, run_id: str, settings: Settings) -> None:
    """From here no straggler can write: publish what is `committing`, end what is open."""
    for lease in ledger.runs.take_all(run_id, REPORT_OWNER):
        if ledger.items.shard_counts(run_id, lease.shard_id).get(ItemState.COMMITTING):
            Publisher(lease, ledger, settings).run(ItemState.COMMITTING)
    halt = ledger.halts.of(run_id)
    kind, reason = (None, None) if halt is None else (halt.kind, halt.reason)
    ledger.runs.close_items(run_id, stopped=kind == "stopped", held=kind == "held", reason=reason)


def write_report(
    ledger: Ledger, run_id: str, outcome: str, settings: Settings, output: ObjectStore, summary: dict[str, Any]
) -> None:
    """Write ``report.json``, ``report.html`` and ``manifest-sha256.txt``.

    Args:
        ledger: where the run's items are.
        run_id: the run, whose items are all closed.
        outcome: how it ends.
        settings: for the worker that makes the thumbnails.
        output: the store of its output_url.
        summary: what its row is about to have.
    """
    run = ledger.queries.run(run_id)
    if run is None:
        raise StorageError(f"run {run_id} vanished from the ledger while it was reported")
    output.clear_interrupted(layout.report_key(run_id, "").rstrip("/"))
    pictures = _thumbnails(ledger, run_id, settings)
    described = replace(run, outcome=outcome, summary=summary)
    with tempfile.TemporaryDirectory(prefix="enhancer-report-") as folder:
        path = Path(folder, "report.json")
        _write_json(path, ledger, described)
        output.put(layout.report_key(run_id, path.name), path.read_bytes(), content_type="application/json")
        path = Path(folder, checksums.NAME)
        checksums.write_manifest(path, ledger, run_id, output)
        output.put(layout.report_key(run_id, path.name), path.read_bytes(), content_type="text/plain; charset=utf-8")
    page = render_page(ledger, described, pictures).encode()
    output.put(layout.report_key(run_id, "report.html"), page, content_type="text/html; charset=utf-8")


def _write_json(path: Path, ledger: Ledger, run: CountedRun) -> None:
    """Item by item, so that memory does not grow with the run."""
    counts = ledger.items.counts(run.run_id)
    head = Envelope(command="batch run", ok=run.outcome == "success", summary={**run.as_dict(), "counts": counts})
    before, after = head.to_json(indent=None).split('"items":[]', 1)
    with path.open("w", encoding="utf-8") as file:
        file.write(before + '"items":[')
        for number, row in enumerate(ledger.queries.iter_items(run.run_id)):
            file.write(("," if number else "") + record_of(run, row).model_dump_json(by_alias=True))
        file.write("]" + after)


def _thumbnails(ledger: Ledger, run_id: str, settings: Settings) -> dict[str, dict[str, Any]]:
    """Before and after by key. A picture that kills the worker costs the pictures that were not made yet, not the
    report.
    """
    pictures: dict[str, dict[str, Any]] = {}
    if not GOOD & ledger.items.counts(run_id).keys():
        return pictures

    def keep(event: Any) -> None:
        if event.event == "item" and event.key is not None:
            pictures[event.key] = dict(event.data)

    try:
        watch = WorkerProcess("thumbnails", [run_id], settings, on_event=keep).run()
        if not watch.finished:
            died_at = ", ".join(watch.suspects())
            log.warning("the report has fewer pictures: its worker died", key=died_at, exit_code=watch.exit_code)
    except EnhancerError as error:
        log.warning("the report has fewer pictures", reason=error.message)
    return pictures


def _sweep(run: Run, settings: Settings, ledger: Ledger) -> None:
    """Delete staged objects of this run that no result points to, and what killed workers began to write."""
    if not run.shards:
        return  # nothing was staged, and a local work folder may not even be there
    work = open_store(run.work_url, settings)
    work.clear_interrupted(run.run_id, below=True)
    for info in work.list(layout.staged_prefix(run.run_id)):
        if not ledger.results.points_to(work.address(info.key)):
            delete_staged(work, info.key)
