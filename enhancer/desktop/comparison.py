"""The middle of the window: which two versions of the picture are compared, zoom, and what was decided, in words."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from PySide6.QtCore import Qt, QTimer
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QHBoxLayout,
    QLabel,
    QPlainTextEdit,
    QSplitter,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from enhancer.desktop.compare_view import CompareView, Layout, Patch, Side
from enhancer.desktop.jobs import Job, State
from enhancer.desktop.pyramid import Pyramid
from enhancer.desktop.settings_panel import SettingsPanel
from enhancer.desktop.text import tr
from enhancer.desktop.viewer import Box, Viewer
from enhancer.desktop.words import decisions_in_words, record_in_words
from enhancer.presets import PRESETS

CROP: Final = 112
"""Pixels of the input on each side of the crop that is previewed."""

PAUSE_MS: Final = 40
"""A preview is asked for once nothing moved for so long."""


class Comparison(QWidget):
    """Left: the picture as it is, or a preset's preview. Right: the result, or a preview with the present choices.

    Args:
        settings: the choices.
        limits: of the child process.
    """

    def __init__(self, settings: SettingsPanel, **limits: Any) -> None:
        super().__init__()
        self._settings = settings
        self.viewer = Viewer(self, **limits)
        self.job: Job | None = None
        self.view = CompareView()
        self.view.hint = tr("Drop pictures or folders here.\nOr choose “Add pictures…” above.")
        self.details = QPlainTextEdit()
        self.details.setReadOnly(True)
        self.details.setAccessibleName(tr("What was measured and decided"))
        self.details.setPlaceholderText(tr("What was measured and decided stands here."))
        self.details.setTabChangesFocus(True)
        column = QVBoxLayout(self)
        column.setContentsMargins(4, 8, 4, 8)
        column.addLayout(self._make_bar())
        split = QSplitter(Qt.Orientation.Vertical)
        split.addWidget(self.view)
        split.addWidget(self.details)
        split.setSizes([560, 130])
        split.setStretchFactor(0, 1)
        split.setChildrenCollapsible(False)
        column.addWidget(split)
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(PAUSE_MS)
        self._timer.timeout.connect(self._ask_previews)
        self.viewer.shown.connect(self._show_picture)
        self.viewer.failed.connect(self._show_failure)
        self.viewer.previewed.connect(self._show_preview)
        self.view.moved.connect(self._view_moved)
        settings.recipe_changed.connect(self._recipe_changed)

    def _make_bar(self) -> QHBoxLayout:
        bar = QHBoxLayout()
        self.against = QComboBox()
        self.against.setAccessibleName(tr("On the left"))
        self.against.addItem(tr("the original"), "")
        for name in PRESETS:
            self.against.addItem(tr("preview: {preset}", preset=tr(name)), name)
        self.live = QCheckBox(tr("Preview"))
        self.live.setChecked(True)
        self.live.setToolTip(tr("Shows a crop in the middle as the present choices would make it"))
        self.beside = QCheckBox(tr("Side by side"))
        label = QLabel(tr("Compare with"))
        label.setBuddy(self.against)
        bar.addWidget(label)
        bar.addWidget(self.against)
        bar.addWidget(self.live)
        bar.addWidget(self.beside)
        bar.addStretch(1)
        self.level = QLabel()
        self.level.setMinimumWidth(48)
        self.level.setAlignment(Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter)
        bar.addWidget(self.level)
        buttons = (
            ("−", tr("Zoom out"), lambda: self.view.zoom_to(self.view.zoom / 1.25)),
            ("+", tr("Zoom in"), lambda: self.view.zoom_to(self.view.zoom * 1.25)),
            (tr("Fit"), tr("Show the whole picture"), self.view.fit),
            ("1:1", tr("One pixel of the picture to one of the screen"), lambda: self.view.zoom_to(1.0)),
        )
        for text, name, do in buttons:
            button = QToolButton()
            button.setText(text)
            button.setToolTip(name)
            button.setAccessibleName(name)
            button.clicked.connect(lambda _=False, act=do: act())
            bar.addWidget(button)
        self.against.currentIndexChanged.connect(lambda: self.show_job(self.job))
        self.live.toggled.connect(lambda: self.show_job(self.job))
        self.beside.toggled.connect(self._lay_out)
        return bar

    def _lay_out(self, beside: bool) -> None:
        self.view.set_layout(Layout.SIDE_BY_SIDE if beside else Layout.DIVIDER)

    # What is shown

    def show_job(self, job: Job | None) -> None:
        """Show a picture of the queue; None: nothing."""
        other = job is None or self.job is None or job.path != self.job.path
        self.job = job
        self.viewer.forget_previews()
        if job is None:
            self.view.show_left(None)
            self.view.show_right(None)
            self.details.clear()
            return
        if other:
            self.view.show_left(None)
            self.view.hint = tr("Opening {name}…", name=job.path.name)
        self.view.show_right(None, self._right_caption())
        self.details.setPlainText("" if job.record is None else record_in_words(job.record))
        self.viewer.show_picture(job.path)
        if self._result() is not None:
            self.viewer.show_picture(self._result() or job.path)

    def _result(self) -> Path | None:
        """The finished result, unless a preview is wanted in its place."""
        record = None if self.job is None or self.job.state is not State.DONE else self.job.record
        return None if record is None or record.output is None else Path(record.output)

    def _show_picture(self, path: str, pyramid: Pyramid) -> None:
        if self.job is None:
            return
        if path == str(self.job.path):
            self.view.show_left(pyramid, self._left_caption())
            self._timer.start()
        elif Path(path) == self._result():
            self.view.show_right(pyramid, tr("result"))

    def _show_failure(self, path: str, message: str) -> None:
        if path and self.job is not None and path == str(self.job.path):
            self.view.show_left(None)
            self.view.hint = tr("This picture cannot be shown: {reason}", reason=message)
            self.view.update()
        elif not path and self.job is not None and self.job.state is State.WAITING:
            self.details.setPlainText(tr("No preview: {reason}", reason=message))

    def _left_caption(self) -> str:
        return str(self.against.currentText()) if self.against.currentData() else tr("original")

    def _right_caption(self) -> str:
        if self._result() is not None:
            return tr("result")
        return tr("preview of your choices") if self.live.isChecked() else tr("original")

    # Previews

    def _view_moved(self) -> None:
        self.level.setText(f"{self.view.zoom * 100:.0f} %" if self.view.pixel_size()[0] else "")
        self._timer.start()

    def _recipe_changed(self) -> None:
        """A changed choice is compared at once, with a finished result too, which stays what it is."""
        self._timer.start()

    def crop(self) -> Box | None:
        """The crop to preview: in the middle of what is seen; None where there is no picture."""
        width, height = self.view.pixel_size()
        if not width:
            return None
        w, h = min(CROP, width), min(CROP, height)
        x, y = self.view.middle()
        return (min(max(round(x - w / 2), 0), width - w), min(max(round(y - h / 2), 0), height - h), w, h)

    def _ask_previews(self) -> None:
        box = self.crop()
        if self.job is None or box is None:
            return
        if self.live.isChecked() and self._result() is None:
            self.viewer.preview("right", self.job.path, box, self._settings.order())
        if self.against.currentData():
            self.viewer.preview("left", self.job.path, box, self._settings.order(self.against.currentData()))

    def _show_preview(self, side: str, box: Box, pyramid: Pyramid, decisions: list[dict[str, Any]]) -> None:
        if self.job is None or self.view.left.pyramid is None:
            return
        wanted: Side = self.view.left if side == "left" else self.view.right
        shown = bool(self.against.currentData()) if side == "left" else self.live.isChecked() and self._result() is None
        self.view.set_patch(wanted, Patch(box, pyramid) if shown else None)
        if side == "right" and shown and self.job.state is State.WAITING:
            head = tr("Preview, measured on the crop in the middle:")
            self.details.setPlainText(f"{head}\n{decisions_in_words(decisions)}")

    def close_viewer(self) -> None:
        """End the child process."""
        self._timer.stop()
        self.view.show_left(None)
        self.view.show_right(None)
        self.viewer.close()
