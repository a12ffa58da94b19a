"""The whole DAG by `dag.test()` on local folders and SQLite, in one fresh process: a run, the same again, one that cannot plan."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from skimage import data

from enhancer.models.catalogue import load_catalogue
from enhancer.models.store import ensure
from enhancer.settings import Settings
from tests.model_cache import MODEL_CACHE

RUNNER = Path(__file__).with_name("running.py")
GOOD = ("astronaut.png", "below/cat.jpg", "below/coffee.png")


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bucket")
    (folder / "below").mkdir()
    for key, picture in zip(GOOD, (data.astronaut(), data.chelsea(), data.coffee()), strict=True):
        Image.fromarray(np.ascontiguousarray(picture[100:164, 100:180])).save(folder / key)
    (folder / "bad.png").write_bytes(b"not a picture at all")
    return folder


@pytest.fixture(scope="module")
def runs(bucket: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What became of: a run, the same run again, a run whose input is not there, a re-drive of the first run; a build
    of a net, and builds of which one is refused.
    """
    folder = tmp_path_factory.mktemp("airflow")
    conf = {
        "input_url": str(bucket),
        "output_url": str(folder / "out"),
        "recipe": {"scale": 1, "denoise_strength": 0},  # no net: this is about the DAG
    }
    runs = [conf, conf, {**conf, "input_url": str(folder / "nowhere")}]
    requests = [["image_enhancement", run] for run in runs]
    redrive = {"input_url": conf["input_url"], "output_url": conf["output_url"], "quarantined": True}
    requests.append(["redrive_failed", redrive])
    requests.append(["model_build", {"models": ["fast-x2"], "runtime": "onnxruntime"}])
    requests.append(["model_build", {"models": ["scratches", "fast-x2"], "runtime": "tensorrt"}])
    models = folder / "models"  # whose builds are the test's own
    models.mkdir()
    weights = ensure(load_catalogue().get("lpips-alex"), Settings(model_dir=MODEL_CACHE))
    for kept in (weights, weights.with_suffix(".json")):
        (models / kept.name).symlink_to(kept)
    (folder / "private").mkdir()  # which whoever may trigger the DAG may not read
    Image.fromarray(data.camera()[:64, :64]).save(folder / "private" / "secret.png")
    requests.append(["image_enhancement", {**conf, "input_url": str(folder / "private")}])
    requests.append(["redrive_failed", {**redrive, "output_url": str(folder / "elsewhere")}])
    (folder / "requests.json").write_text(json.dumps(requests))
    environment = {
        **os.environ,
        "AIRFLOW_HOME": str(folder / "home"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(Path(__file__).parents[2] / "dags"),
        "ENHANCER_HOME": str(folder / "enhancer"),
        "ENHANCER_MODEL_DIR": str(models),
        "ENHANCER_ALLOWED_ROOTS": f"{bucket}, {folder / 'out'}, {folder / 'nowhere'}",
        "ENHANCER_MIN_SHARDS": "2",
        "ENHANCER_TASK_RETRIES": "0",
        "ENHANCER_THREADS": "1",
    }
    (folder / "home").mkdir()
    done = subprocess.run(
        [sys.executable, str(RUNNER), str(folder / "requests.json"), str(folder / "answers.json")],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-5000:]
    told: list[dict[str, Any]] = json.loads((folder / "answers.json").read_text())
    for run in told:
        run["log"] = done.stdout
        run["out"] = folder / "out"
    return told


def _states(run: dict[str, Any]) -> dict[str, list[str]]:
    states: dict[str, list[str]] = {}
    for task in run["tasks"]:
        states.setdefault(task["task"], []).append(task["state"])
    return states


def _xcom(run: dict[str, Any], task: str, key: str = "return_value") -> Any:
    return next((x["value"] for x in run["xcoms"] if (x["task"], x["key"]) == (task, key)), None)


def _report(run: dict[str, Any]) -> dict[str, Any]:
    page = Path(_xcom(run, "report")["report_url"].removeprefix("file://"))
    assert "<html" in page.read_text().lower()
    report: dict[str, Any] = json.loads(page.with_name("report.json").read_text())
    return report


def test_good_pictures_are_published_and_the_bad_one_is_quarantined(runs: list[dict[str, Any]], bucket: Path) -> None:
    first = runs[0]
    assert first["state"] == "success"
    for key in GOOD:
        with Image.open(first["out"] / key) as result, Image.open(bucket / key) as source:
            assert (result.size, result.format) == (source.size, source.format)
    assert not (first["out"] / "bad.png").exists()
    items = {item["input"]: item for item in _report(first)["items"]}
    states = {Path(key).name: item["state"] for key, item in items.items()}
    assert states == {Path(key).name: "published" for key in GOOD} | {"bad.png": "quarantined"}


def test_each_shard_goes_through_its_four_tasks(runs: list[dict[str, Any]]) -> None:
    twice = ["success", "success"]
    assert _states(runs[0]) == {
        "plan": ["success"],
        "shard.enhance": twice,
        "shard.evaluate": twice,
        "shard.second_look": twice,
        "shard.publish": twice,
        "report": ["success"],
    }


def test_the_ui_names_shards_by_number_and_size(runs: list[dict[str, Any]]) -> None:
    labels = {task["label"] for task in runs[0]["tasks"] if task["task"].startswith("shard.")}
    first, second = (shard["n"] for shard in _xcom(runs[0], "plan"))
    words = {1: "1 picture", 2: "2 pictures", 3: "3 pictures"}
    assert labels == {f"shard 0 ({words[first]})", f"shard 1 ({words[second]})"}


def test_tasks_hand_on_references_only(runs: list[dict[str, Any]]) -> None:
    handed = {(x["task"], x["key"]) for x in runs[0]["xcoms"]}
    assert handed == {("plan", "return_value"), ("plan", "run"), ("report", "return_value")}
    shards = _xcom(runs[0], "plan")
    assert [set(shard) for shard in shards] == [{"run", "shard", "uri", "n"}] * 2
    assert sum(shard["n"] for shard in shards) == 4


def test_the_asset_tells_what_was_published(runs: list[dict[str, Any]]) -> None:
    [event] = runs[0]["events"]
    assert event["uri"] == str(runs[0]["out"])
    assert event["extra"]["counts"] == {"published": 3, "quarantined": 1}
    assert event["extra"]["report_url"] == _xcom(runs[0], "report")["report_url"]


def test_the_second_run_does_nothing_and_still_ends_with_its_report(runs: list[dict[str, Any]]) -> None:
    """No shards: the three published pictures are unchanged, the quarantined one's verdict is repeated."""
    second = runs[1]
    assert second["state"] == "success"
    assert _xcom(second, "plan") == []
    states = _states(second)
    assert states["plan"] == states["report"] == ["success"]
    assert {state for name in states if name.startswith("shard") for state in states[name]} == {"skipped"}
    assert second["events"] == []
    assert [item["state"] for item in _report(second)["items"]] == ["quarantined"]


def test_a_plan_that_fails_fails_the_run_and_the_report_says_where_to_look(runs: list[dict[str, Any]]) -> None:
    third = runs[2]
    assert third["state"] == "failed"
    states = _states(third)
    assert states["plan"] == states["report"] == ["failed"]
    assert {state for name in states if name.startswith("shard") for state in states[name]} == {"upstream_failed"}
    assert "the task plan failed, so there is no run to report on" in third["log"]
    assert third["events"] == []
    assert _xcom(third, "plan") is None


def test_a_redrive_takes_its_manifest_from_the_ledger_and_goes_the_same_way(runs: list[dict[str, Any]]) -> None:
    """Only the quarantined picture, by the recipe of then; it is as bad as it was known to be, so the run succeeds."""
    fourth = runs[3]
    assert [shard["n"] for shard in _xcom(fourth, "plan")] == [1]
    states = _states(fourth)
    steps = ("enhance", "evaluate", "second_look", "publish")
    assert [states[f"shard.{name}"] for name in steps] == [["success"]] * 4
    assert (states["report"], fourth["state"]) == (["success"], "success")
    name = _xcom(fourth, "plan", "run")
    assert name.startswith("redrive_failed-"), "a Dag run of another DAG may have the same id"
    report = fourth["out"] / "_enhancer" / "reports" / name / "report.json"
    (item,) = json.loads(report.read_text())["items"]
    assert (item["input"], item["state"], item["attempts"]) == ("bad.png", "quarantined", 1)


def test_nets_are_built_and_a_refusal_fails_the_task_after_the_others(runs: list[dict[str, Any]]) -> None:
    built, refused = runs[4:6]
    assert built["state"] == "success", built["log"][-5000:]
    (row,) = _xcom(built, "build")
    assert (row["name"], row["state"], row["runtime"], row["precision"]) == ("fast-x2", "built", "onnxruntime", "fp32")
    path = Path(row["path"])
    assert path.is_file()
    assert row["max_difference"] < 1e-4
    assert refused["state"] == "failed"
    assert "scratches (scratches) gives no picture" in refused["log"]
    assert (path.parent / "fast-x2.tensorrt-fp16.onnx").is_file(), "its turn came although another was refused"


@pytest.mark.parametrize(("number", "name"), [(6, "input_url"), (7, "output_url")])
def test_who_may_trigger_a_dag_may_not_name_any_address(runs: list[dict[str, Any]], number: int, name: str) -> None:
    refused = runs[number]
    assert refused["state"] == "failed"
    assert _states(refused)["plan"] == ["failed"]
    assert re.search(rf"{name} \S+ is not allowed: a run that Airflow starts works at addresses below", refused["log"])
    assert not list(refused["out"].rglob("secret*"))
    assert not (refused["out"].parent / "elsewhere").exists()
