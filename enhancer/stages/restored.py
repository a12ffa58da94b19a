"""Whether a picture is restored from damage, or shows it, for stages that then have nothing left to do."""

from __future__ import annotations

from typing import Final

from enhancer.stages.base import Context

NAME: Final = "restoration"
"""The stage that decides it (:mod:`enhancer.stages.restoration`)."""


def restored_by(context: Context) -> str | None:
    """The stage that restores the picture, ``restoration`` or ``super-resolution``; None: it is not restored."""
    decision = context.decisions.get(NAME)
    return None if decision is None else decision.numbers.get("by")


def share_of(context: Context) -> float:
    """How much of the restoring net's result is taken, 0 to 1; the rest is the picture as it came, or bicubic."""
    decision = context.decisions.get(NAME)
    return 1.0 if decision is None else float(decision.numbers.get("share", 1.0))


def left_to(context: Context) -> str | None:
    """Why a stage for one kind of damage leaves the picture alone: it was restored; None: it was not."""
    stage = restored_by(context)
    return None if stage is None else f"left to {stage}, which restores the picture"


SURE: Final = 0.9
"""Odds of damage from which it is believed."""


def shows_damage(context: Context) -> bool:
    """Whether the picture is restored, or was found damaged too little or in another way for that."""
    decision = context.decisions.get(NAME)
    return decision is not None and ("by" in decision.numbers or decision.numbers.get("damage", 0.0) >= SURE)
