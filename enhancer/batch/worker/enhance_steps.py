"""The steps of enhancing one picture: read, decode, enhance, encode, write. None of them touches the ledger, so each
may run in a thread of its own (:mod:`enhancer.batch.worker.enhance` has the order and the ledger).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import structlog

from enhancer.batch import layout
from enhancer.batch.checksums import KNOWN_AS, checksum
from enhancer.batch.side_files import Pictures
from enhancer.batch.worker.events import EventStream
from enhancer.batch.worker.shard_work import ShardWork
from enhancer.codecs import announced_pixels
from enhancer.errors import PictureError
from enhancer.identity import digest, identity_of
from enhancer.ledger import Item, Lease
from enhancer.processing import Picture, Processing
from enhancer.reasons import Reason
from enhancer.result_cache import ResultCache
from enhancer.settings import Settings
from enhancer.version import PIPELINE_VERSION

BYTES_A_PIXEL: Final = 4
"""Three channels of eight bits and some alpha: what a pixel is taken to need until it is decoded."""


@dataclass(slots=True, eq=False, kw_only=True)
class PictureInHand(Picture):
    """A picture on its way through the worker.

    Attributes:
        row: its item, as it was when it was due.
        number: how many were begun before it.
        expected_bytes: what it will take in memory at most, its result included, by its header.
        etag: of the bytes that were read.
        staged: the key under work_url that its result has after `write`.
        is_declared: its key or its content type says that it is a picture.
        content_type: that says whether it is one, where its key does not.
    """

    row: Item
    number: int
    expected_bytes: int = 0
    etag: str = ""
    staged: str = ""
    is_declared: bool = True
    content_type: str | None = None

    @property
    def key(self) -> str:
        """The picture's own."""
        return self.name

    def bytes_decoded(self) -> int:
        """What it takes in memory, now that its pixels are there: its file, its pixels, and room for the result's."""
        if self.cached:
            return len(self.data) + len(self.result.data)
        pixels = sum(
            page.pixels.nbytes + (0 if page.alpha is None else page.alpha.nbytes) for page in self.document.pages
        )
        return len(self.data) + self._with_result(pixels)

    def expect(self, pixels: int) -> None:
        """Note what it will take, by the number of pixels that its header announces."""
        self.expected_bytes = len(self.data) + self._with_result(BYTES_A_PIXEL * pixels)

    def _with_result(self, count: int) -> int:
        return round(count * (1 + self.recipe.scale**2))


class EnhanceSteps(ShardWork):
    """The steps, each a method on the picture in hand."""

    def __init__(self, lease: Lease, settings: Settings, events: EventStream) -> None:
        super().__init__(lease, settings, events)
        cache = ResultCache.from_settings(settings, files=settings.cache_worker_files)
        self._processing = Processing(self._pipeline, limits=self._limits, cache=cache)
        self._pictures = Pictures.from_settings(settings)

    def reported(self, step: Callable[[PictureInHand], None]) -> Callable[[PictureInHand], None]:
        """The step with a progress event before it and a waiting event after it, its log lines bound to the picture."""

        def carry_out(picture: PictureInHand) -> None:
            with structlog.contextvars.bound_contextvars(item=picture.key):
                self._events.send("progress", key=picture.key)
                try:
                    step(picture)
                finally:
                    self._events.send("waiting", key=picture.key)

        return carry_out

    def read(self, picture: PictureInHand) -> None:
        """The input's bytes, their identity under the recipe, and what they will take in memory.

        Raises:
            PictureError: ``not-a-picture``: neither key nor content type says that it is one, and the latter denies it.
        """
        with picture.timings.measure("read"):
            fetched = self._source.get(picture.key, max_bytes=self._settings.max_bytes)
            picture.data, picture.etag = fetched.data, fetched.etag
            self._declare(picture, fetched.content_type)
            picture.identity = identity_of(digest(picture.data), picture.recipe, signer=self._processing.signer)
            picture.expect(announced_pixels(picture.data, self._limits))

    def _declare(self, picture: PictureInHand, content_type: str | None) -> None:
        """Note what the picture's key and content type say of it."""
        if self._pictures.by_key(picture.key) is not None:
            return
        said = self._pictures.by_content_type(content_type)
        picture.is_declared = said is True
        picture.content_type = None if said is None else content_type
        if said is False:
            raise PictureError(
                f"{picture.key}: no picture by its content type, {content_type} (ENHANCER_PICTURE_CONTENT_TYPES)",
                reason=Reason.NOT_A_PICTURE,
            )

    def decode(self, picture: PictureInHand) -> None:
        """Bytes into pixels; or the result from the cache, with all that is known of it."""
        if not self._processing.look_up(picture):
            self._processing.decode(picture)

    def enhance(self, picture: PictureInHand) -> None:
        """The stages and nets."""
        self._processing.enhance(picture)

    def encode(self, picture: PictureInHand) -> None:
        """The result into bytes, kept for another try: the store may not take it."""
        self._processing.encode(picture)

    def write(self, picture: PictureInHand) -> None:
        """The result's bytes under work_url, under a name that no other attempt has."""
        lease = self._lease
        picture.staged = layout.staged_key(
            lease.run_id, lease.shard_id, lease.epoch, picture.row.position, picture.identity
        )
        with picture.timings.measure("write"):
            self._work.put(picture.staged, picture.result.data, content_type=picture.result.parts.content_type)


def details_of(picture: PictureInHand) -> dict[str, Any]:
    """What was decided, with which nets, how long it took and what to know of it, for the ledger."""
    parts, timings = picture.result.parts, dict(picture.timings.seconds)
    details: dict[str, Any] = {
        "decisions": [decision.model_dump(mode="json") for decision in parts.decisions],
        "models": parts.models,
        "timings": timings,
        "warnings": parts.warnings,
        "pipeline": PIPELINE_VERSION,
        KNOWN_AS: checksum(picture.result.data),
    }
    if picture.cached:
        details["cached"] = True
    else:
        timings.update({f"enhance.{name}": seconds for name, seconds in picture.enhanced.timings.items()})
    return details
