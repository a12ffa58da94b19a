"""The report's page in a real Chromium, opened from a file: no server, no network, the same viewer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from enhancer.batch.report_page import render_page
from enhancer.batch.worker.thumbnails import _decoded, _shown
from enhancer.codecs import Limits
from enhancer.ledger import Ledger
from enhancer.settings import Settings
from enhancer.storage import open_store
from tests.plugins.seeding import NASTY_KEY, RUN_ID, Seeded

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser

KEYS = ["x2/coffee.png", NASTY_KEY, "odd/tiff.tif"]


@pytest.fixture(scope="module")
def report(seeded: Seeded, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of the seeded run, with three of its pictures; the first is in it at a larger size too."""
    limits = Limits.from_settings(Settings())
    source, output = (open_store(str(root), Settings()) for root in (seeded.input, seeded.output))
    pictures = {
        key: _shown(_decoded(source, key, limits), _decoded(output, key, limits), is_large=key == KEYS[0])
        for key in KEYS
    }
    with Ledger(seeded.ledger_url) as ledger:
        run = ledger.queries.run(RUN_ID)
        assert run is not None
        page = render_page(ledger, run, pictures)
    path = tmp_path_factory.mktemp("report") / "report.html"
    path.write_text(page, encoding="utf-8")
    return path


@pytest.fixture
def opened(browser: Browser, report: Path) -> Iterator[Page]:
    """The page; the test fails when it complains about anything or asks for anything but itself."""
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    page = context.new_page()
    complaints: list[str] = []
    asked: list[str] = []
    page.on("console", lambda said: said.type in ("error", "warning") and complaints.append(said.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(report.as_uri())
    yield page
    context.close()
    assert complaints == []
    assert [url for url in asked if not url.startswith("data:")] == [report.as_uri()]


def test_a_pair_opens_in_the_viewer_and_closes(opened: Page) -> None:
    cards = opened.locator("article", has=opened.locator("button.compare"))
    assert cards.count() == len(KEYS)
    for number in range(len(KEYS)):
        card = cards.nth(number)
        card.get_by_role("button", name="Compare").click()
        card.locator("picture-viewer[data-ready]").wait_for()
        assert opened.locator("picture-viewer").count() == 1
        opened.keyboard.press("h")
        assert card.get_by_role("img", name="Histogram of the picture").count() == 2
        opened.keyboard.press("x")
        assert card.get_by_role("slider", name="Difference").is_visible()
    card.get_by_role("button", name="Compare").click()
    assert opened.locator("picture-viewer").count() == 0


def test_zoom_counts_in_the_pictures_own_pixels(opened: Page) -> None:
    from playwright.sync_api import expect

    card = opened.locator("article", has_text="x2/coffee.png")
    card.get_by_role("button", name="Compare").click()
    viewer = card.locator("picture-viewer[data-ready]")
    viewer.wait_for()
    opened.keyboard.press("1")
    expect(card.locator(".pv-percent")).to_have_text("100 %")
    shown = viewer.evaluate("viewer => viewer.main.osd.viewport.getBounds(true).width * viewer.sides.after.width")
    assert shown == pytest.approx(viewer.evaluate("viewer => viewer.main.element.clientWidth"), rel=0.01)


def test_names_do_not_end_the_data(report: Path) -> None:
    text = report.read_text(encoding="utf-8")
    assert "<script>alert" not in text
    assert text.count("</script") == text.count("<script")
