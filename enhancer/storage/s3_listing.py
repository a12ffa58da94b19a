"""Listing a bucket folder by folder, several at once, in key order.

An S3 listing gives a thousand keys a request, one request after the other, so a large bucket takes as long as its
requests are late. Keys below different folders come from requests that do not wait for each other. Order is kept: all
keys of a folder stand together in it, where the folder's own name stands among its neighbours ("a.b" < "a/b" < "ab").
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from queue import Queue
from typing import Final

from enhancer.storage.base import ObjectInfo

AHEAD: Final = 8
"""Folders that are listed at once."""
PAGES: Final = 8
"""Pages of a folder that wait for the consumer: with the above, 64,000 objects are in memory at most, some 20 MB."""
MOST_PARTS: Final = 5_000
"""Folders (and objects beside them) that are told apart. A bucket with more is one of many small folders, where a page
of the plain listing holds several of them, and a request for each would take longer.
"""
DEPTH: Final = 4
"""Levels that are gone down where there are too few folders to list at once."""


@dataclass(frozen=True, slots=True)
class Page:
    """One answer of the server: objects and, of a listing by folder, the folders beside them, which end with "/"."""

    objects: list[ObjectInfo]
    folders: list[str]
    is_last: bool


Fetch = Callable[[str, bool], Iterator[Page]]
"""Pages of what begins with a prefix, one request each and none before it is asked for; True: by folder."""

Part = ObjectInfo | str


def in_parallel(fetch: Fetch, prefix: str) -> Iterator[ObjectInfo]:
    """Objects whose key begins with `prefix`, in key order (below a folder in the server's, which on AWS is the same).

    What fits into one page costs one request. A listing that is not read to its end stops with its consumer.

    Raises:
        Exception: what `fetch` raises, after the objects that come before.
    """
    pages = fetch(prefix, False)
    first = next(pages)
    parts = None if first.is_last else _parts(fetch, prefix)
    if parts is not None:
        yield from _joined(fetch, parts)
        return
    yield from first.objects
    for page in pages:
        yield from page.objects


def _parts(fetch: Fetch, prefix: str) -> list[Part] | None:
    """Folders and the objects beside them, in key order; None where they are no help."""
    parts = _level(fetch, prefix, MOST_PARTS)
    for _ in range(DEPTH):
        if parts is None or not 0 < _folders(parts) < AHEAD:
            break
        deeper: list[Part] = []
        for part in parts:
            level = _level(fetch, part, MOST_PARTS - len(parts) - len(deeper)) if isinstance(part, str) else None
            deeper += [part] if level is None else level
        if deeper == parts:
            break
        parts = deeper
    return parts if parts is not None and _folders(parts) > 1 else None


def _level(fetch: Fetch, prefix: str, most: int) -> list[Part] | None:
    """One level below a prefix, in key order; None where it has more than `most` parts or begins without a folder."""
    parts: list[Part] = []
    for page in fetch(prefix, True):
        parts += [*page.objects, *page.folders]
        if len(parts) > most or not _folders(parts):
            return None
    return sorted(parts, key=lambda part: part if isinstance(part, str) else part.key)  # as their UTF-8 bytes sort


def _folders(parts: list[Part]) -> int:
    return sum(isinstance(part, str) for part in parts)


def _joined(fetch: Fetch, parts: list[Part]) -> Iterator[ObjectInfo]:
    """The parts' objects one after the other, while the next folders are being listed."""
    folders = (part for part in parts if isinstance(part, str))
    begun: deque[_Folder] = deque()
    try:
        for part in parts:
            if not isinstance(part, str):
                yield part
                continue
            while len(begun) < AHEAD and (folder := next(folders, None)) is not None:
                begun.append(_Folder(fetch, folder))
            yield from begun[0].objects()
            begun.popleft()
    finally:
        for left in begun:
            left.stop()


class _Folder:
    """One folder's listing, which runs ahead in a thread of its own.

    The thread is a daemon: a listing that nobody closes must not keep the process from ending.
    """

    def __init__(self, fetch: Fetch, folder: str) -> None:
        self._queue: Queue[Page | BaseException | None] = Queue(PAGES)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(fetch, folder), name=f"list {folder}", daemon=True)
        self._thread.start()

    def _run(self, fetch: Fetch, folder: str) -> None:
        try:
            for page in fetch(folder, False):
                self._queue.put(page)
                if self._stopped.is_set():
                    return
            self._queue.put(None)
        except BaseException as error:  # raised where the listing is read
            self._queue.put(error)

    def objects(self) -> Iterator[ObjectInfo]:
        """The folder's objects as they come."""
        while (page := self._queue.get()) is not None:
            if isinstance(page, BaseException):
                raise page
            yield from page.objects

    def stop(self) -> None:
        """Nothing more is wanted: let the thread end, after the request that it may be in."""
        self._stopped.set()
        while not self._queue.empty():  # makes room for the page that it may be waiting to put
            self._queue.get_nowait()
