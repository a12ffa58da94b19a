"""What the worker does with each enhanced picture: score it, pass it through the gate, give a rejected one its second
try, and then reject it or let it through as it came, as the run asks.

Fidelity (the result against its input) is always scored; reference and baseline (the truth against the result, and
against what plain bicubic enlargement or leaving alone would have given) where reference_url has the same key.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from hashlib import md5
from typing import Any

import structlog
from sqlalchemy import Connection, RowMapping

from enhancer.batch import layout
from enhancer.batch.failures import RUNS_BEFORE_QUARANTINE, Failure, classify, is_systemic
from enhancer.batch.worker.events import EventStream
from enhancer.batch.worker.shard_work import ShardWork, log_failure
from enhancer.codecs import decode, target_key
from enhancer.codecs.colour import to_working
from enhancer.contract import DecisionRecord
from enhancer.errors import ErrorKind, LeaseLostError, PictureError, StorageError
from enhancer.identity import digest, identity_of
from enhancer.image import Document, Image, to_unit
from enhancer.ledger import ItemState, Lease
from enhancer.ledger.halts import GATE
from enhancer.ledger.items import HELD_ERROR
from enhancer.ledger.leases import fence
from enhancer.pipeline import Enhanced, encode_result
from enhancer.quality.gate import Verdict, judge
from enhancer.quality.perceptual import LpipsScorer
from enhancer.quality.scoring import Scores, score_baseline, score_fidelity, score_reference
from enhancer.recipe import Recipe
from enhancer.settings import Settings
from enhancer.stages.nets import Nets
from enhancer.stages.noise import estimate_noise
from enhancer.stages.sequence import CORRECTIONS, corrected
from enhancer.storage import open_store, split_address
from enhancer.storage.base import ObjectStore

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Judged:
    """A result with its scores and the gate's word."""

    scores: tuple[Scores, ...]
    verdict: Verdict


