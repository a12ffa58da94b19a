"""docs/production.md names tests that show its table of behaviours: each of them is there."""

from __future__ import annotations

import re
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]


def test_every_behaviour_is_shown_by_a_test_that_exists() -> None:
    page = (CHECKOUT / "docs" / "production.md").read_text(encoding="utf-8")
    table = page.split("## Running again")[1].split("\n\n`redrive_failed`")[0]
    rows = [line.strip("|").split(" | ") for line in table.splitlines() if line.startswith("|")][2:]
    known = {
        name
        for path in (CHECKOUT / "tests").rglob("test_*.py")
        for name in re.findall(r"^def (test_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    assert len(rows) > 10
    for what, _, shown_by in rows:
        named = re.findall(r"`(test_\w+)`", shown_by)
        assert named, what
        assert set(named) <= known, what
