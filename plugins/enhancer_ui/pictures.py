"""Pictures for the page: which objects may be shown, and their bytes as they lie in the store.

Nothing is decoded here: inputs are untrusted, and the api-server is the wrong place for a decoder to meet them. The
browser decodes, in its sandbox. Only objects under the allowed addresses are opened; the ledger's rows say which.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from enhancer.batch.views import SIDES, Side
from enhancer.errors import ObjectGoneError, PictureError
from enhancer.ledger.rows import Item, Run
from enhancer.ledger.states import GOOD
from enhancer.reasons import Reason
from enhancer.settings import Settings
from enhancer.storage import open_store
from enhancer.storage.roots import ForeignAddressError, Roots

__all__ = ["SIDES", "Place", "Side", "View", "answer", "check_shown", "locate", "open_picture", "sniff", "view"]

MAX_BYTES: Final = 32 * 2**20
"""The largest object that the page shows; larger ones are for a viewer, not for a frame in the Airflow UI."""

MAX_PIXELS: Final = 50_000_000
"""Of a picture that browsers are left to show whole; a larger one has a pyramid, or its thumbnail alone."""

THUMBNAIL_BYTES: Final = 512 * 2**10
THUMBNAIL_PIXELS: Final = 2**20

_HEAD_BYTES = 64
_CHUNK_BYTES = 256 * 2**10
_STARTS: Final = {
    b"\xff\xd8\xff": "image/jpeg",
    b"\x89PNG\r\n\x1a\n": "image/png",
    b"GIF87a": "image/gif",
    b"GIF89a": "image/gif",
}
_BMP_HEADERS = frozenset({12, 40, 52, 56, 64, 108, 124})
_EXTENSIONS = frozenset({".jpg", ".jpeg", ".jpe", ".png", ".webp", ".avif", ".gif", ".bmp"})


def sniff(head: bytes) -> str | None:
    """The media type by the first bytes (64 are enough), for the types that browsers show; None for all else.

    Signatures: JPEG (ITU T.81), PNG (ISO 15948), GIF89a, WebP (RFC 9649), AVIF (AOM; ISO 14496-12), BITMAPFILEHEADER.
    """
    for start, media_type in _STARTS.items():
        if head.startswith(start):
            return media_type
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "image/webp"
    if head[4:8] == b"ftyp" and head[8:12] in (b"avif", b"avis"):
        return "image/avif"
    if head[:2] == b"BM" and len(head) >= 18 and struct.unpack_from("<I", head, 14)[0] in _BMP_HEADERS:
        return "image/bmp"
    return None


def check_shown(url: str, roots: Roots) -> None:
    """Raise :class:`ForeignAddressError` unless `url` is one of the roots or lies under one."""
    if not roots.allow(url):
        raise ForeignAddressError(
            f"Pictures under {url} are not shown here: it is not among the addresses that this page may read. "
            "An administrator can add it to ENHANCER_ALLOWED_ROOTS, in the environment of every component."
        )


@dataclass(frozen=True, slots=True)
class Place:
    """Where one side of an item lies. `note` says what is special about it."""

    url: str
    key: str
    note: str = ""

    @property
    def address(self) -> str:
        """The object's full address, for people."""
        return f"{self.url.rstrip('/')}/{self.key}"

    @property
    def displayable(self) -> bool:
        """Whether the name may be that of a type which browsers show; what counts at last is the content."""
        suffix = Path(self.key).suffix.lower()
        return not suffix or suffix in _EXTENSIONS


def locate(run: Run, item: Item, side: Side) -> Place | None:
    """Where the ledger says that this side lies; None where there is none (yet).

    The enhanced picture of an item that was not published is its staged object, as long as that is kept.
    """
    if side == "before":
        return Place(run.input_url, item.key)
    if item.state in GOOD:
        return Place(run.output_url, item.target_key) if item.target_key else None
    if item.staged_key:
        return Place(run.work_url, item.staged_key, "staged, not published")
    return None


