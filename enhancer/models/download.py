"""Download a file over HTTP, going on where a broken transfer stopped, and check its hash."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_exponential, wait_random

from enhancer.errors import ErrorKind, ModelError

if TYPE_CHECKING:
    import requests

Progress = Callable[[int, int], None]
"""Called with (bytes so far, bytes in all; 0 where the server does not say)."""

ATTEMPTS: Final = 5
TIMEOUT_S: Final = (10.0, 60.0)
CHUNK: Final = 1 << 15
"""What a cut connection costs at most: requests drops a chunk that it could not fill."""


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def download(
    url: str, target: Path, sha256: str, *, session: requests.Session, progress: Progress | None = None
) -> None:
    """Fetch `url` into `target`; only a file with the expected hash ever gets that name.

    The bytes gather in ``target`` + ``.part``, which survives a broken connection and a killed process: the next
    attempt asks for the rest with an HTTP Range request. A part that proves wrong is thrown away, and where it was
    resumed, the file is fetched once more from its start.

    Raises:
        ModelError: as :func:`complete`, or the bytes are not those that the catalogue names (``wrong-hash``).
    """
    part = target.with_name(target.name + ".part")
    resumed = part.exists()
    complete(url, part, session=session, progress=progress)
    if resumed and sha256_of(part) != sha256:
        part.unlink()
        complete(url, part, session=session, progress=progress)
    found = sha256_of(part)
    if found != sha256:
        part.unlink()
        raise ModelError(
            f"{url} is not the file that the catalogue names: sha256 {found}, expected {sha256}", reason="wrong-hash"
        )
    part.replace(target)


def complete(url: str, part: Path, *, session: requests.Session, progress: Progress | None = None) -> None:
    """Fetch what `part` still lacks of `url`, trying again after passing trouble; what the bytes are is not checked.

    Raises:
        ModelError: the server has no such file (``not-found``) or refuses or fails (``download``; transient
            unless it answered 4xx).
    """
    import requests

    def passing(error: BaseException) -> bool:
        if isinstance(error, requests.HTTPError) and error.response is not None:
            return error.response.status_code in (408, 429) or error.response.status_code >= 500
        return isinstance(error, requests.RequestException)

    attempts = Retrying(
        stop=stop_after_attempt(ATTEMPTS),
        wait=wait_exponential(multiplier=0.2, max=10) + wait_random(0, 0.3),
        retry=retry_if_exception(passing),
        reraise=True,
    )
    try:
        attempts(_continue, url, part, session, progress)
    except requests.RequestException as error:
        missing = error.response is not None and error.response.status_code == 404
        raise ModelError(
            f"{url} cannot be downloaded: {error}",
            reason="not-found" if missing else "download",
            kind=ErrorKind.TRANSIENT if passing(error) else ErrorKind.PERMANENT,
        ) from error


def _continue(url: str, part: Path, session: requests.Session, progress: Progress | None) -> None:
    """One request for what `part` lacks; where the server ignores the range and sends everything, all is rewritten."""
    start = part.stat().st_size if part.exists() else 0
    headers = {"Accept-Encoding": "identity"}  # a compressed transfer has other byte positions than the file
    if start:
        headers["Range"] = f"bytes={start}-"
    with session.get(url, headers=headers, stream=True, timeout=TIMEOUT_S) as response:
        if start and response.status_code == 416:  # nothing beyond `start`: the part is whole, or not of this file
            return
        response.raise_for_status()
        resuming = response.status_code == 206 and response.headers.get("Content-Range", "").startswith(
            f"bytes {start}-"
        )
        done = start if resuming else 0
        length = int(response.headers.get("Content-Length", 0))
        total = done + length if length else 0
        with part.open("ab" if resuming else "wb") as sink:
            for chunk in response.iter_content(CHUNK):
                sink.write(chunk)
                done += len(chunk)
                if progress is not None:
                    progress(done, total)
