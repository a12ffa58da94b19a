"""What a run is and why it is as it is, in words: its collection, kind, outcome, and what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal, get_args
from urllib.parse import quote

from enhancer.batch.layout import REFERENCE_CHECK_DAG
from enhancer.batch.plan.estimate import in_words
from enhancer.collections import DAG_PREFIX, DEFAULT, DEFAULT_DAG, Collection, default_collection, load_collections
from enhancer.errors import RequestError
from enhancer.ledger.items import NO_SHARD
from enhancer.ledger.rows import CountedRun, Item, Run
from enhancer.reasons import Reason
from enhancer.settings import Settings

REDRIVE_DAG: Final = "redrive_failed"

Kind = Literal["dry run", "re-drive", "reference check", "arrival", "scheduled", "backfill", "by hand", "command line"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

_BROKEN = "Replace the file: a changed object is new work by itself."
_STORE = "Nothing, if it was a moment: the next run tries again. If it lasts, look at the store and the network."
_MEMORY = "Raise the memory of the worker, or lower ENHANCER_MAX_PIXELS; then release the picture."
WAYS_OUT: Final[dict[str, str]] = {
    Reason.TRUNCATED: _BROKEN,
    Reason.CORRUPT: _BROKEN,
    Reason.NOT_A_PICTURE: _BROKEN,
    Reason.EMPTY: _BROKEN,
    Reason.UNSUPPORTED: "Convert the file to a format that docs/formats.md lists, or install the extra that it names.",
    Reason.TOO_MANY_PIXELS: "Replace the file by a smaller one, or raise ENHANCER_MAX_PIXELS.",
    Reason.TOO_MANY_BYTES: "Replace the file by a smaller one, or raise ENHANCER_MAX_BYTES.",
    Reason.SLOW_DOWN: _STORE,
    Reason.TIMEOUT: _STORE,
    Reason.CONNECTION: _STORE,
    Reason.STORAGE: _STORE,
    Reason.ACCESS_DENIED: "Let the workers' key read this object and write the output; the next run tries again.",
    Reason.ARCHIVED: "Restore the object from its archive tier; the next run tries again.",
    Reason.GATE: "Compare the pictures: approve what is good enough, or change the recipe and release it.",
    Reason.RUN_GATE: "Too many results of this run were refused. Look at those, then approve, release or drop these.",
    Reason.DROPPED: "A person dropped it; release it to have it made again.",
    Reason.HUNG: "Raise ENHANCER_ITEM_TIMEOUT_S if such pictures are meant to be worked on, then release it.",
    Reason.MEMORY_LIMIT: _MEMORY,
    Reason.OUT_OF_MEMORY: _MEMORY,
    Reason.WORKER_KILLED: _MEMORY,
    Reason.NO_SPACE: "Free disk space on the worker; the next run tries again.",
    Reason.NOT_ATTEMPTED: "The run ended first; the next run takes it up, or a re-drive does now.",
    Reason.UNFINISHED: "The run ended in the middle of it; the next run takes it up, or a re-drive does now.",
    Reason.TARGET_COLLISION: "Two inputs would be written to one address: rename one of them.",
    Reason.CHANGED: "It changed while the run worked; the next run takes it as it is now.",
}
"""What to do about a failure, by its class; docs/operations.md says more."""

EVALUATING: Final = frozenset({"score"})


@dataclass(frozen=True, slots=True)
class Outcome:
    """A word for how a run stands, the tone of its colour, and what it means."""

    word: str
    tone: str
    meaning: str


class Collections:
    """The names of the collections, as the settings and their file have them now."""

    def __init__(self, settings: Settings) -> None:
        try:
            listed: Sequence[Collection] = load_collections(settings)
        except RequestError:  # the file is being edited: names come from the DAGs alone
            listed = ()
        self._listed = (default_collection(settings), *listed)

    @property
    def dag_ids(self) -> dict[str, str]:
        """Each collection's DAG, by name."""
        return {one.name: one.dag_id for one in self._listed}

    def of(self, run: Run) -> str | None:
        """The collection that a run is of: by its DAG, else by its addresses; None: of none."""
        if run.dag_id == DEFAULT_DAG:
            return DEFAULT
        if run.dag_id is not None and run.dag_id.startswith(DAG_PREFIX):
            return run.dag_id.removeprefix(DAG_PREFIX)
        here = (run.input_url, run.output_url)
        return next((one.name for one in self._listed if (one.input_url, one.output_url) == here), None)


