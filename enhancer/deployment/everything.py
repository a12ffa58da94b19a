"""Build many nets in one go: what the command ``enhancer models build`` and the DAG ``model_build`` do."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from enhancer.deployment.build import build
from enhancer.deployment.samples import CHECKED
from enhancer.errors import EnhancerError
from enhancer.models import builds
from enhancer.models.builds import BuildPrecision, Runtime
from enhancer.models.catalogue import ModelEntry, load_catalogue
from enhancer.settings import Settings


def worth_building(runtime: Runtime, precision: BuildPrecision, settings: Settings) -> list[ModelEntry]:
    """The catalogue's nets that can be built so, gain by it, and were not yet.

    Attention runs no faster in int8, and a net for one look at a thumbnail is no cost anyway.
    """
    found = []
    for entry in load_catalogue().entries:
        if entry.purpose not in CHECKED or (precision == "int8" and not entry.gains_by_int8):
            continue
        if builds.find(entry, runtime, precision, settings) is None:
            found.append(entry)
    return found


def build_each(
    entries: Iterable[ModelEntry],
    runtime: Runtime,
    precision: BuildPrecision,
    settings: Settings,
    *,
    pictures: Path | None = None,
    folder: Path | None = None,
    on_start: Callable[[str], None] = lambda _name: None,
) -> list[dict[str, Any]]:
    """Build one after the other; what is refused or fails is a row like the others, and the next one's turn.

    Args:
        entries: the nets.
        runtime: what they are for.
        precision: of all of them.
        settings: model cache and threads.
        pictures: as for :func:`enhancer.deployment.build.build`.
        folder: as there.
        on_start: called with each net's name before its build.

    Returns:
        One JSON-able row a net: ``name``, ``state`` (``built`` or ``failed``), then ``path`` and the measured figures,
        or the ``error``.
    """
    rows: list[dict[str, Any]] = []
    for entry in entries:
        on_start(entry.name)
        row: dict[str, Any] = {"name": entry.name}
        try:
            kept = build(entry, runtime, precision, settings, pictures=pictures, folder=folder)
        except EnhancerError as error:
            row |= {"state": "failed", "error": {"class": error.reason, "message": error.message}}
        else:
            made = kept.build
            row |= {"state": "built", "path": str(kept.path), "runtime": made.runtime, "precision": made.precision}
            row |= {"max_difference": made.max_difference, "psnr_float": made.psnr_float, "psnr": made.psnr}
        rows.append(row)
    return rows
