"""The page's JSON, in the names of :mod:`enhancer.contract`, and its pictures."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Depends, Query, Request, Response

from enhancer.contract import SCHEMA_VERSION, Envelope
from enhancer.records import record_of
from enhancer_ui import exporting, pictures
from enhancer_ui.configuration import ui_settings
from enhancer_ui.listing import NO_NUL, Listing, Place
from enhancer_ui.reading import NotFoundError, Reader
from enhancer_ui.security import Visitor, visitor_of

router = APIRouter()


def reader_of(visitor: Annotated[Visitor, Depends(visitor_of)]) -> Reader:
    """The ledger for this request's visitor; a dependency."""
    return Reader(ui_settings(), visitor)


LedgerReader = Annotated[Reader, Depends(reader_of)]
Offset = Annotated[int, Query(ge=0, le=10**9)]
Limit = Annotated[int, Query(ge=1, le=500)]
Key = Annotated[str, Query(min_length=1, max_length=1024, pattern=NO_NUL)]
RunId = Annotated[str, Query(min_length=1, max_length=250, pattern=NO_NUL)]
Listed = Annotated[Listing, Depends()]


@router.get("/api/runs")
def runs(reader: LedgerReader, offset: Offset = 0, limit: Limit = 50) -> dict[str, Any]:
    """A page of runs, newest first. `next_offset` is null on the last one."""
    rows, following = reader.runs(offset, limit)
    return {"schema_version": SCHEMA_VERSION, "runs": [row.as_dict() for row in rows], "next_offset": following}


@router.get("/api/run")
def run(reader: LedgerReader, run_id: RunId) -> dict[str, Any]:
    """One run with its counts by state, its rate and the seconds that are left."""
    row = reader.run(run_id)
    return {"schema_version": SCHEMA_VERSION, "run": row.as_dict(), "progress": reader.progress(run_id).as_dict()}


@router.get("/api/items")
def items(
    reader: LedgerReader,
    run_id: RunId,
    listing: Listed,
    offset: Offset = 0,
    limit: Limit = 100,
    after: Place = None,
) -> Response:
    """A page of a run's items in the common envelope; its summary has the run, the number of items that match, and
    `next`, which is `after` of the next page and null on the last one. In the manifest's order where none is given.
    """
    run = reader.run(run_id)
    page = reader.items(
        run_id,
        listing.matching,
        listing.order or "position",
        descending=listing.desc,
        limit=limit,
        offset=offset,
        after=after,
    )
    envelope = Envelope(
        command="ui items",
        ok=True,
        items=[record_of(run, row) for row in page.rows],
        summary={"run": run.as_dict(), "total": page.total, "offset": offset, "next": page.after},
    )
    return Response(envelope.to_json(indent=None), media_type="application/json")


@router.get("/api/export")
def export(
    reader: LedgerReader, run_id: RunId, listing: Listed, kind: Annotated[Literal["csv", "json"], Query()]
) -> Response:
    """All items that match, as a file: CSV, or JSON in the common envelope."""
    run = reader.run(run_id)
    rows = reader.every_item(run_id, listing.matching, listing.sort, descending=listing.desc)
    return exporting.answer(run, rows, kind, listing.query())


@router.get("/api/item")
def item(reader: LedgerReader, run_id: RunId, key: Key) -> Response:
    """One item in the common envelope."""
    run, row = reader.item(run_id, key)
    envelope = Envelope(command="ui item", ok=True, items=[record_of(run, row)])
    return Response(envelope.to_json(indent=None), media_type="application/json")


@router.get("/picture")
def picture(request: Request, reader: LedgerReader, run_id: RunId, key: Key, side: pictures.Side) -> Response:
    """The bytes of one side of an item, as they lie in the store. The address comes from the ledger's row alone."""
    run, row = reader.item(run_id, key)
    place = pictures.locate(run, row, side)
    if place is None:
        raise NotFoundError(f"There is no enhanced picture of {key!r} in this run.")
    return pictures.answer(request, pictures.open_picture(place, ui_settings()))
