"""airflow.cfg.example names only options that Airflow has, with values that differ from its defaults."""

from __future__ import annotations

import configparser
from pathlib import Path

import airflow
import pytest

from tests.dags.options import airflow_options

EXAMPLE = Path(__file__).parents[2] / "airflow.cfg.example"


def _parse() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(EXAMPLE.read_text())
    return parser


OPTIONS = [(section, option) for section in _parse().sections() for option in _parse()[section]]


def test_there_is_something_to_check() -> None:
    assert len(OPTIONS) >= 8


@pytest.mark.parametrize(("section", "option"), OPTIONS)
def test_airflow_has_the_option_and_another_default(section: str, option: str) -> None:
    known = airflow_options()
    if section == "celery_broker_transport_options":  # handed through to kombu; Airflow names only some of them
        assert option in known[section]
        return
    assert option in known[section], f"[{section}] {option} is not an option of Airflow {airflow.__version__}"
    assert str(known[section][option]["default"]) != _parse()[section][option]


@pytest.mark.parametrize(("section", "option"), OPTIONS)
def test_every_option_has_its_reason(section: str, option: str) -> None:
    """A comment stands right above each option."""
    lines = EXAMPLE.read_text().splitlines()
    start = lines.index(f"[{section}]")
    at = next(n for n in range(start, len(lines)) if lines[n].split("=")[0].strip() == option)
    assert lines[at - 1].startswith("# ")
