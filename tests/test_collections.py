"""The file of collections: what it says, what it inherits, and which line an error names."""

from __future__ import annotations

from pathlib import Path

import pytest

from enhancer.collections import (
    Collection,
    collection_of_dag,
    default_collection,
    deployment_roots,
    find_collection,
    load_collections,
)
from enhancer.errors import RequestError
from enhancer.settings import Settings

GOOD = """
[defaults]
deadline_minutes = 480
failure_threshold = 0.1

[collection.scans]
input_url = "s3://archive/scans"
output_url = "s3://archive-enhanced/scans"
recipe = "scan"
schedule = "0 3 * * mon-fri"
owner = "archive"
tags = ["nightly"]
notify_url = "https://chat.example/hook/secret"

[[collection.scans.rules]]
match = "maps/*"
scale = 1

[collection.phone]
input_url = "/data/phone"
output_url = "/data/phone-out"
reference_url = "/data/truth"
schedule = { asset = "s3://phone/arrivals" }
failure_threshold = 0.25
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return written(tmp_path, GOOD)


def written(folder: Path, text: str) -> Settings:
    path = folder / "collections.toml"
    path.write_text(text)
    return Settings(
        home=folder, collections=path, input_url="/data/in", output_url="/data/out", rules='[{"match": "*"}]'
    )


def test_collections_come_in_the_files_order_with_the_defaults(settings: Settings) -> None:
    scans, phone = load_collections(settings)
    assert (scans.name, scans.dag_id) == ("scans", "enhance__scans")
    assert (scans.deadline_minutes, scans.failure_threshold) == (480, 0.1)
    assert (phone.deadline_minutes, phone.failure_threshold) == (480, 0.25)
    assert scans.request_values() == {
        "input_url": "s3://archive/scans",
        "output_url": "s3://archive-enhanced/scans",
        "recipe": "scan",
        "rules": [{"match": "maps/*", "scale": 1.0}],
    }


def test_without_a_file_there_is_the_default_alone(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, input_url="/data/in")
    assert load_collections(settings) == ()
    assert find_collection("default", settings).input_url == "/data/in"
    assert find_collection("default", settings).dag_id == "image_enhancement"


def test_what_is_the_default_collections_is_not_inherited(settings: Settings) -> None:
    own = find_collection("phone", settings).settings(settings)
    assert (own.input_url, own.output_url, own.rules) == (None, None, None)
    assert (own.failure_threshold, settings.failure_threshold) == (0.25, 0.5)
    assert own.lease_ttl_s == settings.lease_ttl_s
    assert default_collection(settings).settings(settings) is settings


def test_the_webhook_is_a_secret_and_the_collections_own(settings: Settings) -> None:
    scans = find_collection("scans", settings)
    assert "secret" not in repr(scans)
    hook = scans.settings(settings).notify_url
    assert hook is not None
    assert hook.get_secret_value() == "https://chat.example/hook/secret"
    assert find_collection("phone", settings).settings(settings).notify_url is None


def test_a_dags_collection(settings: Settings) -> None:
    found = [
        collection_of_dag(dag_id, settings)
        for dag_id in ("enhance__phone", "image_enhancement", "enhance__gone", "mine")
    ]
    assert [one.name if one else None for one in found] == ["phone", "default", None, None]


def test_every_address_of_the_deployment_is_listed_once(settings: Settings) -> None:
    assert deployment_roots(settings) == (
        "/data/in",
        "/data/out",
        "s3://archive/scans",
        "s3://archive-enhanced/scans",
        "/data/phone",
        "/data/phone-out",
        "/data/truth",
    )


def test_an_unknown_name_is_refused_with_the_known_ones(settings: Settings) -> None:
    with pytest.raises(
        RequestError, match=r"no collection 'scan'; known are default, scans, phone .*collections\.toml"
    ):
        find_collection("scan", settings)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("scale = 1", "scale = 9", r":17: collection 'scans', key rules.0.scale: .*less than or equal to 8"),
        ('recipe = "scan"', 'recipe = "scam"', r":9: collection 'scans', key recipe: .*did you mean 'scan'"),
        ('recipe = "scan"', 'recipy = "scan"', r":9: collection 'scans', key recipy: .*did you mean recipe"),
        ("0 3 * * mon-fri", "0 25 * * *", r":10: collection 'scans', key schedule: '0 25 .*no cron expression"),
        ("0 3 * * mon-fri", "@nightly", r":10: collection 'scans', key schedule: '@nightly' is no cron"),
        ("asset =", "aset =", r":23: collection 'phone', key schedule"),
        ("480", "0", r":3: collection 'scans', key deadline_minutes: .*greater than 0"),
        ('"/data/phone"', '"phone"', r":20: collection 'phone', key input_url: 'phone' is a relative path"),
        ('output_url = "/data/phone-out"\n', "", r":19: collection 'phone': output_url missing"),
        ("[collection.phone]", "[collection.default]", r":19: collection 'default': is the name"),
        ("[collection.phone]", '[collection."my phone"]', r":19: collection 'my phone': is no name"),
        ("[collection.phone]", "[collections.phone]", r":19: collections: only \[defaults\]"),
        ("[collection.phone]", "[collection.phone", r"is not TOML: .*line 19"),
        ('owner = "archive"', 'name = "archive"', r":11: key name: .*header"),
    ],
)
def test_an_error_names_file_line_collection_and_key(tmp_path: Path, old: str, new: str, message: str) -> None:
    assert old in GOOD
    with pytest.raises(RequestError, match=r"collections\.toml.*" + message) as caught:
        load_collections(written(tmp_path, GOOD.replace(old, new)))
    assert caught.value.reason == "bad-collections"


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match=r"gone\.toml: cannot be read: No such file.*ENHANCER_COLLECTIONS"):
        load_collections(Settings(home=tmp_path, collections=tmp_path / "gone.toml"))


def test_fields_called_as_settings_are_of_their_type() -> None:
    """So that a collection's value can take a setting's place."""
    shared = [name for name in Collection.model_fields if name in Settings.model_fields]
    assert {"failure_threshold", "pool", "deadline_minutes", "notify_url", "input_url"} <= set(shared)
