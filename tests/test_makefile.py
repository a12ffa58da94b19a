"""The Makefile's own table of contents."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import yaml

CHECKOUT = Path(__file__).parents[1]
TEXT = (CHECKOUT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z][a-z0-9%-]*):(?!=)", TEXT, re.MULTILINE))


def make(*arguments: str) -> str:
    done = subprocess.run(
        ["make", *arguments], cwd=CHECKOUT, capture_output=True, text=True, check=True, env={"PATH": "/usr/bin:/bin"}
    )
    return done.stdout


def test_help_lists_every_target() -> None:
    lines = make("help").splitlines()
    assert {line.split()[1] for line in lines} == TARGETS
    assert all(len(line.split(maxsplit=2)) == 3 for line in lines), "each with what it does"


def test_every_target_is_phony() -> None:
    """A file or folder named like a target would otherwise make it do nothing; patterns cannot be declared."""
    [declared] = re.findall(r"^\.PHONY: (.*)$", TEXT, re.MULTILINE)
    assert set(declared.split()) == {target for target in TARGETS if "%" not in target}


def test_every_step_of_the_workflow_is_a_target_or_the_script_of_ci() -> None:
    jobs = yaml.safe_load((CHECKOUT / ".github" / "workflows" / "ci.yml").read_text())["jobs"]
    commands = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    assert commands
    for program, *targets in map(str.split, commands):
        assert program in {"make", ".ci/run"}
        assert set(targets) <= TARGETS
    for job in jobs.values():
        for step in job["steps"]:
            assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", step.get("uses", "a/b@" + "0" * 40)), "pinned by commit"
