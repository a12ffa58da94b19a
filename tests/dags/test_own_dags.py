"""Groups and operators in DAGs of a user's own, by `dag.test()` on local folders and SQLite."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from skimage import data

from enhancer.ledger import Ledger
from tests.model_cache import MODEL_CACHE

RUNNER = Path(__file__).with_name("running.py")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("own")
    (folder / "bucket" / "below").mkdir(parents=True)
    (folder / "home").mkdir()
    pictures = {"astronaut.png": data.astronaut(), "below/cat.jpg": data.chelsea(), "below/coffee.png": data.coffee()}
    for key, picture in pictures.items():
        Image.fromarray(np.ascontiguousarray(picture[100:148, 100:164])).save(folder / "bucket" / key)
    return folder


@pytest.fixture(scope="module")
def runs(folder: Path) -> dict[str, dict[str, Any]]:
    (folder / "requests.json").write_text(json.dumps([["own_groups", {}], ["own_operators", {}]]))
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(folder / "home"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(RUNNER.with_name("own")),
        "OWN_DAGS_FOLDER": str(folder),
        "ENHANCER_HOME": str(folder / "enhancer"),
        "ENHANCER_MODEL_DIR": str(MODEL_CACHE),
        "ENHANCER_INPUT_URL": str(folder / "of-the-default"),
        "ENHANCER_WORK_URL": str(folder / "of-the-default-work"),
        "ENHANCER_RULES": '[{"match": "*", "scale": 2}]',
        "ENHANCER_TASK_RETRIES": "0",
        "ENHANCER_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, str(RUNNER), str(folder / "requests.json"), str(folder / "answers.json")],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    answers = json.loads((folder / "answers.json").read_text())
    for answer in answers:
        assert answer["state"] == "success", done.stdout[-9000:]
    return dict(zip(("groups", "operators"), answers, strict=True))


def returned(run: dict[str, Any], task: str) -> list[Any]:
    return [x["value"] for x in run["xcoms"] if (x["task"], x["key"]) == (task, "return_value")]


def made(folder: Path) -> set[str]:
    files = (path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    return {name for name in files if not name.startswith("_enhancer/")}


def test_groups_of_one_dag_run_do_each_their_own(runs: dict[str, dict[str, Any]], folder: Path) -> None:
    every, below = folder / "out" / "all" / "own_groups", folder / "out" / "below" / "own_groups"
    assert returned(runs["groups"], "together") == [{str(every): 3, str(below): 2}]
    assert made(every) == {"astronaut.png", "below/cat.jpg", "below/coffee.png"}
    assert made(below) == {"below/cat.jpg", "below/coffee.png"}
    with Image.open(every / "astronaut.png") as picture:
        assert picture.size == (64, 48), "the settings' rules are the default collection's"
    assert not (folder / "of-the-default-work").exists()


def test_the_ledger_has_a_run_of_each_group(runs: dict[str, dict[str, Any]], folder: Path) -> None:
    summaries = [returned(runs["groups"], f"{name}.report")[0] for name in ("all", "below")]
    assert len({summary["run"] for summary in summaries}) == 2
    assert [summary["outcome"] for summary in summaries] == ["success", "success"]
    with Ledger(f"sqlite:///{folder / 'enhancer' / 'ledger.db'}") as ledger:
        newest = ledger.queries.find_by_dag_run("own_groups", runs["groups"]["run_id"])
        assert newest is not None, "the page finds a DAG run's newest run"
        assert newest.run_id in {summary["run"] for summary in summaries}


def test_pictures_by_name(runs: dict[str, dict[str, Any]], folder: Path) -> None:
    [summary] = returned(runs["operators"], "named")
    assert summary["counts"] == {"reused": 2, "skipped": 1}, "the groups' results had these bytes"
    assert made(folder / "out" / "named") == {"astronaut.png", "below/cat.jpg"}


def test_a_mapped_operator_has_a_run_for_each(runs: dict[str, dict[str, Any]], folder: Path) -> None:
    summaries = returned(runs["operators"], "each")
    assert sorted(sum(summary["counts"].values()) for summary in summaries) == [1, 2]
    assert made(folder / "out" / "each" / "0") == {"astronaut.png"}
    assert made(folder / "out" / "each" / "1") == {"below/cat.jpg", "below/coffee.png"}


def test_each_run_that_published_is_an_asset_event(runs: dict[str, dict[str, Any]], folder: Path) -> None:
    out = folder / "out"
    assert sorted(event["uri"] for event in runs["operators"]["events"]) == [
        str(out / "each" / "0"),
        str(out / "each" / "1"),
        str(out / "named"),
    ]
