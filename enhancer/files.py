"""Reading and writing local files: whole or not at all, and never over an input; names of files, shown to people."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import Final

from enhancer.errors import PictureError, RequestError

_INVISIBLE: Final = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Control characters, separators of lines, marks that turn the direction of text, half surrogate pairs."""


READ: Final = frozenset(
    {
        ".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".jfi", ".mpo", ".png", ".apng", ".tif", ".tiff", ".gtiff", ".ptif",
        ".ptiff", ".webp", ".avif", ".avifs", ".bmp", ".dib", ".gif", ".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx",
        ".jpm", ".heic", ".heics", ".heif", ".heifs", ".hif", ".dcm", ".dicom", ".dic", ".ima",
    }
)  # fmt: skip
"""Suffixes of the formats that are read."""

REFUSED: Final = frozenset(
    {
        ".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".srf", ".sr2", ".orf", ".rw2", ".raf", ".pef", ".srw",
        ".x3f", ".mrw", ".mef", ".mos", ".rwl", ".3fr", ".fff", ".iiq", ".erf", ".kdc", ".dcr", ".raw", ".psd", ".psb",
        ".jxl", ".exr", ".dds", ".tga", ".sgi", ".pcx", ".ppm", ".pgm", ".pbm", ".pnm", ".pfm",
    }
)  # fmt: skip
"""Suffixes of pictures that are not read: each is a failure that says what it is and what to export instead."""


def readable(text: object) -> str:
    """Text that can be printed and written as JSON, from a path whose bytes may be no UTF-8."""
    return str(text).encode("utf-8", "backslashreplace").decode("utf-8")


def visible(text: str) -> str:
    r"""A name, or a message with one, as it may be shown in a terminal or on a page.

    A file's name may hold escape sequences, which a terminal obeys, line breaks, and marks that have the rest of it
    read from right to left (``gpj.exe`` for ``exe.jpg``). Each becomes what Python would write for it, such as
    ``\x1b``.
    """
    return _INVISIBLE.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def read_bytes(path: Path) -> bytes:
    """The whole file.

    Raises:
        PictureError: it cannot be read (``unreadable``).
    """
    try:
        return path.read_bytes()
    except OSError as error:
        raise PictureError(f"cannot read {path}: {error.strerror}", reason="unreadable") from error


def write_atomically(path: Path, data: bytes) -> None:
    """The whole file under its name, or nothing: written beside it and renamed once it is on the disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # The temporary name holds but the beginning of the name, which may be as long as a file system allows.
    descriptor, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:32]}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(part).chmod(0o644)  # mkstemp makes it readable for its owner alone
        Path(part).replace(path)
    except BaseException:
        Path(part).unlink(missing_ok=True)
        raise


class Folder:
    """A folder that results are written into.

    Args:
        path: made where it is missing.
        taken: resolved paths that must not be written: all inputs. Results are added.
    """

    def __init__(self, path: Path, taken: set[Path]) -> None:
        self.path = path
        self._taken = taken

    def write(self, name: str, data: bytes, content_type: str) -> str:
        """Write a file at `name` below the folder; earlier results are replaced.

        Returns:
            `name`.

        Raises:
            RequestError: the place is an input or another input's result (``target-taken``).
        """
        place = self.path / name
        if place.resolve() in self._taken:
            raise RequestError(f"{place} is an input or another input's result", reason="target-taken")
        self._taken.add(place.resolve())
        write_atomically(place, data)
        return name
