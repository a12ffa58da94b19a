"""Take exactly one named file out of a zip or tar archive; nothing else in it is unpacked, and nothing is run."""

from __future__ import annotations

import shutil
import tarfile
import zipfile
from contextlib import AbstractContextManager
from pathlib import Path
from typing import IO

from enhancer.errors import ModelError

MAX_MEMBER_BYTES = 2 << 30
"""A declared size beyond this is refused: no net here is near it, and a bomb would fill the disk."""


def extract_member(archive: Path, member: str, target: Path) -> None:
    """Write the file that `archive` holds under exactly the name `member` to `target`.

    `target` is chosen by the caller, so no name in the archive decides where anything is written; links are refused.

    Raises:
        ModelError: not a zip or tar archive, the member is missing, is no plain file, or is damaged or too large
            (reason ``bad-archive``).
    """
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as bundle:
                info = bundle.getinfo(member)
                _copy(bundle.open(info), info.file_size, target)
        else:
            with tarfile.open(archive) as bundle:
                item = bundle.getmember(member)
                stream = bundle.extractfile(item) if item.isreg() else None
                if stream is None:
                    raise ModelError(f"{member} in {archive.name} is not a plain file", reason="bad-archive")
                _copy(stream, item.size, target)
    except KeyError as error:
        raise ModelError(f"{archive.name} holds no {member}", reason="bad-archive") from error
    except (zipfile.BadZipFile, tarfile.TarError, EOFError) as error:
        raise ModelError(f"{archive.name} cannot be read: {error}", reason="bad-archive") from error


def _copy(stream: AbstractContextManager[IO[bytes]], size: int, target: Path) -> None:
    if size > MAX_MEMBER_BYTES:
        raise ModelError(f"the archive declares a file of {size} bytes; that is no net", reason="bad-archive")
    with stream as source, target.open("wb") as sink:
        shutil.copyfileobj(source, sink, 1 << 20)
