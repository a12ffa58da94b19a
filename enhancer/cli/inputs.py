"""Which files are meant: files, folders and globs as given, each with the place of its result."""

from __future__ import annotations

import glob
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from enhancer.cli.output import readable
from enhancer.contract import ErrorRecord, ItemRecord
from enhancer.errors import RequestError


@dataclass(frozen=True, slots=True)
class Input:
    """A file, and the path of its result below the output folder (before its format is known)."""

    path: Path
    key: str


def collect(given: Sequence[str], output: Path | None = None) -> tuple[list[Input], list[ItemRecord]]:
    """The files that `given` means, in its order, each once.

    A folder gives all its files, but hidden ones, under their paths relative to it; a file its name. An `output` folder
    inside a folder is passed over.

    Returns:
        What was found, and a record of each input that was not (``missing``).

    Raises:
        RequestError: the output folder is one of the folders.
    """
    found: dict[tuple[Path, str], Input] = {}
    missing: list[ItemRecord] = []
    for name in given:
        paths = _expand(name)
        if not paths:
            missing.append(_refusal(name, "missing", f"{name} does not exist or matches nothing"))
        for path in paths:
            for one in _inputs_of(path, output):
                found.setdefault((one.path.resolve(), one.key), one)
    return list(found.values()), missing


def refuse_rivals(inputs: Sequence[Input]) -> tuple[list[Input], list[ItemRecord]]:
    """Those inputs whose output is theirs alone, and a record of each of the others (``same-output``)."""
    by_key: dict[str, list[Input]] = {}
    for one in inputs:
        by_key.setdefault(one.key, []).append(one)
    refused = []
    for key, rivals in by_key.items():
        if len(rivals) > 1:
            message = (
                f"{', '.join(str(one.path) for one in rivals)} would all become {key}: give the folder that holds "
                "them, which keeps their relative paths, or another output folder for each"
            )
            refused += [_refusal(str(one.path), "same-output", message) for one in rivals]
    return [rivals[0] for rivals in by_key.values() if len(rivals) == 1], refused


def files_below(folder: Path, skip: Path | None = None) -> Iterator[Path]:
    """The files of a folder and its sub-folders by path, without hidden ones and without those below `skip`."""
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.is_file() and not hidden and not (skip is not None and path.resolve().is_relative_to(skip)):
            yield path


def _expand(name: str) -> list[Path]:
    path = Path(name).expanduser()
    if path.exists():
        return [path]  # brackets and stars in the name of a real file are part of the name
    return [Path(match) for match in sorted(glob.glob(str(path), recursive=True))]  # noqa: PTH207 - it may be absolute


def _inputs_of(path: Path, output: Path | None) -> Iterator[Input]:
    if not path.is_dir():
        yield Input(path, path.name)
        return
    skip = None if output is None else output.resolve()
    if skip == path.resolve():
        raise RequestError(
            f"the output folder must not be the input folder ({path}): inputs are never overwritten",
            reason="bad-folder",
        )
    inside = skip is not None and skip.is_relative_to(path.resolve())
    for file in files_below(path, skip if inside else None):
        yield Input(file, file.relative_to(path).as_posix())


def _refusal(name: str, reason: str, message: str) -> ItemRecord:
    error = ErrorRecord(error_class=reason, message=readable(message), stage="list")
    return ItemRecord(input=readable(name), state="quarantined", error=error)
