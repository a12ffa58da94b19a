"""The application: pages, JSON and pictures, all behind the guard."""

from __future__ import annotations

from http import HTTPStatus
from pathlib import Path
from typing import Final

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from enhancer import viewer
from enhancer.errors import EnhancerError, StorageError
from enhancer.reasons import Reason
from enhancer_ui import acting, api, pages, reports, viewing
from enhancer_ui.reading import LedgerUnavailableError, NoLedgerError
from enhancer_ui.security import Guard

_STATUS: Final[dict[str, HTTPStatus]] = {
    Reason.BAD_CONNECTION: HTTPStatus.SERVICE_UNAVAILABLE,
    Reason.BAD_KEY: HTTPStatus.BAD_REQUEST,
    Reason.BAD_LEDGER_DSN: HTTPStatus.SERVICE_UNAVAILABLE,
    Reason.FOREIGN_ADDRESS: HTTPStatus.FORBIDDEN,
    Reason.GONE: HTTPStatus.NOT_FOUND,
    Reason.LEDGER: HTTPStatus.SERVICE_UNAVAILABLE,
    Reason.LEDGER_SCHEMA: HTTPStatus.SERVICE_UNAVAILABLE,
    Reason.NO_RUN: HTTPStatus.NOT_FOUND,
    Reason.NOT_ALLOWED: HTTPStatus.FORBIDDEN,
    Reason.NOT_FOUND: HTTPStatus.NOT_FOUND,
    Reason.TOO_MANY_BYTES: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    Reason.UNSUPPORTED: HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
}


def routes() -> FastAPI:
    """The routes without the guard; only :func:`create_app` and the tests that enumerate them want this."""
    app = FastAPI(title="Picture enhancement", docs_url=None, redoc_url=None, openapi_url=None)
    app.include_router(pages.router)
    app.include_router(api.router)
    app.include_router(acting.router)
    app.include_router(reports.router)
    app.include_router(viewing.router)
    app.mount("/static", StaticFiles(directory=Path(__file__).with_name("static")), name="static")
    app.mount("/viewer", StaticFiles(directory=viewer.FOLDER), name="viewer")
    app.add_exception_handler(EnhancerError, _deliberate_error)
    app.add_exception_handler(HTTPException, _refused)
    return app


def create_app() -> ASGIApp:
    """The application that Airflow mounts. The guard is the outermost layer, so that nothing is served around it."""
    return Guard(routes())


def _deliberate_error(request: Request, error: Exception) -> Response:
    """A deliberate error as a page that says what is wrong and the way out."""
    assert isinstance(error, EnhancerError)
    otherwise = HTTPStatus.BAD_GATEWAY if isinstance(error, StorageError) else HTTPStatus.BAD_REQUEST
    status = _STATUS.get(error.reason, otherwise)
    if isinstance(error, NoLedgerError) and not _is_for_programs(request):
        return pages.set_up_page(request, status, error.message)
    title = "The ledger cannot be read" if isinstance(error, LedgerUnavailableError) else None
    return _answer(request, status, error.message, title)


def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _answer(request, HTTPStatus(error.status_code), str(error.detail))


def _answer(request: Request, status: HTTPStatus, message: str, title: str | None = None) -> Response:
    if _is_for_programs(request):
        return JSONResponse({"error": message}, status)
    return pages.message_page(request, status, message, title)


def _is_for_programs(request: Request) -> bool:
    path = request.url.path
    return "/api/" in path or "/tiles/" in path or path.endswith(("/picture", "/thumbnail"))
