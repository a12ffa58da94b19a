"""How the templates show the ledger's values: numbers with units, times, states, bars."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from enhancer.files import visible
from enhancer.ledger.rows import CountedRun, Run, ScoredItem
from enhancer.ledger.states import ItemState
from enhancer.records import gain_db
from enhancer_ui.describing import (
    WAYS_OUT,
    cost_of,
    dag_run_page,
    estimate_of,
    kind_of,
    log_page,
    outcome_of,
)

TONES: Final[dict[str, str]] = {
    ItemState.PUBLISHED: "good",
    ItemState.REUSED: "good",
    ItemState.SKIPPED: "calm",
    ItemState.COMMITTING: "busy",
    ItemState.SCORED: "busy",
    ItemState.ENHANCED: "busy",
    ItemState.RUNNING: "busy",
    ItemState.PENDING: "idle",
    ItemState.HELD: "warn",
    ItemState.REJECTED: "warn",
    ItemState.NOT_ATTEMPTED: "idle",
    ItemState.FAILED: "bad",
    ItemState.QUARANTINED: "bad",
}
"""States in the order of the bars, with the tone of their colour; the word is always there too."""

MEANINGS: Final[dict[str, str]] = {
    ItemState.PUBLISHED: "enhanced and at its target",
    ItemState.REUSED: "known content: a stored result was copied to the target",
    ItemState.SKIPPED: "nothing to do: the target is as it should be, or the input is gone",
    ItemState.COMMITTING: "being copied to its target",
    ItemState.SCORED: "scored, waiting to be published",
    ItemState.ENHANCED: "enhanced, waiting to be scored",
    ItemState.RUNNING: "being worked on",
    ItemState.PENDING: "waiting for its turn",
    ItemState.HELD: "held back by the run's gate until a person releases it",
    ItemState.REJECTED: "not good enough: the quality gate kept it back",
    ItemState.NOT_ATTEMPTED: "not reached before the run was stopped",
    ItemState.FAILED: "failed; the next run tries again",
    ItemState.QUARANTINED: "cannot be processed; left alone until the input changes or someone releases it",
}


NONE: Final = "\N{EN DASH}"
"""Stands where there is no value."""


UNCHANGED: Final = "unchanged"
"""Pictures that a run did not look at, since they are as they were when they were published."""


@dataclass(frozen=True, slots=True)
class Segment:
    """One stretch of a run's bar, in percent of its width; `known`: it only repeats what earlier runs found."""

    state: str
    tone: str
    count: int
    start: float
    width: float
    known: bool = False

    @property
    def words(self) -> str:
        """The state for people."""
        words = self.state.replace("_", " ")
        return f"{words} as before" if self.known else words


def segments(counts: Mapping[str, int]) -> list[Segment]:
    """Items by state as stretches from 0 to 100."""
    return _stretches([(state, tone, counts.get(state, 0), False) for state, tone in TONES.items()])


def run_bar(run: CountedRun) -> list[Segment]:
    """A run's pictures as the stretches of its bar: unchanged ones too, and what repeats an earlier verdict apart from
    what went wrong in this run.
    """
    parts = [(UNCHANGED, "calm", run.quick_skipped, False)]
    for state, tone in TONES.items():
        count = run.counts.get(state, 0)
        known = min(count, run.known.get(state, 0))
        parts += [(state, tone, count - known, False), (state, "known", known, True)]
    return _stretches(sorted(parts, key=lambda part: part[3]))


def _stretches(parts: Sequence[tuple[str, str, int, bool]]) -> list[Segment]:
    total = sum(count for _, _, count, _ in parts)
    stretches: list[Segment] = []
    start = 0.0
    for state, tone, count, known in parts:
        if count:
            width = 100 * count / total
            stretches.append(Segment(state, tone, count, start, width, known))
            start += width
    return stretches


def link(page: str, /, **query: Any) -> str:
    """A relative address with its query; what is None or empty is left out."""
    present = {name: value for name, value in query.items() if value not in (None, "")}
    return f"{page}?{urlencode(present, doseq=True)}" if present else page


def when(seconds: float | None) -> str:
    """A time of the ledger, UTC as everywhere in Airflow's database."""
    return NONE if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def machine_time(seconds: float) -> str:
    """The same for the ``datetime`` attribute; the page's script shows it in the reader's time zone."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


def duration(start: float | None, end: float | None) -> str:
    """Time between two instants: 43 s, 5 min 10 s, 2 h 03 min."""
    if start is None or end is None:
        return NONE
    seconds = max(0, round(end - start))
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60:02d} s"
    return f"{seconds // 3600} h {seconds % 3600 // 60:02d} min"


def took(run: Run) -> str:
    """How long the run took, or has been at work."""
    return duration(run.created_at, run.finished_at or time.time())


def filesize(count: int | None) -> str:
    """Bytes with a decimal unit."""
    if count is None:
        return NONE
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            break
        value /= 1000
    return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"


def figure(value: object, digits: int = 3) -> str:
    """A measured value; a dash where there is none; lists and tables in words."""
    match value:
        case None:
            return NONE
        case bool():
            return "yes" if value else "no"
        case float():
            return "\N{INFINITY}" if value == float("inf") else f"{value:.{digits}f}"
        case dict():
            return (
                ", ".join(f"{str(name).replace('_', ' ')} {figure(one, digits)}" for name, one in value.items()) or NONE
            )
        case list() | tuple():
            return ", ".join(figure(one, digits) for one in value) or NONE
    return str(value)


def encoded(key: str) -> str:
    """A key as a form sends it: browsers change line breaks in a field, and a key may have them."""
    return quote(key, safe="/ ")


def number(value: float | None) -> str:
    """A count, its thousands apart."""
    return NONE if value is None else f"{value:,.0f}"


def appearance_of(item: ScoredItem) -> dict[str, float]:
    """Noise and sharpness before and after, in levels of 255, as the evaluating worker measured them; of pictures that
    older versions scored the noise that denoising found in the input, if any.
    """
    measured = ((item.scores.get("fidelity") or {}).get("protocol") or {}).get("appearance")
    if isinstance(measured, dict):
        return measured
    for decision in (item.details or {}).get("decisions", ()):
        levels = (decision.get("numbers") or {}).get("sigma")
        if decision.get("stage") in ("denoising", "restoration") and levels:
            return {"noise_before": float(max(levels)) if isinstance(levels, list) else float(levels)}
    return {}


def size(width: int | None, height: int | None) -> str:
    """Pixels as 512 x 341."""
    return f"{width} \N{MULTIPLICATION SIGN} {height}" if width and height else ""


def _visible(value: Any) -> Any:
    """Every value on its way into a page; markup and numbers stay as they are."""
    return visible(value) if type(value) is str else value


def environment() -> Environment:
    """The templates, with everything escaped and nothing undefined passing unseen."""
    loaded = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    loaded.filters.update(
        when=when, machine_time=machine_time, filesize=filesize, figure=figure, number=number, encoded=encoded
    )
    loaded.globals.update(
        appearance_of=appearance_of,
        cost_of=cost_of,
        dag_run_page=dag_run_page,
        duration=duration,
        estimate_of=estimate_of,
        gain_db=gain_db,
        kind_of=kind_of,
        link=link,
        log_page=log_page,
        meanings=MEANINGS,
        outcome_of=outcome_of,
        run_bar=run_bar,
        segments=segments,
        size=size,
        took=took,
        tones=TONES,
        ways_out=WAYS_OUT,
    )
    return loaded
