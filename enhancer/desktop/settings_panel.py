"""What a user may choose: a preset, three sliders, the folder of results; and the rest, folded."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from PySide6.QtCore import QSettings, QStandardPaths, Qt, Signal
from PySide6.QtWidgets import (
    QCheckBox,
    QComboBox,
    QFileDialog,
    QFormLayout,
    QHBoxLayout,
    QLabel,
    QLineEdit,
    QPushButton,
    QSlider,
    QSpinBox,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from enhancer.desktop.order import DEFAULT_PATTERN, Order
from enhancer.desktop.text import tr
from enhancer.options import FORMATS
from enhancer.presets import DEFAULT_PRESET, PRESETS
from enhancer.recipe import Recipe, preset

SCALES: Final = (1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 8.0)
"""Stops of the slider."""

CRISP_STEPS: Final = 20
"""Stops of the crispness slider; the last is an amount of 2."""


def default_output() -> str:
    """A folder of results among the user's pictures."""
    pictures = QStandardPaths.writableLocation(QStandardPaths.StandardLocation.PicturesLocation)
    return str(Path(pictures or Path.home()) / "Enhanced")


class PathRow(QWidget):
    """A path that may be typed or chosen."""

    changed = Signal()

    def __init__(self, name: str, choose: Callable[[QWidget], str], hint: str = "") -> None:
        super().__init__()
        self.edit = QLineEdit()
        self.edit.setPlaceholderText(hint)
        self.edit.setAccessibleName(name)
        button = QPushButton("…")
        button.setAccessibleName(tr("Choose: {name}", name=name))
        button.setToolTip(button.accessibleName())
        button.setFixedWidth(36)
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.edit)
        row.addWidget(button)
        self.edit.editingFinished.connect(self.changed)
        button.clicked.connect(lambda: self._chosen(choose(self)))

    def _chosen(self, path: str) -> None:
        if path:
            self.edit.setText(path)
            self.changed.emit()


def choose_folder(parent: QWidget) -> str:
    """A folder, from the system's dialog; empty: none."""
    return QFileDialog.getExistingDirectory(parent, tr("Choose a folder"))


def choose_weights(parent: QWidget) -> str:
    """A net's file, from the system's dialog; empty: none."""
    return QFileDialog.getOpenFileName(parent, tr("Choose a net"), "", tr("Nets") + " (*.safetensors *.pth)")[0]


