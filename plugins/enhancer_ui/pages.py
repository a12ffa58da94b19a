"""The pages, rendered on the server. They work without their script, which only refreshes and eases them."""

from __future__ import annotations

import time
from functools import lru_cache
from http import HTTPStatus
from typing import Annotated, Any, Final, Literal

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment

from enhancer.batch.layout import REFERENCE_CHECK_DAG
from enhancer.collections import DEFAULT
from enhancer.ledger.rows import Action, CountedRun
from enhancer.records import record_of
from enhancer.storage.roots import Roots
from enhancer_ui import airflow_side, describing, pictures, showing, trends
from enhancer_ui.api import Key, LedgerReader, Offset, RunId
from enhancer_ui.configuration import ui_settings
from enhancer_ui.describing import REDRIVE_DAG, Collections, Kind
from enhancer_ui.listing import Listing, Place, Word
from enhancer_ui.security import Visitor, visitor_of

router = APIRouter()

RUNS_PER_PAGE: Final = 25
ITEMS_PER_PAGE: Final = 50
MOST_PLOTTED: Final = 200_000
"""Pictures whose scores a page plots; counting millions would hold it up."""

Asker = Annotated[Visitor, Depends(visitor_of)]
Outcome = Literal["at work", "success", "failed", "trouble"]
OUTCOMES: Final = ("at work", "success", "failed", "trouble")


@lru_cache(maxsize=1)
def _templates() -> Environment:
    return showing.environment()


def _page(template: str, status: int = 200, **values: Any) -> HTMLResponse:
    return HTMLResponse(_templates().get_template(template).render(values), status)


def message_page(request: Request, status: HTTPStatus, message: str, title: str | None = None) -> Response:
    """A page that says what is wrong, under a title for people; the status is for programs."""
    retry = status == HTTPStatus.SERVICE_UNAVAILABLE
    return _page("message.html", status, title=title or status.phrase, message=message, live=retry)


def set_up_page(request: Request, status: HTTPStatus, message: str) -> Response:
    """What to do first, where there is no ledger to read."""
    return _page("set_up.html", status, message=message, live=True)


@router.get("/")
def runs(
    reader: LedgerReader,
    visitor: Asker,
    offset: Offset = 0,
    search: Word = "",
    collection: Word = "",
    kind: Annotated[Kind | Literal[""], Query()] = "",
    outcome: Annotated[Outcome | Literal[""], Query()] = "",
) -> Response:
    """Runs, newest first, as the filters have them."""
    collections = Collections(ui_settings())

    def wanted(run: CountedRun) -> bool:
        return (
            (not collection or collections.of(run) == collection)
            and (not kind or describing.kind_of(run) == kind)
            and (not outcome or _is(run, outcome))
        )

    rows, following = reader.runs(offset, RUNS_PER_PAGE, search=search, wanted=wanted)
    there = airflow_side.known_dags(list(collections.dag_ids.values()))
    return _page(
        "runs.html",
        runs=rows,
        collection_of=collections.of,
        collections=list(collections.dag_ids),
        startable=[name for name, dag in collections.dag_ids.items() if dag in there and visitor.may_trigger(dag)],
        kinds=describing.KINDS,
        outcomes=OUTCOMES,
        filters={"search": search, "collection": collection, "kind": kind, "outcome": outcome},
        csrf=visitor.form_token(),
        offset=offset,
        following=following,
        live=any(not row.is_finished for row in rows),
    )


def _is(run: CountedRun, outcome: str) -> bool:
    if outcome == "at work":
        return not run.is_finished
    if outcome == "trouble":  # something new is wrong, whatever the outcome is
        return any(part.tone in ("bad", "warn") for part in showing.run_bar(run))
    return run.outcome == outcome


@router.get("/dag-run")
def dag_run(reader: LedgerReader, dag_id: RunId, run_id: RunId) -> Response:
    """The tab on a DAG run: its page of pictures, once it has opened a run in the ledger."""
    found = reader.run_of_dag_run(dag_id, run_id)
    if found is None:
        paused = airflow_side.is_paused(dag_id)
        return _page("waiting.html", dag_id=dag_id, dag_run_id=run_id, paused=paused, live=True)
    return RedirectResponse(showing.link("run", run_id=found, tab=1), HTTPStatus.TEMPORARY_REDIRECT)


