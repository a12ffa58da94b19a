"""Who may do what, asked of a real api-server over HTTP: decisions, notes, runs; forged forms; two people at once."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from html import unescape
from urllib.parse import quote

import httpx
import pytest

from enhancer.ledger import Ledger
from enhancer.ledger.rows import Item
from enhancer.ledger.tables import run
from tests.plugins.conftest import Airflow
from tests.plugins.seeding import DAG_ID, DONE, HOSTILE, ITEMS, RUN_ID

pytestmark = pytest.mark.airflow

FORGED = {"none": "", "nonsense": "x", "unsigned": "ImVkaXRvciI.aS0.AAAA"}


@pytest.fixture(scope="module")
def clients(airflow: Airflow) -> Iterator[dict[str, httpx.Client]]:
    made = {user: airflow.client(user) for user in ("admin", "editor", "viewer", "nobody")}
    yield made
    for client in made.values():
        client.close()


def form_of(client: httpx.Client, run_id: str = DONE, **query: str) -> dict[str, str]:
    """What the page of a run has a browser send."""
    page = client.get("run", params={"run_id": run_id, **query}).text
    found = re.findall(r'<input type="hidden" name="(csrf|run_id|seen_at)" value="([^"]*)"', page)
    return {name: unescape(value) for name, value in found}


Decide = Callable[..., httpx.Response]


def decide(client: httpx.Client, form: dict[str, str], decision: str, *keys: str, **more: str) -> httpx.Response:
    data = {**form, "decision": decision, "key": [quote(key, safe="/ ") for key in keys], **more}
    return client.post("act", data=data)


def got(ledger: Ledger, key: str) -> Item:
    found = ledger.items.get(DONE, key)
    assert found is not None
    return found


def result_of(client: httpx.Client, answer: httpx.Response) -> str:
    """What the page says to which a decision leads."""
    assert answer.status_code == 303, answer.text
    page = client.get(answer.headers["location"]).text
    found = re.search(r'id="result">(.*?)</div>', page, re.DOTALL)
    assert found is not None
    return " ".join(unescape(re.sub(r"<[^>]+>", "", found[1])).split())


# ------------------------------------------------------------------ who


def test_a_viewer_sees_no_buttons(clients: dict[str, httpx.Client], ledger: Ledger) -> None:
    for path, query in (
        ("", {}),
        ("run", {"run_id": DONE}),
        ("item", {"run_id": DONE, "key": "held/a.png"}),
    ):
        pages = {user: clients[user].get(path, params=query).text for user in ("viewer", "editor")}
        assert 'method="post"' not in pages["viewer"], path
        assert 'method="post"' in pages["editor"], path


@pytest.mark.parametrize("user", ["viewer", "nobody"])
def test_who_may_not_edit_changes_nothing(clients: dict[str, httpx.Client], ledger: Ledger, user: str) -> None:
    """With a token that is good for an editor, and with the viewer's own, which any page of theirs could hold."""
    token = form_of(clients["editor"])
    if user == "viewer":
        token["csrf"] = _own_token(clients["viewer"])
    tries = {
        "act": {**token, "decision": "drop", "key": "held/a.png"},
        "note": {**token, "key": "held/a.png", "text": "x"},
        "plan": {**token, "collection": "default"},
        "redrive": token,
        "start": token,
    }
    for path, data in tries.items():
        answer = clients[user].post(path, data=data)
        assert answer.status_code == (400 if path == "start" and user == "viewer" else 403), (path, answer.text)
    assert got(ledger, "held/a.png").state == "held"
    assert ledger.actions.of_run(DONE) == []


def _own_token(client: httpx.Client) -> str:
    """The token that the runs' page is signed with for whoever loads it; viewers' pages show none."""
    from itsdangerous import URLSafeTimedSerializer

    assert client.get("").status_code == 200
    return URLSafeTimedSerializer("for tests", salt="enhancer-ui-form").dumps("viewer")


@pytest.mark.parametrize("forged", FORGED)
def test_a_forged_form_changes_nothing(clients: dict[str, httpx.Client], ledger: Ledger, forged: str) -> None:
    form = {**form_of(clients["editor"]), "csrf": FORGED[forged]}
    answer = decide(clients["editor"], form, "drop", "held/a.png")
    assert (answer.status_code, "nothing was done" in answer.text) == (403, True)
    assert got(ledger, "held/a.png").state == "held"


def test_anothers_form_changes_nothing(clients: dict[str, httpx.Client], ledger: Ledger) -> None:
    answer = decide(clients["admin"], form_of(clients["editor"]), "drop", "held/a.png")
    assert (answer.status_code, "somebody else" in answer.text) == (403, True)
    assert got(ledger, "held/a.png").state == "held"


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
    ],
)
def test_a_form_on_another_site_changes_nothing(
    clients: dict[str, httpx.Client], ledger: Ledger, headers: dict[str, str]
) -> None:
    data = {**form_of(clients["editor"]), "decision": "drop", "key": "held/a.png"}
    answer = clients["editor"].post("act", data=data, headers=headers)
    assert (answer.status_code, "another site" in answer.text) == (403, True)
    assert got(ledger, "held/a.png").state == "held"


