"""Filters, orders, pages and files of what is listed, asked of a real api-server over HTTP."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

import httpx
import pytest

from tests.plugins.conftest import Airflow
from tests.plugins.seeding import NASTY_KEY, RUN_ID

pytestmark = pytest.mark.airflow


@pytest.fixture(scope="module")
def clients(airflow: Airflow) -> Iterator[dict[str | None, httpx.Client]]:
    with airflow.client("viewer") as viewer:
        yield {"viewer": viewer}


def test_filters_order_and_pages(clients: dict[str | None, httpx.Client]) -> None:
    def keys(**query: str | int) -> list[str]:
        answer = clients["viewer"].get("api/items", params={"run_id": RUN_ID, **query})
        return [item["input"] for item in answer.json()["items"]]

    assert keys(state="rejected") == ["odd/rejected.png"]
    assert keys(search="ROCKET") == ["restore/rocket.jpg"]
    failed, refused = ["bad/page.png", "bad/truncated.jpg"], ["odd/rejected.png"]
    assert keys(order="worst", limit=5) == [*failed, *refused, "restore/astronaut-noise.jpg", NASTY_KEY]
    assert keys(order="psnr", desc="true", limit=2) == ["restore/rocket.jpg", "x2/coffee.png"]
    assert keys(error="truncated") == ["bad/truncated.jpg"]
    assert keys(stage="denoise", score_from="0.8", score_to="") == ["x2/coffee.png", "restore/rocket.jpg"]
    assert keys(net="nothing") == []
    assert keys(limit=1, offset=1) == [NASTY_KEY]
    for wrong in ({"state": "nonsense"}, {"order": "nonsense"}, {"score_from": "x"}, {"known": "x"}, {"mb_to": "inf"}):
        assert clients["viewer"].get("api/items", params={"run_id": RUN_ID, **wrong}).status_code == 422
    forged = clients["viewer"].get("api/items", params={"run_id": RUN_ID, "after": "forged"})
    assert (forged.status_code, "first page" in forged.json()["error"]) == (400, True)


def test_pages_of_items_follow_each_other(clients: dict[str | None, httpx.Client]) -> None:
    whole = clients["viewer"].get("api/items", params={"run_id": RUN_ID, "order": "score"}).json()
    assert whole["summary"]["next"] is None
    seen: list[str] = []
    place: dict[str, str] = {}
    while True:
        page = (
            clients["viewer"].get("api/items", params={"run_id": RUN_ID, "order": "score", "limit": 2, **place}).json()
        )
        seen += [item["input"] for item in page["items"]]
        if page["summary"]["next"] is None:
            break
        place = {"after": page["summary"]["next"]}
    assert seen == [item["input"] for item in whole["items"]]


def test_what_is_listed_comes_as_a_file(clients: dict[str | None, httpx.Client]) -> None:
    answer = clients["viewer"].get("api/export", params={"run_id": RUN_ID, "kind": "csv", "order": "key"})
    assert "attachment" in answer.headers["content-disposition"]
    rows = {row["key"]: row for row in csv.DictReader(io.StringIO(answer.text, newline=""))}
    assert len(rows) == 9
    coffee, broken = rows["x2/coffee.png"], rows["bad/truncated.jpg"]
    assert (coffee["psnr"], coffee["noise_after"], coffee["state"]) == ("31.42", "", "published")
    assert float(coffee["gain_db"]) == pytest.approx(2.31)
    assert (broken["error_class"], broken["psnr"]) == ("truncated", "")
    assert NASTY_KEY in rows
    query = {"run_id": RUN_ID, "kind": "json", "state": "quarantined"}
    envelope = clients["viewer"].get("api/export", params=query).json()
    assert sorted(item["input"] for item in envelope["items"]) == ["bad/page.png", "bad/truncated.jpg"]
    assert envelope["summary"]["filters"] == {"state": "quarantined"}


def test_runs_are_filtered(clients: dict[str | None, httpx.Client]) -> None:
    def shown(**query: str) -> set[str]:
        page = clients["viewer"].get("", params=query).text
        return {name for name in (RUN_ID, "cli_1", "foreign_1") if f'id="run-{name}"' in page}

    assert shown(search="CLI") == {"cli_1"}
    assert shown(kind="by hand") == {RUN_ID, "foreign_1"}
    assert shown(collection="default") == {RUN_ID, "foreign_1", "cli_1"}, "cli_1 by its addresses"
    assert shown(outcome="at work") == {RUN_ID}
    assert shown(outcome="trouble") == {RUN_ID}
    assert shown(kind="command line", outcome="failed") == set()
    assert "No runs match" in clients["viewer"].get("", params={"search": "nothing"}).text
    assert clients["viewer"].get("", params={"kind": "nonsense"}).status_code == 422
