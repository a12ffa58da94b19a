"""The viewer of pictures before and after, for browsers: the page in the Airflow UI serves its files, the report holds
them. ``static/viewer.js`` says how it is used.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).with_name("static")
STYLE: Final = "viewer.css"
SCRIPTS: Final = ("vendor/openseadragon/openseadragon.min.js", "viewer-parts.js", "viewer.js")
"""In the order in which they are loaded."""


def style() -> str:
    """The style sheet, for a page that stands alone."""
    return (FOLDER / STYLE).read_text(encoding="utf-8")


def scripts() -> list[str]:
    """The scripts in their order, for a page that stands alone; none of them contains ``</script``.

    OpenSeadragon's comes without its last line, which names a file that would not be beside the page.
    """
    found = [(FOLDER / name).read_text(encoding="utf-8") for name in SCRIPTS]
    return [text.split("//# sourceMappingURL=")[0] for text in found]
