"""The ledger's item rows in the one JSON contract: for report, command line, API and page."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

from enhancer.contract import ApprovalRecord, DecisionRecord, ErrorRecord, ItemRecord
from enhancer.ledger.rows import Run, ScoredItem, ScoresByKind
from enhancer.ledger.states import ItemState

AT_TARGET: Final = frozenset({ItemState.PUBLISHED, ItemState.REUSED})
"""In these states the run has written the item's target."""


def record_of(run: Run, item: ScoredItem) -> ItemRecord:
    """An item of a run.

    Input and output are keys below the run's addresses; there is an output only where the run wrote one. The scale is
    that of the recipe that was asked for.
    """
    details = item.details or {}
    error = None
    if item.error_class:
        error = ErrorRecord(
            error_class=item.error_class, message=item.error_message or "", stage=item.stage or "worker"
        )
    approval = None
    if item.approved_as is not None:
        approval = ApprovalRecord(
            publish_as=item.approved_as,
            by=item.approved_by or "",
            at=datetime.fromtimestamp(item.approved_at or 0, UTC),
        )
    return ItemRecord(
        input=item.key,
        output=item.target_key if item.state in AT_TARGET else None,
        state=item.state,
        attempts=item.attempts,
        passed_through=item.passed_through == 1,
        approval=approval,
        recipe=item.recipe_name,
        scale=run.recipes.get(item.recipe_digest, {}).get("scale"),
        identity=item.identity,
        width=item.width,
        height=item.height,
        output_width=item.output_width,
        output_height=item.output_height,
        error=error,
        decisions=[DecisionRecord.model_validate(decision) for decision in details.get("decisions", ())],
        models=details.get("models") or {},
        scores=item.scores,
        timings=details.get("timings") or {},
        warnings=details.get("warnings") or [],
        cached=details.get("cached", False),
        pipeline=details.get("pipeline"),
    )


def gain_db(scores: ScoresByKind) -> float | None:
    """PSNR against the truth above that of bicubic enlargement (or of the untouched input, at the same size), in dB;
    None where the truth is not known.
    """
    ours, plain = (scores.get(kind, {}).get("psnr") for kind in ("reference", "baseline"))
    return None if ours is None or plain is None else float(ours) - float(plain)
