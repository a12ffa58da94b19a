"""What a warm worker does: one small picture after another, each with its own recipe, its nets kept loaded.

A request is a line of JSON on standard input (:class:`Request`); its answer is an ``item`` event with the same number.
Pixels travel in files of the caller's, not in lines.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any, Literal

import structlog
from pydantic import BaseModel, ConfigDict

from enhancer.batch.failures import classify
from enhancer.batch.worker.events import EventStream
from enhancer.batch.worker.judging import Judged, expectation_of, judged
from enhancer.batch.worker.shard_work import log_failure
from enhancer.codecs import Limits, decode
from enhancer.contract import ErrorRecord, ItemRecord
from enhancer.errors import ErrorKind
from enhancer.image import Document, FloatPixels
from enhancer.inspection import inspect_item
from enhancer.ledger import ItemState
from enhancer.pipeline import Enhanced
from enhancer.processing import ImageEnhancer
from enhancer.quality.perceptual import LpipsScorer
from enhancer.reasons import Reason
from enhancer.recipe import Recipe, parse_recipe
from enhancer.settings import Settings

log = structlog.get_logger(__name__)


class Request(BaseModel):
    """One picture.

    Attributes:
        number: of the request.
        name: what errors call the picture; its result's name is made from it.
        input: the file with its bytes.
        output: where the result goes; nothing is written where there is none.
        recipe: as JSON has it.
        action: what to do; ``inspect`` has a record for its answer and no result.
    """

    model_config = ConfigDict(frozen=True)

    number: int
    name: str
    input: Path
    output: Path
    recipe: dict[str, Any]
    action: Literal["enhance", "inspect"] = "enhance"


class WithoutLpips(LpipsScorer):
    """The gate asks nothing of LPIPS, which takes longer than a small picture does; who waits need not wait for it.
    Only the gate's word is used of what is scored with this.
    """

    def distance(self, a: FloatPixels, b: FloatPixels, *, crops: int | None = None) -> float:
        """Nothing is measured."""
        return 0.0


class Attempt:
    """What one way through the steps made: its record, and what is needed to judge it."""

    def __init__(self, enhancer: ImageEnhancer, request: Request, data: bytes, recipe: Recipe) -> None:
        self.recipe = recipe
        self.result = b""
        self.content_type = ""
        self.document: Document | None = None
        self.record = enhancer.enhance_item(request.name, lambda: data, self._keep, self._watch, recipe=recipe)

    def _keep(self, name: str, data: bytes, content_type: str) -> str:
        self.result, self.content_type = data, content_type
        return name

    def _watch(self, document: Document, enhanced: Enhanced) -> None:
        self.document = document


class OnRequest:
    """Answers requests until standard input ends, which ends the process.

    Args:
        settings: limits, among others; those of a warm worker are the service's own.
        events: to the server.
    """

    def __init__(self, settings: Settings, events: EventStream) -> None:
        self._events = events
        self._enhancer = ImageEnhancer(settings=settings)
        self._scorer = WithoutLpips(settings)
        limits = Limits.from_settings(settings)
        self._result_limits = replace(limits, max_bytes=1 << 40, max_pixels=settings.max_output_pixels)

    def run(self, lines: SimpleQueue[str]) -> None:
        """Take one request after another."""
        self._events.send("ready")
        while True:
            request = Request.model_validate_json(lines.get())
            try:
                record, content_type = self._inspect(request) if request.action == "inspect" else self._enhance(request)
            except Exception as error:  # one picture's trouble is not the next one's
                log_failure(log, "picture failed", error, input=request.name)
                record, content_type = _failed(request, error), ""
            self._events.send(
                "item",
                key=str(request.number),
                state=record.state,
                record=record.model_dump(mode="json", by_alias=True),
                content_type=content_type,
            )

    def _inspect(self, request: Request) -> tuple[ItemRecord, str]:
        """What was measured of the picture; no result."""
        recipe = parse_recipe(request.recipe)
        return inspect_item(request.name, request.input.read_bytes, recipe, self._enhancer.settings), ""

    def _enhance(self, request: Request) -> tuple[ItemRecord, str]:
        """The picture's record, and its result's content type; the result itself is written where the caller said."""
        attempt = self._answer(request)
        if attempt.record.state == ItemState.PUBLISHED:
            request.output.write_bytes(attempt.result)
        return attempt.record, attempt.content_type

    def _answer(self, request: Request) -> Attempt:
        """The picture's result; of one that the gate refuses, that of a gentler attempt where that passes."""
        data, recipe = request.input.read_bytes(), parse_recipe(request.recipe)
        attempt = Attempt(self._enhancer, request, data, recipe)
        found = self._judge(attempt, data)
        if found is None or found.verdict.passed:
            return attempt
        if recipe.gentler() != recipe:
            gentler = Attempt(self._enhancer, request, data, recipe.gentler())
            second = self._judge(gentler, data)
            if second is not None and second.verdict.passed:
                gentler.record.identity = attempt.record.identity  # it is the answer to what was asked for
                return gentler
        _refuse(attempt.record, found)
        return attempt

    def _judge(self, attempt: Attempt, data: bytes) -> Judged | None:
        """The gate's word; None where there is no result."""
        if attempt.document is None or attempt.record.state != ItemState.PUBLISHED:
            return None
        before = attempt.document.first
        after = before
        if attempt.result != data:
            after = decode(attempt.result, name=attempt.record.input, limits=self._result_limits).first
        details = {"decisions": [one.model_dump(mode="json") for one in attempt.record.decisions]}
        expected = expectation_of(before, details, attempt.recipe, self._enhancer.nets)
        return judged(before, after, None, expected, attempt.recipe, self._scorer)


def _failed(request: Request, error: Exception) -> ItemRecord:
    step = "measure" if request.action == "inspect" else "score"
    failure = classify(error, step)
    state = ItemState.FAILED if failure.kind is ErrorKind.TRANSIENT else ItemState.QUARANTINED
    reason = ErrorRecord(error_class=failure.error_class, message=failure.message, stage=step)
    return ItemRecord(input=request.name, state=state, recipe=request.recipe.get("name"), error=reason)


def _refuse(record: ItemRecord, found: Judged) -> None:
    record.state, record.output = ItemState.REJECTED, None
    record.error = ErrorRecord(error_class=Reason.GATE, message="; ".join(found.verdict.reasons), stage="score")
