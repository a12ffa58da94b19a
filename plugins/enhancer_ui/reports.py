"""A run's report, as it lies in the store."""

from __future__ import annotations

from collections.abc import Iterator
from typing import BinaryIO, Final

from fastapi import APIRouter, Request, Response
from fastapi.responses import StreamingResponse

from enhancer.batch import layout
from enhancer.errors import ObjectGoneError, PictureError
from enhancer.reasons import Reason
from enhancer.storage import open_store
from enhancer.storage.roots import Roots
from enhancer_ui.api import LedgerReader, RunId
from enhancer_ui.configuration import ui_settings
from enhancer_ui.pictures import check_shown
from enhancer_ui.reading import NotFoundError

router = APIRouter()

MAX_BYTES: Final = 128 * 2**20
CHUNK_BYTES: Final = 256 * 2**10

POLICY: Final = (
    "sandbox allow-scripts allow-popups; default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; "
    "script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)
"""The report is one file with its script and pictures inside, and whoever may write the output could have changed it.
It runs in an origin of its own, from where it reaches neither the login nor any other address."""


@router.get("/report")
def report(request: Request, reader: LedgerReader, run_id: RunId) -> Response:
    """The page that the report task wrote; its address comes from the ledger's row alone."""
    run = reader.run(run_id)
    if run.report_address is None:
        raise NotFoundError(f"Run {run_id!r} has no report{' yet' if not run.is_finished else ''}.")
    settings = ui_settings()
    check_shown(run.output_url, Roots.of(settings))
    store, key = open_store(run.output_url, settings), layout.report_key(run_id, "report.html")
    info = store.head(key)
    if info is None:
        raise ObjectGoneError(f"{run.report_address} is not there (any more)")
    if info.size > MAX_BYTES:
        raise PictureError(
            f"{run.report_address} has {info.size / 2**20:.0f} MB, and this page shows up to {MAX_BYTES // 2**20}: "
            "fetch it from the store",
            reason=Reason.TOO_MANY_BYTES,
        )
    headers = {"Content-Security-Policy": POLICY, "Cache-Control": "private, no-cache", "ETag": f'"{info.etag}"'}
    if request.headers.get("if-none-match") == headers["ETag"]:
        return Response(status_code=304, headers=headers)
    return StreamingResponse(_chunks(store.open(key)), media_type="text/html; charset=utf-8", headers=headers)


def _chunks(stream: BinaryIO) -> Iterator[bytes]:
    """At most MAX_BYTES of it: the object may have grown since it was looked at."""
    with stream:
        left = MAX_BYTES
        while left > 0 and (chunk := stream.read(min(CHUNK_BYTES, left))):
            left -= len(chunk)
            yield chunk
