"""The viewer in a real Chromium: zoom, divider, keys, what browsers do not show, ways from picture to picture."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np
import pytest
from PIL import Image

from enhancer.ledger import Ledger
from enhancer.ledger.tables import item, run
from tests.plugins.conftest import Airflow
from tests.plugins.seeding import NASTY_KEY, RUN_ID, Seeded, add, encoded, item_row, keep_views, photo, run_row, write

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

pytestmark = [pytest.mark.airflow, pytest.mark.browser]

LARGE = "large_1"


def large_picture() -> Image.Image:
    """A hundred megapixels, whose quarters have colours of their own: bottom right is green."""
    pixels = np.zeros((10_000, 10_000, 3), np.uint8)
    pixels[:5000, :5000], pixels[:5000, 5000:], pixels[5000:, :5000] = (200, 40, 40), (40, 40, 200), (230, 230, 230)
    pixels[5000:, 5000:] = (30, 160, 60)
    return Image.fromarray(pixels)


@pytest.fixture(scope="module")
def kinds(seeded: Seeded) -> Iterator[None]:
    """A run of pictures that no browser shows, with their views; gone again afterwards."""
    deep = np.linspace(1000, 3000, 200 * 300).reshape(200, 300).astype(np.uint16)
    pictures = {
        "large/wall.tif": encoded(large_picture(), "TIFF", compression="tiff_lzw"),
        "odd/deep.png": encoded(Image.fromarray(deep), "PNG"),
        "odd/inks.jpg": encoded(photo("coffee", 2).convert("CMYK"), "JPEG"),
    }
    rows = []
    for position, (key, data) in enumerate(pictures.items()):
        write(seeded.input, key, data)
        write(seeded.output, key, data)
        keep_views(seeded, LARGE, position, data, data)
        width, height = Image.open(seeded.input / key).size if position else (10_000, 10_000)
        sizes = {"width": width, "height": height, "output_width": width, "output_height": height}
        rows.append((item, item_row(LARGE, position, key, "published", target_key=key, size=len(data), **sizes)))
    with Ledger(seeded.ledger_url) as ledger:
        add(ledger, (run, run_row(seeded, LARGE, created_at=1.0, items=3)), *rows)
        yield
        with ledger.engine.begin() as connection:
            connection.execute(item.delete().where(item.c.run_id == LARGE))
            connection.execute(run.delete().where(run.c.run_id == LARGE))


def open_item(page: Page, airflow: Airflow, key: str, run_id: str = RUN_ID) -> Locator:
    """The page of a picture, and its viewer once it shows something."""
    page.goto(f"{airflow.url}/enhancer/item?run_id={quote(run_id, safe='')}&key={quote(key, safe='')}")
    viewer = page.locator("picture-viewer[data-ready]")
    viewer.wait_for()
    settled(viewer)
    return viewer


def settled(viewer: Locator) -> None:
    """Wait until nothing moves any more and every tile in view is drawn."""
    viewer.evaluate(
        """async viewer => {
            const osd = viewer.main.osd;
            const still = () => viewer.main.layers.every(layer => layer.item.getOpacity() === 0 || layer.item.getFullyLoaded());
            for (let at = 0; at < 600; at++) {
                await new Promise(done => setTimeout(done, 50));
                if (still() && viewer.second?.layers.length !== 0 && Math.abs(osd.viewport.getZoom(true) - osd.viewport.getZoom()) < 1e-6) break;
            }
            await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
        }"""
    )


def colour_at(viewer: Locator, x: float, y: float) -> tuple[int, ...]:
    """What the canvas shows at a place, given in shares of its width and height."""
    return tuple(
        viewer.evaluate(
            """(viewer, [x, y]) => {
                const canvas = viewer.querySelector(".pv-canvas canvas");
                const context = canvas.getContext("2d");
                return [...context.getImageData(canvas.width * x, canvas.height * y, 1, 1).data];
            }""",
            [x, y],
        )
    )


def far_from(viewer: Locator, picture: Image.Image) -> float:
    """Mean difference, in levels, between what the canvas shows and a picture, on a grid of places within it."""
    shown = viewer.evaluate(
        """viewer => {
            const {viewport} = viewer.main.osd, {clientWidth, clientHeight} = viewer.main.element;
            const found = [];
            for (let row = 1; row < 12; row++) for (let column = 1; column < 12; column++) {
                const [x, y] = [column / 12, row / 12];
                const at = viewport.pointFromPixel(new OpenSeadragon.Point(x * clientWidth, y * clientHeight));
                found.push([x, y, at.x, at.y]);
            }
            return found;
        }"""
    )
    pixels = np.asarray(picture.convert("RGB").resize((120, round(120 * picture.height / picture.width))))
    differences = []
    for x, y, across, down in shown:
        column, row = int(across * 120), int(down * 120)
        if 0 <= column < 120 and 0 <= row < pixels.shape[0]:
            differences.append(
                np.abs(np.subtract(colour_at(viewer, x, y)[:3], pixels[row, column], dtype=float)).mean()
            )
    assert len(differences) > 30
    return float(np.mean(differences))


def near(found: tuple[int, ...], expected: tuple[int, int, int], tolerance: int = 12) -> bool:
    return all(abs(int(one) - int(other)) <= tolerance for one, other in zip(found, expected, strict=False))


def press(page: Page, viewer: Locator, key: str) -> None:
    page.keyboard.press(key)
    settled(viewer)


# ------------------------------------------------------------------ zoom


def test_zoom_by_keys_and_wheel(page: Page, airflow: Airflow) -> None:
    viewer = open_item(page, airflow, "restore/rocket.jpg")
    percent = viewer.locator(".pv-percent")
    press(page, viewer, "1")
    assert percent.inner_text() == "100 %"
    canvas = viewer.locator(".pv-canvas").first.bounding_box()
    assert canvas is not None
    for share in (0.3, 0.5):  # on the picture, and on the divider
        page.mouse.move(canvas["x"] + share * canvas["width"], canvas["y"] + canvas["height"] / 2)
        for _ in range(20):
            page.mouse.wheel(0, -240)
            page.wait_for_timeout(60)
        settled(viewer)
        assert percent.inner_text() == "800 %"
        press(page, viewer, "0")
    fitted = viewer.evaluate("viewer => viewer.zoom")
    width, height = Image.open(airflow.seeded.output / "restore/rocket.jpg").size
    assert fitted == pytest.approx(min(canvas["width"] / width, canvas["height"] / height), rel=0.01)


def test_arrows_move_the_picture_where_the_focus_is_on_it(page: Page, airflow: Airflow) -> None:
    viewer = open_item(page, airflow, "x2/coffee.png")
    viewer.locator(".openseadragon-canvas").first.focus()
    before = viewer.evaluate("viewer => viewer.main.osd.viewport.getCenter().x")
    press(page, viewer, "ArrowRight")
    assert viewer.evaluate("viewer => viewer.main.osd.viewport.getCenter().x") > before


# ------------------------------------------------------------------ comparing


def grey(level: int) -> bytes:
    return encoded(Image.new("RGB", (400, 300), (level, level, level)), "PNG")


@pytest.fixture
def two_greys(seeded: Seeded) -> Iterator[str]:
    """A dark picture and its light result, so that what is shown where can be read off the canvas."""
    key, run_id = "greys.png", "greys_1"
    write(seeded.input, key, grey(60))
    write(seeded.output, key, grey(200))
    sizes = {"width": 400, "height": 300, "output_width": 400, "output_height": 300}
    with Ledger(seeded.ledger_url) as ledger:
        add(
            ledger,
            (run, run_row(seeded, run_id, created_at=2.0, items=1)),
            (item, item_row(run_id, 0, key, "published", target_key=key, **sizes)),
        )
        yield key
        with ledger.engine.begin() as connection:
            connection.execute(item.delete().where(item.c.run_id == run_id))
            connection.execute(run.delete().where(run.c.run_id == run_id))


def test_ways_to_compare(page: Page, airflow: Airflow, two_greys: str) -> None:
    viewer = open_item(page, airflow, two_greys, "greys_1")
    slider = viewer.get_by_role("slider")
    assert slider.get_attribute("aria-valuetext") == "50 % of the width before, the rest after"
    assert near(colour_at(viewer, 0.4, 0.5), (60, 60, 60))
    assert near(colour_at(viewer, 0.6, 0.5), (200, 200, 200))

    slider.fill("70")
    settled(viewer)
    assert near(colour_at(viewer, 0.6, 0.5), (60, 60, 60))
    slider.press("ArrowLeft")
    assert float(slider.input_value()) < 70
    assert slider.get_attribute("aria-valuetext") == "70 % of the width before, the rest after"

    press(page, viewer, "f")
    assert near(colour_at(viewer, 0.5, 0.5), (130, 130, 130))
    press(page, viewer, "x")
    assert near(colour_at(viewer, 0.5, 0.5), (140, 140, 140))
    press(page, viewer, "b")
    assert near(colour_at(viewer, 0.6, 0.5), (60, 60, 60))
    press(page, viewer, "e")
    assert near(colour_at(viewer, 0.4, 0.5), (200, 200, 200))


def test_the_divider_is_dragged_on_the_picture(page: Page, airflow: Airflow, two_greys: str) -> None:
    viewer = open_item(page, airflow, two_greys, "greys_1")
    box = viewer.locator(".pv-stage").bounding_box()
    assert box is not None
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] / 2, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.3, middle, steps=5)
    page.mouse.up()
    settled(viewer)
    assert float(viewer.get_by_role("slider").input_value()) == pytest.approx(30, abs=1)
    assert near(colour_at(viewer, 0.4, 0.5), (200, 200, 200))


def test_side_by_side_goes_in_step(page: Page, airflow: Airflow) -> None:
    viewer = open_item(page, airflow, "x2/coffee.png")
    press(page, viewer, "s")
    press(page, viewer, "1")
    press(page, viewer, "+")
    places = viewer.evaluate(
        "viewer => [viewer.main, viewer.second].map(({osd}) => "
        "[osd.viewport.getZoom(), osd.viewport.getCenter().x, osd.viewport.getCenter().y])"
    )
    assert places[0] == pytest.approx(places[1], rel=1e-6)


def test_the_histogram_and_the_full_view(page: Page, airflow: Airflow) -> None:
    viewer = open_item(page, airflow, "x2/coffee.png")
    page.keyboard.press("h")
    assert viewer.get_by_role("img", name="Histogram of the picture").count() == 2
    page.keyboard.press("o")
    box, window = viewer.bounding_box(), page.viewport_size
    assert box is not None
    assert window is not None
    assert (box["width"], box["height"]) == (window["width"], window["height"])
    page.keyboard.press("Escape")
    shrunk = viewer.bounding_box()
    assert shrunk is not None
    assert shrunk["width"] < window["width"]


# ------------------------------------------------------------------ what browsers do not show


@pytest.mark.usefixtures("kinds")
def test_a_hundred_megapixels_are_shown_through_their_pyramid(page: Page, airflow: Airflow) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    viewer = open_item(page, airflow, "large/wall.tif", LARGE)
    assert near(colour_at(viewer, 0.48, 0.3), (200, 40, 40))
    assert near(colour_at(viewer, 0.52, 0.7), (30, 160, 60))
    viewer.evaluate("viewer => viewer.main.osd.viewport.panTo(new OpenSeadragon.Point(.75, .75), true)")
    press(page, viewer, "1")
    assert viewer.locator(".pv-percent").inner_text() == "100 %"
    assert near(colour_at(viewer, 0.3, 0.5), (30, 160, 60))
    tiles = [url for url in asked if "/tiles/" in url]
    assert 4 < len(tiles) < 100
    assert not [url for url in asked if "/picture?" in url]


@pytest.mark.usefixtures("kinds")
@pytest.mark.parametrize("key", ["odd/deep.png", "odd/inks.jpg"])
def test_deep_and_printed_pictures_are_shown(page: Page, airflow: Airflow, key: str) -> None:
    viewer = open_item(page, airflow, key, LARGE)
    if key == "odd/deep.png":  # from its darkest to its lightest value
        assert sum(colour_at(viewer, 0.5, 0.97)[:3]) - sum(colour_at(viewer, 0.5, 0.03)[:3]) > 600
        assert "shown from black to white" in viewer.locator(".pv-note").inner_text()
    else:
        assert far_from(viewer, Image.open(airflow.seeded.input / key)) < 20


def test_a_tiff_is_shown(page: Page, airflow: Airflow) -> None:
    viewer = open_item(page, airflow, "odd/tiff.tif")
    assert far_from(viewer, Image.open(airflow.seeded.output / "odd/tiff.tif")) < 20
    assert viewer.locator(".pv-note").inner_text() == ""


def test_what_is_no_picture_is_said(visit: Page, airflow: Airflow) -> None:
    visit.goto(f"{airflow.url}/enhancer/item?run_id={quote(RUN_ID, safe='')}&key=bad%2Fpage.png")
    visit.get_by_text("is of a type that browsers do not show").wait_for()


def test_a_hostile_name_is_shown_like_any_other(page: Page, airflow: Airflow) -> None:
    open_item(page, airflow, NASTY_KEY)


# ------------------------------------------------------------------ from picture to picture


def test_next_previous_and_back_to_the_list(page: Page, airflow: Airflow) -> None:
    page.goto(f"{airflow.url}/enhancer/run?run_id={quote(RUN_ID, safe='')}&order=key")
    keys = page.locator("#rows th a").all_inner_texts()
    page.get_by_role("link", name=keys[1]).click()
    page.get_by_text(f"2 of {len(keys)} in the list").wait_for()
    page.keyboard.press("n")
    page.get_by_role("heading", name=keys[2]).wait_for()
    page.keyboard.press("p")
    page.get_by_role("heading", name=keys[1]).wait_for()
    page.keyboard.press("l")
    page.locator("#rows").wait_for()
    assert page.locator("#rows a:focus").inner_text() == keys[1]


def test_the_keys_are_explained(page: Page, airflow: Airflow) -> None:
    open_item(page, airflow, "x2/coffee.png")
    page.keyboard.press("?")
    page.get_by_role("dialog").get_by_text("side by side").wait_for()
    page.keyboard.press("Escape")
    assert page.get_by_role("dialog").count() == 0


# ------------------------------------------------------------------ accessibility


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing(page: Page, airflow: Airflow, scheme: Any) -> None:
    page.emulate_media(color_scheme=scheme)
    open_item(page, airflow, "x2/coffee.png")
    page.keyboard.press("h")
    axe = Path(__file__).with_name("vendor") / "axe-core" / "axe.min.js"
    page.evaluate(axe.read_text(encoding="utf-8"))
    found = page.evaluate(
        "axe.run('picture-viewer, .pv-walk', {runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa']})"
    )
    assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found["violations"]] == []
