"""The pages, rendered on the server. Their script only refreshes them and helps to compare two pictures."""

from __future__ import annotations

from functools import lru_cache
from http import HTTPStatus
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment

from enhancer.ledger.queries import Order
from enhancer.ledger.states import ItemState
from enhancer.records import record_of
from enhancer.storage.roots import Roots
from enhancer_ui import pictures, showing
from enhancer_ui.api import Key, LedgerReader, Offset, RunId, Search
from enhancer_ui.configuration import ui_settings

router = APIRouter()

RUNS_PER_PAGE: Final = 25
ITEMS_PER_PAGE: Final = 50


@lru_cache(maxsize=1)
def _templates() -> Environment:
    return showing.environment()


def _page(template: str, status: int = 200, **values: Any) -> HTMLResponse:
    return HTMLResponse(_templates().get_template(template).render(values), status)


def message_page(request: Request, status: HTTPStatus, message: str) -> Response:
    """A page that says what is wrong."""
    retry = status == HTTPStatus.SERVICE_UNAVAILABLE
    return _page("message.html", status, title=status.phrase, message=message, live=retry)


@router.get("/")
def runs(reader: LedgerReader, offset: Offset = 0) -> Response:
    """Every run, newest first."""
    rows, following = reader.runs(offset, RUNS_PER_PAGE)
    live = any(row.finished_at is None for row in rows)
    return _page("runs.html", runs=rows, offset=offset, following=following, live=live)


@router.get("/dag-run")
def dag_run(reader: LedgerReader, dag_id: RunId, run_id: RunId) -> Response:
    """The tab on a DAG run: its page of pictures, once it has opened a run in the ledger."""
    found = reader.run_of_dag_run(dag_id, run_id)
    if found is None:
        return _page("waiting.html", dag_id=dag_id, dag_run_id=run_id, live=True)
    return RedirectResponse(showing.link("run", run_id=found, tab=1), HTTPStatus.TEMPORARY_REDIRECT)


@router.get("/run")
def run(
    reader: LedgerReader,
    run_id: RunId,
    state: ItemState | None = None,
    search: Search = None,
    order: Order = "worst",
    page: Annotated[int, Query(ge=1, le=10**7)] = 1,
    tab: bool = False,
) -> Response:
    """A run and its items."""
    row = reader.run(run_id)
    rows, total = reader.items(
        run_id,
        state=state,
        search=search or None,
        order=order,
        limit=ITEMS_PER_PAGE,
        offset=(page - 1) * ITEMS_PER_PAGE,
    )
    roots = Roots.of(ui_settings())
    thumbnails = {
        one.key: {side: pictures.view(row, one, side, roots).thumbnail for side in pictures.SIDES} for one in rows
    }
    return _page(
        "run.html",
        run=row,
        items=rows,
        thumbnails=thumbnails,
        total=total,
        failures=reader.failures(run_id),
        progress=None if row.finished_at is not None else reader.progress(run_id),
        filters={"state": state or "", "search": search or "", "order": order},
        page=page,
        pages=max(1, -(-total // ITEMS_PER_PAGE)),
        tab=tab,
        live=row.finished_at is None,
    )


@router.get("/item")
def item(reader: LedgerReader, run_id: RunId, key: Key, tab: bool = False) -> Response:
    """One picture: before and after, what was decided, how good it is, what went wrong."""
    row, found = reader.item(run_id, key)
    roots = Roots.of(ui_settings())
    sides = {side: pictures.view(row, found, side, roots) for side in pictures.SIDES}
    return _page("item.html", run=row, item=found, record=record_of(row, found), sides=sides, tab=tab, live=False)