class EvaluateShard(ShardWork):
    """One worker's pass over a shard's enhanced pictures."""

    def __init__(self, lease: Lease, settings: Settings, events: EventStream) -> None:
        super().__init__(lease, settings, events)
        self._reference = open_store(self._run["reference_url"], settings) if self._run["reference_url"] else None
        self._result_limits = replace(self._limits, max_bytes=1 << 40, max_pixels=settings.max_output_pixels)
        self._scorer = LpipsScorer(settings)

    def run(self, only: str | None = None) -> None:
        """Score every picture of the shard that is `enhanced` (or `only` alone), unless the run is stopped.

        Of a run that is held, what was enhanced is still scored: whoever decides can see by what.
        """
        self._events.send("ready")
        for row in self._ledger.items.of_shard(self._lease.run_id, self._lease.shard_id, ItemState.ENHANCED):
            halt = self._watch.halt()
            if halt is not None and halt.kind == "stopped":
                return
            if only is None or row["key"] == only:
                with structlog.contextvars.bound_contextvars(item=row["key"]):
                    self._one(row)
        self._watch.refused(at_last=True)

    def _one(self, row: RowMapping) -> None:
        """One picture; trouble is tried again a few times and then becomes its state."""
        key = row["key"]
        self._events.send("started", key=key)
        for attempt in range(1, self._settings.item_attempts + 1):
            try:
                state = self._attempt(row)
                break
            except LeaseLostError:
                raise
            except Exception as error:  # a picture that cannot be scored is that picture's failure
                if is_systemic(error):
                    raise
                failure = classify(error, "score")
                log_failure(log, "scoring failed", error, key=key, attempt=attempt)
                if failure.kind is not ErrorKind.TRANSIENT or attempt == self._settings.item_attempts:
                    state = self._failed(row, failure)
                    break
                self._events.send("progress", key=key)
        self._events.send("item", key=key, state=state.value)

    def _attempt(self, row: RowMapping) -> ItemState:
        stored = self._ledger.results.get(row["identity"])
        if stored is None or stored["address"] is None:
            raise StorageError(f"the result of {row['key']!r} is not stored any more", reason="result-gone")
        data = self._input(row)
        recipe = self._recipes[row["recipe_digest"]]
        before = decode(data, name=row["key"], limits=self._limits, **recipe.input.decoding)
        root, name = split_address(stored["address"])
        after = decode(open_store(root, self._settings).get(name).data, name=name, limits=self._result_limits)
        truth = self._truth(row["key"])
        judged = self._judge(before, after, truth, recipe, row["details"] or {})
        if not judged.verdict.passed:
            second = self._second_try(row, data, before, truth, recipe)
            if second is not None:
                return second
            if self._run["params"].get("on_rejection") == "pass_through":
                return self._pass_through(row, data, before, judged)
        return self._record(row, judged)

    def _input(self, row: RowMapping) -> bytes:
        """The input's bytes, the very ones that were enhanced.

        Raises:
            StorageError: permanent, ``changed``: they are others by now; the next run sees a new picture.
        """
        fetched = self._source.get(row["key"], max_bytes=self._settings.max_bytes)
        if fetched.etag != row["etag"]:
            recipe = self._recipes[row["recipe_digest"]]
            if identity_of(digest(fetched.data), recipe) != row["identity"]:
                raise StorageError(
                    f"{row['key']!r} changed after it was enhanced; the next run enhances it as it is now",
                    reason="changed",
                    kind=ErrorKind.PERMANENT,
                )
        return fetched.data

    def _truth(self, key: str) -> Image | None:
        """The reference picture with this key, where there is one; one that cannot be read is as good as none."""
        if self._reference is None or self._reference.head(key) is None:
            return None
        try:
            return self._decoded_truth(self._reference, key)
        except PictureError as error:
            log.warning("the reference cannot be read; scored without it", key=key, reason=error.message)
            return None

    def _decoded_truth(self, store: ObjectStore, key: str) -> Image:
        return decode(store.get(key).data, name=f"reference {key}", limits=self._result_limits).first

    def _judge(
        self, before: Document, after: Document, truth: Image | None, recipe: Recipe, details: dict[str, Any]
    ) -> Judged:
        """Scores of the first page (pages of one document share their fate) and the gate's verdict."""
        fidelity = fidelity_of(before.first, after.first, details, recipe, self._enhancer.nets, self._scorer)
        if truth is None or (truth.height, truth.width) != (after.first.height, after.first.width):
            return Judged((fidelity,), judge(recipe.gate, fidelity, None))
        crop = math.ceil(recipe.scale) if recipe.scale > 1 else 0
        shown, right = to_working(after.first), to_working(truth)
        reference = score_reference(shown, right, self._scorer, crop=crop)
        baseline = score_baseline(to_working(before.first), right, self._scorer, crop=crop)
        return Judged((fidelity, reference, baseline), judge(recipe.gate, fidelity, reference))

    def _second_try(
        self, row: RowMapping, data: bytes, before: Document, truth: Image | None, recipe: Recipe
    ) -> ItemState | None:
        """The one gentler attempt of a rejected picture; None where there is none to make or it is rejected too."""
        gentler = recipe.gentler()
        if gentler == recipe or row["reused"]:
            return None
        lease, key = self._lease, row["key"]
        enhanced = self._enhancer.enhance_document(before, gentler)
        encoded = encode_result(data, before, enhanced, gentler.output, enhanced.stamp(gentler))
        after = decode(encoded.data, name=key, limits=self._result_limits)
        details = {
            **(row["details"] or {}),
            "decisions": [decision.model_dump(mode="json") for decision in enhanced.decisions],
            "models": enhanced.models,
            "gentler": True,
        }
        judged = self._judge(before, after, truth, gentler, details)
        if not judged.verdict.passed:
            return None
        identity = row["identity"]
        staged = layout.staged_key(lease.run_id, lease.shard_id, lease.epoch, row["position"], identity)
        self._work.put(staged, encoded.data, content_type=encoded.content_type)
        with self._ledger.engine.begin() as connection:
            fence(connection, lease)
            self._ledger.results.replace(
                connection,
                identity,
                address=self._work.address(staged),
                digest=digest(encoded.data),
                size=len(encoded.data),
                md5=md5(encoded.data, usedforsecurity=False).hexdigest(),
                effective_recipe=gentler.model_dump(mode="json"),
                details=details,
            )
            self._ledger.items.add_scores(connection, lease, key, map(score_columns, judged.scores))
            return self._pass(connection, key, staged_key=staged, details=details)

    def _pass_through(self, row: RowMapping, data: bytes, before: Document, judged: Judged) -> ItemState:
        """A refused picture goes out as it came, but for what the recipe's output asks of any file (format, private
        metadata); the scores of what was refused stay on record.
        """
        lease, key = self._lease, row["key"]
        recipe = self._recipes[row["recipe_digest"]]
        identity = digest(f"passed through {row['identity']}".encode())
        claim = self._ledger.results.claim(lease, identity)
        if claim.status == "stored" and claim.row is not None and not self._stored_is_there(claim.row):
            self._ledger.results.reopen(lease, identity, address=claim.row["address"])
            claim = self._ledger.results.claim(lease, identity)
        if claim.status == "busy":
            raise StorageError(f"another worker passes the bytes of {key!r} through just now", reason="busy-elsewhere")
        untouched = Enhanced(before)
        encoded = encode_result(data, before, untouched, recipe.output, untouched.stamp(recipe))
        reasons = "; ".join(judged.verdict.reasons)
        details = {
            "warnings": [f"published unenhanced, for the gate refused the result: {reasons}", *encoded.warnings],
            "refused": {"decisions": (row["details"] or {}).get("decisions", []), "identity": row["identity"]},
        }
        page = before.first
        sizes = {"output_width": page.width, "output_height": page.height}
        columns: dict[str, Any] = {"reused": 1, "staged_key": None}
        if claim.status == "mine":
            staged = layout.staged_key(lease.run_id, lease.shard_id, lease.epoch, row["position"], identity)
            self._work.put(staged, encoded.data, content_type=encoded.content_type)
            columns = {"reused": 0, "staged_key": staged}
        with self._ledger.engine.begin() as connection:
            fence(connection, lease)
            if claim.status == "mine":
                self._ledger.results.store(
                    connection,
                    lease,
                    identity,
                    address=self._work.address(columns["staged_key"]),
                    digest=digest(encoded.data),
                    size=len(encoded.data),
                    md5=md5(encoded.data, usedforsecurity=False).hexdigest(),
                    format=encoded.format,
                    details=details,
                    width=page.width,
                    height=page.height,
                    **sizes,
                )
            self._ledger.items.add_scores(connection, lease, key, map(score_columns, judged.scores))
            target = target_key(key, page.metadata.format, encoded.format)
            state = self._pass(
                connection,
                key,
                identity=identity,
                target_key=target,
                passed_through=1,
                details=details,
                **columns,
                **sizes,
            )
        self._watch.refused()
        return state

    def _pass(self, connection: Connection, key: str, **columns: Any) -> ItemState:
        """The picture may be published, within a fenced transaction: `scored`, or `held` where the run is."""
        halt = self._watch.halt()
        if halt is None:
            self._ledger.items.move_in(connection, self._lease, key, ItemState.SCORED, **columns)
            return ItemState.SCORED
        held = {**HELD_ERROR, "error_message": halt.reason}
        self._ledger.items.move_in(connection, self._lease, key, ItemState.HELD, **columns, **held)
        return ItemState.HELD

    def _record(self, row: RowMapping, judged: Judged) -> ItemState:
        """Scores always; the state as the gate says."""
        key = row["key"]
        with self._ledger.engine.begin() as connection:
            fence(connection, self._lease)
            self._ledger.items.add_scores(connection, self._lease, key, map(score_columns, judged.scores))
            if judged.verdict.passed:
                return self._pass(connection, key)
            error = {"stage": "score", "error_class": GATE, "error_message": "; ".join(judged.verdict.reasons)}
            self._ledger.items.move_in(connection, self._lease, key, ItemState.REJECTED, **error)
        self._watch.refused()
        return ItemState.REJECTED

    def _failed(self, row: RowMapping, failure: Failure) -> ItemState:
        lasting = failure.kind is ErrorKind.POISON or row["failed_runs"] + 1 >= RUNS_BEFORE_QUARANTINE
        state = ItemState.QUARANTINED if lasting else ItemState.FAILED
        self._ledger.items.move(self._lease, row["key"], state, **failure.columns())
        if state is ItemState.FAILED:
            self._watch.failed()
        return state


