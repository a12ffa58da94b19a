"""The page as a person meets it: a real Chromium logs in to the real Airflow UI and looks at the pictures."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from enhancer.ledger import Ledger
from tests.plugins.browsing import WAIT_MS
from tests.plugins.conftest import Airflow
from tests.plugins.seeding import CREATED_AT, DAG_ID, DAG_RUN_ID, DONE, NASTY_KEY, RUN_ID

if TYPE_CHECKING:
    from playwright.sync_api import Browser, FrameLocator, Page

pytestmark = [pytest.mark.airflow, pytest.mark.browser]


@pytest.fixture
def open_as(browser: Browser, airflow: Airflow) -> Iterator[Callable[..., Page]]:
    """Opens an address of ours in a browser of its own, logged in by the UI's cookie."""
    contexts = []

    def opened(user: str, path: str, *, width: int = 1440, **options: Any) -> Page:
        context = browser.new_context(viewport={"width": width, "height": 1000}, **options)
        contexts.append(context)
        context.add_cookies([{"name": "_token", "value": airflow.token(user), "url": airflow.url}])
        page = context.new_page()
        page.set_default_timeout(WAIT_MS)
        page.goto(f"{airflow.url}/enhancer/{path}")
        return page

    yield opened
    for context in contexts:
        context.close()


def loaded(frame: FrameLocator, selector: str) -> None:
    """Wait until these pictures are there and have pixels."""
    pictures = frame.locator(selector)
    pictures.first.wait_for()
    for picture in pictures.all():
        picture.scroll_into_view_if_needed()
        picture.evaluate("image => image.decode()")  # rejects what is no picture
        assert picture.evaluate("image => image.naturalWidth") > 0


def test_from_the_navigation_to_one_picture(page: Page, tmp_path: Path) -> None:
    page.get_by_role("link", name="Pictures").first.click()
    frame = page.frame_locator("iframe[title=Pictures]")
    frame.get_by_role("heading", name="Picture enhancement").wait_for()
    frame.get_by_role("link", name=RUN_ID).click()
    frame.get_by_role("heading", name=RUN_ID).wait_for()
    assert frame.locator("tbody tr").count() == 9
    loaded(frame, ".thumb img")
    page.screenshot(path=tmp_path / "run.png")
    assert (tmp_path / "run.png").stat().st_size > 50_000

    frame.get_by_role("link", name=NASTY_KEY).click()
    frame.locator("picture-viewer[data-ready]").wait_for()
    frame.get_by_role("slider").fill("25")
    cut = frame.locator(".pv-stage").evaluate("stage => getComputedStyle(stage).getPropertyValue('--pv-cut')")
    assert cut == "25%"
    page.screenshot(path=tmp_path / "item.png")


def test_filters_work_in_the_frame(page: Page, airflow: Airflow) -> None:
    from playwright.sync_api import expect

    page.goto(f"{airflow.url}/plugin/pictures/enhancer/run?run_id={quote(RUN_ID, safe='')}")
    frame = page.frame_locator("iframe[title=Pictures]")
    frame.get_by_role("link", name="quarantined").click()
    frame.get_by_text("bad/page.png: the full message").first.wait_for()
    expect(frame.locator("tbody tr")).to_have_count(2)
    frame.get_by_role("searchbox").fill("trunc")
    frame.get_by_role("button", name="Show").click()
    frame.get_by_text("1 picture").wait_for()
    assert frame.locator("tbody th a").all_inner_texts() == ["bad/truncated.jpg"]


def test_the_tab_on_the_dag_run_follows_the_run(page: Page, airflow: Airflow) -> None:
    from enhancer.ledger.tables import item

    page.goto(f"{airflow.url}/dags/{DAG_ID}/runs/{quote(DAG_RUN_ID, safe='')}")
    page.locator("a[href*='/plugin/run-pictures']").click()
    frame = page.frame_locator("iframe[title=Pictures]")
    frame.get_by_role("heading", name=RUN_ID).wait_for()
    row = frame.locator("tbody tr", has_text="later/waiting.png")
    row.get_by_text("pending").wait_for()
    change = item.update().where(item.c.run_id == RUN_ID, item.c.key == "later/waiting.png")
    with Ledger(airflow.seeded.ledger_url) as ledger:
        with ledger.engine.begin() as connection:
            connection.execute(change.values(state="running"))
        try:
            row.get_by_text("running").wait_for()
            frame.get_by_role("link", name="running 1").wait_for()
        finally:
            with ledger.engine.begin() as connection:
                connection.execute(change.values(state="pending"))