@router.get("/run")
def run(
    reader: LedgerReader,
    visitor: Asker,
    run_id: RunId,
    listing: Annotated[Listing, Depends()],
    after: Place = None,
    before: Place = None,
    done: Annotated[int | None, Query(ge=1, le=2**31)] = None,
    tab: bool = False,
) -> Response:
    """A run and its pictures, filtered and sorted."""
    seen_at = reader.now()
    row = reader.run(run_id)
    page = reader.items(
        run_id,
        listing.matching,
        listing.sort,
        descending=listing.desc,
        limit=ITEMS_PER_PAGE,
        after=after,
        before=before,
    )
    roots = Roots.of(ui_settings())
    thumbnails = {
        one.key: {side: pictures.view(row, one, side, roots).thumbnail for side in pictures.SIDES} for one in page.rows
    }
    actions = reader.actions(run_id)
    return _page(
        "run.html",
        run=row,
        collection=Collections(ui_settings()).of(row),
        items=page.rows,
        total=page.total,
        before=page.before,
        after=page.after,
        thumbnails=thumbnails,
        has_truth=any("reference" in one.scores for one in page.rows),
        failures=reader.failures(run_id),
        facets=reader.facets(run_id),
        bins=reader.score_bins(run_id, listing.matching) if row.is_finished and page.total <= MOST_PLOTTED else [0],
        progress=None if row.is_finished else reader.progress(run_id),
        listing=listing,
        empty=describing.why_empty(row, is_filtered=listing.is_filtered),
        actions=actions,
        result=_result(actions, done),
        may=_rights(visitor, row),
        csrf=visitor.form_token(),
        seen_at=repr(seen_at),
        tab=tab,
        live=not row.is_finished,
    )


def _rights(visitor: Visitor, run: CountedRun) -> dict[str, bool]:
    """What the visitor may do with a run; while it is at work: nothing."""
    dry = describing.is_dry(run)
    return {
        "decide": run.is_finished and not dry and visitor.may_edit(run.dag_id),
        "redrive": run.is_finished and not dry and visitor.may_trigger(REDRIVE_DAG),
        "start": run.is_finished and dry and run.dag_id is not None and visitor.may_trigger(run.dag_id),
    }


def _result(actions: list[Action], done: int | None) -> Action | None:
    """What the visitor has just done, as the ledger has it."""
    return next((one for one in actions if one.action_id == done), None)


@router.get("/item")
def item(
    reader: LedgerReader,
    visitor: Asker,
    run_id: RunId,
    key: Key,
    done: Annotated[int | None, Query(ge=1, le=2**31)] = None,
    tab: bool = False,
) -> Response:
    """One picture: before and after, what was decided, how good it is, what went wrong."""
    seen_at = reader.now()
    row, found = reader.item(run_id, key)
    roots = Roots.of(ui_settings())
    sides = {side: pictures.view(row, found, side, roots) for side in pictures.SIDES}
    return _page(
        "item.html",
        run=row,
        item=found,
        record=record_of(row, found),
        sides=sides,
        notes=reader.notes(row, key),
        result=_result(reader.actions(run_id), done),
        may=_rights(visitor, row) | {"note": visitor.may_edit(row.dag_id)},
        csrf=visitor.form_token(),
        seen_at=repr(seen_at),
        tab=tab,
        live=False,
    )


@router.get("/collection")
def collection(reader: LedgerReader, name: Annotated[str, Query(min_length=1, max_length=100)]) -> Response:
    """How the nights of a collection went."""
    collections = Collections(ui_settings())
    now = time.time()

    checked = name == DEFAULT  # the reference check goes by the recipe of this collection

    def wanted(run: CountedRun) -> bool:
        if run.dag_id == REFERENCE_CHECK_DAG:
            return run.is_finished and checked
        return run.is_finished and not describing.is_dry(run) and collections.of(run) == name

    found = reader.history(now - trends.NIGHTS * trends.DAY_S, wanted)
    rows = [one for one in found if one.dag_id != REFERENCE_CHECK_DAG]
    checks = [one for one in found if one.dag_id == REFERENCE_CHECK_DAG]
    return _page(
        "collection.html",
        name=name,
        known=name in collections.dag_ids,
        runs=rows,
        charts=trends.charts(rows, now) + trends.canary_charts(checks, now),
        nights=trends.NIGHTS,
        width=trends.WIDTH,
        height=trends.HEIGHT,
        shown=trends.shown,
        live=False,
    )
