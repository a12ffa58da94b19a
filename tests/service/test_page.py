"""The page at / as a person meets it: a real Chromium drops pictures, waits, compares and downloads."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from tests.service.conftest import picture
from tests.service.running import Server

if TYPE_CHECKING:
    from playwright.sync_api import Page

pytestmark = pytest.mark.browser

WAIT_MS = 120_000


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the playwright package")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("needs Chromium on the PATH")
    server = Server(tmp_path / "home", service_workers=0).start()
    complaints: list[str] = []
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-dev-shm-usage"])
        opened = browser.new_page(viewport={"width": 900, "height": 1000}, accept_downloads=True)
        opened.set_default_timeout(WAIT_MS)
        opened.on("console", lambda said: said.type == "error" and complaints.append(said.text))
        opened.on("pageerror", lambda error: complaints.append(str(error)))
        opened.goto(server.address)
        yield opened
        browser.close()
    server.stop()
    assert [one for one in complaints if "favicon" not in one and "404" not in one] == []


def test_from_a_dropped_picture_to_a_downloaded_result(page: Page, tmp_path: Path) -> None:
    page.click("#start")
    assert "Choose at least one picture" in page.inner_text("#message")
    page.set_input_files(
        "#files",
        [
            {"name": "cat.png", "mimeType": "image/png", "buffer": picture(width=240, height=160)},
            {"name": "broken.png", "mimeType": "image/png", "buffer": picture()[:300]},
        ],
    )
    page.wait_for_selector("#recipe option", state="attached")
    page.select_option("#scale", "2")
    page.focus("#start")
    page.keyboard.press("Enter")
    page.locator("#status", has_text="Finished").wait_for()
    assert page.locator("#items li").count() == 2
    assert "cannot be enhanced" in page.inner_text("#items")
    page.focus("#items button")
    page.keyboard.press("Enter")
    page.wait_for_selector("#canvas[width='480']")
    assert page.evaluate("document.activeElement.id") == "slider"
    before = page.evaluate("document.getElementById('canvas').toDataURL()")
    page.keyboard.press("Home")
    assert page.evaluate("document.getElementById('canvas').toDataURL()") != before
    with page.expect_download() as download:
        page.click("#download")
    assert download.value.suggested_filename == "cat.png"
    made = Image.open(io.BytesIO(Path(download.value.path()).read_bytes()))
    assert made.size == (480, 320)
    page.fill("#slider", "50")
    if folder := os.environ.get("TEST_SCREENSHOTS"):
        page.screenshot(path=Path(folder) / "service-page.png", full_page=True)
