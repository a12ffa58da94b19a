"""The contract of an object store: the same few verbs whatever it is.

A store is opened on a URL (``s3://bucket/prefix`` or a folder) and speaks keys below it. Keys are ``/``-separated text;
they are data from outside and never become paths unchecked.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol


@dataclass(frozen=True, slots=True)
class ObjectInfo:
    """One object as a listing or a HEAD reports it. `etag` is opaque, without quotes; equal means unchanged."""

    key: str
    size: int
    etag: str


@dataclass(frozen=True, slots=True)
class Fetched:
    """An object's bytes, the ETag of exactly these bytes, and the content type where the store keeps one."""

    data: bytes
    etag: str
    content_type: str | None = None


class ObjectStore(Protocol):
    """What every store does.

    Verbs raise :class:`enhancer.errors.ObjectGoneError` for a missing object and
    :class:`enhancer.errors.StorageError` (transient or permanent by its kind) for everything else.
    """

    @property
    def url(self) -> str:
        """Where this store is rooted, in canonical form: no trailing slash, no credentials."""
        ...

    def address(self, key: str) -> str:
        """The object's full address: url + "/" + key."""
        ...

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Objects whose key starts with `prefix`, in key order, page by page; never the whole listing in memory."""
        ...

    def head(self, key: str) -> ObjectInfo | None:
        """Size and ETag, or None where there is nothing."""
        ...

    def get(self, key: str, *, max_bytes: int | None = None) -> Fetched:
        """The bytes. More than `max_bytes` raise PictureError("too-many-bytes") before they are read."""
        ...

    def put(self, key: str, data: bytes, *, content_type: str | None = None) -> ObjectInfo:
        """Write atomically: readers see the old object or the whole new one, which holds these very bytes on return."""
        ...

    def copy_from(self, source: ObjectStore, source_key: str, key: str) -> ObjectInfo:
        """Copy atomically from this or another store: server-side where both are in one S3, else through memory."""
        ...

    def delete(self, key: str) -> None:
        """Remove; nothing there is no error."""
        ...

    def open(self, key: str) -> BinaryIO:
        """A readable stream of the bytes, for objects that should not be held whole."""
        ...

    def clear_interrupted(self, folder: str, *, below: bool = False) -> int:
        """Remove what writers that were killed left unfinished in a folder (and `below` it); how many there were."""
        ...
