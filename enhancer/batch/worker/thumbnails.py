"""Small before-and-after pictures for the report, made in a worker because inputs are untrusted."""

from __future__ import annotations

import base64
from typing import Any, Final

import numpy as np
import structlog

from enhancer.batch.worker.events import EventStream
from enhancer.codecs import Limits, decode
from enhancer.errors import EnhancerError
from enhancer.image import Image, to_unit
from enhancer.ledger import GOOD, Ledger
from enhancer.settings import Settings
from enhancer.storage import open_store
from enhancer.storage.base import ObjectStore

log = structlog.get_logger(__name__)

SIDE: Final = 320
QUALITY: Final = 82
MOST: Final = 60
"""Pictures shown in a report: the worst first. The rest are rows of its table."""


def send_thumbnails(run_id: str, settings: Settings, events: EventStream) -> None:
    """Send the `MOST` worst published pictures of a run as ``item`` events with JPEG data URLs, before and after
    shown at the same size.
    """
    events.send("ready")
    with Ledger(settings.ledger_url()) as ledger:
        run = ledger.runs.get(run_id)
        source, output = open_store(run.input_url, settings), open_store(run.output_url, settings)
        rows, _ = ledger.queries.items(run_id, state=GOOD, order="worst", limit=MOST, offset=0)
        limits = Limits(
            max_bytes=settings.max_bytes, max_pixels=settings.max_output_pixels, max_pages=settings.max_pages
        )
        for row in rows:
            key = row.key
            events.send("started", key=key)
            data: dict[str, Any] = {}
            for side, store, name in (("before", source, key), ("after", output, row.target_key)):
                if name:
                    data[side] = _thumbnail(store, name, limits)
            events.send("item", key=key, state=row.state, **{side: url for side, url in data.items() if url})


def _thumbnail(store: ObjectStore, key: str, limits: Limits) -> str | None:
    """A data URL, or None where the object is no picture (its row says why) or is gone."""
    try:
        image = decode(store.get(key, max_bytes=limits.max_bytes).data, name=key, limits=limits).first
    except EnhancerError as error:
        log.info("no thumbnail", key=key, reason=error.reason)
        return None
    return data_url(image)


def data_url(image: Image, side: int = SIDE) -> str:
    """The picture with its longer side at `side` pixels, as a JPEG data URL; transparency on white."""
    import cv2

    pixels = to_unit(image.pixels, image.metadata.float_range)
    if image.alpha is not None:
        alpha = to_unit(image.alpha)[..., None]
        pixels = pixels * alpha + (1 - alpha)
    scale = side / max(image.height, image.width)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    shrunk = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST)
    eight = np.rint(np.clip(shrunk, 0, 1) * 255).astype(np.uint8)
    if eight.ndim == 3:
        eight = cv2.cvtColor(eight, cv2.COLOR_RGB2BGR)
    done, encoded = cv2.imencode(".jpg", eight, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    if not done:
        raise RuntimeError("OpenCV could not encode a thumbnail")
    return "data:image/jpeg;base64," + base64.b64encode(encoded.tobytes()).decode()
