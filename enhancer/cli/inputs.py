"""Which pictures are meant: files, folders, globs and S3 addresses as given, each with the place of its result."""

from __future__ import annotations

import glob
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import TYPE_CHECKING, Final

from enhancer.contract import ErrorRecord, ItemRecord
from enhancer.errors import RequestError
from enhancer.files import readable

if TYPE_CHECKING:
    from enhancer.settings import Settings
    from enhancer.storage import ObjectStore

_WILDCARD: Final = re.compile(r"[*?\[]")


@dataclass(frozen=True, slots=True)
class Input:
    """A file or object, and the path of its result below the output (before its format is known).

    Attributes:
        address: its path or S3 address, as it is shown.
        key: the result's.
        path: of a local file.
        store: of an object, with its `name` there.
        name: the object's key in `store`.
    """

    address: str
    key: str
    path: Path | None = None
    store: ObjectStore | None = None
    name: str = ""

    def read(self, max_bytes: int | None = None) -> bytes:
        """The bytes.

        Raises:
            PictureError: the file cannot be read (``unreadable``), or the object has more than `max_bytes`.
            StorageError: the store refuses.
        """
        from enhancer.files import read_bytes

        if self.store is not None:
            return self.store.get(self.name, max_bytes=max_bytes).data
        return read_bytes(Path(self.address) if self.path is None else self.path)

    @property
    def identity(self) -> str:
        """Equal for two names of one file."""
        return self.address if self.path is None else str(self.path.resolve())


def is_remote(address: str) -> bool:
    """Whether this is the address of a store such as S3, and no path."""
    from enhancer.storage import is_folder

    return not is_folder(address)


def collect(
    given: Sequence[str], settings: Settings, output: str | None = None
) -> tuple[list[Input], list[ItemRecord]]:
    """The files and objects that `given` means, in its order, each once.

    A folder gives all its files, but hidden ones, under their paths relative to it; a file its name. So do an S3 prefix
    and an object; ``*``, ``?`` and ``[`` in an S3 address match across ``/``, and what comes before the first of them
    is the folder. An `output` inside a folder is passed over.

    Returns:
        What was found, and a record of each input that was not (``missing``).

    Raises:
        RequestError: the output is one of the folders, or an S3 address is none.
        StorageError: a bucket cannot be listed.
    """
    found: dict[tuple[str, str], Input] = {}
    missing: list[ItemRecord] = []
    for name in given:
        inputs = list(_objects(name, settings, output) if is_remote(name) else _files(name, output))
        if not inputs:
            missing.append(_refusal(name, "missing", f"{name} does not exist or matches nothing"))
        for one in inputs:
            found.setdefault((one.identity, one.key), one)
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
                f"{', '.join(one.address for one in rivals)} would all become {key}: give the folder that holds "
                "them, which keeps their relative paths, or another output folder for each"
            )
            refused += [_refusal(one.address, "same-output", message) for one in rivals]
    return [rivals[0] for rivals in by_key.values() if len(rivals) == 1], refused


def files_below(folder: Path, skip: Path | None = None) -> Iterator[Path]:
    """The files of a folder and its sub-folders by path, without hidden ones and without those below `skip`."""
    for path in sorted(folder.rglob("*")):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.is_file() and not hidden and not (skip is not None and path.resolve().is_relative_to(skip)):
            yield path


def _files(name: str, output: str | None) -> Iterator[Input]:
    skip = None if output is None or is_remote(output) else Path(output).resolve()
    for path in _expand(name):
        if not path.is_dir():
            yield Input(str(path), path.name, path=path)
            continue
        if skip == path.resolve():
            raise _same_place(path)
        inside = skip is not None and skip.is_relative_to(path.resolve())
        for file in files_below(path, skip if inside else None):
            yield Input(str(file), file.relative_to(path).as_posix(), path=file)


def _expand(name: str) -> list[Path]:
    path = Path(name).expanduser()
    if path.exists():
        return [path]  # brackets and stars in the name of a real file are part of the name
    return [Path(match) for match in sorted(glob.glob(str(path), recursive=True))]  # noqa: PTH207 - it may be absolute


def _objects(address: str, settings: Settings, output: str | None) -> Iterator[Input]:
    from enhancer.storage import canonical_url, open_store

    scheme, _, rest = address.partition("://")
    bucket, _, name = rest.partition("/")
    store = open_store(f"{scheme.lower()}://{bucket}", settings)
    if name and not name.endswith("/") and store.head(name) is not None:
        yield Input(store.address(name), name.rpartition("/")[2], store=store, name=name)
        return
    wildcard = _WILDCARD.search(name)
    folder = name[: wildcard.start()].rpartition("/")[0] if wildcard else name.strip("/")
    prefix = f"{folder}/" if folder else ""
    skip = canonical_url(output) if output is not None and is_remote(output) else None
    if skip == f"{store.url}/{folder}".rstrip("/"):
        raise _same_place(skip)
    for info in store.list(prefix):
        key = info.key.removeprefix(prefix)
        hidden = any(part.startswith(".") for part in key.split("/"))
        place = store.address(info.key)
        within = skip is not None and place.startswith(f"{skip}/")
        if not (hidden or within) and (wildcard is None or fnmatchcase(info.key, name)):
            yield Input(place, key, store=store, name=info.key)


def _same_place(place: object) -> RequestError:
    return RequestError(
        f"the output folder must not be the input folder ({place}): inputs are never overwritten", reason="bad-folder"
    )


def _refusal(name: str, reason: str, message: str) -> ItemRecord:
    error = ErrorRecord(error_class=reason, message=readable(message), stage="list")
    return ItemRecord(input=readable(name), state="quarantined", error=error)