def test_a_run_of_a_dag_that_one_may_not_read_is_not_decided_on(
    clients: dict[str, httpx.Client], ledger: Ledger
) -> None:
    form = {**form_of(clients["editor"]), "run_id": "secret_1", "csrf": _own_token(clients["viewer"])}
    assert decide(clients["viewer"], form, "release", "x2/coffee.png").status_code == 403


# ------------------------------------------------------------------ what


def test_deciding_on_chosen_pictures(clients: dict[str, httpx.Client], ledger: Ledger, airflow: Airflow) -> None:
    editor = clients["editor"]
    said = result_of(editor, decide(editor, form_of(editor), "approve-original", "held/a.png", "no/c.png", "ok.png"))
    assert said.startswith("2 pictures approved to go out as they came by editor.")
    assert "nothing to decide on 1 of the chosen" in said
    assert (got(ledger, "held/a.png").approved_as, got(ledger, "no/c.png").approved_by) == ("original", "editor")
    assert "2 pictures dropped" not in result_of(editor, decide(editor, form_of(editor), "drop", "held/b.png"))
    assert got(ledger, "held/b.png").state == "rejected"
    result_of(editor, decide(editor, form_of(editor), "release", "no/d.png"))
    assert got(ledger, "no/d.png").released == 1
    lines = ledger.actions.of_run(DONE)
    assert [(one.verb, one.by, one.count) for one in lines] == [
        ("release", "editor", 1), ("drop", "editor", 1), ("approve", "editor", 2)
    ]  # fmt: skip
    headers = {"Authorization": f"Bearer {airflow.token('admin')}"}
    events = httpx.get(f"{airflow.url}/api/v2/eventLogs", params={"limit": 100}, headers=headers).json()["event_logs"]
    ours = [one for one in events if one["event"] == "enhancer_drop"]
    assert (ours[-1]["owner"], ours[-1]["dag_id"], f'"run": "{DONE}"' in ours[-1]["extra"]) == ("editor", DAG_ID, True)


def test_deciding_on_all_that_a_filter_shows(clients: dict[str, httpx.Client], ledger: Ledger) -> None:
    editor = clients["editor"]
    data = {**form_of(editor), "decision": "approve-enhanced", "every": "true"}
    answer = editor.post("act", params={"search": "HELD", "order": "key"}, data=data)
    assert "search=HELD" in answer.headers["location"]
    assert "2 pictures approved as enhanced" in result_of(editor, answer)
    assert {key for key in ITEMS if got(ledger, key).approved_as} == {"held/a.png", "held/b.png"}
    assert ledger.actions.of_run(DONE)[0].details["filters"] == {"search": "HELD", "order": "key"}
    nothing = editor.post("act", params={"state": "published"}, data={**form_of(editor), **data})
    assert "0 pictures approved" in result_of(editor, nothing)


@pytest.mark.parametrize("key", HOSTILE)
def test_hostile_keys_are_decided_on_as_they_are(clients: dict[str, httpx.Client], ledger: Ledger, key: str) -> None:
    editor = clients["editor"]
    page = editor.get("run", params={"run_id": DONE, "order": "position"}).text
    values = [unescape(one) for one in re.findall(r'form="decide" name="key" value="([^"]*)"', page)]
    sent = values[[*ITEMS, *HOSTILE].index(key)]
    answer = editor.post("act", data={**form_of(editor), "decision": "release", "key": sent, "back": "item"})
    assert "1 picture released" in result_of(editor, answer)
    assert got(ledger, key).released == 1


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"decision": "delete"}, 422),
        ({"seen_at": "nan"}, 422),
        ({"seen_at": "x"}, 422),
        ({"key": "%00"}, 422),
        ({"key": ""}, 422),
        ({"key": "x" * 4000}, 422),
        ({"run_id": "nope"}, 404),
        ({"run_id": "a\0b"}, 422),
        ({"run_id": RUN_ID}, 400),  # it is at work
    ],
)
def test_what_makes_no_sense_is_refused(
    clients: dict[str, httpx.Client], ledger: Ledger, changes: dict[str, str], status: int
) -> None:
    data = {**form_of(clients["editor"]), "decision": "drop", "key": "held/a.png", **changes}
    answer = clients["editor"].post("act", data=data)
    assert answer.status_code == status, answer.text
    assert got(ledger, "held/a.png").state == "held"


