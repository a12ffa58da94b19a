"""The plugin's parts on their own: what loading it costs, failing closed, signatures, addresses, the ledger's absence."""

from __future__ import annotations

import asyncio
import html
import io
import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

REPOSITORY = Path(__file__).parents[2]
sys.path.insert(0, str(REPOSITORY / "plugins"))

from enhancer.ledger import CountedRun, Ledger, Progress  # noqa: E402
from enhancer.ledger.rows import FailureGroup  # noqa: E402
from enhancer.reasons import Reason  # noqa: E402
from enhancer.settings import Settings  # noqa: E402
from enhancer_ui import pictures  # noqa: E402
from enhancer_ui.describing import WAYS_OUT, Collections, kind_of, why_empty  # noqa: E402
from enhancer_ui.exporting import as_csv  # noqa: E402
from enhancer_ui.listing import Listing  # noqa: E402
from enhancer_ui.plugin import EnhancerPlugin, LazyApp  # noqa: E402
from enhancer_ui.reading import LedgerUnavailableError, Reader, Visitor  # noqa: E402
from enhancer_ui.showing import environment, figure, run_bar  # noqa: E402
from enhancer_ui.trends import charts  # noqa: E402
from enhancer_ui.trends import shown as shown_figure  # noqa: E402
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
    from enhancer_ui.showing import TONES, run_bar, segments

    assert set(TONES) == set(ItemState)
    run = Reader(Settings(ledger_dsn=seeded.ledger_url), Anyone()).run(RUN_ID)
    stretches = segments(run.counts)
    assert sum(part.count for part in stretches) == 9
    assert stretches[-1].start + stretches[-1].width == pytest.approx(100)
    assert segments({}) == []
    assert sum(part.count for part in run_bar(run)) == 9 + run.quick_skipped


def shown(template: str, **values: Any) -> str:
    return environment().get_template(template).render(**values)


@pytest.fixture
def found(seeded: Seeded) -> CountedRun:
    with Ledger(seeded.ledger_url) as ledger:
        run = ledger.queries.run(RUN_ID)
    assert run is not None
    return run


def run_page(run: CountedRun, **values: Any) -> str:
    """The page of a run without pictures."""
    from enhancer.ledger.browsing import Facets

    nothing = {"items": [], "thumbnails": {}, "failures": [], "progress": None, "tab": False, "actions": []}
    may = dict.fromkeys(("decide", "redrive", "start"), False)
    context: dict[str, Any] = {
        **nothing, "collection": None, "total": 0, "before": None, "after": None, "has_truth": False, "may": may,
        "facets": Facets([], [], [], []), "bins": [0] * 20, "listing": Listing(), "result": None, "csrf": "", "seen_at": "0", "live": False,
        "empty": why_empty(run, is_filtered=False),
    }  # fmt: skip
    return shown("run.html", run=run, **context | values)


def test_an_idle_night_is_not_red(found: CountedRun) -> None:
    """A thousand pictures that are unchanged, and five failures that have been known for weeks."""
    idle = replace(
        found,
        state="finished",
        outcome="success",
        counts={"quarantined": 5},
        known={"quarantined": 5},
        quick_skipped=1000,
    )
    unchanged, known = run_bar(idle)
    assert (unchanged.state, unchanged.tone, unchanged.count) == ("unchanged", "calm", 1000)
    assert unchanged.width > 99
    assert (known.words, known.tone, known.count) == ("quarantined as before", "known", 5)
    fresh = replace(idle, counts={"quarantined": 7})
    assert [(part.tone, part.count) for part in run_bar(fresh)] == [("calm", 1000), ("bad", 2), ("known", 5)]


