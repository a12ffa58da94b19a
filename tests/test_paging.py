"""Iterating in pages."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from enhancer.paging import PAGE, batched


@given(st.lists(st.integers()), st.integers(1, 10))
def test_paging_loses_nothing(items: list[int], size: int) -> None:
    pages = list(batched(items, size))
    assert [item for page in pages for item in page] == items
    assert all(len(page) == size for page in pages[:-1])
    assert all(pages)


def test_a_page_fits_into_one_statement() -> None:
    assert [len(page) for page in batched(range(2 * PAGE + 1))] == [PAGE, PAGE, 1]
