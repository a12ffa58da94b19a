"""The plugin's parts on their own: what loading it costs, failing closed, signatures, addresses, the ledger's absence."""

from __future__ import annotations

import asyncio
import io
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

REPOSITORY = Path(__file__).parents[2]
sys.path.insert(0, str(REPOSITORY / "plugins"))

from enhancer.settings import Settings  # noqa: E402
from enhancer_ui import pictures  # noqa: E402
from enhancer_ui.plugin import EnhancerPlugin, LazyApp  # noqa: E402
from enhancer_ui.reading import LedgerUnavailableError, Reader, Visitor  # noqa: E402
from enhancer_ui.showing import environment, run_bar  # noqa: E402
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
    assert sum(part.count for part in run_bar(run)) == 9 + run.quick_skipped


# ------------------------------------------------------------------ colours


def _tokens() -> dict[str, tuple[str, str]]:
    css = (REPOSITORY / "plugins/enhancer_ui/static/ui.css").read_text(encoding="utf-8")
    return {name: (light, dark) for name, light, dark in re.findall(r"--(\w+): light-dark\((#\w{6}), (#\w{6})\)", css)}


def _luminance(colour: list[float]) -> float:
    """WCAG 2.2's relative luminance."""
    red, green, blue = (v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in colour)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _contrast(one: list[float], other: list[float]) -> float:
    light, dark = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", [0, 1], ids=["light", "dark"])
def test_words_have_the_contrast_that_wcag_asks_for(theme: int) -> None:
    """4.5 : 1 for badges (a tone mixed with the text's colour, on 14 % of it), quiet words and links, on every ground."""
    css = (REPOSITORY / "plugins/enhancer_ui/static/ui.css").read_text(encoding="utf-8")
    shares = re.search(r"--shown: (\d+)%", css)
    assert shares is not None
    share = int(shares[1]) / 100
    named = {name: [int(pair[theme][i : i + 2], 16) / 255 for i in (1, 3, 5)] for name, pair in _tokens().items()}

    def mixed(one: str, part: float, other: str) -> list[float]:
        return [a * part + b * (1 - part) for a, b in zip(named[one], named[other], strict=True)]

    for ground in ("page", "raised"):
        for word in ("text", "quiet", "link"):
            assert _contrast(named[word], named[ground]) >= 4.5, (word, ground)
        for tone in ("good", "calm", "busy", "idle", "warn", "bad"):
            assert _contrast(mixed(tone, share, "text"), mixed(tone, 0.14, ground)) >= 4.5, (tone, ground)
            assert _contrast(named[tone], named["page"]) >= 3, (tone, "a bar's stretch")
