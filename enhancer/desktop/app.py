"""The application around the window: language, appearance, icon; and its entry in the desktop's menu."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from PySide6.QtCore import QSettings
from PySide6.QtGui import QIcon
from PySide6.QtWidgets import QApplication

from enhancer.desktop.appearance import appear
from enhancer.desktop.text import ASSETS, install
from enhancer.desktop.window import Window

NAME: Final = "image-enhancer"


def run(paths: Sequence[Path] = ()) -> int:
    """Open the window, with pictures in its queue; returns the exit status once it is closed."""
    application = QApplication.instance() or QApplication([NAME])
    assert isinstance(application, QApplication)
    application.setApplicationName(NAME)
    application.setOrganizationName(NAME)
    application.setDesktopFileName(NAME)
    store = QSettings(QSettings.Format.IniFormat, QSettings.Scope.UserScope, NAME, NAME)
    prepare(application, store)
    window = Window(store)
    window.show()
    window.add([*paths])
    return application.exec()


def prepare(application: QApplication, store: QSettings) -> None:
    """Style, appearance, icon and language as they were chosen."""
    application.setStyle("Fusion")
    application.setWindowIcon(QIcon(str(ASSETS / f"{NAME}.png")))
    appear(application, str(store.value("appearance", "")))
    install(application, str(store.value("language", "")))


def install_entry(home: Path | None = None) -> list[Path]:
    """Put the application into the desktop's menu, for this user (freedesktop.org's places).

    Args:
        home: the user's data folder; None: ``$XDG_DATA_HOME`` or ``~/.local/share``.

    Returns:
        The files written.
    """
    data = home or Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local/share")
    entry = data / "applications" / f"{NAME}.desktop"
    icon = data / "icons/hicolor/256x256/apps" / f"{NAME}.png"
    for place in (entry, icon):
        place.parent.mkdir(parents=True, exist_ok=True)
    text = (ASSETS / f"{NAME}.desktop").read_text(encoding="utf-8")
    command = Path(sys.executable).with_name("enhancer")
    entry.write_text(
        text.replace("Exec=enhancer", f'Exec="{command}"' if command.exists() else "Exec=enhancer"), "utf-8"
    )
    shutil.copyfile(ASSETS / f"{NAME}.png", icon)
    return [entry, icon]
