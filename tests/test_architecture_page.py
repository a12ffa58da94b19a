"""docs/architecture.md's table of rooms, the import contract and the imports themselves agree; no import goes round."""

from __future__ import annotations

import re
import tomllib
from graphlib import TopologicalSorter
from pathlib import Path

import grimp
import pytest

CHECKOUT = Path(__file__).parents[1]
PAGE = (CHECKOUT / "docs" / "architecture.md").read_text(encoding="utf-8")
LINTER = tomllib.loads((CHECKOUT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
LAYERS = [{room.strip() for room in layer.split("|")} for layer in LINTER["contracts"][0]["layers"]]
BESIDE = {"demo", "benchmarks"}
"""Rooms that are no part of what is installed, and that nothing imports."""
ANYTHING = {"all below", "everything"}


def module_of(place: str) -> str:
    """``enhancer/stages/`` or ``recipe``, as the table has them, as a module."""
    parts = place.removesuffix(".py").strip("/").split("/")
    if parts[0] == "plugins":
        return parts[1]
    return ".".join(parts) if parts[0] in {"enhancer", "dags", *BESIDE} else ".".join(["enhancer", *parts])


def table() -> list[tuple[list[str], str]]:
    """Each row's rooms, and what they may import."""
    section = PAGE.split("## Rooms")[1].split("\n## ")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("| `")]
    return [([module_of(name) for name in re.findall(r"`([^`]+)`", row[0])], row[2].strip()) for row in rows]


def allowed(room: str, may: dict[str, str]) -> set[str]:
    """The rooms that `room` may import: those that its row names, and what these may."""
    found: set[str] = set()
    pending = [room]
    while pending:
        named = may[pending.pop()]
        if named in ANYTHING:
            return set(may)
        fresh = {module_of(one.strip()) for one in named.split(",") if one.strip() != "-"} - found
        found |= fresh
        pending += fresh
    return found


@pytest.fixture(scope="module")
def imports() -> dict[str, set[str]]:
    """Each module of the product and beside it, and what it imports, under TYPE_CHECKING too."""
    roots = (*LINTER["root_packages"], *BESIDE)
    graph = grimp.build_graph(*roots, exclude_type_checking_imports=False, cache_dir=None)
    return {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}


def room_of(module: str) -> str:
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] == "enhancer" else parts[0]


def test_the_table_has_the_contracts_rooms_in_its_order() -> None:
    rooms = [room for names, _ in table() for room in names if room not in BESIDE]
    assert sorted(rooms) == sorted(room for layer in LAYERS for room in layer)
    levels = [next(level for level, layer in enumerate(LAYERS) if room in layer) for room in rooms]
    assert levels == sorted(levels)


def test_rooms_import_what_the_table_says(imports: dict[str, set[str]]) -> None:
    may = {room: allows for names, allows in table() for room in names}
    wrong = []
    for module, imported in imports.items():
        room = room_of(module)
        if room == "enhancer":  # the package itself, which names what users import from it
            continue
        assert room in may, f"{module} is in no room of docs/architecture.md"
        others = {room_of(one) for one in imported} - {room, "enhancer"}
        wrong += [f"{module} imports {other}" for other in others - allowed(room, may)]
    assert wrong == []


def test_the_dags_are_seen(imports: dict[str, set[str]]) -> None:
    assert "enhancer.airflow.dag" in imports["dags.image_enhancement"]


def test_no_import_goes_round_in_a_circle(imports: dict[str, set[str]]) -> None:
    tuple(TopologicalSorter(imports).static_order())  # CycleError names the circle
