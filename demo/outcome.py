"""What a run produced: the table for people, the promises checked (:mod:`demo.promises`), the copies."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from demo import promises
from demo.follow import COLOURS
from demo.pictures import BAD_KEYS, REAL
from demo.stack import Stack
from enhancer.ledger import GOOD, CountedRun, Ledger, ScoredItem
from enhancer.records import gain_db

REPORTS: Final = "_enhancer/reports/"


def show(stack: Stack, run_id: str, console: Console) -> None:
    """The table: what became of every picture, and how it scores against truth."""
    table = Table(title="What became of every picture", title_justify="left", header_style="bold")
    for name in ("picture", "state", "done"):
        table.add_column(name, overflow="fold")
    for name in ("PSNR", "SSIM", "LPIPS", "gain, dB"):
        table.add_column(name, justify="right")
    gains: list[float] = []
    reasons = []
    with Ledger(stack.settings.ledger_url()) as ledger:
        for row in ledger.queries.iter_items(run_id):
            truth = row.scores.get("reference", {})
            gain = gain_db(row.scores)
            gains += [gain] if gain is not None else []
            if row.error_message:
                reasons.append((row.key, row.error_message))
            table.add_row(
                row.key,
                Text(row.state, style=COLOURS.get(row.state, "")),
                _done(row),
                _number(truth.get("psnr"), 2),
                _number(truth.get("ssim"), 4),
                _number(truth.get("lpips"), 3),
                Text(f"{gain:+.2f}", style="green" if gain > 0.005 else "dim") if gain is not None else Text("–"),
            )
        counts = ledger.items.counts(run_id)
    console.print(table)
    for key, message in reasons:
        console.print(f"{key}: {message.removeprefix(f'{key}: ')}", highlight=False)
    mean = sum(gains) / len(gains) if gains else 0.0
    console.print(
        f"{sum(counts.values())} pictures: " + ", ".join(f"{count} {state}" for state, count in sorted(counts.items())),
        f"· mean gain over bicubic, or over the untouched input at the same size: {mean:+.2f} dB",
    )


def _done(row: ScoredItem) -> str:
    if row.error_class:
        return row.error_class
    decisions = (row.details or {}).get("decisions", [])
    return ", ".join(decision["stage"] for decision in decisions if decision["applied"]) or "left as it was"


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"


def listing(stack: Stack, bucket: str) -> dict[str, str]:
    """Key to ETag, by boto3 alone."""
    pages = stack.s3.client.get_paginator("list_objects_v2").paginate(Bucket=bucket)
    return {found["Key"]: found["ETag"] for page in pages for found in page.get("Contents", [])}


def broken_promises(stack: Stack, first: CountedRun, second: CountedRun, inbox_before: dict[str, str]) -> Iterator[str]:
    """Each promise of the design that the two runs broke, in words."""
    inbox = listing(stack, "inbox")
    if inbox != inbox_before:
        yield "the input bucket was written to"
    with Ledger(stack.settings.ledger_url()) as ledger:
        rows = {row.key: row for row in ledger.queries.iter_items(first.run_id)}
        again = {row.key: row.state for row in ledger.queries.iter_items(second.run_id)}
        if first.listed != len(inbox):
            yield f"{first.listed} of {len(inbox)} objects were listed"
        for key, row in rows.items():
            if key in BAD_KEYS and (row.state != "quarantined" or not row.error_message):
                yield f"{key} is not a picture, but ended as {row.state}: {row.error_message}"
            elif key not in BAD_KEYS and row.state not in GOOD and again.get(key) not in GOOD:
                yield f"{key} ended as {row.state}: {row.error_message}"
            elif key.startswith(REAL) and row.state in GOOD:
                yield from _unrestored(row)
    stores = (promises.bucket(stack.s3.client, f"s3://{name}") for name in ("enhanced", "work"))
    yield from promises.broken_promises(stack.settings.ledger_url(), *stores)


def _unrestored(row: ScoredItem) -> Iterator[str]:
    """What a really damaged picture lacks: it must be recognised as one, restored, and come nearer to the truth."""
    decisions = {one["stage"]: one for one in (row.details or {}).get("decisions", [])}
    if "by" not in decisions.get("restoration", {}).get("numbers", {}):
        yield f"{row.key} is really damaged, but was not restored: {decisions.get('restoration', {}).get('reason')}"
    gain = gain_db(row.scores)
    if gain is None or gain <= 0:
        yield f"{row.key} was restored and is no nearer to the truth than before: gain {gain}"


def broken_second_run(
    first: CountedRun, second: CountedRun, before: dict[str, str], after: dict[str, str]
) -> Iterator[str]:
    """What the second run did though it was done; what failed in passing, as when a server was killed, is work."""
    published = sum(count for state, count in first.counts.items() if state in GOOD)
    missing = first.items - published - len(BAD_KEYS)
    if second.quick_skipped != published:
        yield f"the second run skipped {second.quick_skipped} of {published} pictures that were done"
    if second.shards and not missing:
        yield f"the second run started workers for {second.shards} shards, though nothing had changed"
    rewritten = [key for key, etag in before.items() if not key.startswith(REPORTS) and after.get(key) != etag]
    if rewritten:
        yield f"the second run wrote targets that were done: {', '.join(rewritten)}"


def copy_out(stack: Stack, run_id: str, folder: Path) -> Path:
    """Copy the report and every picture (input, enhanced, truth) to `folder`; the report's path."""
    shutil.rmtree(folder, ignore_errors=True)
    for bucket in ("inbox", "enhanced", "truth"):
        for key in listing(stack, bucket):
            if key.startswith(REPORTS):
                if not key.startswith(f"{REPORTS}{run_id}/"):
                    continue
                path = folder / Path(key).name
            else:
                path = folder / bucket / key
            path.parent.mkdir(parents=True, exist_ok=True)
            stack.s3.client.download_file(bucket, key, str(path))
    return folder / "report.html"
