"""Notices: each once, to the webhook where one is set; what could not be sent counts as not told."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from enhancer.airflow import notify as module
from enhancer.airflow.notify import Means, notify, run_failed, run_is_late
from enhancer.errors import StorageError
from enhancer.settings import Settings, get_settings
from tests.batch.site_builder import Site, png

LATE = {"dag_run": {"dag_id": "image_enhancement", "dag_run_id": "tonight"}, "deadline": {"id": "x"}}
"""What a deadline's callback gets: plain JSON."""


class Hook:
    """A webhook on loopback that answers `status`."""

    def __init__(self) -> None:
        self.status = 204
        self.bodies: list[dict[str, str]] = []
        hook = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                hook.bodies.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self.send_response(hook.status)
                self.end_headers()

            def log_message(self, *args: Any) -> None:
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/services/secret-token"


@pytest.fixture
def hook() -> Iterator[Hook]:
    made = Hook()
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def hooked(site: Site, hook: Hook, monkeypatch: pytest.MonkeyPatch) -> Site:
    """A site whose settings name the webhook, also for the callbacks."""
    settings = site.settings.model_copy(update={"notify_url": SecretStr(hook.url)})
    monkeypatch.setattr("enhancer.airflow.connections.settings_from_airflow", lambda: settings)
    return Site(site.root, settings, site.ledger)


def open_run(site: Site) -> str:
    site.put(a_png=png(1), b_png=png(2))
    from enhancer.batch.plan.planning import plan_run

    plan = plan_run(
        site.request(),
        settings=site.settings,
        run_id="tonight",
        trigger="scheduled",
        dag_id="image_enhancement",
        dag_run_id="tonight",
    )
    return plan.run_id


def test_a_late_run_is_told_once_with_how_far_it_is(hooked: Site, hook: Hook) -> None:
    run = open_run(hooked)
    for _ in range(2):
        run_is_late(LATE)
    [body] = hook.bodies
    assert body["kind"] == "late"
    assert body["text"] == (
        "image_enhancement is late: run tonight has not ended; 0 of 2 pictures are through "
        f"(enhancer batch status {run})"
    )


def test_a_run_that_was_not_even_planned_is_late_too(hooked: Site, hook: Hook) -> None:
    run_is_late(LATE)
    assert "has not been planned yet" in hook.bodies[0]["text"]


def test_a_run_that_has_ended_is_not_late(hooked: Site, hook: Hook) -> None:
    hooked.ledger.runs.close_items(open_run(hooked), stopped=False)
    hooked.finish("tonight")
    run_is_late(LATE)
    assert hook.bodies == []


def test_a_failed_run_is_told_with_its_error(hooked: Site, hook: Hook) -> None:
    run_failed({"dag_run": DagRun, "exception": RuntimeError("60% of the pictures failed")})
    assert hook.bodies[0] == {
        "kind": "failed",
        "subject": "image_enhancement/tonight",
        "text": "image_enhancement failed: run tonight: 60% of the pictures failed",
    }


def test_what_could_not_be_sent_is_sent_by_the_next_call(hooked: Site, hook: Hook) -> None:
    hook.status = 500
    with pytest.raises(StorageError, match=r"could not be sent to 127\.0\.0\.1:\d+: 500") as caught:
        notify("late", "a/b", "late", Means.of(hooked.settings))
    assert "secret-token" not in str(caught.value)
    hook.status = 204
    assert notify("late", "a/b", "late", Means.of(hooked.settings))
    assert not notify("late", "a/b", "late", Means.of(hooked.settings))


def test_a_webhook_that_is_not_there_is_named_without_its_token(hooked: Site, hook: Hook) -> None:
    nowhere = hooked.settings.model_copy(update={"notify_url": SecretStr("http://127.0.0.1:1/secret-token")})
    with pytest.raises(StorageError, match=r"127\.0\.0\.1:1: ConnectionError") as caught:
        notify("late", "a/b", "late", Means.of(nowhere))
    assert "secret-token" not in str(caught.value)