def test_two_people_at_once(clients: dict[str, httpx.Client], ledger: Ledger) -> None:
    """Both load the page; the second to decide is told which pictures the first has decided on."""
    forms = {user: form_of(clients[user]) for user in ("admin", "editor")}
    decide(clients["admin"], forms["admin"], "approve-enhanced", "held/a.png")
    said = result_of(clients["editor"], decide(clients["editor"], forms["editor"], "drop", "held/a.png", "held/b.png"))
    assert said.startswith("1 picture dropped by editor.")
    assert "Left alone: 1 changed after you had loaded the page" in said
    assert "held/a.png" in said
    assert (got(ledger, "held/a.png").state, got(ledger, "held/a.png").approved_by) == ("held", "admin")
    assert got(ledger, "held/b.png").state == "rejected"
    again = result_of(clients["editor"], decide(clients["editor"], form_of(clients["editor"]), "drop", "held/a.png"))
    assert again.startswith("0 pictures dropped"), "it is released to the next run, which publishes it"


def test_notes(clients: dict[str, httpx.Client], ledger: Ledger) -> None:
    editor = clients["editor"]
    form = form_of(editor)
    answer = editor.post("note", data={**form, "key": "held/a.png", "text": "too <b>dark</b>\nbut sharp"})
    assert answer.status_code == 303
    page = clients["viewer"].get("item", params={"run_id": DONE, "key": "held/a.png"}).text
    assert "too &lt;b&gt;dark&lt;/b&gt;" in page
    assert "<strong>editor</strong>" in page
    for text in ("", " ", "x" * 5000):
        assert editor.post("note", data={**form, "key": "held/a.png", "text": text}).status_code in (400, 422)
    assert len(ledger.actions.notes_on(str(ledger.runs.get(DONE).input_url), "held/a.png")) == 1


# ------------------------------------------------------------------ runs


def started(airflow: Airflow, answer: httpx.Response) -> dict[str, object]:
    """The DAG run that a form has started, as Airflow's own API has it."""
    assert answer.status_code == 303, answer.text
    query = httpx.URL(answer.headers["location"]).params
    headers = {"Authorization": f"Bearer {airflow.token('admin')}"}
    address = f"{airflow.url}/api/v2/dags/{query['dag_id']}/dagRuns/{quote(query['run_id'], safe='')}"
    found = httpx.get(address, headers=headers)
    assert found.status_code == 200, found.text
    httpx.delete(address, headers=headers)
    return {"dag_id": query["dag_id"], **found.json()}


def test_a_collection_is_planned_first(clients: dict[str, httpx.Client], ledger: Ledger, airflow: Airflow) -> None:
    form = form_of(clients["editor"])
    waiting = clients["editor"].post("plan", data={**form, "collection": "default"})
    page = clients["editor"].get(waiting.headers["location"]).text
    assert "has not listed its pictures yet" in page
    run_of_dag = started(airflow, waiting)
    assert (run_of_dag["dag_id"], run_of_dag["conf"]) == (DAG_ID, {"dry_run": True})
    assert run_of_dag["triggering_user_name"] == "editor"
    assert clients["editor"].post("plan", data={**form, "collection": "nope"}).status_code == 400


def test_what_was_planned_is_started_with_the_same_params(
    clients: dict[str, httpx.Client], ledger: Ledger, airflow: Airflow
) -> None:
    headers = {"Authorization": f"Bearer {airflow.token('admin')}"}
    conf = {"dry_run": True, "prefix": "scans/"}
    body = {"dag_run_id": "dry_1", "logical_date": None, "conf": conf}
    made = httpx.post(f"{airflow.url}/api/v2/dags/{DAG_ID}/dagRuns", json=body, headers=headers)
    assert made.status_code == 200, made.text
    with ledger.engine.begin() as connection:
        connection.execute(
            run.update().where(run.c.run_id == DONE).values(dag_run_id="dry_1", params={"dry_run": True})
        )
    editor = clients["editor"]
    assert "Start this run for real" in editor.get("run", params={"run_id": DONE}).text
    form = form_of(editor)
    found = started(airflow, editor.post("start", data=form))
    assert found["conf"] == {"dry_run": False, "prefix": "scans/"}
    httpx.delete(f"{airflow.url}/api/v2/dags/{DAG_ID}/dagRuns/dry_1", headers=headers)


def test_only_a_dry_run_is_started(clients: dict[str, httpx.Client], ledger: Ledger) -> None:
    answer = clients["editor"].post("start", data=form_of(clients["editor"]))
    assert (answer.status_code, "is no dry run" in answer.text) == (400, True)


def test_a_run_is_driven_again(clients: dict[str, httpx.Client], ledger: Ledger, airflow: Airflow) -> None:
    form = form_of(clients["editor"])
    found = started(airflow, clients["editor"].post("redrive", data={**form, "quarantined": "true"}))
    assert (found["dag_id"], found["conf"]) == ("redrive_failed", {"run": DONE, "quarantined": True})
    (line,) = ledger.actions.of_run(DONE)
    assert (line.verb, line.by, line.details["dag_id"]) == ("trigger", "editor", "redrive_failed")
