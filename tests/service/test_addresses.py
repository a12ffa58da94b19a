"""Addresses from outside: below the allowed roots, or refused, whatever they are dressed as."""

from __future__ import annotations

import json

import pytest

from tests.service.conftest import picture
from tests.service.test_callers import is_problem


@pytest.fixture
def site(serve, tmp_path):
    """A client, and a folder that is allowed, beside one that is not."""
    for name in ("open", "closed"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.png").write_bytes(picture())
    (tmp_path / "open" / "link.png").symlink_to(tmp_path / "closed" / "a.png")
    (tmp_path / "open" / "way").symlink_to(tmp_path / "closed")
    client = serve("enhance", "read", allowed_roots=f"{tmp_path / 'open'},s3://pictures/in")
    return client, tmp_path


def ask(client, *addresses):
    return client.post("/v1/jobs", json={"addresses": list(addresses), "scale": 2})


def test_an_allowed_address_becomes_a_job(site):
    client, root = site
    answer = ask(client, f"{root}/open/a.png")
    assert answer.status_code == 202
    job = client.app.state.ledger.jobs.get(answer.json()["id"])
    assert job.request["input_url"] == f"{root}/open"
    assert job.request["keys"] == ["a.png"]
    assert job.request["output_url"].startswith(f"{root}/home/service/results/"), "never beside the input"


@pytest.mark.parametrize(
    "address",
    [
        "{root}/closed/a.png",
        "{root}/open/../closed/a.png",
        "{root}/open/link.png",
        "{root}/open/way/a.png",
        "{root}/opener/a.png",
        "file://{root}/open/a.png",
        "FILE:///etc/a.png",
        "open/a.png",
        "~/a.png",
        "/etc/a.png",
        "s3://pictures/other/a.png",
        "s3://pictures/in/../other/a.png",
        "s3://pictures/in/%2e%2e/other/a.png",
        "s3://pictures/inside/a.png",
        "s3://others/in/a.png",
        "s3://key:secret@pictures/in/a.png",
        "http://169.254.169.254/latest/meta-data/a.png",
        "https://pictures.example/a.png",
        "http://localhost:8000/a.png",
        "gopher://x/a.png",
        "//etc/a.png",
    ],
)
def test_no_other_address_is_taken(site, address):
    client, root = site
    answer = ask(client, address.format(root=root))
    assert is_problem(answer, 403, "foreign-address")
    assert "secret" not in answer.text
    assert client.get("/v1/jobs").json() == []


@pytest.mark.parametrize(
    "address", ["{root}/open", "{root}/open/", "s3://pictures/in/", "{root}/open/a\0.png", "{root}/open/\n.png"]
)
def test_an_address_names_a_picture(site, address):
    client, root = site
    assert ask(client, address.format(root=root)).status_code in (403, 415, 422)


def test_addresses_of_one_job_lie_below_one_root(site):
    client, root = site
    assert is_problem(ask(client, f"{root}/open/a.png", "s3://pictures/in/a.png"), 422, "bad-params")


def test_without_roots_nothing_is_allowed(serve):
    assert is_problem(ask(serve("enhance"), "/etc/a.png"), 403, "foreign-address")


def test_the_services_own_store_is_no_way_to_others_pictures(serve, tmp_path):
    client = serve("enhance", "read", allowed_roots=str(tmp_path))
    answer = ask(client, f"{tmp_path}/home/service/uploads/api-1/a.png")
    assert answer.status_code in (403, 422), "even where a root holds it"


def test_keys_of_a_collection(serve, tmp_path):
    file = tmp_path / "collections.toml"
    scans = {"input_url": f"{tmp_path}/scans", "output_url": f"{tmp_path}/made", "recipe": "scan"}
    file.write_text(
        "[collection.scans]\n" + "\n".join(f"{name} = {json.dumps(value)}" for name, value in scans.items())
    )
    client = serve("enhance", "read", collections=file)
    answer = client.post("/v1/jobs", json={"collection": "scans", "keys": ["a.png"]})
    assert answer.status_code == 202, answer.text
    asked = client.app.state.ledger.jobs.get(answer.json()["id"]).request
    assert (asked["input_url"], asked["output_url"]) == (scans["input_url"], scans["output_url"])
    assert asked["recipe"]["name"] == "scan"
    assert is_problem(client.post("/v1/jobs", json={"collection": "other", "keys": ["a.png"]}), 404, "no-collection")
    for key in ("../secret/a.png", "/etc/a.png", "a\\b.png", "a//b.png", ""):
        assert client.post("/v1/jobs", json={"collection": "scans", "keys": [key]}).status_code == 422, key
    assert client.post("/v1/jobs", json={"collection": "scans"}).status_code == 422
    both = {"collection": "scans", "keys": ["a.png"], "addresses": ["/etc/a.png"]}
    assert client.post("/v1/jobs", json=both).status_code == 422
