"""What a page shows of a picture: one archive a picture under work_url, made in a worker, read by ranges.

The archive is a ZIP file whose entries are stored, not deflated, so that each is a range of the object's bytes:
``before.jpg`` and ``after.jpg``, thumbnails in display colours; ``about.json`` (:class:`About`); and for a side whose
file no browser shows, a pyramid of tiles, ``before/REGION/SIZE/0/default.jpg``: a level-0 image of the IIIF Image API 3
but for its info.json, whose identifier depends on who serves it.

Whoever reads an archive decodes no picture.
"""

from __future__ import annotations

import io
import json
import re
import struct
import zipfile
from collections import OrderedDict
from dataclasses import dataclass, field
from threading import Lock
from typing import Any, Final, Literal, get_args

from enhancer.errors import ObjectGoneError, PictureError
from enhancer.storage import read_range
from enhancer.storage.base import ObjectStore

Side = Literal["before", "after"]
SIDES: Final[tuple[Side, ...]] = get_args(Side)

ABOUT: Final = "about.json"
TILE: Final = 512
"""Pixels of a tile's side."""

MAX_ENTRY_BYTES: Final = 4 * 2**20
"""Of one thumbnail or tile; a JPEG of 512 x 512 pixels has less than one."""
_MAX_INDEX_BYTES = 32 * 2**20
_TAIL_BYTES = 64 * 2**10
_LOCAL_HEADER = struct.Struct("<4s22x2H")  # APPNOTE 4.3.7: signature, lengths of name and extra field
_TILE_NAME = re.compile(r"(full|\d{1,7},\d{1,7},\d{1,7},\d{1,7})/(max|\d{1,7},\d{1,7})/0/default\.jpg")


def thumbnail_name(side: Side) -> str:
    """The entry with a side's thumbnail."""
    return f"{side}.jpg"


def tile_name(side: Side, tile: str) -> str | None:
    """The entry of a tile, by the end of its IIIF address (``0,0,512,512/512,512/0/default.jpg``); None: it is none."""
    return f"{side}/{tile}" if _TILE_NAME.fullmatch(tile) else None


@dataclass(frozen=True, slots=True)
class SideAbout:
    """What is known of one side.

    Attributes:
        width: of the whole picture, in pixels.
        height: likewise.
        factors: scale factors of its pyramid; empty: it has none.
        histogram: pixels by brightness, 64 equal bins from black to white, of each channel (red, green, blue or grey),
            as shares of the highest bin in thousandths.
        note: what was done to show it, for people; empty: nothing.
    """

    width: int
    height: int
    factors: tuple[int, ...] = ()
    histogram: tuple[tuple[int, ...], ...] = ()
    note: str = ""

    def as_iiif(self, identifier: str) -> dict[str, Any] | None:
        """The pyramid's ``info.json`` (IIIF Image API 3.0, 5), served at `identifier`; None without a pyramid."""
        if not self.factors:
            return None
        return {
            "@context": "http://iiif.io/api/image/3/context.json",
            "id": identifier,
            "type": "ImageService3",
            "protocol": "http://iiif.io/api/image",
            "profile": "level0",
            "width": self.width,
            "height": self.height,
            "tiles": [{"width": TILE, "height": TILE, "scaleFactors": list(self.factors)}],
        }


@dataclass(frozen=True, slots=True)
class About:
    """What ``about.json`` says: the sides that there are thumbnails of."""

    sides: dict[Side, SideAbout] = field(default_factory=dict)

    def to_json(self) -> bytes:
        """As the entry's bytes."""
        return json.dumps(
            {
                name: {
                    "width": side.width,
                    "height": side.height,
                    "factors": side.factors,
                    "histogram": side.histogram,
                    "note": side.note,
                }
                for name, side in self.sides.items()
            }
        ).encode()

    @classmethod
    def from_json(cls, data: bytes) -> About:
        """The inverse.

        Raises:
            ValueError: it is none.
        """
        try:
            found = json.loads(data)
            return cls({name: _side_about(found[name]) for name in SIDES if name in found})
        except (AttributeError, KeyError, TypeError) as error:
            raise ValueError(f"not what {ABOUT} has in it: {error!r}") from error


def _side_about(found: dict[str, Any]) -> SideAbout:
    return SideAbout(
        int(found["width"]),
        int(found["height"]),
        tuple(int(factor) for factor in found["factors"]),
        tuple(tuple(int(count) for count in channel) for channel in found["histogram"]),
        str(found["note"]),
    )


@dataclass(frozen=True, slots=True)
class _Index:
    """Where an archive's entries lie, and its last bytes."""

    size: int
    etag: str
    places: dict[str, tuple[int, int]]
    tail: bytes


