"""Iterating in pages (``itertools.batched`` is Python 3.12)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final, TypeVar

T = TypeVar("T")

PAGE: Final = 1000
"""As many as fit into one statement's IN: databases limit the number of its parameters."""


def batched(items: Iterable[T], size: int = PAGE) -> Iterator[tuple[T, ...]]:
    """`items` in tuples of `size`, the last one shorter."""
    iterator = iter(items)
    while page := tuple(islice(iterator, size)):
        yield page
