"""docs/operations.md names only commands, options and settings that exist.

What it says of errors and metrics is held by tests/batch/test_operations_page_causes.py and tests/airflow/test_metrics.py.
"""

from __future__ import annotations

import configparser
import re
import shlex
from pathlib import Path

import pytest
import typer.main
from click.testing import CliRunner

from enhancer.cli.app import app
from enhancer.reasons import Reason
from enhancer.settings import Settings
from tests.dags.options import airflow_options

CHECKOUT = Path(__file__).parents[1]
PAGE = (CHECKOUT / "docs" / "operations.md").read_text(encoding="utf-8")
BLOCKS = [line.strip() for line in PAGE.splitlines() if line.startswith("    ")]
INLINE = re.findall(r"`((?:enhancer|airflow|make|docker) [^`]+)`", PAGE)
COMMANDS = sorted({shlex.join(shlex.split(line, comments=True)) for line in (*BLOCKS, *INLINE)})


def of(program: str) -> list[list[str]]:
    return [shlex.split(line)[1:] for line in COMMANDS if line.split()[0] == program]


def test_every_line_is_a_command_that_is_checked_here() -> None:
    assert len(COMMANDS) >= 15
    assert {line.split()[0] for line in COMMANDS} == {"enhancer", "airflow", "docker"}


@pytest.mark.parametrize("arguments", of("enhancer"), ids=shlex.join)
def test_our_commands_parse(arguments: list[str]) -> None:
    """Up to the leaf command, whose own parser takes what is left; nothing runs."""
    command = typer.main.get_command(app)
    context = command.make_context("enhancer", list(arguments), resilient_parsing=True)
    rest = list(arguments)
    while hasattr(command, "commands"):
        command = command.commands[rest.pop(0)]
    parsed = command.make_context(command.name, list(rest), parent=context)
    assert not parsed.args, "something is left that the command does not know"


def test_a_slip_would_be_found() -> None:
    done = CliRunner().invoke(typer.main.get_command(app), ["batch", "status", "--wacth"])
    assert done.exit_code == 2


def test_airflows_commands_parse() -> None:
    from airflow.cli.cli_parser import get_parser

    commands = of("airflow")
    assert len(commands) >= 6
    for arguments in commands:
        get_parser().parse_args(arguments)  # SystemExit where it does not know them


def test_settings_exist() -> None:
    named = {name.lower() for name in re.findall(r"ENHANCER_([A-Z0-9_]+)", PAGE)}
    assert named
    assert named <= set(Settings.model_fields)


def test_airflows_options_exist() -> None:
    for section, option in re.findall(r"`\[(\w+)\] (\w+)`", PAGE):
        assert option in airflow_options()[section]
    example = configparser.ConfigParser(interpolation=None)
    example.read(CHECKOUT / "airflow.cfg.example")
    assert "120 s in airflow.cfg.example" in PAGE
    assert example["scheduler"]["task_instance_heartbeat_timeout"] == "120"


def test_error_classes_are_those_that_there_are() -> None:
    table = re.search(r"^#+ Pictures fail: what the class means$(.*?)(?=^#|\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert table
    first_cells = [line.strip("|").split(" | ")[0] for line in table[1].splitlines() if line.startswith("|")]
    named = {name for cell in first_cells for name in re.findall(r"`([a-z-]+)`", cell)} - {"rejected"}
    assert len(named) >= 8
    assert named <= {reason.value for reason in Reason}