class ViewArchives:
    """The archives of one deployment, with the last few indexes kept. Safe to use from several threads.

    Args:
        kept: indexes in memory.
    """

    def __init__(self, kept: int = 128) -> None:
        self._kept = kept
        self._indexes: OrderedDict[str, _Index] = OrderedDict()
        self._lock = Lock()

    def read(self, store: ObjectStore, key: str, name: str) -> tuple[bytes, str] | None:
        """An entry's bytes and a tag that changes with the archive; None where there is no archive or no such entry.

        Raises:
            PictureError: what lies there is no such archive.
            StorageError: the store cannot be read.
        """
        try:
            index = self._index(store, key)
            if index is None or name not in index.places:
                return None
            start, size = index.places[name]
            ahead = _LOCAL_HEADER.size + len(name.encode()) + 64
            data = self._part(store, key, index, start, size + ahead)
        except ObjectGoneError:  # swept in between
            return None
        signature, length, extra = _LOCAL_HEADER.unpack_from(data) if len(data) >= _LOCAL_HEADER.size else (b"", 0, 0)
        begin = _LOCAL_HEADER.size + length + extra
        if signature != b"PK\3\4" or len(data) < begin + size:
            raise _damaged(store, key, "an entry is not where the index says")
        return data[begin : begin + size], f"{index.etag}-{start}"

    def about(self, store: ObjectStore, key: str) -> About:
        """What there is to show; nothing where there is no archive.

        Raises:
            PictureError: what lies there is no such archive.
            StorageError: the store cannot be read.
        """
        found = self.read(store, key, ABOUT)
        if found is None:
            return About()
        try:
            return About.from_json(found[0])
        except ValueError as error:
            raise _damaged(store, key, str(error)) from error

    def _index(self, store: ObjectStore, key: str) -> _Index | None:
        info, address = store.head(key), store.address(key)
        if info is None:
            return None
        with self._lock:
            known = self._indexes.get(address)
            if known is not None and known.etag == info.etag:
                self._indexes.move_to_end(address)
                return known
        index = self._read_index(store, key, info.size, info.etag)
        with self._lock:
            self._indexes[address] = index
            while len(self._indexes) > self._kept:
                self._indexes.popitem(last=False)
        return index

    @staticmethod
    def _read_index(store: ObjectStore, key: str, size: int, etag: str) -> _Index:
        tail = read_range(store, key, max(0, size - _TAIL_BYTES), _TAIL_BYTES)
        wanted = _index_bytes(tail)
        if wanted > _MAX_INDEX_BYTES:
            raise _damaged(store, key, f"its index has {wanted} bytes")
        end = tail if wanted <= len(tail) else read_range(store, key, max(0, size - wanted), wanted)
        try:
            with zipfile.ZipFile(_Tail(end, size)) as archive:
                entries = archive.infolist()
        except (zipfile.BadZipFile, ValueError, NotImplementedError, OSError) as error:
            raise _damaged(store, key, str(error)) from error
        if any(not 0 <= entry.header_offset < size for entry in entries):
            raise _damaged(store, key, "its index points outside it")
        places = {
            entry.filename: (entry.header_offset, entry.file_size)
            for entry in entries
            if entry.compress_type == zipfile.ZIP_STORED and entry.file_size <= MAX_ENTRY_BYTES
        }
        return _Index(size, etag, places, tail)

    @staticmethod
    def _part(store: ObjectStore, key: str, index: _Index, start: int, size: int) -> bytes:
        held = index.size - len(index.tail)
        if start >= held:
            return index.tail[start - held : start - held + size]
        return read_range(store, key, start, size)


class _Tail(io.RawIOBase):
    """The end of a file as the whole of it, for a reader that reads nothing else; what is before is not there."""

    def __init__(self, end: bytes, size: int) -> None:
        self._end, self._size, self._at = end, size, 0

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        at = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._size}[whence]
        if at < 0:
            raise OSError("before the beginning")
        self._at = at
        return at

    def read(self, size: int = -1) -> bytes:
        begin = self._at - (self._size - len(self._end))
        if begin < 0:
            raise OSError("the index is larger than it says")
        data = self._end[begin:] if size < 0 else self._end[begin : begin + size]
        self._at += len(data)
        return data


def _index_bytes(tail: bytes) -> int:
    """Bytes from the beginning of a ZIP file's index to its end, by its last record (APPNOTE 4.3.16)."""
    at = tail.rfind(b"PK\5\6")
    if at < 0 or len(tail) - at < 22:
        return 0  # no ZIP file, which the reader says
    size, _ = struct.unpack_from("<2I", tail, at + 12)
    return int(size) + len(tail) - at + 76  # records of ZIP64 between the two, where there are any


def _damaged(store: ObjectStore, key: str, why: str) -> PictureError:
    return PictureError(
        f"{store.address(key)} should hold what this page shows of a picture, and is damaged ({why}). Delete it: the "
        "picture's other views remain"
    )
