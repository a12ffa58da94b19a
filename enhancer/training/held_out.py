"""Pictures that nothing is trained on, because quality is measured on them: their SHA-256 stand in held_out.tsv."""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from typing import Final

import structlog

from enhancer.training.pictures import list_pictures

LISTED: Final = Path(__file__).with_name("held_out.tsv")

log = structlog.get_logger(__name__)


@cache
def held_out_hashes(of: str | None = None) -> dict[str, str]:
    """SHA-256 of the files that are held out, with their names.

    Args:
        of: one set: ``photos_free``, ``set5``, ``set14`` or ``cbsd68``; None: all.
    """
    rows = csv.DictReader(LISTED.read_text(encoding="utf-8").splitlines(), delimiter="\t")
    return {row["sha256"]: row["name"] for row in rows if of in (None, row["set"])}


def without_held_out(paths: Iterable[Path]) -> list[Path]:
    """Those of `paths` that may be trained on, whatever the files are called; how many may not is logged."""
    hashes = held_out_hashes()
    paths = list(paths)
    allowed = [path for path in paths if hashlib.sha256(path.read_bytes()).hexdigest() not in hashes]
    if len(allowed) < len(paths):
        log.info("held-out pictures are not trained on", left_out=len(paths) - len(allowed), of=len(paths))
    return allowed


def training_pictures(*folders: Path) -> list[Path]:
    """:func:`enhancer.training.pictures.list_pictures` without those that are held out.

    Raises:
        FileNotFoundError: a folder holds no picture, or all that they hold are held out.
    """
    allowed = without_held_out(list_pictures(*folders))
    if not allowed:
        names = ", ".join(str(folder) for folder in folders)
        raise FileNotFoundError(f"every picture in {names} is held out for measuring: train on other pictures")
    return allowed
