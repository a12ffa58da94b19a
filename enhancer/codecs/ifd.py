"""TIFF directories read into values and written elsewhere: how EXIF gets out of a TIFF file and into one.

In a TIFF file the EXIF directories lie among the picture's own, so they cannot be copied as one block. Entries are
carried as raw values in their own byte order; only offsets are made anew. A maker note that holds absolute offsets
loses its inner links that way (its bytes stay): the price of TIFF, which every tool pays.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from enhancer.codecs.exif import EXIF_IFD, INTEROP_IFD, ByteOrder

GPS_IFD: Final = 0x8825
POINTERS: Final = (EXIF_IFD, GPS_IFD, INTEROP_IFD)

DESCRIPTIVE_TAGS: Final = frozenset(
    {0x010E, 0x010F, 0x0110, 0x0131, 0x0132, 0x013B, 0x013C, 0x4746, 0x4749, 0x8298, *range(0x9C9B, 0x9CA0)}
)
"""First-directory tags that describe the picture rather than its storage: ImageDescription, Make, Model, Software,
DateTime, Artist, HostComputer, Rating, RatingPercent, Copyright, and the XP strings of Windows."""

_SIZES: Final = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4}


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry: `value` holds `count` items of TIFF type `kind`, raw, in the file's byte order."""

    kind: int
    count: int
    value: bytes


@dataclass(slots=True)
class Directory:
    """The entries of one directory by tag, and the directories that hang on its pointers."""

    entries: dict[int, Entry] = field(default_factory=dict)
    children: dict[int, Directory] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.entries.keys() | self.children.keys())

    def described(self) -> Directory:
        """Only what describes the picture: :data:`DESCRIPTIVE_TAGS` and the EXIF and GPS directories."""
        kept = {tag: entry for tag, entry in self.entries.items() if tag in DESCRIPTIVE_TAGS}
        return Directory(kept, dict(self.children))


def read_directory(data: bytes, order: ByteOrder, offset: int, *, depth: int = 0) -> Directory:
    """The directory at `offset` of a classic TIFF structure, with its EXIF, GPS and interoperability directories.

    Raises:
        ValueError: it, or a value of it, lies outside the data, or directories nest too deep.
    """
    if depth > 2:
        raise ValueError("directories nest too deep")
    if not 8 <= offset <= len(data) - 2:
        raise ValueError(f"a directory at offset {offset} lies outside the data")
    directory = Directory()
    count = struct.unpack_from(order + "H", data, offset)[0]
    if offset + 2 + 12 * count > len(data):
        raise ValueError(f"the directory at offset {offset} is cut off")
    for position in range(offset + 2, offset + 2 + 12 * count, 12):
        tag, kind, items = struct.unpack_from(order + "HHI", data, position)
        if tag in POINTERS:
            pointer = struct.unpack_from(order + "I", data, position + 8)[0]
            directory.children[tag] = read_directory(data, order, pointer, depth=depth + 1)
            continue
        size = _SIZES.get(kind, 0) * items
        start = position + 8 if size <= 4 else struct.unpack_from(order + "I", data, position + 8)[0]
        if start + size > len(data):
            raise ValueError(f"the value of tag {tag:#06x} lies outside the data")
        if size:
            directory.entries[tag] = Entry(kind, items, data[start : start + size])
    return directory


def write_directory(directory: Directory, order: ByteOrder, start: int) -> bytes:
    """The directory laid out for offset `start` (even), values and child directories after it."""
    count = len(directory)
    rows, tail = _rows(directory, order, start + 2 + 12 * count + 4)
    return struct.pack(order + "H", count) + b"".join(rows) + struct.pack(order + "I", 0) + tail


def exif_block(directory: Directory, order: ByteOrder) -> bytes:
    """A self-contained EXIF block (TIFF structure) of one directory."""
    mark = b"II*\0" if order == "<" else b"MM\0*"
    return mark + struct.pack(order + "I", 8) + write_directory(directory, order, 8)


def graft(tiff: bytes, order: ByteOrder, additions: Sequence[Directory]) -> bytes:
    """A classic TIFF whose pages have further entries: `additions` by page, an empty one for none.

    The directory of such a page is written anew at the end of the file, its rows as they were (their offsets stay true)
    among the new ones, and linked where the old one was; pixels are not touched.
    """
    patched = bytearray(tiff)
    link = 4
    for addition in additions:
        offset = struct.unpack_from(order + "I", patched, link)[0]
        count = struct.unpack_from(order + "H", patched, offset)[0]
        end = offset + 2 + 12 * count
        if not len(addition):
            link = end
            continue
        patched += b"\0" * (len(patched) % 2)
        start = len(patched)
        total = count + len(addition)
        rows, tail = _rows(addition, order, start + 2 + 12 * total + 4)
        rows += [bytes(patched[position : position + 12]) for position in range(offset + 2, end, 12)]
        rows.sort(key=lambda row: struct.unpack_from(order + "H", row)[0])
        patched += struct.pack(order + "H", total) + b"".join(rows) + patched[end : end + 4] + tail
        struct.pack_into(order + "I", patched, link, start)
        link = start + 2 + 12 * total
    return bytes(patched)


def _rows(directory: Directory, order: ByteOrder, tail_start: int) -> tuple[list[bytes], bytes]:
    """The directory's 12-byte rows by tag, and what they point to, laid out for offset `tail_start`."""
    rows = []
    tail = bytearray()
    for tag in sorted({*directory.entries, *directory.children}):
        if tag in directory.children:
            offset = tail_start + len(tail)
            tail += write_directory(directory.children[tag], order, offset)
            rows.append(struct.pack(order + "HHII", tag, 4, 1, offset))
            continue
        entry = directory.entries[tag]
        row = struct.pack(order + "HHI", tag, entry.kind, entry.count)
        if len(entry.value) <= 4:
            rows.append(row + entry.value.ljust(4, b"\0"))
        else:
            rows.append(row + struct.pack(order + "I", tail_start + len(tail)))
            tail += entry.value + b"\0" * (len(entry.value) % 2)
    return rows, bytes(tail)
