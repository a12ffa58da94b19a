"""The window with Qt's offscreen platform: real worker processes, real pictures."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from PIL import Image
from PySide6.QtCore import QMimeData, QPoint, QPointF, QRectF, QSettings, Qt, QUrl
from PySide6.QtGui import QDropEvent, QImage, QPainter
from PySide6.QtWidgets import QApplication
from pytestqt.qtbot import QtBot
from skimage import data

import enhancer.desktop
from enhancer.desktop import app, text
from enhancer.desktop.compare_view import CompareView
from enhancer.desktop.jobs import State
from enhancer.desktop.levels import write_levels
from enhancer.desktop.pyramid import Pyramid
from enhancer.desktop.settings_panel import SettingsPanel
from enhancer.desktop.window import Window
from enhancer.image import image_from_array
from enhancer.presets import PRESETS
from enhancer.recipe import parse_recipe, preset

PATIENCE_MS = 180_000


@pytest.fixture
def store(tmp_path: Path) -> QSettings:
    return QSettings(str(tmp_path / "settings.ini"), QSettings.Format.IniFormat)


@pytest.fixture
def window(qtbot: QtBot, store: QSettings, tmp_path: Path) -> Iterator[Window]:
    made = Window(store)
    made.settings.output.edit.setText(str(tmp_path / "out"))
    made.settings.scale.slider.setValue(2)
    qtbot.addWidget(made)
    made.show()
    yield made
    made.runner.stop()
    made.close()


def pictures(folder: Path, count: int) -> Path:
    folder.mkdir()
    for number in range(count):
        Image.fromarray(data.astronaut()[number * 20 : number * 20 + 60, 100:160]).save(folder / f"{number:02}.png")
    return folder


def drop(window: Window, path: Path) -> None:
    mime = QMimeData()
    mime.setUrls([QUrl.fromLocalFile(str(path))])
    buttons, keys = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    window.dropEvent(QDropEvent(QPointF(9, 9), Qt.DropAction.CopyAction, mime, buttons, keys))


def test_ten_dropped_one_bad_stopped_gone_on_and_compared(window: Window, qtbot: QtBot, tmp_path: Path) -> None:
    folder = pictures(tmp_path / "in", 10)
    (folder / "03.png").write_bytes(b"not a picture")
    drop(window, folder)
    assert window.model.rowCount() == 10
    window.start.trigger()
    qtbot.waitUntil(lambda: window.queue.count(State.DONE) >= 1, timeout=PATIENCE_MS)
    window.stop.trigger()
    assert not window.runner.running
    assert "Start goes on" in window.summary.text()
    window.start.trigger()
    qtbot.waitUntil(lambda: not window.runner.running, timeout=PATIENCE_MS)
    assert (window.queue.count(State.DONE), window.queue.count(State.FAILED)) == (9, 1)
    assert len(list((tmp_path / "out" / "in").iterdir())) == 9
    window.table.selectRow(3)
    assert "03.png" in window.comparison.details.toPlainText()
    assert "Try again" in window.comparison.details.toPlainText()
    window.table.selectRow(1)
    view = window.comparison.view
    qtbot.waitUntil(lambda: view.left.pyramid is not None and view.right.pyramid is not None, timeout=PATIENCE_MS)
    assert view.left.pyramid is not None
    assert view.right.pyramid is not None
    assert (view.right.pyramid.width, view.left.pyramid.width) == (120, 60)
    assert "Saved as" in window.comparison.details.toPlainText()


def test_a_slider_s_preview_comes_and_another_preset_beside_it(window: Window, qtbot: QtBot, tmp_path: Path) -> None:
    drop(window, pictures(tmp_path / "in", 1))
    view = window.comparison.view
    qtbot.waitUntil(lambda: view.right.patch is not None, timeout=PATIENCE_MS)
    first = view.right.patch
    window.settings.strength.slider.setValue(20)
    qtbot.waitUntil(lambda: view.right.patch is not first, timeout=PATIENCE_MS)
    window.comparison.against.setCurrentIndex(window.comparison.against.findData("document"))
    window.comparison.beside.setChecked(True)
    qtbot.waitUntil(lambda: view.left.patch is not None, timeout=PATIENCE_MS)
    assert view.left.patch is not None
    assert view.left.patch.pyramid.width == 120, "the preset document enlarges twice"


def test_a_dead_viewer_does_not_take_the_window_and_the_next_picture_is_shown(
    window: Window, qtbot: QtBot, tmp_path: Path
) -> None:
    drop(window, pictures(tmp_path / "in", 2))
    view, child = window.comparison.view, window.comparison.viewer._child
    qtbot.waitUntil(lambda: view.left.pyramid is not None, timeout=PATIENCE_MS)
    pid = child.pid
    assert pid is not None
    child._life.process.kill()  # type: ignore[union-attr]
    qtbot.waitUntil(lambda: child.pid is None, timeout=PATIENCE_MS)
    window.table.selectRow(1)
    qtbot.waitUntil(lambda: view.left.pyramid is not None, timeout=PATIENCE_MS)
    assert child.pid not in (None, pid)


def test_untouched_choices_are_the_preset_itself(qtbot: QtBot, store: QSettings) -> None:
    panel = SettingsPanel(store)
    qtbot.addWidget(panel)
    for index, name in enumerate(PRESETS):
        panel.preset.setCurrentIndex(index)
        assert parse_recipe(panel.recipe()).digest() == preset(name).digest(), name


def test_choices_are_remembered(qtbot: QtBot, store: QSettings) -> None:
    panel = SettingsPanel(store)
    qtbot.addWidget(panel)
    panel.preset.setCurrentIndex(panel.preset.findData("scan"))
    panel.strength.slider.setValue(16)
    panel.crisp.slider.setValue(5)
    panel.pattern.setText("{name}-new")
    panel.format.setCurrentIndex(panel.format.findData("WEBP"))
    panel.threads.setValue(2)
    panel.save()
    again = SettingsPanel(store)
    qtbot.addWidget(again)
    assert again.order() == panel.order()
    assert again.environment() == {"ENHANCER_THREADS": "2"}
    assert again.recipe()["sharpening"] == {"mode": "on", "amount": 0.5}


def test_settings_of_another_making_do_no_harm(qtbot: QtBot, store: QSettings) -> None:
    for key in ("preset", "scale", "quality", "format", "device", "threads"):
        store.setValue(key, "nonsense")
    panel = SettingsPanel(store)
    qtbot.addWidget(panel)
    assert parse_recipe(panel.recipe()) == preset("photo")


def test_a_level_paints_the_picture_s_own_pixels(qapp: QApplication, tmp_path: Path) -> None:
    pixels = data.astronaut()
    pyramid = Pyramid(write_levels(image_from_array(pixels), tmp_path, "a"))
    canvas = QImage(40, 30, QImage.Format.Format_RGB888)
    painter = QPainter(canvas)
    pyramid.paint(painter, QRectF(-100, -50, 512, 512), QRectF(0, 0, 40, 30))
    painter.end()
    seen = np.frombuffer(canvas.constBits(), np.uint8).reshape(30, canvas.bytesPerLine())[:, :120].reshape(30, 40, 3)
    assert np.array_equal(seen, pixels[50:80, 100:140])


def test_zoom_keeps_the_pixel_under_the_pointer(qtbot: QtBot, tmp_path: Path) -> None:
    view = CompareView()
    qtbot.addWidget(view)
    view.resize(400, 300)
    view.show_left(Pyramid(write_levels(image_from_array(data.astronaut()), tmp_path, "a")))
    at = QPointF(300, 200)

    def under() -> QPointF:
        x, y = view.middle()
        return QPointF(x, y) + (at - QPointF(200, 150)) / view.zoom

    before = under()
    view.zoom_to(view.zoom * 3, at)
    assert (under() - before).manhattanLength() < 1e-6


def test_keys_zoom_and_move_the_divider(qtbot: QtBot, tmp_path: Path) -> None:
    view = CompareView()
    qtbot.addWidget(view)
    view.resize(400, 300)
    view.show_left(Pyramid(write_levels(image_from_array(data.astronaut()), tmp_path, "a")))
    fitting = view.zoom
    qtbot.keyClick(view, Qt.Key.Key_Plus)
    assert view.zoom > fitting
    qtbot.keyClick(view, Qt.Key.Key_0)
    assert view.zoom == fitting
    qtbot.keyClick(view, Qt.Key.Key_Comma)
    qtbot.mousePress(view, Qt.MouseButton.LeftButton, pos=QPoint(180, 100))
    assert view._on_divider


def test_everything_that_takes_focus_has_an_accessible_name(window: Window) -> None:
    from PySide6.QtWidgets import QComboBox, QLineEdit, QSlider, QTableView

    nameless = [
        widget
        for kind in (QComboBox, QSlider, QTableView, QLineEdit)
        for widget in window.findChildren(kind)
        if not widget.accessibleName() and not widget.objectName().startswith("qt_")
    ]
    assert not nameless


def said_in_source() -> set[str]:
    found = set(PRESETS) | {meaning for meaning, _ in PRESETS.values()}
    for file in Path(enhancer.desktop.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            named = isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "tr"
            if named and isinstance(node.args[0], ast.Constant):
                found.add(node.args[0].value)
    return found


def test_every_word_has_its_chinese() -> None:
    tree = ET.parse(text.ASSETS / "desktop_zh.ts")
    known = {one.findtext("source"): one.findtext("translation") for one in tree.iter("message")}
    assert said_in_source() - set(known) == set()
    assert set(known) - said_in_source() == set(), "no longer said"
    assert all(known.values())


def test_the_compiled_translation_is_of_that_text(qapp: QApplication) -> None:
    translator = text.install(qapp, "zh")
    assert translator is not None
    try:
        tree = ET.parse(text.ASSETS / "desktop_zh.ts")
        assert all(text.tr(one.findtext("source") or "") == one.findtext("translation") for one in tree.iter("message"))
    finally:
        qapp.removeTranslator(translator)


def test_the_window_loads_no_net_and_no_decoder() -> None:
    heavy = "{'torch', 'cv2', 'openvino', 'skimage', 'scipy', 'PIL', 'sqlalchemy', 'boto3', 'onnxruntime'}"
    code = f"import sys, enhancer.desktop.app; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_entry_and_icon_go_where_desktops_look(tmp_path: Path) -> None:
    entry, icon = app.install_entry(tmp_path)
    assert "Exec=" in entry.read_text(encoding="utf-8")
    assert entry.parent == tmp_path / "applications"
    with Image.open(icon) as picture:
        assert picture.size == (256, 256)
