"""Who gets what, asked of a real api-server over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import httpx
import pytest

from enhancer.ledger import Ledger
from tests.plugins.conftest import Airflow
from tests.plugins.seeding import DAG_ID, DAG_RUN_ID, DONE, NASTY_KEY, RUN_ID, encoded, photo, write

pytestmark = pytest.mark.airflow

QUERIES = {
    "/": {},
    "/run": {"run_id": RUN_ID},
    "/item": {"run_id": RUN_ID, "key": "x2/coffee.png"},
    "/dag-run": {"dag_id": DAG_ID, "run_id": DAG_RUN_ID},
    "/picture": {"run_id": RUN_ID, "key": "x2/coffee.png", "side": "after"},
    "/thumbnail": {"run_id": RUN_ID, "key": "x2/coffee.png", "side": "before"},
    "/api/runs": {},
    "/api/run": {"run_id": RUN_ID},
    "/api/items": {"run_id": RUN_ID},
    "/api/item": {"run_id": RUN_ID, "key": NASTY_KEY},
    "/api/export": {"run_id": RUN_ID, "kind": "csv"},
    "/collection": {"name": "default"},
}
"""A working query for every route that reads; test_every_route_is_known_here keeps it complete."""

REPORT = "/report"
"""The report of a run; test_a_report_reaches_nothing has it."""

ACTIONS = {"/act", "/note", "/plan", "/start", "/redrive"}
"""The routes that do something; tests/plugins/test_acting.py has them."""

A_TILE = f"tiles/{quote(RUN_ID, safe='')}/12/after/full/max/0/default.jpg"
"""Of the TIFF; its result is small enough for one tile."""
TILES = "/tiles/{run_id}/{position}/{side}/{tile:path}"

STATIC = ["static/ui.css", "static/ui.js", "static/icon.svg", "viewer/viewer.js", A_TILE]
ABSENT = [
    "nothing",
    "static/nothing.css",
    "static/",
    "docs",
    "redoc",
    "openapi.json",
    "api/nothing",
    "static/../app.py",
    "viewer/nothing.js",
    A_TILE.replace("/12/", "/11/"),
    A_TILE.replace("max", "1,1"),
    A_TILE.replace("full/max", "..%2F..%2Fabout.json"),
]


@pytest.fixture(scope="module")
def clients(airflow: Airflow) -> Iterator[dict[str | None, httpx.Client]]:
    made = {user: airflow.client(user) for user in (None, "admin", "viewer", "nobody")}
    yield made
    for client in made.values():
        client.close()


def test_every_route_is_known_here() -> None:
    from enhancer_ui.app import routes

    paths = {route.path for route in routes().routes}
    assert paths == {*QUERIES, *ACTIONS, REPORT, TILES, "/static", "/viewer"}
    writing = {route.path for route in routes().routes if "POST" in (getattr(route, "methods", None) or ())}
    assert writing == ACTIONS


@pytest.mark.parametrize("path", [*QUERIES, REPORT, *sorted(ACTIONS), *STATIC, *ABSENT])
@pytest.mark.parametrize("method", ["GET", "POST", "HEAD", "OPTIONS", "DELETE"])
def test_nothing_without_a_login(clients: dict[str | None, httpx.Client], path: str, method: str) -> None:
    answer = clients[None].request(method, path.lstrip("/"), params=QUERIES.get(path))
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    if method != "HEAD":
        assert answer.text == "Log in to Airflow first, then open this page again.\n"


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Bearer forged"},
        {"Authorization": "Basic YWRtaW46YWRtaW4tcGFzc3dvcmQ="},
        {"Cookie": "_token=forged"},
        {"Cookie": "_token="},
        # A well-formed token that someone else has signed.
        {
            "Authorization": "Bearer eyJhbGciOiJIUzUxMiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiJhZG1pbiIsInJvbGUiOiJhZG1pbiIsImV4cCI6OTk5OTk5OTk5OX0.AAAA"
        },
    ],
)
def test_a_forged_login_is_none(airflow: Airflow, headers: dict[str, str]) -> None:
    for path in ("", "static/ui.css", "api/runs"):
        assert httpx.get(f"{airflow.url}/enhancer/{path}", headers=headers).status_code == 401


@pytest.mark.parametrize("user", ["admin", "viewer"])
@pytest.mark.parametrize("path", [*QUERIES, *STATIC])
def test_whoever_may_see_plugins_sees_the_page(clients: dict[str | None, httpx.Client], user: str, path: str) -> None:
    answer = clients[user].get(path.lstrip("/"), params=QUERIES.get(path), follow_redirects=True)
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "unsafe" not in answer.headers["content-security-policy"]


@pytest.mark.parametrize("path", ["", "run?run_id=cli_1", *STATIC, "nothing"])
def test_a_login_without_rights_is_refused(clients: dict[str | None, httpx.Client], path: str) -> None:
    assert clients["nobody"].get(path).status_code == 403


@pytest.mark.parametrize("path", ABSENT)
def test_what_is_absent_is_told_to_those_who_may_ask(clients: dict[str | None, httpx.Client], path: str) -> None:
    answer = clients["admin"].get(path)
    assert answer.status_code == 404
    assert "Traceback" not in answer.text


def test_the_cookie_of_the_ui_is_a_login(airflow: Airflow) -> None:
    cookies = {"_token": airflow.token("viewer")}
    assert httpx.get(f"{airflow.url}/enhancer/static/ui.css", cookies=cookies).status_code == 200


def test_pages_that_read_write_nothing(clients: dict[str | None, httpx.Client]) -> None:
    for path, query in QUERIES.items():
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            assert clients["admin"].request(method, path.lstrip("/"), params=query).status_code == 405


# ------------------------------------------------------------------ rights per DAG


def test_runs_of_a_dag_that_one_may_not_read_are_not_there(clients: dict[str | None, httpx.Client]) -> None:
    listed = {
        user: [row["run_id"] for row in clients[user].get("api/runs").json()["runs"]] for user in ("admin", "viewer")
    }
    assert listed["admin"] == [RUN_ID, "secret_1", "cli_1", "foreign_1"]
    assert listed["viewer"] == [RUN_ID, "cli_1", "foreign_1"]
    assert "secret_1" not in clients["viewer"].get("").text


def test_paging_passes_over_what_one_may_not_read(clients: dict[str | None, httpx.Client]) -> None:
    seen, offset = [], 0
    while offset is not None:
        page = clients["viewer"].get("api/runs", params={"offset": offset, "limit": 1}).json()
        seen += [row["run_id"] for row in page["runs"]]
        offset = page["next_offset"]
    assert seen == [RUN_ID, "cli_1", "foreign_1"]


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("run", {"run_id": "secret_1"}),
        ("item", {"run_id": "secret_1", "key": "x2/coffee.png"}),
        ("picture", {"run_id": "secret_1", "key": "x2/coffee.png", "side": "after"}),
        ("dag-run", {"dag_id": "secret_dag", "run_id": "secret_1"}),
        ("api/run", {"run_id": "secret_1"}),
        ("api/items", {"run_id": "secret_1"}),
        ("api/item", {"run_id": "secret_1", "key": "x2/coffee.png"}),
        ("api/export", {"run_id": "secret_1", "kind": "json"}),
        ("report", {"run_id": "secret_1"}),
    ],
)
def test_no_route_leads_into_such_a_run(
    clients: dict[str | None, httpx.Client], path: str, query: dict[str, str]
) -> None:
    assert clients["viewer"].get(path, params=query).status_code == 403
    there = 404 if path == "report" else 200  # it has none
    assert clients["admin"].get(path, params=query, follow_redirects=True).status_code == there


# ------------------------------------------------------------------ pictures


def test_a_picture_is_the_object_byte_for_byte(airflow: Airflow, clients: dict[str | None, httpx.Client]) -> None:
    for key, media_type in (
        ("x2/coffee.png", "image/png"),
        ("restore/rocket.jpg", "image/jpeg"),
        (NASTY_KEY, "image/png"),
    ):
        for side, folder in (("before", airflow.seeded.input), ("after", airflow.seeded.output)):
            answer = clients["viewer"].get("picture", params={"run_id": RUN_ID, "key": key, "side": side})
            assert answer.headers["content-type"] == media_type
            assert answer.content == (folder / key).read_bytes()
            assert "sandbox" in answer.headers["content-security-policy"]
            again = {"If-None-Match": answer.headers["etag"]}
            unchanged = clients["viewer"].get(
                "picture", params={"run_id": RUN_ID, "key": key, "side": side}, headers=again
            )
            assert (unchanged.status_code, unchanged.content) == (304, b"")


def test_what_was_not_published_is_shown_from_the_staged_object(
    airflow: Airflow, clients: dict[str | None, httpx.Client]
) -> None:
    answer = clients["viewer"].get("picture", params={"run_id": RUN_ID, "key": "odd/rejected.png", "side": "after"})
    assert answer.content == (airflow.seeded.work / "staged/rejected").read_bytes()


@pytest.mark.parametrize(
    ("key", "side", "status"),
    [
        ("odd/tiff.tif", "before", 415),
        ("bad/page.png", "before", 415),  # HTML with a picture's name
        ("bad/page.png", "after", 404),
        ("later/waiting.png", "after", 404),
        ("no/such.png", "before", 404),
        ("../elsewhere/plain.png", "before", 404),
        ("/etc/passwd", "before", 404),
    ],
)
def test_what_is_no_picture_is_not_served(
    clients: dict[str | None, httpx.Client], key: str, side: str, status: int
) -> None:
    answer = clients["admin"].get("picture", params={"run_id": RUN_ID, "key": key, "side": side})
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/json")
    assert answer.json()["error"]


@pytest.mark.parametrize(
    ("page", "query"),
    [
        ("run", {"run_id": "a\0b"}),
        ("item", {"run_id": RUN_ID, "key": "a\0b"}),
        ("run", {"run_id": RUN_ID, "search": "a\0b"}),
        ("dag-run", {"dag_id": "a\0b", "run_id": "c"}),
        ("api/run", {"run_id": "a\0b"}),
        ("picture", {"run_id": RUN_ID, "key": "a\0b", "side": "before"}),
    ],
)
def test_a_nul_is_a_bad_request_and_no_trouble_of_the_ledger(
    clients: dict[str | None, httpx.Client], page: str, query: dict[str, str]
) -> None:
    assert clients["admin"].get(page, params=query).status_code == 422


def test_a_report_reaches_nothing(clients: dict[str | None, httpx.Client], airflow: Airflow, ledger: Ledger) -> None:
    answer = clients["viewer"].get("report", params={"run_id": DONE})
    assert answer.content == (airflow.seeded.output / f"_enhancer/reports/{DONE}/report.html").read_bytes()
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("sandbox allow-scripts")
    assert "allow-same-origin" not in policy
    assert "default-src 'none'" in policy
    again = clients["viewer"].get("report", params={"run_id": DONE}, headers={"If-None-Match": answer.headers["etag"]})
    assert again.status_code == 304
    for run_id in (RUN_ID, "cli_1", "nope"):
        assert clients["viewer"].get("report", params={"run_id": run_id}).status_code == 404
    (airflow.seeded.output / f"_enhancer/reports/{DONE}/report.html").unlink()
    gone = clients["viewer"].get("report", params={"run_id": DONE})
    assert (gone.status_code, "is not there" in gone.text) == (404, True)


def test_a_foreign_store_is_not_read(airflow: Airflow, clients: dict[str | None, httpx.Client]) -> None:
    query = {"run_id": "foreign_1", "key": "plain.png", "side": "before"}
    answer = clients["admin"].get("picture", params=query)
    assert answer.status_code == 403
    assert "ENHANCER_ALLOWED_ROOTS" in answer.json()["error"]
    page = clients["admin"].get("item", params=query).text
    assert "is not among the addresses that this page may read" in page


@pytest.mark.parametrize("trick", ["../elsewhere/plain.png", "link/plain.png", "a/../../elsewhere/plain.png"])
def test_a_trick_in_the_ledger_itself_leads_nowhere(
    airflow: Airflow, clients: dict[str | None, httpx.Client], trick: str
) -> None:
    from enhancer.ledger import Ledger
    from enhancer.ledger.tables import item, run
    from tests.plugins.seeding import add, item_row, run_row

    link = airflow.seeded.input / "link"
    if not link.exists():
        link.symlink_to(airflow.seeded.root / "elsewhere")
    run_id = f"trick-{abs(hash(trick))}"
    with Ledger(airflow.seeded.ledger_url) as ledger:
        add(
            ledger,
            (run, run_row(airflow.seeded, run_id, created_at=1.0)),
            (item, item_row(run_id, 0, trick, "published", target_key=trick)),
        )
        try:
            for side in ("before", "after"):
                answer = clients["admin"].get("picture", params={"run_id": run_id, "key": trick, "side": side})
                assert answer.status_code in (400, 404), answer.content
        finally:
            with ledger.engine.begin() as connection:
                connection.execute(run.delete().where(run.c.run_id == run_id))


def test_a_huge_object_is_refused_by_its_size(airflow: Airflow, clients: dict[str | None, httpx.Client]) -> None:
    path = airflow.seeded.input / "later/waiting.png"
    kept = path.read_bytes()
    try:
        with path.open("wb") as file:
            file.write(encoded(photo("coffee", 8), "PNG"))
            file.truncate(33 * 2**20)
        answer = clients["admin"].get(
            "picture", params={"run_id": RUN_ID, "key": "later/waiting.png", "side": "before"}
        )
        assert answer.status_code == 413
    finally:
        write(airflow.seeded.input, "later/waiting.png", kept)


# ------------------------------------------------------------------ what is shown


def test_names_are_escaped_everywhere(clients: dict[str | None, httpx.Client]) -> None:
    for path, query in (("run", {"run_id": RUN_ID}), ("item", {"run_id": RUN_ID, "key": NASTY_KEY})):
        page = clients["viewer"].get(path, params=query).text
        assert "<script>alert" not in page
        assert "&lt;script&gt;alert(" in page
        assert page.count("<script") == 1  # ours
    echoed = clients["viewer"].get("run", params={"run_id": "<script>alert(1)</script>"})
    assert echoed.status_code == 404
    assert "<script>alert" not in echoed.text
    search = clients["viewer"].get("run", params={"run_id": RUN_ID, "search": '"><script>alert(1)</script>'})
    assert "<script>alert" not in search.text


def test_items_in_the_contracts_names(clients: dict[str | None, httpx.Client]) -> None:
    told = clients["viewer"].get("api/items", params={"run_id": RUN_ID}).json()
    assert told["schema_version"] == 1
    assert told["summary"]["total"] == 9
    by_key = {item["input"]: item for item in told["items"]}
    assert by_key["bad/truncated.jpg"]["state"] == "quarantined"
    assert by_key["bad/truncated.jpg"]["error"] == {
        "class": "truncated",
        "message": "bad/truncated.jpg: the full message of truncated",
        "stage": "decode",
    }
    assert by_key["x2/coffee.png"]["scores"]["reference"]["psnr"] == 31.42
    assert by_key["x2/coffee.png"]["output"] == "x2/coffee.png"
    assert by_key["odd/rejected.png"]["output"] is None, "it was not published"
    assert by_key["x2/coffee.png"]["decisions"][0]["stage"] == "denoise"


def test_the_page_of_a_run_shows_gains_errors_and_counts(clients: dict[str | None, httpx.Client]) -> None:
    page = clients["viewer"].get("run", params={"run_id": RUN_ID}).text
    assert "+7.42" in page
    assert "bad/truncated.jpg: the full message of truncated" in page
    assert "published <b>5</b>" in page
    assert 'data-live="yes"' in page


def test_the_tab_finds_the_run_of_a_dag_run(clients: dict[str | None, httpx.Client]) -> None:
    found = clients["viewer"].get("dag-run", params={"dag_id": DAG_ID, "run_id": DAG_RUN_ID}, follow_redirects=True)
    assert RUN_ID in found.text
    none_yet = clients["viewer"].get("dag-run", params={"dag_id": DAG_ID, "run_id": "other"})
    assert none_yet.status_code == 200
    assert "No pictures yet" in none_yet.text
    assert 'data-live="yes"' in none_yet.text


def test_the_plugin_came_by_its_entry_point_and_without_errors(airflow: Airflow) -> None:
    headers = {"Authorization": f"Bearer {airflow.token('admin')}"}
    plugins = httpx.get(f"{airflow.url}/api/v2/plugins", headers=headers).json()["plugins"]
    (ours,) = [plugin for plugin in plugins if plugin["name"] == "enhancer"]
    assert {view["destination"] for view in ours["external_views"]} == {"nav", "dag_run"}
    errors = httpx.get(f"{airflow.url}/api/v2/plugins/importErrors", headers=headers).json()
    assert errors["import_errors"] == []
