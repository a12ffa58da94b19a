"""Where results go: a folder or an S3 prefix. Neither ever writes over an input."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from enhancer.cli.inputs import Input, is_remote
from enhancer.errors import RequestError

if TYPE_CHECKING:
    from enhancer.settings import Settings


class Target(Protocol):
    """A place for results."""

    def write(self, name: str, data: bytes, content_type: str) -> str:
        """Write a result whole or not at all; returns `name`."""
        ...

    def address(self, name: str) -> str:
        """Where the result called `name` is, for people."""
        ...


def open_target(output: str, inputs: Iterable[Input], settings: Settings) -> Target:
    """The folder or S3 prefix at `output`, in which the inputs' own places are taken."""
    if is_remote(output):
        return S3Target(output, {one.address for one in inputs}, settings)
    return LocalTarget(Path(output), {one.path.resolve() for one in inputs if one.path is not None})


class LocalTarget:
    """A folder, made where it is missing."""

    def __init__(self, path: Path, taken: set[Path]) -> None:
        from enhancer.files import Folder

        self._folder = Folder(path, taken)

    def write(self, name: str, data: bytes, content_type: str) -> str:
        """See :class:`Target`."""
        return self._folder.write(name, data, content_type)

    def address(self, name: str) -> str:
        """See :class:`Target`."""
        return str(self._folder.path / name)


class S3Target:
    """A prefix of a bucket."""

    def __init__(self, url: str, taken: set[str], settings: Settings) -> None:
        from enhancer.storage import open_store

        self._store = open_store(url, settings)
        self._taken = taken

    def write(self, name: str, data: bytes, content_type: str) -> str:
        """See :class:`Target`.

        Raises:
            RequestError: the place is an input or another input's result (``target-taken``).
            StorageError: the store refuses.
        """
        place = self._store.address(name)
        if place in self._taken:
            raise RequestError(f"{place} is an input or another input's result", reason="target-taken")
        self._taken.add(place)
        self._store.put(name, data, content_type=content_type)
        return name

    def address(self, name: str) -> str:
        """See :class:`Target`."""
        return self._store.address(name)
