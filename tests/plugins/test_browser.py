"""The page as a person meets it: a real Chromium logs in to the real Airflow UI and looks at the pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from tests.plugins.conftest import Airflow
from tests.plugins.seeding import DAG_ID, DAG_RUN_ID, NASTY_KEY, RUN_ID

if TYPE_CHECKING:
    from playwright.sync_api import FrameLocator, Page

pytestmark = [pytest.mark.airflow, pytest.mark.browser]


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
    from enhancer.ledger import Ledger
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
