"""Jobs as callers see them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

from pydantic import BaseModel, Field

from enhancer.contract import Envelope
from enhancer.ledger import Item, ItemState, Job, Ledger
from enhancer.records import AT_TARGET, record_of


class JobError(BaseModel):
    """Why a job failed, or what too much of it failed by."""

    error_class: str = Field(alias="class")
    message: str


class JobView(BaseModel):
    """A job. Its pictures are listed under `links.items`."""

    id: str
    state: str = Field(description="queued | running | finished | failed | cancelled")
    created_at: datetime
    started_at: datetime | None = None
    finished_at: datetime | None = None
    expired: bool = Field(False, description="its files were deleted")
    pictures: int = Field(description="that it was given")
    counts: dict[str, int] = Field(description="its pictures by state, once it is planned")
    error: JobError | None = None
    links: dict[str, str]


def job_view(job: Job, ledger: Ledger) -> JobView:
    """A job with its pictures counted."""
    run = None if job.run_id is None else ledger.queries.run(job.run_id)
    here = f"/v1/jobs/{quote(job.job_id)}"
    error = None
    if job.error_class is not None:
        error = {"class": job.error_class, "message": job.error_message or ""}
    return JobView.model_validate(
        {
            "id": job.job_id,
            "state": job.state,
            "created_at": _moment(job.created_at),
            "started_at": _moment(job.started_at),
            "finished_at": _moment(job.finished_at),
            "expired": job.expired_at is not None,
            "pictures": len(job.request.get("keys") or ()),
            "counts": {} if run is None else run.counts,
            "error": error,
            "links": {"self": here, "items": f"{here}/items", "events": f"{here}/events"},
        }
    )


def items_envelope(job: Job, ledger: Ledger, *, state: str | None, limit: int, offset: int) -> Envelope:
    """A page of the job's pictures in the one JSON contract; ``summary.results`` has the address of each result."""
    run = None if job.run_id is None else ledger.queries.run(job.run_id)
    summary: dict[str, Any] = {"job": job.job_id, "state": job.state, "matching": 0, "results": {}}
    if run is None:
        return Envelope(command="job", ok=job.state not in ("failed", "cancelled"), summary=summary)
    rows, total = ledger.queries.items(run.run_id, state=state, limit=limit, offset=offset)
    summary["matching"] = total
    if job.expired_at is None:
        summary["results"] = {row.key: result_path(job, row.key) for row in rows if has_result(row)}
    ok = job.state not in ("failed", "cancelled") and run.outcome != "failed"
    return Envelope(command="job", ok=ok, items=[record_of(run, row) for row in rows], summary=summary)


def result_path(job: Job, key: str) -> str:
    """Where the result of an input is served."""
    return f"/v1/jobs/{quote(job.job_id)}/results/{quote(key)}"


def has_result(row: Item) -> bool:
    """Whether a picture's target is there: written by this run, or found as it should be."""
    return row.state in AT_TARGET or (row.state == ItemState.SKIPPED and row.error_class is None)


def _moment(seconds: float | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC)