@dataclass(frozen=True, slots=True)
class View:
    """What a page may show of one side.

    Attributes:
        place: where it lies; None where there is none.
        refusal: why the store is not read for it; None where it is.
        thumbnail: whether there may be one, by what the ledger knows; the route ``thumbnail`` answers 204 where there
            is none after all.
        small: whether the object itself may stand in for a thumbnail that was not made.
    """

    place: Place | None
    refusal: str | None
    thumbnail: bool
    small: bool = False

    @property
    def shown(self) -> bool:
        """Whether there may be a picture to show."""
        return self.place is not None and self.place.displayable and self.refusal is None


def view(run: Run, item: Item, side: Side, roots: Roots) -> View:
    """What the page may show of this side; opens nothing."""
    place = locate(run, item, side)
    if place is None:
        return View(None, None, thumbnail=False)
    try:
        check_shown(place.url, roots)
    except ForeignAddressError as error:
        return View(place, error.message, thumbnail=False)
    if item.stage in ("read", "decode"):  # what our decoder refused is no thumbnail for the browser either
        return View(place, None, thumbnail=False)
    pixels = (item.output_width or 0) * (item.output_height or 0) if side == "after" else 1
    small = item.size <= THUMBNAIL_BYTES and 0 < pixels <= THUMBNAIL_PIXELS
    return View(place, None, thumbnail=True, small=small and place.displayable)


@dataclass(frozen=True, slots=True)
class Picture:
    """An open object that a browser can show. Read its chunks, or close it."""

    content_type: str
    etag: str
    head: bytes
    stream: BinaryIO

    def chunks(self) -> Iterator[bytes]:
        """The bytes, at most MAX_BYTES of them: the object may have grown since it was looked at."""
        with self.stream:
            yield self.head
            left = MAX_BYTES - len(self.head)
            while left > 0 and (chunk := self.stream.read(min(_CHUNK_BYTES, left))):
                left -= len(chunk)
                yield chunk

    def close(self) -> None:
        """Give the object back unread."""
        self.stream.close()


def open_picture(place: Place, settings: Settings) -> Picture:
    """Open an object for streaming.

    Raises:
        ForeignAddressError: it lies outside the configured addresses.
        ObjectGoneError: there is nothing (any more).
        PictureError: ``too-many-bytes`` beyond MAX_BYTES, ``unsupported`` for what browsers do not show.
        StorageError: the store refuses the key or cannot be reached.
    """
    check_shown(place.url, Roots.of(settings))
    store = open_store(place.url, settings)
    info = store.head(place.key)
    if info is None:
        raise ObjectGoneError(f"{place.address} is not there (any more)")
    if info.size > MAX_BYTES:
        raise PictureError(
            f"{place.address} has {info.size / 2**20:.0f} MB, and this page shows up to {MAX_BYTES // 2**20}: "
            "fetch it from the store and open it in a viewer",
            reason=Reason.TOO_MANY_BYTES,
        )
    stream = store.open(place.key)
    try:
        head = stream.read(_HEAD_BYTES)
        content_type = _type_of(head, place)
    except BaseException:
        stream.close()
        raise
    return Picture(content_type, info.etag, head, stream)


def _type_of(head: bytes, place: Place) -> str:
    content_type = sniff(head)
    if content_type is None:
        raise PictureError(
            f"{place.address} is of a type that browsers do not show (they show JPEG, PNG, WebP, AVIF, GIF and BMP): "
            "fetch it from the store and open it in a viewer",
            reason=Reason.UNSUPPORTED,
        )
    return content_type


PRIVATE_PICTURE: Final = {
    # Should the bytes be something else after all, the browser runs nothing of it.
    "Content-Security-Policy": "default-src 'none'; sandbox",
    "Cache-Control": "private, no-cache",
}
"""Headers of whatever comes out of a store."""


def answer(request: Request, shown: Picture) -> Response:
    """The object's bytes as a response; 304 where the browser has them."""
    headers = {**PRIVATE_PICTURE, "ETag": f'"{shown.etag}"'}
    if request.headers.get("if-none-match") == headers["ETag"]:
        shown.close()
        return Response(status_code=304, headers=headers)
    return StreamingResponse(shown.chunks(), media_type=shown.content_type, headers=headers)
