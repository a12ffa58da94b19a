"""The ledger's rows as objects: one class per table, with the table's columns in the table's order.

Made by position (``Item(*row)`` of ``select(item)``), which costs a million rows of planning a second less than by
name; tests/ledger/test_rows.py holds the order against :mod:`enhancer.ledger.tables`.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Final

ScoresByKind = dict[str, dict[str, Any]]
"""``fidelity``, ``reference``, ``baseline``: each with the score table's figures and its ``protocol``."""


NOT_APPROVED: Final[dict[str, Any]] = dict.fromkeys(("approved_as", "approved_by", "approved_at"))
"""The columns of an item that no person approved."""


PLANNING_FAILED: Final = "planning_failed"
"""In a run's summary: the error that ended its planning."""


@dataclass(frozen=True, slots=True)
class Row:
    """Base of all rows."""

    def as_dict(self) -> dict[str, Any]:
        """By column, one level deep: for JSON and for templates."""
        return {field.name: getattr(self, field.name) for field in fields(self)}


@dataclass(frozen=True, slots=True)
class Run(Row):
    """A run: what it was asked to do and how it went."""

    run_id: str
    state: str
    outcome: str | None
    trigger: str
    dag_id: str | None
    dag_run_id: str | None
    input_url: str
    output_url: str
    work_url: str
    reference_url: str | None
    params: dict[str, Any]
    recipes: dict[str, Any]
    manifest_digest: str | None
    listed: int
    quick_skipped: int
    items: int
    shards: int
    code_version: str
    report_address: str | None
    summary: dict[str, Any] | None
    created_at: float
    finished_at: float | None
    halted: str | None
    halt_reason: str | None

    @property
    def why_not_planned(self) -> str | None:
        """What kept the run from being planned the last time that it was tried; None: nothing, or it is tried now."""
        failed = (self.summary or {}).get(PLANNING_FAILED) if self.state == "planning" else None
        return None if failed is None else str(failed["message"])

    @property
    def stage_in_words(self) -> str:
        """Its outcome, or how far it is."""
        return self.outcome or ("planning failed" if self.why_not_planned is not None else self.state)

    @property
    def is_finished(self) -> bool:
        """Whether it was reported and closed; it never reopens."""
        return self.state == "finished"


@dataclass(frozen=True, slots=True)
class CountedRun(Run):
    """A run with its items by state; states without items are left out."""

    counts: dict[str, int]
    known: dict[str, int]
    """Of these, what only repeats an earlier run's verdict without work."""


@dataclass(frozen=True, slots=True)
class Shard(Row):
    """A shard: its part of the manifest, its lease, what it cost."""

    run_id: str
    shard_id: int
    items: int
    cost_s: float
    lease_owner: str | None
    lease_epoch: int
    lease_expires_at: float | None
    peak_rss_mb: float | None
    busy_s: float


@dataclass(frozen=True, slots=True)
class Item(Row):
    """A picture in a run."""

    run_id: str
    key: str
    shard_id: int
    position: int
    state: str
    size: int
    etag: str
    recipe_name: str
    recipe_digest: str
    identity: str | None
    reused: int
    attempts: int
    failed_runs: int
    not_before: float | None
    stage: str | None
    error_class: str | None
    error_message: str | None
    staged_key: str | None
    target_key: str | None
    width: int | None
    height: int | None
    output_width: int | None
    output_height: int | None
    details: dict[str, Any] | None
    released: int
    updated_at: float
    passed_through: int | None
    approved_as: str | None
    approved_by: str | None
    approved_at: float | None

    def approval(self) -> dict[str, Any]:
        """The columns of a person's approval, for the row of the run that acts on it; None in each: there is none."""
        return {name: getattr(self, name) for name in NOT_APPROVED}

    def require_identity(self) -> str:
        """The identity of its result.

        Raises:
            ValueError: it was not enhanced yet, which a caller that asks for this takes for granted.
        """
        if self.identity is None:
            raise ValueError(f"{self.key!r} in run {self.run_id} is {self.state} and has no result yet")
        return self.identity

    def require_target_key(self) -> str:
        """The key under output_url that its result is published under.

        Raises:
            ValueError: it was not enhanced yet, which a caller that asks for this takes for granted.
        """
        if self.target_key is None:
            raise ValueError(f"{self.key!r} in run {self.run_id} is {self.state} and has no target yet")
        return self.target_key


