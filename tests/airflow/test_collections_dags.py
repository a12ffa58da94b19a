"""Each collection of the file is a DAG of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from airflow.sdk import Asset
from airflow.serialization.serialized_objects import DagSerialization

from enhancer.airflow.collections_dags import collection_dags
from enhancer.settings import Settings

CHECKOUT = Path(__file__).parents[2]
FILE = """
[collection.scans]
input_url = "s3://archive/scans"
output_url = "s3://archive-enhanced/scans"
recipe = "scan"
schedule = "0 3 * * *"
timezone = "Europe/Berlin"
start = 2026-03-01
deadline_minutes = 90
owner = "archive"
tags = ["nightly"]
pool = "shards"
enhance_queue = "gpu"
priority = 3
failure_threshold = 0.1
run_gate = 0.05
notify_url = "https://chat.example/hook/secret"

[collection.phone]
input_url = "/data/phone"
output_url = "/data/phone-out"
schedule = { asset = "s3://phone/arrivals" }

[collection.byhand]
input_url = "/data/in"
output_url = "/data/out"
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    path = tmp_path / "collections.toml"
    path.write_text(FILE)
    return Settings(home=tmp_path, collections=path, deadline_minutes=480, recipe="old-photo")


def test_each_has_its_own_schedule_params_place_and_deadline(settings: Settings) -> None:
    scans, phone, byhand = collection_dags(settings)
    assert [dag.dag_id for dag in (scans, phone, byhand)] == ["enhance__scans", "enhance__phone", "enhance__byhand"]
    assert (scans.schedule, phone.schedule, byhand.schedule) == ("0 3 * * *", [Asset("s3://phone/arrivals")], None)
    assert scans.start_date == datetime(2026, 2, 28, 23, tzinfo=UTC), "midnight in Berlin"
    assert scans.timezone.name == "Europe/Berlin"
    assert [dag.deadline[0].interval for dag in (scans, phone)] == [timedelta(minutes=90), timedelta(minutes=480)]
    assert (scans.params["recipe"], scans.params["run_gate"], phone.params["recipe"]) == ("scan", 0.05, None)
    assert {t.owner for t in scans.tasks} == {"archive"}
    assert scans.tags == {"enhancer", "images", "nightly"}
    enhance = scans.get_task("shard.enhance")
    assert (enhance.pool, enhance.queue, enhance.priority_weight) == ("shards", "gpu", 3)
    assert scans.get_task("report").op_kwargs["thresholds"] == {"failure_threshold": 0.1}


def test_they_serialise_without_the_webhook(settings: Settings) -> None:
    for dag in collection_dags(settings):
        data = json.dumps(DagSerialization.to_dict(dag))
        assert "secret" not in data
        assert set(DagSerialization.from_dict(json.loads(data)).task_dict) == set(dag.task_dict)


SHOW = f"""
import json
from airflow.dag_processing.dagbag import DagBag
bag = DagBag({str(CHECKOUT / "dags" / "enhance_collections.py")!r})
print("RESULT", json.dumps([sorted(bag.dags), list(bag.import_errors.values())]))
"""


@pytest.mark.parametrize(
    ("text", "dags", "error"),
    [
        (FILE, ["enhance__byhand", "enhance__phone", "enhance__scans"], None),
        (FILE.replace("= 90", "= 0"), [], "collections.toml:9: collection 'scans', key deadline_minutes"),
        (None, [], None),
    ],
    ids=["good", "bad", "none"],
)
def test_airflow_finds_them_or_shows_what_is_wrong(
    tmp_path: Path, text: str | None, dags: list[str], error: str | None
) -> None:
    environment = dict(os.environ)
    if text is not None:
        (tmp_path / "collections.toml").write_text(text)
        environment["ENHANCER_COLLECTIONS"] = str(tmp_path / "collections.toml")
    done = subprocess.run([sys.executable, "-c", SHOW], env=environment, capture_output=True, text=True, check=True)
    found, errors = json.loads(done.stdout.split("RESULT ")[1].splitlines()[0])
    assert found == dags
    assert len(errors) == (error is not None)
    assert error is None or error in errors[0]