def is_dry(run: Run) -> bool:
    """Whether it only planned."""
    return bool((run.summary or {}).get("dry_run") or run.params.get("dry_run"))


def kind_of(run: Run) -> Kind:
    """What kind of run it is, by what matters most about it."""
    if is_dry(run):
        return "dry run"
    if run.dag_id == REDRIVE_DAG or run.params.get("redrive"):
        return "re-drive"
    if run.dag_id == REFERENCE_CHECK_DAG:
        return "reference check"
    if (run.dag_run_id or "").startswith("asset_triggered__"):
        return "arrival"
    kinds: dict[str, Kind] = {"scheduled": "scheduled", "backfill": "backfill", "cli": "command line"}
    return kinds.get(run.trigger, "by hand")


def outcome_of(run: Run) -> Outcome:
    """How a run stands."""
    if run.why_not_planned is not None:
        return Outcome("planning failed", "bad", run.why_not_planned)
    if not run.is_finished:
        return Outcome(run.state, "busy", f"the run is {run.state}")
    if is_dry(run):
        return Outcome("planned only", "calm", "a dry run: counted and estimated, no picture was touched")
    if run.outcome == "success":
        return Outcome("success", "good", "the run ended well")
    return Outcome(run.outcome or "finished", "bad", f"the run ended as {run.outcome or 'finished'}")


def estimate_of(run: Run) -> str | None:
    """What planning reckoned, as a sentence; None where it has not come to it."""
    summary = run.summary or {}
    return in_words(summary) if "estimated_from" in summary and "work_items" in summary else None


def cost_of(run: Run) -> str | None:
    """What the run's workers cost, where a price an hour is set and their time was measured."""
    summary = run.summary or {}
    price, busy_s = summary.get("worker_hour_price"), (summary.get("figures") or {}).get("busy_s")
    if price is None or busy_s is None:
        return None
    return f"{busy_s / 3600 * price:.2f} for {busy_s / 60:.0f} minutes of workers at {price:g} an hour"


def why_empty(run: CountedRun, *, is_filtered: bool) -> str:
    """Why a run's table has no pictures."""
    if is_filtered and run.counts:
        return "No pictures match. Take a filter away to see more."
    if not run.is_finished:
        if run.why_not_planned is not None:
            return "There is no list of pictures, since planning failed; the reason stands above."
        return "The list of pictures is being made." if run.state == "planning" else "This run has nothing to do."
    reasons = (
        (is_dry(run), "A dry run only counts: it makes no list, and touches no picture."),
        (
            bool((run.summary or {}).get("retired")),
            "The rows of this run are past retention (ENHANCER_RETENTION_DAYS); its report has every picture.",
        ),
        (
            run.quick_skipped > 0,
            f"Nothing was to be done: all {run.quick_skipped:,} pictures are unchanged since they were published.",
        ),
        (bool(run.params.get("redrive")), "Nothing was undone: there was no picture to try again."),
    )
    otherwise = f"No pictures were found: nothing lies under {run.input_url} that this run was asked for."
    return next((words for holds, words in reasons if holds), otherwise)


def dag_run_page(run: Run) -> str | None:
    """The page of its DAG run in the Airflow UI, relative to this one."""
    if run.dag_id is None or run.dag_run_id is None:
        return None
    return f"../dags/{quote(run.dag_id, safe='')}/runs/{quote(run.dag_run_id.split('#')[0], safe='')}"


def log_page(run: Run, item: Item) -> str | None:
    """The log of the task that had this picture last, in the Airflow UI."""
    page = dag_run_page(run)
    if page is None or item.shard_id == NO_SHARD or "#" in (run.dag_run_id or "") or run.dag_id == REFERENCE_CHECK_DAG:
        return None
    task = "publish" if item.stage == "publish" else "evaluate" if item.stage in EVALUATING else "enhance"
    return f"{page}/tasks/shard.{task}/mapped/{item.shard_id}"
