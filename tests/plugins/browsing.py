"""Fixtures: a real Chromium, logged in to the real Airflow UI."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from tests.plugins.conftest import Airflow

WAIT_MS = 60_000  # the UI loads slowly on a busy machine


@pytest.fixture(scope="module")  # Playwright keeps an event loop running in this thread
def browser() -> Iterator[Browser]:
    playwright = pytest.importorskip("playwright.sync_api", reason="needs the playwright package")
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("needs Chromium on the PATH")
    with playwright.sync_playwright() as started:
        # Chromium's own sandbox does not work as root, and these pages are ours.
        opened = started.chromium.launch(executable_path=chromium, args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield opened
        opened.close()


@pytest.fixture
def visit(browser: Browser, airflow: Airflow) -> Iterator[Page]:
    """A page of the Airflow UI, logged in as a viewer."""
    context = browser.new_context(viewport={"width": 1440, "height": 1100})
    opened = context.new_page()
    opened.set_default_timeout(WAIT_MS)
    opened.goto(f"{airflow.url}/auth/login")
    opened.fill("input[name=username]", "viewer")
    opened.fill("input[name=password]", "viewer-password")
    opened.click("button[type=submit]")
    opened.wait_for_url(lambda url: "/auth/login" not in url)
    yield opened
    context.close()


@pytest.fixture
def page(visit: Page) -> Iterator[Page]:
    """The same; the test fails when our page writes an error to the console or breaks its own policy."""
    complaints: list[str] = []
    visit.on("console", lambda said: said.type == "error" and complaints.append(f"{said.text} {said.location}"))
    visit.on("pageerror", lambda error: complaints.append(str(error)))
    yield visit
    assert [complaint for complaint in complaints if "/enhancer/" in complaint or "Security Policy" in complaint] == []
