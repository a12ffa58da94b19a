"""docs/reference.md says what the code does: every command and option, every exit status, every setting."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer.main

from enhancer.cli.app import app
from enhancer.cli.command import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_SOME_FAILED
from enhancer.settings import Settings

PAGE = (Path(__file__).parents[2] / "docs" / "reference.md").read_text(encoding="utf-8")


def section(title):
    """The text below a heading, up to the next one."""
    found = re.search(rf"^#+ {re.escape(title)}$(.*?)(?=^#|\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found, f"docs/reference.md has no section {title!r}"
    return found[1]


def rows(title):
    cells = [line.strip("|").split(" | ") for line in section(title).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in row] for row in cells[2:]]


def commands(group, path):
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


COMMANDS = dict(commands(typer.main.get_command(app), "enhancer"))


def test_no_command_is_missing_or_made_up():
    assert set(re.findall(r"^### (enhancer .+)$", PAGE, re.MULTILINE)) == set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_options(name):
    documented = {option for row in rows(name) for option in re.findall(r"`(-[a-z-]+)`", row[0])}
    real = {
        option
        for param in COMMANDS[name].params
        if param.param_type_name == "option" and param.name != "help"
        for option in param.opts
    }
    assert documented == real


def test_exit_statuses():
    documented = {int(row[0]) for row in rows("Exit statuses")}
    assert documented == {0, EXIT_FAILED, 2, EXIT_SOME_FAILED, EXIT_INTERRUPTED}


def default_of(name):
    if name == "home":  # the writer's own home folder is no default of the reader's
        assert Settings.model_fields[name].get_default(call_default_factory=True) == Path.home() / ".cache" / "enhancer"
        return "`~/.cache/enhancer`"
    value = Settings.model_fields[name].default
    return "unset" if value is None else f"`{value}`"


def test_settings():
    documented = {row[0]: row[1] for row in rows("Settings")}
    assert documented == {f"`ENHANCER_{name.upper()}`": default_of(name) for name in Settings.model_fields}
    assert all(row[2] for row in rows("Settings"))
