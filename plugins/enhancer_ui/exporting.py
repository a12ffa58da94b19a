"""The listed pictures of a run as a file: CSV for tables, JSON in the common contract. Made while it is sent."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterable, Iterator
from typing import Any, Final, Literal

from fastapi import Response
from fastapi.responses import StreamingResponse

from enhancer.contract import Envelope
from enhancer.ledger.items import NO_SHARD
from enhancer.ledger.rows import CountedRun, ScoredItem
from enhancer.records import gain_db, record_of
from enhancer_ui.showing import appearance_of

COLUMNS: Final = (
    "key", "state", "known", "attempts", "recipe", "bytes", "width", "height", "output_width", "output_height",
    "target_key", "error_class", "error_stage", "error_message", "psnr", "gain_db", "ssim", "lpips", "score",
    "fidelity_psnr", "fidelity_score", "artifact_score", "low_frequency_shift", "residual_ratio",
    "noise_before", "noise_after", "sharpness_before", "sharpness_after",
    "approved_as", "approved_by",
)  # fmt: skip

APPEARANCE: Final = COLUMNS[COLUMNS.index("noise_before") : COLUMNS.index("approved_as")]

_FORMULA: Final = re.compile(r"^[=+\-@\t\r]")


def answer(
    run: CountedRun, items: Iterable[ScoredItem], kind: Literal["csv", "json"], query: dict[str, Any]
) -> Response:
    """The items as a download that is named after the run."""
    name = re.sub(r"[^A-Za-z0-9._-]+", "-", run.run_id)[:100]
    headers = {"Content-Disposition": f'attachment; filename="{name}.{kind}"'}
    if kind == "csv":
        return StreamingResponse(as_csv(items), media_type="text/csv; charset=utf-8", headers=headers)
    return StreamingResponse(as_json(run, items, query), media_type="application/json", headers=headers)


def as_csv(items: Iterable[ScoredItem]) -> Iterator[str]:
    """The items as CSV (RFC 4180), with a line of names first.

    What a spreadsheet would take for a formula has an apostrophe before it: keys are other people's.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(COLUMNS)
    for item in items:
        writer.writerow([_harmless(value) for value in _cells(item)])
        if buffer.tell() > 32_768:
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


def as_json(run: CountedRun, items: Iterable[ScoredItem], query: dict[str, Any]) -> Iterator[str]:
    """The items in the common envelope, whose summary has the run and the filters."""
    summary = {"run": run.as_dict(), "filters": query}
    before, after = Envelope(command="ui export", ok=True, summary=summary).to_json(indent=None).split('"items":[]', 1)
    yield before + '"items":['
    for number, item in enumerate(items):
        yield ("," if number else "") + record_of(run, item).model_dump_json(by_alias=True)
    yield "]" + after


def _cells(item: ScoredItem) -> list[Any]:
    seen = appearance_of(item)
    truth, fidelity = item.scores.get("reference") or {}, item.scores.get("fidelity") or {}
    figures = [
        truth.get("psnr"), gain_db(item.scores), truth.get("ssim"), truth.get("lpips"), truth.get("score"),
        *(fidelity.get(name) for name in ("psnr", "score", "artifact_score", "low_frequency_shift", "residual_ratio")),
        *(seen.get(name) for name in APPEARANCE),
    ]  # fmt: skip
    return [
        item.key, item.state, int(item.shard_id == NO_SHARD), item.attempts, item.recipe_name, item.size,
        item.width, item.height, item.output_width, item.output_height, item.target_key,
        item.error_class, item.stage if item.error_class else None, item.error_message,
        *figures, item.approved_as, item.approved_by,
    ]  # fmt: skip


def _harmless(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value