@dataclass(frozen=True, slots=True)
class ScoredItem(Item):
    """An item with its scores by kind."""

    scores: ScoresByKind


@dataclass(frozen=True, slots=True)
class Result(Row):
    """A claimed or stored result, by its identity."""

    identity: str
    state: str
    run_id: str
    shard_id: int
    lease_epoch: int
    address: str | None
    digest: str | None
    size: int | None
    md5: str | None
    format: str | None
    effective_recipe: dict[str, Any] | None
    attempts: int
    details: dict[str, Any] | None
    width: int | None
    height: int | None
    output_width: int | None
    output_height: int | None
    updated_at: float


@dataclass(frozen=True, slots=True)
class Target(Row):
    """What lies at an output address, and which run may write there."""

    address: str
    output_url: str
    input_url: str
    input_key: str
    input_size: int | None
    input_etag: str | None
    recipe_digest: str | None
    identity: str | None
    digest: str | None
    size: int | None
    run_id: str | None
    published_at: float | None
    claim_run_id: str | None
    claim_started_at: float | None


@dataclass(frozen=True, slots=True)
class Action(Row):
    """What a person did: a line of the audit trail."""

    action_id: int
    at: float
    by: str
    verb: str
    run_id: str | None
    count: int
    details: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Note(Row):
    """A person's note on a picture."""

    note_id: int
    input_url: str
    key: str
    text: str
    by: str
    at: float


@dataclass(frozen=True, slots=True)
class FailureGroup(Row):
    """Items of a run that ended alike, with one of them as an example; `known` of them only repeat a verdict."""

    state: str
    stage: str | None
    error_class: str | None
    count: int
    example_key: str
    example_message: str | None
    known: int

    @property
    def is_new(self) -> bool:
        """Whether some of them were not known before this run."""
        return self.count > self.known


@dataclass(frozen=True, slots=True)
class Recorded(Row):
    """What was recorded with an item, for metrics."""

    reused: int
    details: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Progress(Row):
    """How far a run is.

    Attributes:
        total: items.
        done: items in a terminal state.
        by_state: items by state.
        shards: of the run.
        shards_done: with no item open; a held one waits for a person, not for the shard.
        items_per_second: of the enhancement, which is most of the work.
        eta_s: seconds until the run's pictures are done, by the work of the last quarter of an hour; None where there
            was none yet.
        work_done: share of the estimated work that is done, 0..1: an enhanced picture still waits for its scores.
    """

    total: int
    done: int
    by_state: dict[str, int]
    shards: int
    shards_done: int
    items_per_second: float
    eta_s: float | None
    work_done: float


@dataclass(frozen=True, slots=True)
class Token(Row):
    """Someone who may call the service; the secret itself is kept nowhere."""

    token_id: str
    name: str
    digest: str
    scopes: str
    rate: int | None
    created_at: float
    expires_at: float | None
    revoked_at: float | None

    @property
    def scope_names(self) -> frozenset[str]:
        """What its bearer may do."""
        return frozenset(self.scopes.split(","))


@dataclass(frozen=True, slots=True)
class Job(Row):
    """What a caller of the service asked for; its pictures are those of its run."""

    job_id: str
    owner: str
    state: str
    request: dict[str, Any]
    has_files: int
    idempotency_key: str | None
    body_digest: str | None
    run_id: str | None
    attempts: int
    error_class: str | None
    error_message: str | None
    created_at: float
    not_before: float | None
    started_at: float | None
    finished_at: float | None
    cancelled_at: float | None
    expired_at: float | None
    lease_owner: str | None
    lease_expires_at: float | None

    @property
    def is_open(self) -> bool:
        """Whether something is still to be done for it."""
        return self.state in ("queued", "running")


@dataclass(frozen=True, slots=True)
class JobEvent(Row):
    """One thing that happened to a job; numbers go up from 1."""

    job_id: str
    number: int
    event: str
    data: dict[str, Any]
    at: float
