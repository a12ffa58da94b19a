"""What :mod:`enhancer.stages.picture_kind` found, for whoever asks: of the stages, those made for photographs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

NAME: Final = "picture-kind"
KINDS: Final = ("photograph", "document", "screen")
WORDS: Final = {
    "photograph": "a photograph",
    "document": "a document or drawing",
    "screen": "a screen or rendering",
}
MOST_REPEATS: Final = 0.3
"""Autocorrelation at a distance above which a printer's screen is assumed."""


def no_photograph(measured: Mapping[str, Any]) -> str | None:
    """Why a stage that is made for photographs leaves a picture alone; None: it is one, or nothing was measured.

    Args:
        measured: the numbers of the kind's decision (:attr:`enhancer.stages.base.Context.kind`), as below.
    """
    if not measured or is_photograph(measured):
        return None
    return f"made for photographs, and this is {WORDS[measured['kind']]}"


def is_photograph(measured: Mapping[str, Any]) -> bool:
    """Whether it was measured, or said by the recipe, that it is a photograph."""
    return measured.get("kind") == KINDS[0]


def is_document(measured: Mapping[str, Any]) -> bool:
    """Whether it was taken for a document that no screen runs through, as printed pictures have."""
    return measured.get("kind") == "document" and measured.get("repeats", 0.0) <= MOST_REPEATS
