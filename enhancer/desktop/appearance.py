"""Light and dark: the system's, or the user's own choice on systems that have none."""

from __future__ import annotations

from typing import Final

from PySide6.QtCore import Qt
from PySide6.QtGui import QColor, QPalette
from PySide6.QtWidgets import QApplication

APPEARANCES: Final = {"": Qt.ColorScheme.Unknown, "light": Qt.ColorScheme.Light, "dark": Qt.ColorScheme.Dark}


def appear(application: QApplication, chosen: str) -> None:
    """Take an appearance: ``light``, ``dark``, or empty for the system's."""
    scheme = APPEARANCES.get(chosen, Qt.ColorScheme.Unknown)
    hints = application.styleHints()
    hints.setColorScheme(scheme)
    # Some platforms know no schemes (a bare X server, offscreen): there the palette is ours.
    if scheme is Qt.ColorScheme.Dark and hints.colorScheme() is not scheme:
        application.setPalette(_dark())
    else:
        application.setPalette(application.style().standardPalette())


def _dark() -> QPalette:
    role, group = QPalette.ColorRole, QPalette.ColorGroup
    palette = QPalette(QColor(53, 53, 53), QColor(44, 44, 44))
    for one, grey in ((role.Base, 34), (role.AlternateBase, 40), (role.ToolTipBase, 60)):
        palette.setColor(one, QColor(grey, grey, grey))
    for one in (role.WindowText, role.Text, role.ButtonText, role.ToolTipText, role.BrightText):
        palette.setColor(one, QColor(230, 230, 230))
        palette.setColor(group.Disabled, one, QColor(125, 125, 125))
    palette.setColor(role.PlaceholderText, QColor(160, 160, 160))
    palette.setColor(role.Highlight, QColor(48, 120, 180))
    palette.setColor(role.HighlightedText, QColor(255, 255, 255))
    return palette
