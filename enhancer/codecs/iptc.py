"""IPTC-IIM (IIM 4.2): found in Photoshop's image resources, put back there, private datasets left out."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

RESOURCE: Final = 0x0404
"""Photoshop's number for the IPTC-NAA record."""
HEADER: Final = b"Photoshop 3.0\0"
_MARK: Final = 0x1C
_EXTENDED: Final = 0x8000


def from_resources(resources: bytes) -> bytes | None:
    """The IPTC record of a block of image resources (Adobe Photoshop File Formats), or None.

    Raises:
        ValueError: the block is damaged before it.
    """
    position = len(HEADER) if resources.startswith(HEADER) else 0
    while position + 12 <= len(resources):
        mark, number, name = struct.unpack_from(">4sHB", resources, position)
        if mark != b"8BIM":
            raise ValueError("not an image resource")
        position += 6 + (name + 2) // 2 * 2
        if position + 4 > len(resources):
            break
        size = struct.unpack_from(">I", resources, position)[0]
        if position + 4 + size > len(resources):
            raise ValueError("an image resource is cut off")
        if number == RESOURCE:
            return resources[position + 4 : position + 4 + size] or None
        position += 4 + size + size % 2
    return None


def to_resources(record: bytes) -> bytes:
    """A block of image resources that holds the record alone, as JPEG's APP13 wants it."""
    padding = b"\0" * (len(record) % 2)
    return HEADER + struct.pack(">4sHHI", b"8BIM", RESOURCE, 0, len(record)) + record + padding


def without(record: bytes, private: frozenset[tuple[int, int]]) -> bytes:
    """The record without the datasets named by (record, dataset).

    Raises:
        ValueError: it is damaged, so that what it holds is not known.
    """
    return b"".join(whole for name, whole in _datasets(record) if name not in private)


def _datasets(record: bytes) -> Iterator[tuple[tuple[int, int], bytes]]:
    position = 0
    while position < len(record.rstrip(b"\0")):
        if position + 5 > len(record) or record[position] != _MARK:
            raise ValueError("not an IPTC dataset")
        number, dataset, size = struct.unpack_from(">BBH", record, position + 1)
        start = position + 5
        if size & _EXTENDED:
            length = size & ~_EXTENDED
            size = int.from_bytes(record[start : start + length], "big")
            start += length
        if start + size > len(record):
            raise ValueError("an IPTC dataset is cut off")
        yield (number, dataset), record[position : start + size]
        position = start + size
