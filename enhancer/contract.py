"""The one JSON contract of CLI, worker, report and API: versioned, additive only.

Every list of results anywhere is an :class:`Envelope`; every picture in it an :class:`ItemRecord`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, Field

from enhancer.version import __version__

SCHEMA_VERSION: Final = 1


class ErrorRecord(BaseModel):
    """Why a picture failed."""

    model_config = ConfigDict(populate_by_name=True)

    error_class: str = Field(alias="class", serialization_alias="class", description="stable word, such as truncated")
    message: str
    stage: str = Field(description="read | decode | enhance | encode | write | score | publish | worker | list")


class DecisionRecord(BaseModel):
    """What one stage decided."""

    stage: str
    applied: bool
    reason: str
    numbers: dict[str, Any] = Field(default_factory=dict)


class ApprovalRecord(BaseModel):
    """A person's word that a picture is published which the gate did not let through."""

    publish_as: str = Field(description="enhanced | original")
    by: str
    at: datetime = Field(description="UTC")


class ItemRecord(BaseModel):
    """One picture's way."""

    input: str = Field(description="key or path")
    output: str | None = Field(None, description="key or path; null where nothing was written")
    state: str = Field(description="an ItemState")
    attempts: int = 1
    passed_through: bool = Field(False, description="the gate refused the result: published unenhanced")
    approval: ApprovalRecord | None = Field(None, description="of a person, where the gate's verdict does not count")
    recipe: str | None = Field(None, description="the recipe's name")
    scale: float | None = Field(None, description="as asked for")
    identity: str | None = None
    width: int | None = None
    height: int | None = None
    output_width: int | None = None
    output_height: int | None = None
    error: ErrorRecord | None = None
    decisions: list[DecisionRecord] = Field(default_factory=list)
    models: dict[str, str] = Field(default_factory=dict, description="net name to sha256 of its weights")
    scores: dict[str, dict[str, Any]] = Field(default_factory=dict, description="by kind: fidelity, reference")
    timings: dict[str, float] = Field(default_factory=dict, description="seconds by step")
    pipeline: str | None = Field(None, description="version of the pipeline that made the result, where it is recorded")
    cached: bool = Field(False, description="the result was computed before and came out of the cache")
    warnings: list[str] = Field(default_factory=list)
    facts: dict[str, Any] = Field(default_factory=dict, description="what the file says of itself; only of `inspect`")


class Envelope(BaseModel):
    """What every front end prints."""

    schema_version: int = SCHEMA_VERSION
    version: str = __version__
    command: str
    ok: bool
    items: list[ItemRecord] = Field(default_factory=list)
    summary: dict[str, Any] = Field(default_factory=dict)

    def to_json(self, *, indent: int | None = 2) -> str:
        """JSON text with the contract's own names (``class``, not ``error_class``)."""
        return self.model_dump_json(by_alias=True, indent=indent)