def test_a_finished_dry_run_says_so_with_its_estimate(found: CountedRun) -> None:
    summary = {
        "dry_run": True, "work_items": 120, "bytes": 3_000_000, "estimated_shards": 2, "estimated_minutes": 12.5,
        "estimated_from": "default rate", "measured_s": 0.0,
    }  # fmt: skip
    dry = replace(found, state="finished", outcome="success", counts={}, summary=summary, listed=150, quick_skipped=30)
    page = run_page(dry)
    assert "planned only" in page
    assert "120 to do (3.0 MB) in 2 shards, about 12.5 minutes" in page
    assert "30 of 150 listed pictures are unchanged" in page
    assert "is being made" not in page
    assert "A dry run only counts" in page


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"state": "planning"}, "is being made"),
        ({"state": "planning", "summary": {"planning_failed": {"message": "no bucket"}}}, "planning failed"),
        ({"quick_skipped": 1200}, "all 1,200 pictures are unchanged"),
        ({"quick_skipped": 0}, "nothing lies under"),
        ({"quick_skipped": 0, "params": {"redrive": {"run": "r"}}}, "Nothing was undone"),
        ({"summary": {"retired": True}}, "past retention"),
    ],
)
def test_an_empty_table_says_why(found: CountedRun, changes: dict[str, Any], words: str) -> None:
    run = replace(found, **{"state": "finished", "outcome": "success", "counts": {}, **changes})
    assert words in why_empty(run, is_filtered=True), "nothing was filtered away where there is nothing"
    assert words in run_page(run)


def test_filters_that_match_nothing_are_the_reason(found: CountedRun) -> None:
    assert "Take a filter away" in why_empty(found, is_filtered=True)


def test_a_run_at_work_tells_enhanced_from_done(found: CountedRun) -> None:
    progress = Progress(300, 0, {"enhanced": 262, "pending": 38}, 4, 1, 0.5, 600.0, 0.52)
    page = " ".join(run_page(found, progress=progress).split())
    assert "52 % of the work" in page
    assert "262 of 300 enhanced or settled, 0 done; about 10 min 00 s left" in page


def test_new_failures_stand_apart_from_known_ones(found: CountedRun) -> None:
    groups = [
        FailureGroup("quarantined", "decode", "truncated", 7, "a.jpg", "cut off", 5),
        FailureGroup("rejected", "score", "gate", 2, "b.jpg", "too smooth", 2),
    ]
    page = run_page(found, failures=groups)
    assert "What went wrong" in page
    assert "<strong>2 ×</strong>" in page
    assert "Known from earlier runs, and left as they are: 7" in page
    assert WAYS_OUT["truncated"] in page
    assert "Nothing new went wrong" in run_page(found, failures=groups[1:])


def test_the_distribution_of_scores_leads_to_its_parts(found: CountedRun) -> None:
    page = html.unescape(run_page(found, bins=[0] * 18 + [3, 1]))
    assert "Scores of these pictures: 4 have one" in page
    assert "score_from=0.9&score_to=0.95" in page
    assert 'height="70.0"' in page


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"trigger": "scheduled"}, "scheduled"),
        ({"trigger": "manual"}, "by hand"),
        ({"trigger": "cli", "dag_id": None}, "command line"),
        ({"trigger": "scheduled", "dag_run_id": "asset_triggered__2026"}, "arrival"),
        ({"trigger": "scheduled", "params": {"redrive": {"quarantined": False}}}, "re-drive"),
        ({"summary": {"dry_run": True}}, "dry run"),
        ({"dag_id": "reference_check"}, "reference check"),
    ],
)
def test_kinds_of_runs(found: CountedRun, changes: dict[str, Any], kind: str) -> None:
    assert kind_of(replace(found, **changes)) == kind


def test_every_run_has_its_collection(found: CountedRun, tmp_path: Path) -> None:
    file = tmp_path / "collections.toml"
    file.write_text('[collection.scans]\ninput_url = "s3://a/in"\noutput_url = "s3://a/out"\n')
    names = Collections(Settings(home=tmp_path, collections=file))
    assert names.dag_ids == {"default": "image_enhancement", "scans": "enhance__scans"}
    assert names.of(replace(found, dag_id="enhance__scans")) == "scans"
    assert names.of(replace(found, dag_id="enhance__removed")) == "removed"
    assert names.of(replace(found, dag_id="image_enhancement")) == "default"
    here = {"input_url": "s3://a/in", "output_url": "s3://a/out"}
    assert names.of(replace(found, dag_id=None, **here)) == "scans", "a run of the command line, by its addresses"
    assert names.of(replace(found, dag_id="redrive_failed", **here)) == "scans"
    assert names.of(replace(found, dag_id=None)) is None
    file.write_text("nonsense")
    assert Collections(Settings(home=tmp_path, collections=file)).of(replace(found, dag_id="enhance__scans")) == "scans"


