"""Results that were computed before, by identity: the latest in memory, more in files, both within a budget of bytes.

A file is JSON and the result's own bytes, after a hash of both, so that nothing in it is ever executed and nothing
damaged is ever taken for a result. Several processes may share the folder.
"""

from __future__ import annotations

import json
import os
import re
import struct
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog
from blake3 import blake3
from cachetools import LRUCache
from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, ValidationError

from enhancer.codecs import Encoded
from enhancer.contract import DecisionRecord
from enhancer.image import Document
from enhancer.settings import Settings

log = structlog.get_logger(__name__)

_MAGIC: Final = b"ENHRES1\n"
_HEAD: Final = struct.Struct(">8s32s")
"""Magic, and blake3 of all that follows: the JSON's length, the JSON, the result."""
_LENGTH: Final = struct.Struct(">I")
_IDENTITY: Final = re.compile(r"[0-9a-f]{64}")
_PART: Final = ".part-"
_LOCK_S: Final = 10.0
_MEGABYTE: Final = 1_000_000


class ResultParts(BaseModel):
    """What is known of a result beside its bytes.

    Attributes:
        format: the result's container, as Pillow names it.
        content_type: its media type.
        source_format: the input's container.
        decisions: of every stage.
        models: nets that were used, name to sha256.
        warnings: of decoding and encoding.
        width: of the input's first page, in pixels; `height` likewise.
        output_width: of the result's first page; `output_height` likewise.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: str
    content_type: str
    source_format: str | None
    decisions: list[DecisionRecord]
    models: dict[str, str]
    warnings: list[str]
    width: int
    height: int
    output_width: int
    output_height: int

    @classmethod
    def of(
        cls,
        before: Document,
        after: Document,
        encoded: Encoded,
        *,
        decisions: list[DecisionRecord],
        models: dict[str, str],
    ) -> ResultParts:
        """What is known after the work: the document as decoded, what became of it, and that as a file."""
        notes = (note for page in before.pages for note in page.metadata.warnings)
        return cls(
            format=encoded.format,
            content_type=encoded.content_type,
            source_format=before.first.metadata.format,
            decisions=decisions,
            models=models,
            warnings=[*notes, *encoded.warnings],
            width=before.first.width,
            height=before.first.height,
            output_width=after.first.width,
            output_height=after.first.height,
        )

    @property
    def sizes(self) -> dict[str, int]:
        """The four sizes by name: columns of the ledger, fields of a record."""
        return {name: getattr(self, name) for name in ("width", "height", "output_width", "output_height")}


@dataclass(frozen=True, slots=True)
class CachedResult:
    """A result's file and what is known of it."""

    data: bytes
    parts: ResultParts


class ResultCache:
    """Results by identity. The least recently used go first. For any number of threads, and of processes per folder.

    What cannot be read or written (a full disk, a folder that may not be touched) is a miss or is not kept, with a
    warning in the log: a broken cache costs time and nothing else.

    Args:
        folder: of the files, made where it is missing, readable for its owner alone; None: no files.
        memory_bytes: of results in memory; 0: none.
        disk_bytes: of files; 0: none.

    Attributes:
        hits: results that :meth:`get` found.
        misses: those it did not.
    """

    def __init__(self, folder: Path | None, *, memory_bytes: int, disk_bytes: int) -> None:
        self._folder = folder if disk_bytes else None
        self._disk_bytes = disk_bytes
        self._memory: LRUCache[str, CachedResult] = LRUCache(memory_bytes, getsizeof=lambda kept: len(kept.data))
        self._lock = threading.Lock()
        self.hits = self.misses = 0

    @classmethod
    def from_settings(cls, settings: Settings, *, files: bool = True) -> ResultCache | None:
        """The cache in ``ENHANCER_HOME``, within the budgets of the settings; None where it is switched off.

        Args:
            settings: ``cache``, ``cache_memory_mb``, ``cache_disk_mb``.
            files: False: in memory alone.
        """
        if not settings.cache:
            return None
        return cls(
            settings.home / "results",
            memory_bytes=settings.cache_memory_mb * _MEGABYTE,
            disk_bytes=settings.cache_disk_mb * _MEGABYTE if files else 0,
        )

    def get(self, identity: str) -> CachedResult | None:
        """The result with this identity, verified, or None. A damaged file is removed.

        Raises:
            ValueError: `identity` is not 64 hexadecimal digits.
        """
        path = self._path(identity)
        with self._lock:
            found = self._memory.get(identity)
        if found is None and path is not None:
            found = _read(path, identity)
            if found is not None:
                self._remember(identity, found)
        with self._lock:
            self.hits += found is not None
            self.misses += found is None
        return found

    def put(self, identity: str, result: CachedResult) -> None:
        """Keep a result; one that alone is over a budget is not kept there.

        Raises:
            ValueError: `identity` is not 64 hexadecimal digits.
        """
        path = self._path(identity)
        self._remember(identity, result)
        if path is None or self._folder is None:
            return
        content = _packed(identity, result)
        if len(content) > self._disk_bytes:
            return
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with FileLock(self._folder / "lock", timeout=_LOCK_S):
                _make_room(self._folder, self._disk_bytes - len(content), besides=path)
                _write(path, content)
        except Timeout:
            log.warning("a result was not cached: others hold the cache", folder=str(self._folder))
        except OSError as error:
            log.warning("a result was not cached", folder=str(self._folder), error=str(error))

    def _remember(self, identity: str, result: CachedResult) -> None:
        with self._lock:
            if len(result.data) <= self._memory.maxsize:
                self._memory[identity] = result

    def _path(self, identity: str) -> Path | None:
        if not _IDENTITY.fullmatch(identity):
            raise ValueError(f"an identity is 64 hexadecimal digits, not {identity!r}")
        return None if self._folder is None else self._folder / identity[:2] / identity


