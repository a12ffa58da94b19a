"""The enumeration of reasons holds every one that the code gives."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from enhancer.errors import EnhancerError, ErrorKind, RequestError
from enhancer.reasons import Reason

CHECKOUT = Path(__file__).parents[1]
SOURCES = sorted(path for room in ("enhancer", "plugins", "dags") for path in (CHECKOUT / room).rglob("*.py"))


def given(tree: ast.Module) -> Iterator[str]:
    """Texts that stand as ``reason=`` or as a class's ``default_reason``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.keyword) and node.arg == "reason":
            value: ast.expr | None = node.value
        elif isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "default_reason":
            value = node.value
        else:
            continue
        for part in (value.body, value.orelse) if isinstance(value, ast.IfExp) else (value,):
            if isinstance(part, ast.Constant) and isinstance(part.value, str):
                yield part.value


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(CHECKOUT)))
def test_every_reason_is_in_it(path: Path) -> None:
    assert set(given(ast.parse(path.read_text(encoding="utf-8")))) <= {reason.value for reason in Reason}


def test_an_error_carries_plain_text() -> None:
    error = RequestError("no", reason=Reason.NO_RUN)
    assert (error.reason, type(error.reason)) == ("no-run", str)
    assert (EnhancerError("no").reason, RequestError("no").reason) == ("error", "bad-request")


def test_another_packages_reason_is_taken() -> None:
    assert EnhancerError("no", reason="out-of-toner", kind=ErrorKind.PERMANENT).reason == "out-of-toner"
