"""The steps of enhancing one picture: read, decode, enhance, encode, write. None of them touches the ledger, so each
may run in a thread of its own (:mod:`enhancer.batch.worker.enhance` has the order and the ledger).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import structlog
from sqlalchemy import RowMapping

from enhancer.batch import layout
from enhancer.batch.worker.events import EventStream
from enhancer.batch.worker.shard_work import ShardWork
from enhancer.codecs import announced_pixels, decode
from enhancer.identity import digest, identity_of
from enhancer.image import Document
from enhancer.ledger import Lease
from enhancer.pipeline import Enhanced, encode_result
from enhancer.recipe import Recipe
from enhancer.result_cache import CachedResult, ResultCache, ResultParts
from enhancer.settings import Settings
from enhancer.storage.base import Fetched

BYTES_A_PIXEL: Final = 4
"""Three channels of eight bits and some alpha: what a pixel is taken to need until it is decoded."""


@dataclass(slots=True)
class Timings:
    """Seconds by step, and the step that is going on (the `stage` of an error that arises now)."""

    seconds: dict[str, float] = field(default_factory=dict)
    step: str = "read"

    @contextmanager
    def measure(self, step: str) -> Iterator[None]:
        """Time a step; an error leaves `step` naming it."""
        self.step = step
        started = time.monotonic()
        yield
        self.seconds[step] = round(self.seconds.get(step, 0.0) + time.monotonic() - started, 4)


@dataclass(slots=True, eq=False)
class PictureInHand:
    """One picture on its way, with what each step made of it. Only who works on it at the moment touches it.

    Attributes:
        row: its item, as it was when it was due.
        recipe: as requested.
        number: how many were begun before it.
        expected_bytes: what it will take in memory at most, its result included, by its header.
        fetched: after `read`, with the identity of its result.
        cached: its result was computed before, and is here after `decode`; nothing is left but to write it.
        document: after `decode`.
        enhanced: after `enhance`.
        result: after `encode`.
        staged: the key under work_url that its result has after `write`.
    """

    row: RowMapping
    recipe: Recipe
    number: int
    timings: Timings = field(default_factory=Timings)
    expected_bytes: int = 0
    identity: str = ""
    cached: bool = False
    fetched: Fetched = field(init=False)
    document: Document = field(init=False)
    enhanced: Enhanced = field(init=False)
    result: CachedResult = field(init=False)
    staged: str = field(init=False)

    @property
    def key(self) -> str:
        """The picture's own."""
        return str(self.row["key"])

    def bytes_decoded(self) -> int:
        """What it takes in memory, now that its pixels are there: its file, its pixels, and room for the result's."""
        if self.cached:
            return len(self.fetched.data) + len(self.result.data)
        pixels = sum(
            page.pixels.nbytes + (0 if page.alpha is None else page.alpha.nbytes) for page in self.document.pages
        )
        return len(self.fetched.data) + self._with_result(pixels)

    def expect(self, pixels: int) -> None:
        """Note what it will take, by the number of pixels that its header announces."""
        self.expected_bytes = len(self.fetched.data) + self._with_result(BYTES_A_PIXEL * pixels)

    def _with_result(self, count: int) -> int:
        return round(count * (1 + self.recipe.scale**2))


class EnhanceSteps(ShardWork):
    """The steps, each a method on the picture in hand."""

    def __init__(self, lease: Lease, settings: Settings, events: EventStream) -> None:
        super().__init__(lease, settings, events)
        self._cache = ResultCache.from_settings(settings, files=settings.cache_worker_files)

    def told(self, step: Callable[[PictureInHand], None]) -> Callable[[PictureInHand], None]:
        """A step during which the supervisor knows that this picture is worked on, and the log of what."""

        def carry_out(picture: PictureInHand) -> None:
            with structlog.contextvars.bound_contextvars(item=picture.key):
                self._events.send("progress", key=picture.key)
                try:
                    step(picture)
                finally:
                    self._events.send("waiting", key=picture.key)

        return carry_out

    def read(self, picture: PictureInHand) -> None:
        """The input's bytes, their identity under the recipe, and what they will take in memory."""
        with picture.timings.measure("read"):
            picture.fetched = self._source.get(picture.key, max_bytes=self._settings.max_bytes)
            picture.identity = identity_of(digest(picture.fetched.data), picture.recipe)
            picture.expect(announced_pixels(picture.fetched.data, self._limits))

    def decode(self, picture: PictureInHand) -> None:
        """Bytes into pixels; or the result from the cache, and with it all that is known of it."""
        known = None if self._cache is None else self._cache.get(picture.identity)
        if known is not None:
            picture.cached, picture.result = True, known
            return
        with picture.timings.measure("decode"):
            picture.document = decode(
                picture.fetched.data, name=picture.key, limits=self._limits, **picture.recipe.input.decoding
            )

    def enhance(self, picture: PictureInHand) -> None:
        """The stages and nets."""
        with picture.timings.measure("enhance"):
            picture.enhanced = self._enhancer.enhance_document(picture.document, picture.recipe)

    def encode(self, picture: PictureInHand) -> None:
        """The result into bytes, kept for another try: the store may not take it."""
        data, document, enhanced, recipe = picture.fetched.data, picture.document, picture.enhanced, picture.recipe
        with picture.timings.measure("encode"):
            encoded = encode_result(data, document, enhanced, recipe.output, enhanced.stamp(recipe))
        parts = ResultParts.of(
            document, enhanced.document, encoded, decisions=enhanced.decisions, models=enhanced.models
        )
        picture.result = CachedResult(encoded.data, parts)
        if self._cache is not None:
            self._cache.put(picture.identity, picture.result)

    def write(self, picture: PictureInHand) -> None:
        """The result's bytes under work_url, under a name that no other attempt has."""
        lease = self._lease
        picture.staged = layout.staged_key(
            lease.run_id, lease.shard_id, lease.epoch, picture.row["position"], picture.identity
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
    }
    if picture.cached:
        details["cached"] = True
    else:
        timings.update({f"enhance.{name}": seconds for name, seconds in picture.enhanced.timings.items()})
    return details
