"""The application: routes, what is around them, and what lives as long as the server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import FileResponse
from fastapi.staticfiles import StaticFiles
from starlette.concurrency import run_in_threadpool

from enhancer.ledger import Ledger
from enhancer.ledger.migrate import check, upgrade
from enhancer.service import catalogue, jobs, signed, single
from enhancer.service.dispatcher import Dispatcher
from enhancer.service.metrics import Metrics
from enhancer.service.places import READY, store_url
from enhancer.service.pool import Pool
from enhancer.service.problems import Problem, answer_errors
from enhancer.service.requests import JobRequest
from enhancer.service.security import Door, OuterLayer
from enhancer.settings import Settings
from enhancer.signed_urls import PREFIX
from enhancer.storage import open_store
from enhancer.version import __version__

STATIC: Final = Path(__file__).parent / "static"

DESCRIPTION: Final = (
    "Enhances pictures: give them as a job and follow it, or one small picture and wait for it. Errors are "
    "`application/problem+json` with a stable `class`. docs/service.md shows the first call."
)


def create_app(settings: Settings, *, metrics_host: str = "127.0.0.1") -> FastAPI:
    """The service.

    Args:
        settings: where ledger and stores are, and the service's own limits. A SQLite ledger is brought up to date,
            others must be.
        metrics_host: where metrics are served, where the settings name a port.

    Raises:
        RequestError: a ledger without schema, or a store's address that cannot be.
    """
    url = settings.ledger_url()
    if url.startswith("sqlite"):
        upgrade(url)
    check(url)
    ledger = Ledger(url)
    pool = Pool(settings) if settings.service_workers else None
    dispatcher = Dispatcher(settings, ledger)
    metrics = Metrics(ledger, pool)
    store = open_store(store_url(settings), settings)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        await run_in_threadpool(store.put, READY, b"", content_type="text/plain")
        dispatcher.start()
        if pool is not None:
            pool.start()
        if settings.service_metrics_port is not None:
            metrics.serve(metrics_host, settings.service_metrics_port)
        yield
        metrics.stop()
        await run_in_threadpool(dispatcher.stop)
        if pool is not None:
            await run_in_threadpool(pool.stop)

    # Documentation pages of FastAPI's own load scripts from elsewhere, which the page's policy forbids.
    app = FastAPI(
        title="Image enhancement",
        description=DESCRIPTION,
        version=__version__,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
    )
    app.state.settings, app.state.ledger, app.state.pool = settings, ledger, pool
    app.state.dispatcher, app.state.metrics = dispatcher, metrics
    app.state.in_the_making = {}
    app.state.door = Door(settings, ledger)
    answer_errors(app)
    for routes in (catalogue.router, jobs.router, single.router, signed.router):
        app.include_router(routes)
    _add_pages(app)
    if settings.service_cors_origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=[part.strip() for part in settings.service_cors_origins.split(",")],
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["Authorization", "Content-Type", "Idempotency-Key", "Last-Event-ID", "Range"],
            expose_headers=["Location", "ETag", "Content-Range", "Retry-After", "X-Request-Id", "X-Enhancer-Identity"],
        )
    app.add_middleware(OuterLayer, max_bytes=settings.service_max_bytes, observe=metrics.observe)
    return app


def _add_pages(app: FastAPI) -> None:
    @app.get("/", include_in_schema=False)
    def page() -> FileResponse:
        return FileResponse(STATIC / "index.html", media_type="text/html; charset=utf-8")

    @app.get("/openapi.json", include_in_schema=False)
    def openapi() -> dict[str, Any]:
        return openapi_of(app)

    app.mount("/static", StaticFiles(directory=STATIC), name="static")


def openapi_of(app: FastAPI) -> dict[str, Any]:
    """The service's OpenAPI description, which docs/openapi.json holds too."""
    described = app.openapi()
    schemas = described.setdefault("components", {}).setdefault("schemas", {})
    for model in (Problem, JobRequest):
        if model.__name__ not in schemas:
            schema = model.model_json_schema(by_alias=True, ref_template="#/components/schemas/{model}")
            schemas.update(schema.pop("$defs", {}))
            schemas[model.__name__] = schema
    described["components"]["securitySchemes"] = {"token": {"type": "http", "scheme": "bearer"}}
    for path, methods in described["paths"].items():
        for operation in methods.values():
            if path.startswith("/v1/") and not path.startswith(f"{PREFIX}/"):
                operation["security"] = [{"token": []}]
    return described
