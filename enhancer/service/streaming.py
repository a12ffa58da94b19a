"""Objects of a store as answers: streamed in pieces, with ETag and byte ranges (RFC 9110, sections 8.8.3 and 14)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO, Final
from urllib.parse import quote

from fastapi import Response
from fastapi.responses import StreamingResponse

from enhancer.storage.base import ObjectStore

PIECE: Final = 1 << 18

_RANGE: Final = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")


@dataclass(frozen=True, slots=True)
class Served:
    """What is served.

    Attributes:
        key: of the object.
        size: bytes.
        etag: of exactly these bytes, without quotes.
        media_type: of the object.
        file_name: under which a browser saves it.
    """

    key: str
    size: int
    etag: str
    media_type: str
    file_name: str


def served(store: ObjectStore, what: Served, headers: Mapping[str, str]) -> Response:
    """The object, a part of it, or word that the caller has it already.

    Raises:
        ObjectGoneError: it is not there any more.
    """
    etag = f'"{what.etag}"'
    own = {
        "ETag": etag,
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",
        "Content-Disposition": content_disposition(what.file_name),
    }
    if _matches(headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=own)
    wanted = headers.get("range")
    if wanted is not None and headers.get("if-range", etag) != etag:
        wanted = None  # it has another version's beginning
    part = None if wanted is None else byte_range(wanted, what.size)
    if part == (0, 0):
        return Response(status_code=416, headers={**own, "Content-Range": f"bytes */{what.size}"})
    start, end = part or (0, what.size)
    if part is not None:
        own["Content-Range"] = f"bytes {start}-{end - 1}/{what.size}"
    own["Content-Length"] = str(end - start)
    stream = store.open(what.key)
    return StreamingResponse(_pieces(stream, start, end), 200 if part is None else 206, own, media_type=what.media_type)


def content_disposition(file_name: str) -> str:
    """The header that names a file for a browser to save (RFC 6266).

    >>> content_disposition("a b.png")
    "inline; filename*=UTF-8''a%20b.png"
    """
    return f"inline; filename*=UTF-8''{quote(file_name, safe='')}"


def byte_range(text: str, size: int) -> tuple[int, int] | None:
    """What a Range header asks for as the first byte and the one after the last; (0, 0) where there is nothing of it;
    None for what is to be ignored: several ranges, other units, nonsense.

    >>> byte_range("bytes=0-4", 10), byte_range("bytes=-3", 10), byte_range("bytes=20-", 10), byte_range("bytes=5-2", 9)
    ((0, 5), (7, 10), (0, 0), None)
    """
    found = _RANGE.fullmatch(text.strip())
    if found is None or found[0] == "bytes=-":
        return None
    if not found[1]:
        length = min(int(found[2]), size)
        return (size - length, size) if length else (0, 0)
    start = int(found[1])
    if found[2] and int(found[2]) < start:
        return None
    end = min(int(found[2]) + 1, size) if found[2] else size
    return (start, end) if start < size else (0, 0)


def _matches(header: str | None, etag: str) -> bool:
    """Whether a caller has this version (weak comparison)."""
    if header is None:
        return False
    return header.strip() == "*" or etag in {one.strip().removeprefix("W/") for one in header.split(",")}


def _pieces(stream: BinaryIO, start: int, end: int) -> Iterator[bytes]:
    with stream:
        if start and stream.seekable():
            stream.seek(start)
        else:
            left = start
            while left and (read := stream.read(min(PIECE, left))):
                left -= len(read)
        left = end - start
        while left and (read := stream.read(min(PIECE, left))):
            left -= len(read)
            yield read
