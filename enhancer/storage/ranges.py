"""Reading a part of an object."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from enhancer.storage.base import ObjectStore

_CHUNK = 1 << 20


@runtime_checkable
class RangedStore(Protocol):
    """A store that can read a part of an object without what stands before it. Folders and S3 can."""

    def get_range(self, key: str, start: int, size: int) -> bytes:
        """Up to `size` bytes from `start` on, which lies within the object; fewer where it ends before."""
        ...


def read_range(store: ObjectStore, key: str, start: int, size: int) -> bytes:
    """Up to `size` bytes of an object from `start` on, which lies within it; fewer where it ends before.

    A store of another package that has no ``get_range`` is read from the object's beginning.

    Raises:
        ObjectGoneError: there is no such object.
        StorageError: the store cannot be read.
    """
    if isinstance(store, RangedStore):
        return store.get_range(key, start, size)
    with store.open(key) as stream:
        left = start
        while left and (passed := stream.read(min(left, _CHUNK))):
            left -= len(passed)
        return stream.read(size)
