"""A local folder as an object store."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from enhancer.errors import EnhancerError, ErrorKind, ObjectGoneError, PictureError, StorageError
from enhancer.storage.base import Fetched, ObjectInfo, ObjectStore
from enhancer.storage.keys import MAX_KEY_BYTES, bad_key, check_path

_log = logging.getLogger(__name__)

_TEMPORARY = re.compile(r"\.enhancer-[0-9a-f]{16}\.part")
_READ = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK  # no waiting for the other end of a pipe
_CHUNK = 1 << 20
_BAD_KEY = {
    errno.ENAMETOOLONG: "has a name that is longer than the file system takes",
    errno.ELOOP: "leads in a circle of links",
}
_TRIES = 5


def _etag(status: os.stat_result) -> str:
    return f"{status.st_mtime_ns:x}-{status.st_size:x}-{status.st_ino:x}"


def _real(path: Path, *, strict: bool = False) -> Path:
    """The path with its links resolved; OSError for a circle of links, where Path.resolve raises RuntimeError."""
    return Path(os.path.realpath(path, strict=strict))


@dataclass
class _LinksOut:
    """The links out of the folder that a listing left out."""

    count: int = 0
    first: Path | None = None

    def add(self, path: Path) -> None:
        self.count += 1
        self.first = self.first or path

    def warn(self) -> None:
        if self.count == 1:
            _log.warning("left out: %s is a link out of the folder", self.first)
        elif self.count:
            _log.warning("left out: %d links out of the folder, such as %s", self.count, self.first)


class LocalStore:
    """A folder; its files are the objects, their paths below it the keys.

    * The ETag is made of modification time, size and inode: it costs no reading, and replacing a file changes it.
    * Writing goes to a temporary file beside the target, is forced to disk, and takes the name in one step.
    * Symbolic links are followed within the folder only. A listing shows links to files, and does not descend through
      links to folders, whose files it shows where they really are.
    * Folders that a deletion leaves empty are removed, as S3 knows none.

    Args:
        root: the folder; made by the first write where it is missing.
    """

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()

    @property
    def url(self) -> str:
        """The folder's absolute path."""
        return str(self.root)

    def address(self, key: str) -> str:
        """The file's absolute path."""
        return f"{self.url.rstrip('/')}/{key}"

    # ---------------------------------------------------------------- reading

    def list(self, prefix: str = "") -> Iterator[ObjectInfo]:
        """Files in S3's order (the whole key's UTF-8 bytes); one folder's names are in memory at a time, per level.

        Names that are not valid UTF-8 and links out of the folder are left out, with a warning in the log; there may be
        many links, so theirs is one for all.

        Raises:
            StorageError: the folder is missing (``no-such-store``; transient, since a mount may come back) or may not
                be read.
        """
        folder, _, beginning = prefix.rpartition("/")
        if folder:
            check_path(folder)
        start = self.root / folder
        with self._trouble(prefix, "list"):
            if not self.root.is_dir():
                raise self._no_store()
            # A prefix through a link would show files at a second place.
            if start.is_dir() and _real(start) == _real(self.root) / folder:
                links = _LinksOut()
                yield from self._walk(start, f"{folder}/" if folder else "", beginning, links)
                links.warn()

    def _walk(self, folder: Path, above: str, beginning: str, links: _LinksOut) -> Iterator[ObjectInfo]:
        names: list[bytes] = []
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name.startswith(beginning) and not _TEMPORARY.fullmatch(entry.name):
                    is_folder = entry.is_dir(follow_symlinks=False)
                    # With its slash a folder sorts among its neighbours as its files' keys do: "a.b" < "a/b" < "ab".
                    names.append(os.fsencode(entry.name) + (b"/" if is_folder else b""))
        names.sort()
        for raw in names:
            try:
                name = raw.decode()
            except UnicodeDecodeError:
                _log.warning("left out: the name %r in %s is not UTF-8", raw, folder)
                continue
            if name.endswith("/") and len(above) > MAX_KEY_BYTES:
                _log.warning("left out: %s lies deeper than a key can say", folder / name)
            elif name.endswith("/"):
                with suppress(FileNotFoundError):  # removed since
                    yield from self._walk(folder / name, above + name, "", links)
            elif info := self._listed(folder / name, above + name, links):
                yield info

    def _listed(self, path: Path, key: str, links: _LinksOut) -> ObjectInfo | None:
        try:
            if path.is_symlink() and not _real(path).is_relative_to(_real(self.root)):
                links.add(path)
                return None
            status = path.stat()
        except OSError as error:
            if error.errno in {errno.ENOENT, errno.ELOOP}:  # removed since, or a link to nothing or to itself
                return None
            raise
        return ObjectInfo(key, status.st_size, _etag(status)) if stat.S_ISREG(status.st_mode) else None

    def head(self, key: str) -> ObjectInfo | None:
        """Size and ETag, or None where there is no file."""
        with self._trouble(key, "look at"):
            try:
                path = self._inside(key)
                status = path.stat()
            except (FileNotFoundError, NotADirectoryError):
                if not self.root.is_dir():
                    raise self._no_store() from None
                return None
            return ObjectInfo(key, status.st_size, _etag(status)) if stat.S_ISREG(status.st_mode) else None

    def get(self, key: str, *, max_bytes: int | None = None) -> Fetched:
        """The bytes and their ETag; a file that is written to meanwhile is read again.

        Raises:
            PictureError: reason ``too-many-bytes``.
            ObjectGoneError: there is no such file.
            StorageError: transient, ``changing``: it changed each time it was read.
        """
        for _ in range(_TRIES):
            with self.open(key) as file, self._trouble(key, "read"):
                before = os.fstat(file.fileno())
                if max_bytes is not None and before.st_size > max_bytes:
                    raise PictureError(
                        f"{self.address(key)} has {before.st_size} bytes; the limit is {max_bytes}",
                        reason="too-many-bytes",
                    )
                data = file.read(before.st_size + 1)
                if len(data) == before.st_size and _etag(os.fstat(file.fileno())) == _etag(before):
                    return Fetched(data, _etag(before))
        raise StorageError(f"{self.address(key)} is being written to: it changed at each reading", reason="changing")

    def get_range(self, key: str, start: int, size: int) -> bytes:
        """Up to `size` bytes from `start` on; fewer where the file ends before.

        Raises:
            ObjectGoneError: there is no such file.
        """
        with self.open(key) as file, self._trouble(key, "read"):
            file.seek(start)
            return file.read(size)

    def open(self, key: str) -> BinaryIO:
        """The file, opened for reading.

        Raises:
            ObjectGoneError: there is no such file.
        """
        with self._trouble(key, "open"):
            descriptor = os.open(self._inside(key), _READ)
            if stat.S_ISREG(os.fstat(descriptor).st_mode):
                return os.fdopen(descriptor, "rb")
            os.close(descriptor)
            raise ObjectGoneError(f"{self.address(key)} is not a regular file")

    # ---------------------------------------------------------------- writing

    def put(self, key: str, data: bytes, *, content_type: str | None = None) -> ObjectInfo:
        """Write the file whole or not at all, durable on return; its folders are made. Files have no content type.

        Raises:
            StorageError: ``bad-key``, ``access-denied`` (permanent), ``no-space`` (transient).
        """
        return self._write(key, iter((data,)))

    def copy_from(self, source: ObjectStore, source_key: str, key: str) -> ObjectInfo:
        """Copy in pieces of 1 MiB into a temporary file, then as `put`.

        Raises:
            ObjectGoneError: the source is not there.
            StorageError: as `put`; transient, ``changing``, where the source changed under the copy.
        """
        with source.open(source_key) as stream:
            local = isinstance(source, LocalStore)
            before = _etag(os.fstat(stream.fileno())) if local else None

            def chunks() -> Iterator[bytes]:
                while chunk := stream.read(_CHUNK):
                    yield chunk
                if before is not None and _etag(os.fstat(stream.fileno())) != before:
                    raise StorageError(f"{source.address(source_key)} changed while it was copied", reason="changing")

            return self._write(key, chunks())

    def delete(self, key: str) -> None:
        """Remove the file, and folders above it that are empty then."""
        check_path(key)
        with self._trouble(key, "delete"):
            path = self._parent(key) / Path(key).name
            with suppress(FileNotFoundError, NotADirectoryError):
                path.unlink()
            for folder in list(Path(key).parents)[:-1]:
                try:
                    (self.root / folder).rmdir()
                except OSError:  # not empty, or someone else's: either way it stays
                    break

    def clear_interrupted(self, folder: str, *, below: bool = False) -> int:
        """Remove temporary files whose writer is dead. A living one holds a lock on its own, which the kernel lets go
        when it dies; who is robbed between making and locking it finds its file gone, which is transient.
        """
        if folder:
            check_path(folder)
        cleared = 0
        with self._trouble(folder, "clear", writing=True):
            start = self._parent(f"{folder}/x" if folder else "x")
            for path in start.rglob("*") if below else start.glob("*"):
                if _TEMPORARY.fullmatch(path.name) and _is_abandoned(path):
                    path.unlink(missing_ok=True)
                    cleared += 1
        return cleared

    def _write(self, key: str, chunks: Iterator[bytes]) -> ObjectInfo:
        check_path(key)
        name = Path(key).name
        if _TEMPORARY.fullmatch(name):
            raise bad_key(key, "is a name for temporary files")
        with self._trouble(key, "write", writing=True):
            temporary, descriptor = self._create_temporary(key)
            try:
                with os.fdopen(descriptor, "wb") as file:
                    _lock(file.fileno())
                    for chunk in chunks:
                        file.write(chunk)
                    file.flush()
                    os.fsync(file.fileno())
                    status = os.fstat(file.fileno())
                    temporary.replace(temporary.with_name(name))  # under the lock, so that no one clears it away
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
            _sync_folder(temporary.parent)
        return ObjectInfo(key, status.st_size, _etag(status))

    def _create_temporary(self, key: str) -> tuple[Path, int]:
        """A new file in the target's folder, whose rights follow the umask as any file's do."""
        for last in (*[False] * 20, True):
            folder = self._parent(key)
            temporary = folder / f".enhancer-{secrets.token_hex(8)}.part"
            try:
                _make_folder(folder)
                return temporary, os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
            except FileNotFoundError:  # a deletion beside this found a new folder empty
                if last:
                    raise
        raise AssertionError("unreachable")

    # ---------------------------------------------------------------- paths

    def _inside(self, key: str) -> Path:
        """The key's real path, links resolved.

        Raises:
            StorageError: ``bad-key``: it is no path, or leads out of the folder.
            FileNotFoundError: it leads nowhere.
        """
        check_path(key)
        path = _real(self.root / key, strict=True)
        if not path.is_relative_to(_real(self.root)):
            raise bad_key(key, f"leads out of {self.url} by a link")
        return path

    def _parent(self, key: str) -> Path:
        """The real path of the folder that the key's file is in, which need not exist."""
        folder = _real((self.root / key).parent)
        if not folder.is_relative_to(_real(self.root)):
            raise bad_key(key, f"leads out of {self.url} by a link")
        return folder

    # ---------------------------------------------------------------- errors

    def _no_store(self) -> StorageError:
        return StorageError(f"the folder {self.url} is not there; create or mount it", reason="no-such-store")

    @contextmanager
    def _trouble(self, key: str, doing: str, *, writing: bool = False) -> Iterator[None]:
        """Turn an OSError into the store's own errors."""
        try:
            yield
        except EnhancerError:
            raise
        except OSError as error:
            raise self._translated(error, key, doing, writing=writing) from error

    def _translated(self, error: OSError, key: str, doing: str, *, writing: bool) -> StorageError:
        what = f"cannot {doing} {self.address(key)}: {error.strerror or type(error).__name__}"
        if error.errno in _BAD_KEY:
            return bad_key(key, _BAD_KEY[error.errno])
        match error.errno:
            case errno.ENOENT | errno.ENOTDIR | errno.EISDIR if not writing:
                return ObjectGoneError(f"{self.address(key)} is not there") if self.root.is_dir() else self._no_store()
            case errno.ENOTDIR | errno.EEXIST | errno.EISDIR | errno.ENOTEMPTY:
                return bad_key(key, "is a file where another key needs a folder, or the other way round")
            case errno.EACCES | errno.EPERM | errno.EROFS:
                way_out = "give the user of this process the right to"
                return StorageError(f"{what}; {way_out}", reason="access-denied", kind=ErrorKind.PERMANENT)
            case errno.ENOSPC | errno.EDQUOT:
                return StorageError(f"{what}; free some space", reason="no-space")
        return StorageError(what)


def _lock(descriptor: int) -> bool:
    """Lock an open file against :meth:`LocalStore.clear_interrupted`; False where someone else has it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in {errno.ENOLCK, errno.ENOTSUP, errno.EINVAL, errno.ENOSYS}:
            raise
        return False  # a file system without locks: nothing is cleared there
    return True


def _is_abandoned(path: Path) -> bool:
    try:
        descriptor = os.open(path, _READ)
    except FileNotFoundError:
        return False
    try:
        return _lock(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    """Make a folder's entries durable, where its file system can."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOTSUP}:  # some network file systems sync files only
            raise
    finally:
        os.close(descriptor)


def _make_folder(folder: Path) -> None:
    """Make a folder and those above it, durable."""
    if folder.is_dir():
        return
    _make_folder(folder.parent)
    with suppress(FileExistsError):  # a file in the way shows at the next step, as ENOTDIR
        folder.mkdir()
    with suppress(FileNotFoundError):
        _sync_folder(folder.parent)
