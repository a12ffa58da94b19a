"""Pages rendered from rows alone: bars, words, empty tables, failures, trends, values as people read them."""

from __future__ import annotations

import html
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[2]
sys.path.insert(0, str(REPOSITORY / "plugins"))

from enhancer.ledger import CountedRun, Ledger, Progress  # noqa: E402
from enhancer.ledger.rows import FailureGroup  # noqa: E402
from enhancer.reasons import Reason  # noqa: E402
from enhancer.settings import Settings  # noqa: E402
from enhancer_ui.describing import WAYS_OUT, Collections, kind_of, why_empty  # noqa: E402
from enhancer_ui.exporting import as_csv  # noqa: E402
from enhancer_ui.listing import Listing  # noqa: E402
from enhancer_ui.showing import environment, figure, run_bar  # noqa: E402
from enhancer_ui.trends import canary_charts, charts  # noqa: E402
from enhancer_ui.trends import shown as shown_figure  # noqa: E402
from tests.plugins.seeding import RUN_ID, Seeded  # noqa: E402


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
    figures |= {"failures": {"timeout": 3, "truncated": 1}}
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
    assert [point.value for point in drawn["timeout"].points] == [3] * 9
    assert list(drawn)[-2:] == ["timeout", "truncated"], "the most frequent first"
    check = {
        "figures": {"a": {"psnr": 30.0, "ssim": 0.9, "lpips": 0.1}, "b": {"psnr": 32.0, "ssim": 0.7, "lpips": 0.3}}
    }
    canaries = canary_charts([replace(runs[0], summary={"reference_check": check}), runs[1]], now)
    assert [(one.title, [point.value for point in one.points]) for one in canaries] == [
        ("Canary PSNR", [31.0]), ("Canary SSIM", [pytest.approx(0.8)]), ("Canary LPIPS", [pytest.approx(0.2)])
    ]  # fmt: skip
    old = charts([replace(runs[0], summary=None)], now)
    assert [chart.title for chart in old if not chart.points] == [
        "Pictures an hour", "Megapixels an hour", "Refused by the gate", "Mean score", "Least score", "Cost"
    ]  # fmt: skip
    page = shown(
        "collection.html", name="x", known=True, runs=runs, charts=charts(runs, now), nights=90, width=640.0, height=120.0,
        shown=shown_figure, live=False,
    )  # fmt: skip
    assert page.count("<svg viewBox") == 11
    assert "style=" not in page, "the page's policy allows no inline style"


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