def test_ways_out_are_of_reasons_that_there_are() -> None:
    assert {str(reason) for reason in WAYS_OUT} <= {reason.value for reason in Reason}


def test_values_are_shown_as_words_and_not_as_python() -> None:
    assert figure({"grid_of_blocks": [1.0, 2.5], "page": {"n": 1}}, 1) == "grid of blocks 1.0, 2.5, page n 1"
    assert figure([]) == figure({}) == figure(None) == "\N{EN DASH}"
    assert (figure(True), figure("x"), figure(3), figure(float("inf"))) == ("yes", "x", "3", "\N{INFINITY}")


def test_a_key_is_sent_back_as_it_is() -> None:
    from urllib.parse import unquote

    for key in ("a b/c.png", "line\r\nbreak.png", "\u202egpj.png", "100%25.png", "ü'\"<>&.png"):
        page = environment().from_string("{{ key | encoded }}").render(key=key)
        assert unquote(html.unescape(page)) == key
        assert "\n" not in page


def test_spreadsheets_get_no_formulas(found: CountedRun) -> None:
    with Ledger(f"sqlite:///{found.work_url.removesuffix('work')}ledger.db") as ledger:
        (item,) = ledger.queries.items(RUN_ID, search="coffee")[0]
    text = "".join(as_csv([replace(item, key="=HYPERLINK(1)"), replace(item, key="plain.png")]))
    assert "\n'=HYPERLINK(1)," in text.replace("\r", "")
    assert "\nplain.png," in text.replace("\r", "")


def test_charts_of_the_nights(found: CountedRun) -> None:
    now, day = 10_000_000.0, 86_400.0
    figures = {"megapixels": 7200.0, "busy_s": 3600.0, "score_mean": 0.8, "score_least": 0.2}
    runs = [
        replace(
            found, run_id=f"n{n}", state="finished", created_at=now - day * (89 - n), known={},
            counts={"published": n, "rejected": n}, summary={"figures": figures, "worker_hour_price": 2.5},
        )
        for n in range(0, 90, 10)
    ]  # fmt: skip
    drawn = {chart.title: chart for chart in charts(runs, now)}
    pictures_drawn = drawn["Pictures"].points
    assert [point.value for point in pictures_drawn] == list(range(0, 90, 10))
    across, heights = [point.x for point in pictures_drawn], [point.y for point in pictures_drawn]
    assert across == sorted(across)
    assert heights == sorted(heights, reverse=True), "more is higher up"
    assert 0 <= min(across) < max(across) <= 640
    assert drawn["Megapixels an hour"].points[0].value == 7200
    assert drawn["Cost"].points[0].value == 2.5
    assert drawn["Refused by the gate"].points[-1].value == 50
    old = charts([replace(runs[0], summary=None)], now)
    assert [chart.title for chart in old if not chart.points] == [
        "Pictures an hour", "Megapixels an hour", "Refused by the gate", "Mean score", "Least score", "Cost"
    ]  # fmt: skip
    page = shown(
        "collection.html", name="x", known=True, runs=runs, charts=charts(runs, now), nights=90, width=640.0, height=120.0,
        shown=shown_figure, live=False,
    )  # fmt: skip
    assert page.count("<svg viewBox") == 9
    assert "style=" not in page, "the page's policy allows no inline style"


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


# ------------------------------------------------------------------ side files


@pytest.mark.parametrize(
    ("summary", "counted"),
    [({"side_files": {".json": 3, "<b>": 1}}, True), ({"side_files": {}}, False), ({}, False), (None, False)],
)
def test_the_runs_page_counts_side_files_by_kind(
    found: CountedRun, summary: dict[str, Any] | None, counted: bool
) -> None:
    page = run_page(replace(found, state="finished", summary=summary))
    assert ("Side files" in page) is counted
    if counted:
        assert "no pictures: .json 3, &lt;b&gt; 1" in page