class LabelledSlider(QWidget):
    """A slider with its name on the left and its value on the right."""

    moved = Signal()

    def __init__(self, name: str, stops: int, words: Callable[[int], str], tip: str) -> None:
        super().__init__()
        self._words = words
        self.slider = QSlider(Qt.Orientation.Horizontal)
        self.slider.setRange(0, stops)
        self.slider.setPageStep(max(1, stops // 5))
        self.slider.setAccessibleName(name)
        self.slider.setAccessibleDescription(tip)
        self.value = QLabel()
        self.value.setAlignment(Qt.AlignmentFlag.AlignRight)
        title = QLabel(name)
        title.setBuddy(self.slider)
        head = QHBoxLayout()
        head.addWidget(title)
        head.addWidget(self.value)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 2, 0, 2)
        whole.setSpacing(2)
        whole.addLayout(head)
        whole.addWidget(self.slider)
        self.setToolTip(tip)
        self.slider.valueChanged.connect(self._say)
        self._say()

    def _say(self) -> None:
        self.value.setText(self._words(self.slider.value()))
        self.moved.emit()


class SettingsPanel(QWidget):
    """The choices, remembered between sessions."""

    recipe_changed = Signal()
    """What changes pixels."""
    machine_changed = Signal()
    """Device or threads."""

    def __init__(self, store: QSettings, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._store = store
        self.preset = QComboBox()
        self.preset.setAccessibleName(tr("Preset"))
        for name in PRESETS:
            self.preset.addItem(tr(name), name)
        self.meaning = QLabel()
        self.meaning.setWordWrap(True)
        self.meaning.setMinimumHeight(54)
        self.meaning.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.meaning.setForegroundRole(self.palette().ColorRole.PlaceholderText)
        self.scale = LabelledSlider(
            tr("Enlarge"),
            len(SCALES) - 1,
            lambda stop: tr("size kept") if stop == 0 else f"{SCALES[stop]:g} ×",
            tr("How many times longer each side becomes"),
        )
        self.strength = LabelledSlider(
            tr("Denoising"),
            20,
            lambda stop: tr("off") if stop == 0 else (tr("as measured") if stop == 10 else f"{stop * 5} %"),
            tr("Half is as much as was measured in the picture"),
        )
        self.crisp = LabelledSlider(
            tr("Crispness"),
            CRISP_STEPS,
            lambda stop: tr("off") if stop == 0 else f"{stop * 10} %",
            tr("Sharpens edges; too much draws halos around them"),
        )
        self.output = PathRow(tr("Results folder"), choose_folder)
        layout = QVBoxLayout(self)
        layout.setSpacing(8)
        for widget in (self._title(tr("Preset")), self.preset, self.meaning, self.scale, self.strength, self.crisp):
            layout.addWidget(widget)
        layout.addSpacing(8)
        layout.addWidget(self._title(tr("Results folder")))
        layout.addWidget(self.output)
        layout.addSpacing(8)
        self._fold = QToolButton()
        self._fold.setText(tr("More choices"))
        self._fold.setCheckable(True)
        self._fold.setAutoRaise(True)
        self._fold.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self._advanced = self._make_advanced()
        layout.addWidget(self._fold)
        layout.addWidget(self._advanced)
        layout.addStretch(1)
        self._restore()
        self._fold.toggled.connect(self._unfold)
        self._unfold(self._fold.isChecked())
        self._connect()

    @staticmethod
    def _title(text: str) -> QLabel:
        label = QLabel(text)
        font = label.font()
        font.setBold(True)
        label.setFont(font)
        return label

    def _make_advanced(self) -> QWidget:
        self.format = QComboBox()
        self.format.addItem(tr("as the picture has it"), "")
        for name in FORMATS:
            if name != "DICOM":
                self.format.addItem(name, name)
        self.quality = QSpinBox()
        self.quality.setRange(1, 100)
        self.pattern = QLineEdit()
        self.private = QCheckBox(tr("remove position and owner"))
        self.truth = PathRow(tr("Truth folder"), choose_folder, tr("none"))
        self.net = PathRow(tr("Own net"), choose_weights, tr("none"))
        self.denoiser = PathRow(tr("Own denoiser"), choose_weights, tr("none"))
        self.device = QComboBox()
        for name, words in (("auto", tr("whatever is there")), ("cpu", "CPU"), ("cuda", "CUDA")):
            self.device.addItem(words, name)
        self.threads = QSpinBox()
        self.threads.setRange(0, 256)
        self.threads.setSpecialValueText(tr("all"))
        self.pattern.setToolTip(tr("May hold {name}, {recipe} and {scale}"))
        self.truth.setToolTip(tr("Results are scored against the pictures of the same name in this folder"))
        box = QWidget()
        form = QFormLayout(box)
        form.setContentsMargins(0, 0, 0, 0)
        form.setRowWrapPolicy(QFormLayout.RowWrapPolicy.WrapLongRows)
        rows: tuple[tuple[str, QWidget], ...] = (
            (tr("Format"), self.format),
            (tr("Quality"), self.quality),
            (tr("Name"), self.pattern),
            (tr("Privacy"), self.private),
            (tr("Truth folder"), self.truth),
            (tr("Own net"), self.net),
            (tr("Own denoiser"), self.denoiser),
            (tr("Device"), self.device),
            (tr("Threads"), self.threads),
        )
        for name, widget in rows:
            form.addRow(name, widget)
            if not isinstance(widget, PathRow):
                widget.setAccessibleName(name)
        return box

    def _connect(self) -> None:
        self.preset.currentIndexChanged.connect(self._take_preset)
        for slider in (self.scale, self.strength, self.crisp):
            slider.moved.connect(self._recipe_changed)
        for row in (self.net, self.denoiser):
            row.changed.connect(self._recipe_changed)
        for row in (self.output, self.truth):
            row.changed.connect(self.save)
        self.pattern.editingFinished.connect(self.save)
        self.format.currentIndexChanged.connect(self.save)
        self.quality.valueChanged.connect(self.save)
        self.private.toggled.connect(self.save)
        self.device.currentIndexChanged.connect(self._machine_changed)
        self.threads.valueChanged.connect(self._machine_changed)

    def _unfold(self, open_: bool) -> None:
        self._fold.setArrowType(Qt.ArrowType.DownArrow if open_ else Qt.ArrowType.RightArrow)
        self._advanced.setVisible(open_)

    def _take_preset(self) -> None:
        """The sliders go where the preset has them."""
        name = self.preset.currentData()
        self.meaning.setText(tr(PRESETS[name][0]))
        self._place_sliders(preset(name))
        self._recipe_changed()

    def _place_sliders(self, recipe: Recipe) -> None:
        stops = (
            (self.scale, _nearest_scale(recipe.scale)),
            (self.strength, round(recipe.denoise_strength * 20)),
            (self.crisp, 0 if recipe.sharpening.mode == "off" else round(recipe.sharpening.amount * 10)),
        )
        for slider, stop in stops:
            slider.slider.blockSignals(True)
            slider.slider.setValue(stop)
            slider.slider.blockSignals(False)
            slider.value.setText(slider._words(slider.slider.value()))

    def _recipe_changed(self) -> None:
        self.save()
        self.recipe_changed.emit()

    def _machine_changed(self) -> None:
        self.save()
        self.machine_changed.emit()

    def recipe(self, name: str | None = None) -> dict[str, Any]:
        """A recipe's fields: the preset's name and what the sliders say otherwise.

        Args:
            name: of another preset, as it is.
        """
        if name is not None:
            return {"name": name}
        name = self.preset.currentData()
        base = preset(name)
        made: dict[str, Any] = {"name": name}
        if self.scale.slider.value() != _nearest_scale(base.scale):
            made["scale"] = SCALES[self.scale.slider.value()]
        if self.strength.slider.value() != round(base.denoise_strength * 20):
            made["denoise_strength"] = self.strength.slider.value() / 20
        crisp = self.crisp.slider.value()
        if crisp != (0 if base.sharpening.mode == "off" else round(base.sharpening.amount * 10)):
            made["sharpening"] = {"mode": "on", "amount": crisp / 10} if crisp else {"mode": "off"}
        output: dict[str, Any] = {}
        if self.format.currentData():
            output |= {"format": self.format.currentData(), "convert": True}
        if self.quality.value() != base.output.quality:
            output["quality"] = self.quality.value()
        if self.private.isChecked():
            output["strip_private"] = True
        return {**made, "output": output} if output else made

    def order(self, name: str | None = None) -> Order:
        """What to do, as the worker takes it; of another preset where a `name` is given."""
        return Order(
            recipe=self.recipe(name),
            output=self.output.edit.text().strip() or default_output(),
            pattern=self.pattern.text().strip() or DEFAULT_PATTERN,
            truth=self.truth.edit.text().strip(),
            sr_path=self.net.edit.text().strip(),
            dn_path=self.denoiser.edit.text().strip(),
        )

    def environment(self) -> dict[str, str]:
        """Device and threads for a child process; what is left to itself stays out."""
        made = {}
        if self.device.currentData() != "auto":
            made["ENHANCER_DEVICE"] = self.device.currentData()
        if self.threads.value():
            made["ENHANCER_THREADS"] = str(self.threads.value())
        return made

    def _restore(self) -> None:
        name = str(self._store.value("preset", DEFAULT_PRESET))
        name = name if name in PRESETS else DEFAULT_PRESET
        self.preset.setCurrentIndex(self.preset.findData(name))
        self.meaning.setText(tr(PRESETS[name][0]))
        self._place_sliders(preset(name))
        for key, slider in (("scale", self.scale), ("strength", self.strength), ("crisp", self.crisp)):
            slider.slider.setValue(_number(self._store.value(key), slider.slider.value()))
        self.quality.setValue(_number(self._store.value("quality"), 92))
        self.threads.setValue(_number(self._store.value("threads"), 0))
        self.private.setChecked(bool(_number(self._store.value("private"), 0)))
        self._fold.setChecked(bool(_number(self._store.value("unfolded"), 0)))
        for key, box in (("format", self.format), ("device", self.device)):
            box.setCurrentIndex(max(0, box.findData(self._store.value(key, ""))))
        for key, edit, otherwise in self._texts():
            edit.setText(str(self._store.value(key, otherwise)))

    def _texts(self) -> tuple[tuple[str, QLineEdit, str], ...]:
        return (
            ("output", self.output.edit, default_output()),
            ("pattern", self.pattern, DEFAULT_PATTERN),
            ("truth", self.truth.edit, ""),
            ("net", self.net.edit, ""),
            ("denoiser", self.denoiser.edit, ""),
        )

    def save(self) -> None:
        """Remember everything."""
        for key, slider in (("scale", self.scale), ("strength", self.strength), ("crisp", self.crisp)):
            self._store.setValue(key, slider.slider.value())
        self._store.setValue("preset", self.preset.currentData())
        self._store.setValue("quality", self.quality.value())
        self._store.setValue("threads", self.threads.value())
        self._store.setValue("private", int(self.private.isChecked()))
        self._store.setValue("unfolded", int(self._fold.isChecked()))
        self._store.setValue("format", self.format.currentData())
        self._store.setValue("device", self.device.currentData())
        for key, edit, _ in self._texts():
            self._store.setValue(key, edit.text())


def _nearest_scale(scale: float) -> int:
    return min(range(len(SCALES)), key=lambda stop: abs(SCALES[stop] - scale))


def _number(value: Any, otherwise: int) -> int:
    """A remembered number; whatever else a settings file holds is passed over."""
    try:
        return int(value)
    except (TypeError, ValueError):
        return otherwise
