"""The table of docs/formats.md, from the FormatSpecs: ``python -m enhancer.codecs.formats.table``."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from enhancer.codecs.formats.registry import listed_formats
from enhancer.codecs.formats.spec import FormatSpec, Kept

COLUMNS: Final = ("format", "read", "written", "alpha", "pages", "kept beside the pixels", "without loss")
_DEPTHS: Final = {"uint8": "8 bits", "uint16": "16 bits", "float32": "floats"}
_KEPT: Final[dict[Kept, str]] = {
    "icc": "ICC profile",
    "exif": "EXIF",
    "xmp": "XMP",
    "iptc": "IPTC",
    "dpi": "resolution",
    "texts": "texts and time",
    "comments": "comments",
    "tags": "page names, GeoTIFF and GDAL tags",
    "data set": "patient, study, window and geometry",
}


def rows(specs: Iterable[FormatSpec]) -> list[tuple[str, ...]]:
    """One row of :data:`COLUMNS` per format."""
    return [_row(spec) for spec in specs]


def _row(spec: FormatSpec) -> tuple[str, ...]:
    if spec.write is None:
        return (spec.title, spec.reads, "no", "", "", "", "")
    depths = ", ".join(text for depth, text in _DEPTHS.items() if depth in spec.depths)
    kept = ", ".join(text for kind, text in _KEPT.items() if kind in spec.keeps)
    pages = "many" if spec.pages else "one"
    return (spec.title, spec.reads, depths, "yes" if spec.alpha else "no", pages, kept, spec.lossless)


def markdown(specs: Iterable[FormatSpec]) -> str:
    """The rows as a Markdown table."""
    lines = [COLUMNS, ("---",) * len(COLUMNS), *rows(specs)]
    return "".join(f"| {' | '.join(line)} |\n".replace("|  |", "| |") for line in lines)


if __name__ == "__main__":
    print(markdown(listed_formats()), end="")  # noqa: T201