def fidelity_of(
    before: Image, after: Image, details: dict[str, Any], recipe: Recipe, nets: Nets, scorer: LpipsScorer
) -> Scores:
    """How far a result agrees with its input with the same corrections of exposure, colour and geometry: they are meant
    to differ from the input, and what the nets did is still held against something that shows it.

    Args:
        before: as decoded.
        after: the result.
        details: recorded with it; its ``decisions`` count.
        recipe: that was followed.
        nets: the detector of scratches is found there.
        scorer: LPIPS.
    """
    decisions = first_page_decisions(details)
    given = corrected(before, decisions, recipe, nets)
    sigma = _measured_sigma(details, given, any(one.stage in CORRECTIONS and one.applied for one in decisions))
    return score_fidelity(to_working(after), given, scorer, sigma=sigma)


def score_columns(scores: Scores) -> dict[str, Any]:
    """A score as the score table's columns."""
    values = scores.model_dump(mode="json")
    return {name: values[name] for name in Scores.model_fields}


def first_page_decisions(details: dict[str, Any]) -> list[DecisionRecord]:
    """What the stages decided about the first page, from a result's recorded details."""
    records = (DecisionRecord.model_validate(one) for one in details.get("decisions", ()))
    return [record for record in records if record.numbers.get("page", 1) == 1]


def _measured_sigma(details: dict[str, Any], given: Image, is_corrected: bool) -> float | None:
    """The noise of the picture that the result is held against, on 0..1: the strongest channel's.

    The denoising stage measured it, unless a correction multiplied it since.
    """
    if is_corrected:
        sigmas = estimate_noise(to_unit(given.pixels, given.metadata.float_range))
        return max(sigmas) if sigmas else None
    for decision in details.get("decisions", ()):
        levels = decision.get("numbers", {}).get("sigma")
        if decision.get("stage") == "denoising" and levels:
            return max(float(level) for level in levels) / 255
    return None
