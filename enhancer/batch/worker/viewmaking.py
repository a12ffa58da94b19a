"""The archives that the page shows pictures from (:mod:`enhancer.batch.views`), made where pictures are decoded anyway:
in the worker that evaluates.

Every picture gets thumbnails and histograms. A side that no browser shows gets a pyramid, as far as the settings'
share of time and bytes allows: first what somebody will want to look at, which is what was refused, what scored worst
so far and a sample; then the rest.
"""

from __future__ import annotations

import heapq
import io
import time
import zipfile
from dataclasses import dataclass
from typing import Final

import structlog

from enhancer.batch import layout
from enhancer.batch.views import ABOUT, About, Side, SideAbout, thumbnail_name
from enhancer.batch.worker import display
from enhancer.image import Document, Image
from enhancer.settings import Settings
from enhancer.storage.base import ObjectStore

log = structlog.get_logger(__name__)

BROWSER_FORMATS: Final = frozenset({"JPEG", "PNG", "WEBP", "AVIF", "GIF", "BMP"})
BROWSER_PIXELS: Final = 50_000_000
BROWSER_BYTES: Final = 32 * 2**20
"""What the page leaves to browsers (:data:`enhancer_ui.pictures.MAX_BYTES`)."""

_WORST: Final = 5
_EVERY: Final = 50
_FREE: Final = 3
"""Pyramids of a worker that are made before its share of time says anything."""
_EPOCH: Final = (1980, 1, 1, 0, 0, 0)
"""The time of every entry, so that the same picture gives the same archive."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One side of a picture.

    Attributes:
        document: decoded.
        size: of its file, in bytes.
    """

    document: Document
    size: int

    @property
    def needs_pyramid(self) -> bool:
        """Whether browsers cannot show the file, or not well: by its format, depth, size or colours."""
        image = self.document.first
        file = image.metadata
        return (
            file.format not in BROWSER_FORMATS
            or file.bit_depth > 8
            or file.mode == "CMYK"
            or image.width * image.height > BROWSER_PIXELS
            or self.size > BROWSER_BYTES
        )


class ViewMaker:
    """Makes the views of a shard's pictures, one worker's.

    Args:
        work: the store of the run's work_url.
        run_id: the run.
        settings: ``view_thumbnails``, ``view_pyramids`` and ``view_share`` count.
    """

    def __init__(self, work: ObjectStore, run_id: str, settings: Settings) -> None:
        self._work = work
        self._run_id = run_id
        self._settings = settings
        self._started = time.monotonic()
        self._spent_s = 0.0
        self._seen_bytes = 0
        self._made_bytes = 0
        self._made = 0
        self._chosen = 0
        self._worst: list[float] = []

    def keep(self, position: int, before: Seen, after: Seen, *, refused: bool, score: float | None) -> None:
        """Make the views of one picture and store them. What goes wrong with that is logged and costs the views alone.

        Args:
            position: of the picture in its run.
            before: as it came.
            after: its result.
            refused: by the gate.
            score: that the gate judged by; None: there is none.
        """
        if not self._settings.view_thumbnails:
            return
        self._seen_bytes += before.size + after.size
        chosen = self._is_chosen(position, refused, score)
        try:
            self._make(position, before, after, chosen=chosen)
        except Exception as error:  # a picture is not worse for the lack of its thumbnail
            log.warning("no view was kept for the page", position=position, error=str(error), exc_info=error)

    def _is_chosen(self, position: int, refused: bool, score: float | None) -> bool:
        """Whether somebody will want to look at this picture."""
        is_bad = score is not None and self._is_among_worst(score)
        return refused or is_bad or position % _EVERY == 0

    def _is_among_worst(self, score: float) -> bool:
        """Whether no more than a few so far scored lower; `score` counts from here on."""
        heapq.heappush(self._worst, -score)  # the greatest of them first
        return len(self._worst) <= _WORST or -heapq.heappop(self._worst) > score

    def _may_make(self, *, chosen: bool) -> bool:
        """Whether there is room for another pyramid."""
        if chosen:
            if self._chosen >= self._settings.view_pyramids:
                return False
            if self._made < _FREE:
                return True
        share = self._settings.view_share * (1.0 if chosen else 0.5)
        in_time = self._spent_s < share * (time.monotonic() - self._started)
        return self._settings.view_pyramids > 0 and in_time and self._made_bytes < share * self._seen_bytes

    def _make(self, position: int, before: Seen, after: Seen, *, chosen: bool) -> None:
        window = display.window_of(before.document.first)
        sides: dict[Side, Seen] = {"before": before, "after": after}
        with_pyramid = [side for side, seen in sides.items() if seen.needs_pyramid]
        if with_pyramid and not self._may_make(chosen=chosen):
            with_pyramid = []
        about: dict[Side, SideAbout] = {}
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
            started = time.monotonic()
            for side in with_pyramid:
                for address, data in display.tiles(display.displayed(sides[side].document.first, window)):
                    _add(archive, f"{side}/{address}", data)
            if with_pyramid:
                self._spent_s += time.monotonic() - started
                self._made_bytes += buffer.tell()
                self._made += 1
                self._chosen += chosen
            for side, seen in sides.items():  # last, beside the index: one read brings both
                image = seen.document.first
                _add(archive, thumbnail_name(side), display.thumbnail(image, window))
                about[side] = _about(seen, window, has_pyramid=side in with_pyramid)
            _add(archive, ABOUT, About(about).to_json())
        key = layout.views_key(self._run_id, position)
        self._work.put(key, buffer.getvalue(), content_type="application/zip")


def _add(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    archive.writestr(zipfile.ZipInfo(name, _EPOCH), data)


def _about(seen: Seen, window: display.Window, *, has_pyramid: bool) -> SideAbout:
    image = seen.document.first
    return SideAbout(
        image.width,
        image.height,
        display.factors_of(image.width, image.height) if has_pyramid else (),
        display.histogram(image, window),
        _note(seen.document, image, window),
    )


def _note(document: Document, image: Image, window: display.Window) -> str:
    notes = []
    if len(document.pages) > 1:
        notes.append(f"{'band' if image.metadata.bands else 'page'} 1 of {len(document.pages)}")
    if window.narrowed:
        notes.append(f"values from {window.low:.4g} to {window.high:.4g} shown from black to white")
    return "; ".join(notes)
