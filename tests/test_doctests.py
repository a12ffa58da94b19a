"""The examples in the docstrings of pure functions run, and print what they say."""

from __future__ import annotations

import doctest
import importlib

import pytest

MODULES = (
    "enhancer.image",
    "enhancer.quality.artifacts",
    "enhancer.quality.gate",
    "enhancer.quality.metrics",
    "enhancer.quality.scoring",
    "enhancer.service.places",
    "enhancer.service.streaming",
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_print_what_they_say(name: str) -> None:
    outcome = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert outcome.attempted > 0, f"{name} has no example"
    assert outcome.failed == 0
