"""Errors as answers: ``application/problem+json`` (RFC 9457) with the class that the same error has everywhere else."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any, Final

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field
from sqlalchemy.exc import SQLAlchemyError
from starlette.exceptions import HTTPException

from enhancer.errors import EnhancerError, ErrorKind
from enhancer.ledger.engine import is_transient
from enhancer.reasons import Reason

log = structlog.get_logger(__name__)

MEDIA_TYPE: Final = "application/problem+json"

STATUS_OF: Final[dict[str, int]] = {
    Reason.UNAUTHORIZED: 401,
    Reason.NOT_ALLOWED: 403,
    Reason.FOREIGN_ADDRESS: 403,
    Reason.BAD_SIGNATURE: 403,
    Reason.NO_JOB: 404,
    Reason.NO_RUN: 404,
    Reason.NOT_FOUND: 404,
    Reason.GONE: 404,
    Reason.NO_COLLECTION: 404,
    Reason.NOT_READY: 409,
    Reason.KEY_REUSED: 409,
    Reason.OTHER_RUN: 409,
    Reason.EXPIRED: 410,
    Reason.TOO_MANY_BYTES: 413,
    Reason.TOO_MANY_PIXELS: 413,
    Reason.TOO_MANY_PAGES: 413,
    Reason.OUTPUT_TOO_LARGE: 413,
    Reason.EMPTY: 415,
    Reason.NOT_A_PICTURE: 415,
    Reason.UNSUPPORTED: 415,
    Reason.UNKNOWN_FORMAT: 415,
    Reason.RATE_LIMITED: 429,
    Reason.QUEUE_FULL: 429,
    Reason.TIMEOUT: 503,
    Reason.HUNG: 503,
    Reason.MEMORY_LIMIT: 503,
    Reason.WORKER_KILLED: 503,
    Reason.LEDGER: 503,
}
"""HTTP status by reason; others by their kind: what may pass is 503, what the request is at fault for 422."""

RETRY_AFTER_S: Final = {429: 5, 503: 10}


class Problem(BaseModel):
    """Why a request was refused or failed."""

    type: str = Field("about:blank", description="a URI for the kind of problem; `class` says more")
    title: str = Field(description="the status in words")
    status: int
    detail: str = Field(description="what is wrong and, where there is one, the way out")
    error_class: str = Field(alias="class", description="stable word, such as `too-many-pixels`")
    request_id: str | None = Field(None, description="as in the log, and in the answer's X-Request-Id")


class RefusedError(EnhancerError):
    """A request that the service itself turns down.

    Args:
        message: what is wrong and the way out.
        reason: its class.
        retry_after_s: when to try again.
        headers: more for the answer.
    """

    def __init__(
        self, message: str, *, reason: str, retry_after_s: int | None = None, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message, reason=reason)
        self.headers = {**({} if retry_after_s is None else {"Retry-After": str(retry_after_s)}), **(headers or {})}


def status_of(error: EnhancerError) -> int:
    """The HTTP status of an error."""
    known = STATUS_OF.get(error.reason)
    if known is not None:
        return known
    return 503 if error.kind is ErrorKind.TRANSIENT else 422


def problem(
    request: Request, status: int, error_class: str, detail: str, headers: dict[str, str] | None = None
) -> JSONResponse:
    """A problem as the answer to a request."""
    body = Problem.model_validate(
        {
            "title": HTTPStatus(status).phrase,
            "status": status,
            "detail": detail,
            "class": error_class,
            "request_id": request.scope.get("enhancer.request_id"),
        }
    )
    own = {"Retry-After": str(RETRY_AFTER_S[status])} if status in RETRY_AFTER_S else {}
    return JSONResponse(
        body.model_dump(by_alias=True, exclude_none=True), status, {**own, **(headers or {})}, media_type=MEDIA_TYPE
    )


def answer_errors(app: FastAPI) -> None:
    """Have every error of the application answered as a problem."""

    @app.exception_handler(EnhancerError)
    def known(request: Request, error: EnhancerError) -> JSONResponse:
        return problem(request, status_of(error), error.reason, error.message, getattr(error, "headers", None))

    @app.exception_handler(HTTPException)
    def http(request: Request, error: HTTPException) -> JSONResponse:
        word = {404: Reason.NOT_FOUND, 413: Reason.TOO_MANY_BYTES}.get(error.status_code, Reason.BAD_REQUEST)
        return problem(request, error.status_code, word, str(error.detail), dict(error.headers or {}))

    @app.exception_handler(RequestValidationError)
    def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        faults = (f"{'.'.join(str(part) for part in one['loc'])}: {one['msg']}" for one in error.errors())
        return problem(request, 422, Reason.BAD_PARAMS, "; ".join(faults))

    @app.exception_handler(SQLAlchemyError)
    def ledger(request: Request, error: SQLAlchemyError) -> JSONResponse:
        log.exception("the ledger failed", exc_info=error)
        detail = "the ledger does not answer" if is_transient(error) else "the ledger refused"
        return problem(request, 503, Reason.LEDGER, f"{detail}; the operator's log says why")

    @app.exception_handler(Exception)
    def unexpected(request: Request, error: Exception) -> JSONResponse:
        log.exception("request failed", exc_info=error)
        return problem(request, 500, Reason.UNEXPECTED, "an error that nobody foresaw; the operator's log has it")


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For ``responses=`` of a route: what it may answer beside its success; every route may refuse the caller."""
    described: dict[int | str, dict[str, Any]] = {}
    for status in sorted({401, 403, 422, 429, 503, *statuses}):
        described[status] = {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
    return described
