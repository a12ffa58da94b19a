"""Before-and-after pictures for the report, made in a worker because inputs are untrusted."""

from __future__ import annotations

import base64
from typing import Any, Final

import structlog

from enhancer.batch.views import SIDES
from enhancer.batch.worker import display
from enhancer.batch.worker.events import EventStream
from enhancer.codecs import Limits, decode
from enhancer.errors import EnhancerError
from enhancer.image import Image
from enhancer.ledger import GOOD, Ledger
from enhancer.settings import Settings
from enhancer.storage import open_store
from enhancer.storage.base import ObjectStore

log = structlog.get_logger(__name__)

MOST: Final = 60
"""Pictures shown in a report: the worst first. The rest are rows of its table."""
LARGE: Final = 10
"""Of them, those that are in the report large enough to be looked at closely too."""
LARGE_SIDE: Final = 1024
"""Pixels of their longer sides."""


def send_thumbnails(run_id: str, settings: Settings, events: EventStream) -> None:
    """Send the `MOST` worst published pictures of a run as ``item`` events: by side (``before``, ``after``) the data
    URL of a JPEG as ``thumbnail``, a histogram, and, of the first `LARGE`, the data URL of a larger one as ``picture``.
    """
    events.send("ready")
    with Ledger(settings.ledger_url()) as ledger:
        run = ledger.runs.get(run_id)
        source, output = open_store(run.input_url, settings), open_store(run.output_url, settings)
        rows, _ = ledger.queries.items(run_id, state=GOOD, order="worst", limit=MOST, offset=0)
        limits = Limits(
            max_bytes=settings.max_bytes, max_pixels=settings.max_output_pixels, max_pages=settings.max_pages
        )
        for number, row in enumerate(rows):
            events.send("started", key=row.key)
            before = _decoded(source, row.key, limits)
            after = _decoded(output, row.target_key, limits) if row.target_key else None
            data = _shown(before, after, is_large=number < LARGE)
            events.send("item", key=row.key, state=row.state, **data)


def _decoded(store: ObjectStore, key: str, limits: Limits) -> Image | None:
    """The first page, or None where the object is no picture (its row says why) or is gone."""
    try:
        return decode(store.get(key, max_bytes=limits.max_bytes).data, name=key, limits=limits).first
    except EnhancerError as error:
        log.info("no thumbnail", key=key, reason=error.reason)
        return None


def _shown(before: Image | None, after: Image | None, *, is_large: bool) -> dict[str, Any]:
    """What the report shows of the two sides, by their names; both in the same window of values."""
    sides = {name: image for name, image in zip(SIDES, (before, after), strict=True) if image is not None}
    if not sides:
        return {}
    window = display.window_of(next(iter(sides.values())))
    shown: dict[str, Any] = {}
    for name, image in sides.items():
        shown[name] = {
            "thumbnail": _data_url(display.thumbnail(image, window)),
            "histogram": display.histogram(image, window),
        }
        if is_large and max(image.width, image.height) > display.THUMBNAIL:
            shown[name]["picture"] = _data_url(display.thumbnail(image, window, LARGE_SIDE))
    return shown


def _data_url(jpeg: bytes) -> str:
    return "data:image/jpeg;base64," + base64.b64encode(jpeg).decode()