def test_an_expired_login_is_said(visit: Page, airflow: Airflow) -> None:
    visit.goto(f"{airflow.url}/enhancer/run?run_id={quote(RUN_ID, safe='')}")
    visit.get_by_role("heading", name=RUN_ID).wait_for()
    visit.context.clear_cookies()
    visit.get_by_text("Your login has expired").wait_for()


# ------------------------------------------------------------------ for everybody

AXE = Path(__file__).with_name("vendor") / "axe-core" / "axe.min.js"
"""axe-core 4.14.1 (Deque, MPL-2.0), as npm has it."""

VIEWS = {
    "runs": "",
    "a run at work": f"run?run_id={quote(RUN_ID, safe='')}",
    "a run to decide on": f"run?run_id={DONE}",
    "a picture": f"item?run_id={DONE}&key=held/a.png",
    "a collection": "collection?name=default",
    "nothing yet": "dag-run?dag_id=image_enhancement&run_id=none",
    "an error": "run?run_id=nope",
}


def test_axe_is_the_one_that_was_published() -> None:
    expected = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"
    assert hashlib.sha256(AXE.read_bytes()).hexdigest() == expected


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_every_view_meets_wcag_aa(open_as: Callable[..., Page], ledger: Ledger, theme: str) -> None:
    rules = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]
    for name, path in VIEWS.items():
        page = open_as("editor", path, color_scheme=theme)
        for more in page.locator("details").all():
            more.evaluate("one => one.open = true")
        page.evaluate(AXE.read_text(encoding="utf-8"))
        found = page.evaluate("rules => axe.run(document, { runOnly: rules })", rules)
        violations = [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in found["violations"]]
        assert violations == [], name
        assert found["passes"], name
        page.context.close()


@pytest.mark.parametrize("width", [420, 3840])
def test_nothing_is_cut_off(open_as: Callable[..., Page], ledger: Ledger, width: int) -> None:
    for name, path in VIEWS.items():
        page = open_as("editor", path, width=width)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, name
        for shown in page.locator("tbody .badge, .decide button").all():
            box = shown.bounding_box()
            assert box is not None
            assert (box["x"] >= 0, box["x"] + box["width"] <= width) == (True, True), name
        page.context.close()


def test_times_are_those_of_the_viewers_zone(open_as: Callable[..., Page]) -> None:
    from datetime import datetime
    from zoneinfo import ZoneInfo

    for zone in ("Asia/Tokyo", "America/New_York"):
        page = open_as("viewer", "", timezone_id=zone, locale="en-GB")
        there = datetime.fromtimestamp(CREATED_AT, ZoneInfo(zone))
        shown = page.locator(f"tr[id='run-{RUN_ID}'] time").inner_text()
        assert there.strftime("%H:%M:%S") in shown
        assert str(there.day) in shown
        page.context.close()


def test_a_page_asks_less_and_less_often_while_nothing_changes(open_as: Callable[..., Page]) -> None:
    page = open_as("viewer", f"run?run_id={quote(RUN_ID, safe='')}")
    deadline = time.monotonic() + WAIT_MS / 1000
    while not page.evaluate("pause > REFRESH_MS"):
        assert time.monotonic() < deadline
        page.wait_for_timeout(200)
    page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    assert page.evaluate("pause === REFRESH_MS"), "whoever comes back sees what is new soon"


def test_a_page_has_its_buttons_as_soon_as_the_run_is_over(open_as: Callable[..., Page], ledger: Ledger) -> None:
    from enhancer.ledger.tables import run

    change = run.update().where(run.c.run_id == DONE)
    with ledger.engine.begin() as connection:
        connection.execute(change.values(state="running", finished_at=None))
    page = open_as("editor", f"run?run_id={DONE}")
    page.get_by_role("link", name="held/a.png").wait_for()
    assert page.get_by_role("checkbox").count() == 0
    with ledger.engine.begin() as connection:
        connection.execute(change.values(state="finished", finished_at=2.0))
    page.get_by_role("checkbox", name="Choose held/a.png").wait_for()


# ------------------------------------------------------------------ deciding


def test_an_editor_ticks_a_range_and_approves(open_as: Callable[..., Page], ledger: Ledger) -> None:
    page = open_as("editor", f"run?run_id={DONE}&order=position")
    approve = page.get_by_role("button", name="Approve")
    assert approve.is_disabled(), "there is nothing to decide on yet"
    page.get_by_role("checkbox", name="Choose held/a.png").click()
    page.get_by_role("checkbox", name="Choose no/c.png").click(modifiers=["Shift"])
    page.get_by_text("3 chosen").wait_for()
    assert page.get_by_role("checkbox", name="Choose ok.png").is_disabled()
    approve.click()
    page.get_by_text("3 pictures approved as enhanced by editor").wait_for()
    page.reload()
    assert len(ledger.actions.of_run(DONE)) == 1, "a reload decides nothing again"
    page.get_by_text("What people did (1)").click()
    page.get_by_text("editor approve: 3 pictures as enhanced").wait_for()


