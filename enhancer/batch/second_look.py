"""The mark on a picture that evaluation could not finish without a net: it stays `enhanced` until the second look,
which runs where the nets do.

The mark stands in the item's details, with the reason, and goes when the picture moves on.
"""

from __future__ import annotations

from typing import Any, Final

from enhancer.ledger import Item

MARK: Final = "second_look"


def is_marked(item: Item) -> bool:
    """Whether evaluation left this picture for the second look."""
    return MARK in (item.details or {})


def marked(item: Item, reason: str) -> dict[str, Any]:
    """The item's details with the mark, and why it has it."""
    return {**(item.details or {}), MARK: reason}


def unmarked(item: Item) -> dict[str, Any]:
    """The item's details as they were before it was marked."""
    return {name: value for name, value in (item.details or {}).items() if name != MARK}