def test_two_at_once_tell_it_once(hooked: Site, hook: Hook) -> None:
    with ThreadPoolExecutor(4) as pool:
        told = list(pool.map(lambda _: notify("late", "a/b", "late", Means.of(hooked.settings)), range(8)))
    assert sum(told) == len(hook.bodies) == 1


def test_without_a_webhook_it_is_logged(site: Site) -> None:
    with capture_logs() as logged:
        assert notify("failed", "a/b", "it failed", Means.of(site.settings))
    assert [(one["event"], one["log_level"]) for one in logged] == [("it failed", "error")]
    assert module.TIMEOUT_S <= 30


class DagRun:
    dag_id, run_id = "image_enhancement", "tonight"


FAILED = {"dag_run": DagRun, "exception": RuntimeError("the task plan failed")}
"""What a task's callback gets: Airflow's objects."""


def ledger_that_is(trouble: str, tmp_path: Path) -> SecretStr:
    """The address of a ledger with this trouble."""
    (tmp_path / "a-file").touch()
    return SecretStr(
        {
            "down": "postgresql+psycopg://u:p@127.0.0.1:1/enhancer",
            "not migrated": f"sqlite:///{tmp_path}/empty.db",
            "misconfigured": "mysql://u:p@db/enhancer",
            "out of reach": f"sqlite:///{tmp_path}/a-file/ledger.db",
        }[trouble]
    )


@pytest.mark.parametrize("trouble", ["down", "not migrated", "misconfigured", "out of reach"])
def test_no_trouble_of_the_ledger_stops_a_notice(
    trouble: str, tmp_path: Path, settings: Settings, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    update = {"ledger_dsn": ledger_that_is(trouble, tmp_path), "notify_url": SecretStr(hook.url)}
    broken = settings.model_copy(update=update)
    monkeypatch.setattr("enhancer.airflow.connections.settings_from_airflow", lambda: broken)
    with capture_logs() as logged:
        run_failed(FAILED)
        run_is_late(LATE)
    assert [body["kind"] for body in hook.bodies] == ["failed", "late"]
    assert "how far it is cannot be said" in hook.bodies[1]["text"]
    assert [one["event"] for one in logged if one["log_level"] == "error"] == [body["text"] for body in hook.bodies]
    assert any("may come twice" in one["event"] for one in logged)
    assert "u:p@" not in str(logged) + str(hook.bodies)


@pytest.fixture
def environment(hook: Hook, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[pytest.MonkeyPatch]:
    """Settings as a worker's environment gives them, with the webhook."""
    monkeypatch.setenv("ENHANCER_NOTIFY_URL", hook.url)
    monkeypatch.setenv("ENHANCER_HOME", str(tmp_path / "home"))
    get_settings.cache_clear()
    yield monkeypatch
    get_settings.cache_clear()


def test_a_connection_that_cannot_be_used_stops_no_notice(
    environment: pytest.MonkeyPatch, hook: Hook, tmp_path: Path
) -> None:
    environment.setenv("AIRFLOW_CONN_ENHANCER_LEDGER", "mysql://u:p@h/db")
    run_failed(FAILED)
    run_is_late(LATE)
    assert [body["kind"] for body in hook.bodies] == ["failed", "late"]
    assert not (tmp_path / "home").exists(), "the file of this machine's is not the ledger that was meant"


def test_settings_that_cannot_be_read_stop_no_notice(environment: pytest.MonkeyPatch, hook: Hook) -> None:
    environment.setenv("ENHANCER_TASK_RETRIES", "many")
    run_failed(FAILED)
    run_is_late(LATE)
    assert [body["kind"] for body in hook.bodies] == ["failed", "late"]


def test_a_callback_that_may_not_read_connections_asks_the_ledger_of_the_settings(
    environment: pytest.MonkeyPatch, hook: Hook, site: Site
) -> None:
    """As Airflow's supervisor refuses a deadline's callback (3.3.2)."""

    def refuse(conn_id: str) -> None:
        raise PermissionError("not authorised")

    environment.setattr("airflow.sdk.Connection.get", refuse)
    environment.setenv("ENHANCER_LEDGER_DSN", site.settings.ledger_url())
    for _ in range(2):
        run_is_late(LATE)
    assert len(hook.bodies) == 1
