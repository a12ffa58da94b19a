"""A person's answer about a run whose pictures were held or refused: asked elsewhere, acted on here.

Between question and answer nights may pass, whose runs repeat the verdict as their own. The answer therefore goes to
whichever run has the last word on a picture, as long as that is about the picture that the question was about: the same
bytes, under the same recipe.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import structlog

from enhancer.ledger import Item, ItemState, Ledger, Run
from enhancer.ledger.items import NO_SHARD
from enhancer.ledger.migrate import check
from enhancer.ledger.verdicts import ApprovedAs
from enhancer.reasons import Reason
from enhancer.settings import Settings

log = structlog.get_logger(__name__)

PAGE: Final = 500

Decision = ApprovedAs | Literal["drop", "later"]
"""What a person decides: publish all as enhanced or as they came, reject what is held, or nothing yet."""


@dataclass(frozen=True)
class Undecided:
    """What of a run waits for a person.

    Attributes:
        run: its row in the ledger.
        by_run: keys by the run whose verdict on them stands: this one, or a later one that repeated it.
        counts: how many there are of each state, ``held`` or ``rejected``.
    """

    run: Run
    by_run: dict[str, list[str]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.by_run)


def undecided(run_id: str, settings: Settings) -> Undecided:
    """What of a run waits for a person now: held or refused in that run itself, neither decided on nor changed since.

    Raises:
        RequestError: the ledger knows no such run, or has no schema.
    """
    check(settings.ledger_url())
    with Ledger(settings.ledger_url()) as ledger:
        return _undecided(ledger, ledger.runs.get(run_id))


def _undecided(ledger: Ledger, run: Run) -> Undecided:
    waiting = {row.key: row for row in _not_published(ledger, run.run_id) if _is_own(row)}
    by_run: dict[str, list[str]] = defaultdict(list)
    counts: Counter[str] = Counter()
    for key, last in ledger.runs.verdicts_for(run.input_url, run.output_url, waiting).items():
        if last.state in (ItemState.HELD, ItemState.REJECTED) and _same_picture(last, waiting[key]):
            by_run[last.run_id].append(key)
            counts[last.state] += 1
    return Undecided(run, dict(by_run), dict(counts))


def _not_published(ledger: Ledger, run_id: str) -> Iterator[Item]:
    """The run's held and rejected items, page by page, decided ones too."""
    seen = 0
    while True:
        rows, total = ledger.queries.items(run_id, state=[ItemState.HELD, ItemState.REJECTED], limit=PAGE, offset=seen)
        yield from rows
        seen += len(rows)
        if not rows or seen >= total:
            return


def _is_own(row: Item) -> bool:
    """Whether a verdict is this run's own and no person's: a repeated one was asked about when it was new."""
    return row.shard_id != NO_SHARD and not row.released and row.error_class != Reason.DROPPED


def _same_picture(one: Item, other: Item) -> bool:
    both = ((row.etag, row.size, row.recipe_digest) for row in (one, other))
    return len(set(both)) == 1 and not one.released and one.error_class != Reason.DROPPED


@dataclass(frozen=True)
class Acted:
    """What an answer led to.

    Attributes:
        count: pictures that were approved or dropped.
        redrive: params of the run that publishes what was approved; None where nothing was.
    """

    count: int
    redrive: dict[str, Any] | None


def act_on(run_id: str, decision: Decision, by: str, settings: Settings) -> Acted:
    """Enter a person's answer in the ledger.

    Args:
        run_id: the run that was asked about.
        decision: ``drop`` rejects what is held; what is rejected stays so.
        by: who answered; it stands in the ledger with the time.
        settings: name the ledger.

    Raises:
        RequestError: the ledger knows no such run, or has no schema.
    """
    check(settings.ledger_url())
    with Ledger(settings.ledger_url()) as ledger:
        found = _undecided(ledger, ledger.runs.get(run_id))
        count = 0
        for run, keys in found.by_run.items():
            if decision == "drop":
                count += ledger.decisions.decide(run, keys, "drop", by=by).count
            elif decision != "later":
                count += ledger.decisions.decide(run, keys, "approve", by=by, publish_as=decision).count
    log.info("a person's answer", run=run_id, decision=decision, by=by, pictures=count)
    publishes = count > 0 and decision in ("enhanced", "original")
    return Acted(count, _redrive(found) if publishes else None)


def _redrive(found: Undecided) -> dict[str, Any]:
    """The params under which a run takes up what was approved, and what else its run left undone."""
    if len(found.by_run) == 1:
        return {"run": next(iter(found.by_run))}
    run = found.run
    urls = {"input_url": run.input_url, "output_url": run.output_url, "work_url": run.work_url}
    return {**urls, "reference_url": run.reference_url}
