"""Camera raw files, most of which are TIFFs: recognised, so that their thumbnail is never taken for the picture."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from enhancer.codecs.exif import byte_order

_PHOTOMETRIC, _COMPRESSION, _MAKE, _SUB_IFDS, _DNG_VERSION = 262, 259, 271, 330, 50706
_CFA, _LINEAR_RAW = 32803, 34892
_RAW_COMPRESSIONS: Final = {34713: "NEF", 32767: "ARW", 32770: "SRW", 65000: "KDC", 65535: "PEF", 262: "KDC"}
_MAKERS: Final = {"NIKON": "NEF", "SONY": "ARW", "PENTAX": "PEF", "SAMSUNG": "SRW", "KODAK": "KDC", "HASSELBLAD": "3FR"}
_MAX_DIRECTORIES: Final = 32


def raw_kind(data: bytes) -> str | None:
    """What kind of camera raw a classic TIFF is (``DNG``, ``CR2``, ``NEF``, ..., or ``raw``), or None.

    Raw is what holds sensor data (a colour filter array or linear raw, TIFF/EP and DNG), states a DNG version, or is
    compressed as only cameras do; whatever else lies in the file.
    """
    order = byte_order(data)
    if order is None:
        return None
    if data[8:10] == b"CR":
        return "CR2"
    make = ""
    raw = None
    for directory in _directories(data, order):
        if _DNG_VERSION in directory:
            return "DNG"
        make = make or _text(data, order, directory.get(_MAKE))
        compression = _number(order, directory.get(_COMPRESSION))
        if _number(order, directory.get(_PHOTOMETRIC)) in (_CFA, _LINEAR_RAW):
            raw = raw or "raw"
        if compression in _RAW_COMPRESSIONS:
            raw = _RAW_COMPRESSIONS[compression]
    if raw != "raw":
        return raw
    return next((kind for maker, kind in _MAKERS.items() if make.upper().startswith(maker)), raw)


def _directories(data: bytes, order: str) -> Iterator[dict[int, bytes]]:
    """The 12-byte rows by tag of each directory: the chain and what SubIFDs point to."""
    waiting = [struct.unpack_from(order + "I", data, 4)[0]] if len(data) >= 8 else []
    seen: set[int] = set()
    while waiting and len(seen) < _MAX_DIRECTORIES:
        offset = waiting.pop(0)
        if offset in seen or not 8 <= offset <= len(data) - 2:
            continue
        seen.add(offset)
        count = struct.unpack_from(order + "H", data, offset)[0]
        end = offset + 2 + 12 * count
        if end > len(data):
            continue
        rows = (data[at : at + 12] for at in range(offset + 2, end, 12))
        directory = {struct.unpack_from(order + "H", row)[0]: row for row in rows}
        if end + 4 <= len(data):
            waiting.append(struct.unpack_from(order + "I", data, end)[0])
        waiting += _offsets(data, order, directory.get(_SUB_IFDS))
        yield directory


def _offsets(data: bytes, order: str, row: bytes | None) -> list[int]:
    if row is None:
        return []
    count, place = struct.unpack_from(order + "II", row, 4)
    if count == 1:
        return [place]
    count = min(count, _MAX_DIRECTORIES)
    return list(struct.unpack_from(f"{order}{count}I", data, place)) if place + 4 * count <= len(data) else []


def _number(order: str, row: bytes | None) -> int | None:
    """The single SHORT or LONG of a row."""
    if row is None:
        return None
    kind = struct.unpack_from(order + "H", row, 2)[0]
    return int(struct.unpack_from(order + ("H" if kind == 3 else "I"), row, 8)[0])


def _text(data: bytes, order: str, row: bytes | None) -> str:
    if row is None:
        return ""
    count, place = struct.unpack_from(order + "II", row, 4)
    raw = row[8 : 8 + count] if count <= 4 else data[place : place + min(count, 64)]
    return raw.split(b"\0")[0].decode("latin-1")