def _packed(identity: str, result: CachedResult) -> bytes:
    head = json.dumps({"identity": identity, "parts": result.parts.model_dump(mode="json")}).encode()
    body = _LENGTH.pack(len(head)) + head + result.data
    return _HEAD.pack(_MAGIC, blake3(body).digest()) + body


def _unpacked(content: bytes, identity: str) -> CachedResult | None:
    """The result in a file's content; None where that is not what was written for this identity."""
    if len(content) < _HEAD.size:
        return None
    magic, checksum = _HEAD.unpack_from(content)
    if magic != _MAGIC or blake3(memoryview(content)[_HEAD.size :]).digest() != checksum:
        return None
    begin = _HEAD.size + _LENGTH.size
    end = begin + _LENGTH.unpack_from(content, _HEAD.size)[0]
    head = json.loads(content[begin:end])
    if head["identity"] != identity:
        return None
    try:
        parts = ResultParts.model_validate(head["parts"])
    except ValidationError:
        return None  # of another version of this package
    return CachedResult(content[end:], parts)


def _read(path: Path, identity: str) -> CachedResult | None:
    try:
        result = _unpacked(path.read_bytes(), identity)
        if result is None:
            log.warning("a cached result is damaged and goes", path=str(path))
            path.unlink(missing_ok=True)
        else:
            os.utime(path)  # the time of its last use: what goes first
    except FileNotFoundError:
        return None
    except OSError as error:
        log.warning("a cached result cannot be read", path=str(path), error=str(error))
        return None
    return result


def _write(path: Path, content: bytes) -> None:
    """Whole or not at all. Not forced to disk: what a power cut damages is found out by its hash."""
    descriptor, part = tempfile.mkstemp(dir=path.parent, prefix=_PART)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
        Path(part).replace(path)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise


def _make_room(folder: Path, limit: int, *, besides: Path) -> None:
    """Remove the least recently used files until the rest take `limit` bytes at most, and what killed writers left: who
    holds the lock is the only writer. `besides` is about to be replaced and does not count.
    """
    kept = []
    for entry in _entries(folder):
        if entry.name.startswith(_PART):
            Path(entry).unlink(missing_ok=True)
        elif entry.name != besides.name:
            status = entry.stat()
            kept.append((status.st_mtime_ns, status.st_size, entry.path))
    total = sum(size for _, size, _ in kept)
    for _, size, path in sorted(kept):
        if total <= limit:
            return
        Path(path).unlink(missing_ok=True)
        total -= size


def _entries(folder: Path) -> Iterator[os.DirEntry[str]]:
    with os.scandir(folder) as shelves:
        for shelf in shelves:
            if shelf.is_dir():
                with os.scandir(shelf) as files:
                    yield from files
