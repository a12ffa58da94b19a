"""docs/tutorial.md, followed command by command in an empty folder: each output is what the page shows."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from demo.services.processes import free_port
from tests.model_cache import MODEL_CACHE

PAGE = (Path(__file__).parents[2] / "docs" / "tutorial.md").read_text(encoding="utf-8")
FOLDER = "/srv/tour"
END = "--- end of output ---"


@dataclass
class Step:
    """A command, and the output that the page shows."""

    command: str
    output: str


def files() -> dict[str, str]:
    """The files that the page has one write, by name."""
    blocks = re.findall(r"```(?:python|toml|bash)\n# (\S+)\n(.*?)```", PAGE, re.DOTALL)
    return {name: text.replace(FOLDER, "{folder}") for name, text in blocks}


def steps() -> list[Step]:
    found = []
    for block in re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL):
        for part in block.removeprefix("$ ").split("\n$ "):
            command, _, output = part.partition("\n")
            found.append(Step(command, output.strip()))
    return found


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path
    pid = tmp_path / "airflow.pid"
    if pid.exists():
        with suppress(ProcessLookupError):
            os.killpg(int(pid.read_text()), signal.SIGKILL)


@pytest.mark.airflow
@pytest.mark.timeout(900)
def test_every_command_prints_what_the_page_shows(folder: Path) -> None:
    (folder / "dags").mkdir()
    for name, text in files().items():
        (folder / name).write_text(text.replace("{folder}", str(folder)))
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "ENHANCER"))}
    port = free_port()
    environment = {
        **kept,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept['PATH']}",
        "ENHANCER_MODEL_DIR": str(MODEL_CACHE),
        "ENHANCER_THREADS": "1",
        "COLUMNS": "120",
        # Other tests' servers may have the port.
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__API__BASE_URL": f"http://127.0.0.1:{port}",
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://127.0.0.1:{port}/execution/",
    }
    # Monitor mode: what runs in the background has a process group of its own, to be ended as a whole.
    script = "set -m\n" + "".join(f"{step.command}\necho '{END}'\n" for step in steps())
    done = subprocess.run(
        ["bash", "-eo", "pipefail", "-c", script],
        env=environment,
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    log = folder / "airflow.log"
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{log.read_text()[-6000:] if log.exists() else ''}"
    outputs = done.stdout.split(f"{END}\n")[:-1]
    shown = [step.output for step in steps()]
    assert [text.replace(str(folder), FOLDER).strip() for text in outputs] == shown


def test_the_page_has_three_collections_one_of_them_event_driven() -> None:
    assert re.findall(r"\[collection\.(\w+)\]", files()["collections.toml"]) == ["scans", "phone", "shop"]
    assert files()["collections.toml"].count("arrivals =") == 1
