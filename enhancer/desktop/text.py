"""The window's words: English in the source, other languages in ``assets/desktop_*.qm``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from PySide6.QtCore import QCoreApplication, QLocale, QTranslator

CONTEXT: Final = "desktop"
ASSETS: Final = Path(__file__).parent / "assets"
LANGUAGES: Final = {"en": "English", "zh": "中文"}


def tr(text: str, **values: Any) -> str:
    """`text` in the window's language, with ``{name}`` replaced by the values."""
    said = QCoreApplication.translate(CONTEXT, text)
    return said.format(**values) if values else said


def install(application: QCoreApplication, language: str) -> QTranslator | None:
    """Have the application speak a language.

    Args:
        application: the one.
        language: of :data:`LANGUAGES`; empty: the system's, English where it is none of them.
    """
    code = language or QLocale.system().name().partition("_")[0]
    if code == "en" or code not in LANGUAGES:
        return None
    translator = QTranslator(application)
    if not translator.load(str(ASSETS / f"desktop_{code}.qm")):
        return None
    application.installTranslator(translator)
    return translator
