"""Reading catalogue files: the package's, and a user's beside it. Errors name the file, the entry and the key."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from pydantic import ValidationError

from enhancer.errors import ModelError
from enhancer.models.entry import FileSource, ModelEntry
from enhancer.reasons import Reason


def stamp_of(path: Path) -> tuple[int, int]:
    """Modification time in ns and size of a user's file.

    Raises:
        ModelError: it cannot be read (reason ``bad-catalogue``).
    """
    try:
        status = path.stat()
    except OSError as error:
        refuse(path, f"cannot be read: {error.strerror}; correct or unset ENHANCER_CATALOGUE", error)
    return status.st_mtime_ns, status.st_size


def read_entries(path: Path) -> tuple[ModelEntry, ...]:
    """The entries of a catalogue file, in its order.

    Raises:
        ModelError: it cannot be read, is not TOML, or has an entry that is not valid (reason ``bad-catalogue``).
    """
    try:
        document = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        refuse(path, f"cannot be read: {error.strerror}", error)
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        refuse(path, f"is not TOML: {error}", error)
    tables = document.pop("model", [])
    if document or not isinstance(tables, list):
        refuse(path, f"holds {', '.join(sorted(document)) or 'model'} where only [[model]] entries may stand")
    return tuple(_entry(path, place, table) for place, table in enumerate(tables, 1))


def users_entries(path: Path, package: Sequence[ModelEntry]) -> tuple[ModelEntry, ...]:
    """The entries of a user's file, as they count beside the package's.

    Args:
        path: the file; its folder is where relative paths in it begin.
        package: the package's own entries.

    Raises:
        ModelError: as :func:`read_entries`; or an entry shadows one of the package's without saying so, says so and
            shadows none, or asks for what only the package has (reason ``bad-catalogue``).
    """
    ours = {entry.name: entry for entry in package}
    return tuple(_checked_against(path, _resolved(path, entry), ours) for entry in read_entries(path))


def _checked_against(path: Path, entry: ModelEntry, ours: dict[str, ModelEntry]) -> ModelEntry:
    """A user's entry as it counts beside the package's."""
    what = f"entry {entry.name!r}, key"
    if entry.bundled:
        refuse(path, f"{what} sources: only this package's own nets are bundled; say kind = 'file' and a path")
    if entry.purpose == "metric":
        refuse(path, f"{what} purpose: scores are measured by this package's own nets, so that they can be compared")
    same = ours.get(entry.name)
    rival = next((one for one in ours.values() if one.default and one.default_of == entry.default_of), None)
    if entry.shadows and same is None and not (entry.default and rival):
        refuse(path, f"{what} shadows: this package has no entry of that name, and no default, to take the place of")
    if not entry.shadows and same is not None:
        refuse(path, f"{what} name: this package has an entry of that name; rename yours, or say shadows = true")
    if not entry.shadows and entry.default and rival is not None:
        refuse(
            path,
            f"{what} default: this package's default for {entry.purpose} is {rival.name!r}; leave default out and name "
            "the net in the recipe, or say shadows = true",
        )
    if same is None:
        return entry
    if same.default_of != entry.default_of:
        purpose, scale = same.default_of
        wanted = f"{purpose} at scale {scale}" if scale else purpose
        refuse(path, f"{what} purpose: what takes the place of {entry.name!r} must be for {wanted}")
    return entry.model_copy(update={"default": entry.default or same.default})


def _entry(path: Path, place: int, table: Any) -> ModelEntry:
    name = table.get("name") if isinstance(table, dict) else None
    try:
        return ModelEntry.model_validate(table)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "sources"
        message = first["msg"].removeprefix("Value error, ")
        refuse(path, f"entry {repr(name) if name else place}, key {key}: {message}", error)


def _resolved(path: Path, entry: ModelEntry) -> ModelEntry:
    """The entry with paths that begin at the catalogue file's folder."""

    def absolute(source: Any) -> Any:
        if not isinstance(source, FileSource):
            return source
        folder = path.expanduser().absolute().parent
        layout = None if source.layout is None else folder / source.layout.expanduser()
        return FileSource(path=folder / source.path.expanduser(), layout=layout)

    return entry.model_copy(update={"sources": tuple(absolute(source) for source in entry.sources)})


def refuse(path: Path, why: str, cause: Exception | None = None) -> NoReturn:
    """Raise the error that a file deserves.

    Raises:
        ModelError: always, reason ``bad-catalogue``.
    """
    raise ModelError(f"{path}: {why}", reason=Reason.BAD_CATALOGUE) from cause
