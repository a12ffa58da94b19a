"""Iterating in pages (``itertools.batched`` is Python 3.12)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

T = TypeVar("T")


def batched(items: Iterable[T], size: int) -> Iterator[tuple[T, ...]]:
    """`items` in tuples of `size`, the last one shorter."""
    iterator = iter(items)
    while page := tuple(islice(iterator, size)):
        yield page
