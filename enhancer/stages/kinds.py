"""What :mod:`enhancer.stages.picture_kind` found, for the stages that are made for photographs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

NAME: Final = "picture-kind"
KINDS: Final = ("photograph", "document", "screen")
WORDS: Final = {
    "photograph": "a photograph",
    "document": "a document or drawing",
    "screen": "a screen or rendering",
}
MOST_REPEATS: Final = 0.45
"""Autocorrelation at a distance above which a printer's screen is assumed. Lines of text reach 0.39 (one pitch, bold),
a black screen begins at 0.55; of the colour screens, from 0.32 on, the paper is not evenly noisy."""


class Measured(Protocol):
    """What has decisions by stage: a :class:`enhancer.stages.base.Context`."""

    @property
    def decisions(self) -> Mapping[str, Any]:
        """Each with its ``numbers``."""
        ...


def no_photograph(context: Measured) -> str | None:
    """Why a stage that is made for photographs leaves this picture alone; None: it is one, or nothing was measured."""
    measured = context.decisions.get(NAME)
    if measured is None or is_photograph(context):
        return None
    return f"made for photographs, and this is {WORDS[measured.numbers['kind']]}"


def is_photograph(context: Measured) -> bool:
    """Whether it was measured, or said by the recipe, that it is a photograph."""
    measured = context.decisions.get(NAME)
    return measured is not None and measured.numbers["kind"] == KINDS[0]


def is_document(context: Measured) -> bool:
    """Whether it was taken for a document that no screen runs through, as printed pictures have."""
    measured = context.decisions.get(NAME)
    return (
        measured is not None
        and measured.numbers["kind"] == "document"
        and measured.numbers.get("repeats", 0.0) <= MOST_REPEATS
    )
