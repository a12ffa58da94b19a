"""The plugin's parts on their own: what loading it costs, failing closed, signatures, addresses, the ledger's absence."""

from __future__ import annotations

import asyncio
import io
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

REPOSITORY = Path(__file__).parents[2]
sys.path.insert(0, str(REPOSITORY / "plugins"))

from enhancer.ledger import Ledger  # noqa: E402
from enhancer.settings import Settings  # noqa: E402
from enhancer_ui import pictures  # noqa: E402
from enhancer_ui.plugin import EnhancerPlugin, LazyApp  # noqa: E402
from enhancer_ui.reading import LedgerUnavailableError, Reader, Visitor  # noqa: E402
from enhancer_ui.showing import environment  # noqa: E402
from tests.plugins.seeding import RUN_ID, Seeded  # noqa: E402


class Anyone(Visitor):
    def __init__(self) -> None: ...

    def may_read(self, dag_id: str | None) -> bool:
        return True


# ------------------------------------------------------------------ loading


def test_loading_the_plugin_costs_next_to_nothing() -> None:
    """Every Airflow process loads every plugin: nothing heavy, no thread, no file, and not even our own modules."""
    code = """
import sys, threading
import airflow.plugins_manager
before, threads = set(sys.modules), threading.active_count()
import enhancer_ui.plugin
new = {name for name in set(sys.modules) - before if not name.startswith("enhancer_ui")}
assert not new, new
assert threading.active_count() == threads
import enhancer_ui.pages, enhancer_ui.pictures
heavy = {"torch", "cv2", "skimage", "lpips", "boto3", "botocore", "numpy.testing"} & set(sys.modules)
assert not heavy, heavy
"""
    path = f"{REPOSITORY}:{REPOSITORY / 'plugins'}"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def call(app: object, path: str) -> tuple[int, bytes]:
    """One GET, by the ASGI protocol itself."""
    sent: list[dict[str, object]] = []

    async def receive() -> dict[str, object]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, object]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [],
    }
    asyncio.run(app(scope, receive, send))  # type: ignore[operator]
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])  # type: ignore[return-value,misc]


def test_it_fails_closed_when_airflows_security_moved(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("enhancer_ui.") and name != "enhancer_ui.plugin"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "airflow.api_fastapi.core_api.security", None)  # an import of it now fails
    app = LazyApp()
    for path in ("/", "/static/ui.css", "/api/runs", "/picture"):
        assert call(app, path)[0] == 503


def test_the_views_are_relative_and_embedded() -> None:
    for view in EnhancerPlugin.external_views:
        assert not view["href"].startswith(("/", "http"))
        assert view["url_route"]  # without one the UI would open a new window


# ------------------------------------------------------------------ signatures


@pytest.mark.parametrize("name", ["JPEG", "PNG", "GIF", "BMP", "WEBP", "AVIF"])
def test_what_pillow_writes_is_recognised(name: str) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), "teal").save(buffer, name)
    assert pictures.sniff(buffer.getvalue()[:64]) == f"image/{name.lower()}"


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"<html><script>alert(1)</script>",
        b'<svg xmlns="http://www.w3.org/2000/svg">',
        b"BM<script>alert(1)</script>        ",
        b"RIFF\0\0\0\0WAVEfmt ",
        b"\0\0\0\x18ftypmp42\0\0\0\0",
        b"II*\0\x08\0\0\0",
        b"%PDF-1.7",
    ],
)
def test_all_else_is_not(head: bytes) -> None:
    assert pictures.sniff(head) is None


# ------------------------------------------------------------------ the ledger


def test_a_name_is_shown_as_it_is_and_not_obeyed() -> None:
    """U+202E would have a page show ``photo<U+202E>gpj.exe`` as ``photoexe.jpg``."""
    page = environment().from_string('<b title="{{ name }}">{{ name }}</b>')
    shown = page.render(name="photo\u202egpj.exe\x1b<i>")
    assert shown == r'<b title="photo\u202egpj.exe\x1b&lt;i&gt;">photo\u202egpj.exe\x1b&lt;i&gt;</b>'


def test_an_absent_ledger_is_told_and_not_made(tmp_path: Path) -> None:
    file = tmp_path / "home" / "ledger.db"
    with pytest.raises(LedgerUnavailableError, match="enhancer ledger upgrade"):
        Reader(Settings(ledger_dsn=f"sqlite:///{file}"), Anyone()).runs(0, 10)
    assert not file.exists()


def test_a_ledger_of_another_version_is_told(tmp_path: Path) -> None:
    import sqlite3

    file = tmp_path / "ledger.db"
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE run (run_id TEXT)")
    with pytest.raises(LedgerUnavailableError, match="enhancer ledger upgrade"):
        Reader(Settings(ledger_dsn=f"sqlite:///{file}"), Anyone()).runs(0, 10)


def test_a_ledger_that_is_down_is_told_without_its_password() -> None:
    from demo.services.processes import free_port

    dsn = f"postgresql+psycopg://me:secret@127.0.0.1:{free_port()}/ledger"
    with pytest.raises(LedgerUnavailableError, match="does not answer") as caught:
        Reader(Settings(ledger_dsn=dsn), Anyone()).runs(0, 10)
    assert "secret" not in str(caught.value)


def test_bars_add_up(seeded: Seeded) -> None:
    from enhancer.ledger.states import ItemState
    from enhancer_ui.showing import TONES, segments

    assert set(TONES) == set(ItemState)
    run = Reader(Settings(ledger_dsn=seeded.ledger_url), Anyone()).run(RUN_ID)
    stretches = segments(run.counts)
    assert sum(part.count for part in stretches) == 9
    assert stretches[-1].start + stretches[-1].width == pytest.approx(100)
    assert segments({}) == []


# ------------------------------------------------------------------ side files


@pytest.mark.parametrize(
    ("summary", "shown"),
    [({"side_files": {".json": 3, "<b>": 1}}, True), ({"side_files": {}}, False), ({}, False), (None, False)],
)
def test_the_runs_page_counts_side_files_by_kind(seeded: Seeded, summary: dict[str, Any] | None, shown: bool) -> None:
    with Ledger(seeded.ledger_url) as ledger:
        found = ledger.queries.run(RUN_ID)
    assert found is not None
    nothing: dict[str, Any] = {"items": [], "thumbnails": {}, "failures": [], "progress": None, "tab": False}
    page = environment().get_template("run.html")
    filters = {"state": "", "search": "", "order": "worst"}
    run = replace(found, state="finished", summary=summary)
    html = page.render(run=run, total=0, page=1, pages=1, live=False, filters=filters, **nothing)
    assert ("Side files" in html) is shown
    if shown:
        assert "no pictures: .json 3, &lt;b&gt; 1" in html
