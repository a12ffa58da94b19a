"""docs/operations.md as the tests read it."""

from __future__ import annotations

import re
from pathlib import Path

PAGE = (Path(__file__).parents[1] / "docs" / "operations.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[list[str]]:
    """The cells of the table below `heading`, its head left out."""
    found = re.search(rf"^#+ {re.escape(heading)}$(.*?)(?=^#|\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found, f"no heading {heading!r}"
    table = [line.strip("|").split(" | ") for line in found[1].splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in table[2:]]


def error_classes() -> set[str]:
    """The classes of errors that the page explains; `rejected` is a state."""
    first = [row[0] for row in rows("Pictures fail: what the class means")]
    named = {name for cell in first for name in re.findall(r"`([a-z-]+)`", cell)}
    return (named | set(re.findall(r"Errors of class `([a-z-]+)`", PAGE))) - {"rejected"}


def metrics() -> set[str]:
    """The metrics of the page's table, with the capitals that stand for a state or a step."""
    found = set()
    for row in rows("Metrics"):
        names = re.findall(r"`([\w.]+)`", row[0])
        found |= {names[0].rpartition(".")[0] + name if name.startswith(".") else name for name in names}
    return found
