"""What tests of weights share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from enhancer.models import index


@pytest.fixture(autouse=True)
def _pip_is_asked_anew() -> Iterator[None]:
    """What pip said in one test, told by its environment, must not send the next one to an index that is gone."""
    index._pip_says.cache_clear()
    yield
    index._pip_says.cache_clear()