def test_all_that_a_filter_shows_by_keyboard_alone(open_as: Callable[..., Page], ledger: Ledger) -> None:
    page = open_as("editor", f"run?run_id={DONE}")
    search = page.get_by_role("searchbox")
    search.focus()
    page.keyboard.type("held")
    page.keyboard.press("Enter")
    page.get_by_text("2 pictures", exact=True).wait_for()
    every = page.get_by_role("checkbox", name="all 2 that match")
    every.focus()
    page.keyboard.press("Space")
    page.get_by_role("button", name="Drop").focus()
    page.keyboard.press("Enter")
    page.get_by_text("2 pictures dropped by editor").wait_for()
    assert {ledger.items.get(DONE, key).state for key in ("held/a.png", "held/b.png")} == {"rejected"}  # type: ignore[union-attr]


def test_a_key_decides_on_one_picture_and_not_while_one_writes(open_as: Callable[..., Page], ledger: Ledger) -> None:
    page = open_as("editor", f"item?run_id={DONE}&key=held/a.png")
    note = page.get_by_label("A note on this picture")
    note.fill("")
    note.press_sequentially("a raw scan")
    assert ledger.actions.of_run(DONE) == []
    page.get_by_role("button", name="Keep the note").click()
    page.wait_for_url(lambda url: url.endswith("#notes"))
    page.locator(".note", has_text="a raw scan").wait_for()
    page.keyboard.press("a")
    page.get_by_text("1 picture approved as enhanced by editor").wait_for()
    assert [one.verb for one in ledger.actions.of_run(DONE)] == ["approve", "note"]


def test_the_second_of_two_browsers_is_told(open_as: Callable[..., Page], ledger: Ledger) -> None:
    first, second = (open_as(user, f"run?run_id={DONE}") for user in ("admin", "editor"))
    for page in (first, second):
        page.get_by_role("checkbox", name="Choose held/a.png").check()
    first.get_by_role("button", name="Pass through").click()
    first.get_by_text("1 picture approved to go out as they came by admin").wait_for()
    second.get_by_role("button", name="Drop").click()
    second.get_by_text("Left alone: 1 changed after you had loaded the page").wait_for()
    assert ledger.items.get(DONE, "held/a.png").approved_by == "admin"  # type: ignore[union-attr]


def test_a_viewer_has_no_buttons(open_as: Callable[..., Page], ledger: Ledger) -> None:
    page = open_as("viewer", f"run?run_id={DONE}")
    page.get_by_role("link", name="held/a.png").wait_for()
    assert page.get_by_role("checkbox").count() == 0
    assert page.get_by_role("button").all_inner_texts() == ["Show"]


def test_a_collection_is_planned_from_the_page(open_as: Callable[..., Page]) -> None:
    page = open_as("editor", "")
    page.get_by_role("button", name="Plan a run").click()
    page.get_by_role("heading", name="No pictures yet").wait_for()
    page.get_by_text("is paused: the run waits").wait_for()


def test_columns_sort_and_filters_stay_in_the_address(page: Page, airflow: Airflow) -> None:
    from playwright.sync_api import expect

    page.goto(f"{airflow.url}/enhancer/run?run_id={quote(RUN_ID, safe='')}")
    names = page.locator("tbody th > a")
    page.get_by_role("columnheader", name="PSNR").get_by_role("link").click()
    expect(names.first).to_have_text("restore/astronaut-noise.jpg")
    page.get_by_role("columnheader", name="PSNR").get_by_role("link").click()
    expect(names.first).to_have_text("restore/rocket.jpg")
    expect(page.get_by_role("columnheader", name="PSNR")).to_have_attribute("aria-sort", "descending")
    page.get_by_text("More filters").click()
    page.get_by_label("Stage applied").select_option("denoise")
    page.get_by_label("Score from").fill("0.8")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(names).to_have_text(["restore/rocket.jpg", "x2/coffee.png"])
    with page.expect_download() as download:
        page.get_by_role("link", name="CSV").click()
    assert download.value.path().read_text(encoding="utf-8").count("\n") == 3
    page.reload()
    expect(names).to_have_text(["restore/rocket.jpg", "x2/coffee.png"])
