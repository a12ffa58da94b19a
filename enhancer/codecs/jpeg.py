"""What a JPEG stream says of itself before it is decoded, and metadata put into one that an encoder made."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

import numpy as np

from enhancer.codecs.exif import PREFIX
from enhancer.codecs.iptc import to_resources

MAX_SEGMENT: Final = 65_533
"""Bytes that one segment holds behind its length (ITU-T T.81 B.1.1.4)."""
_XMP_PREFIX: Final = b"http://ns.adobe.com/xap/1.0/\0"
_ICC_PREFIX: Final = b"ICC_PROFILE\0"
_SOI_AND_JFIF: Final = 20

_LUMINANCE: Final = np.array(
    [
        [16, 11, 10, 16, 24, 40, 51, 61],
        [12, 12, 14, 19, 26, 58, 60, 55],
        [14, 13, 16, 24, 40, 57, 69, 56],
        [14, 17, 22, 29, 51, 87, 80, 62],
        [18, 22, 37, 56, 68, 109, 103, 77],
        [24, 35, 55, 64, 81, 104, 113, 92],
        [49, 64, 78, 87, 103, 121, 120, 101],
        [72, 92, 95, 98, 112, 100, 103, 99],
    ]
).ravel()
"""The luminance table of ITU-T T.81 annex K.1, row by row."""


def _tables_by_quality() -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    """The table of libjpeg for each quality 1 to 100 (``jpeg_quality_scaling``, ``jpeg_add_quant_table``): 100 x 64."""
    quality = np.arange(1, 101)
    scale = np.where(quality < 50, 5000 // quality, 200 - 2 * quality)
    tables: np.ndarray[tuple[int, int], np.dtype[np.int64]] = np.clip(
        (_LUMINANCE[None] * scale[:, None] + 50) // 100, 1, 255
    )
    return tables


_BY_QUALITY: Final = _tables_by_quality()


def estimate_quality(luminance: Sequence[int]) -> int | None:
    """The libjpeg quality (1 to 100) whose luminance table is nearest to this one, by summed distance of logarithms.

    Args:
        luminance: 64 entries, row by row. Tables of other encoders (Photoshop, cameras) get the nearest equivalent.
    """
    table = np.asarray(luminance)
    if table.size != 64 or table.min() < 1:
        return None
    distance = np.abs(np.log(_BY_QUALITY) - np.log(table)).sum(axis=1)
    return int(distance.argmin()) + 1


def luminance_table(quality: int) -> np.ndarray[tuple[int, int], np.dtype[np.int64]]:
    """Libjpeg's luminance table for a quality of 1 to 100: 8 x 8, row by row from the lowest frequency."""
    return np.asarray(_BY_QUALITY[quality - 1], np.int64).reshape(8, 8)


def mean_step(quality: int) -> float:
    """How coarse libjpeg's luminance table for a quality of 1 to 100 is: the mean of its steps over 255, in (0, 1]."""
    return float(luminance_table(quality).mean() / 255)


def frame_size(stream: bytes) -> tuple[int, int] | None:
    """(width, height) of the first frame header (SOF, ITU-T T.81 B.2.2) of a JPEG stream; None where there is none."""
    position = 2
    while position + 9 <= len(stream) and stream[position] == 0xFF:
        marker = stream[position + 1]
        if marker == 0xFF:
            position += 1
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            height, width = struct.unpack_from(">HH", stream, position + 5)
            return int(width), int(height)
        position += 2 + int(struct.unpack_from(">H", stream, position + 2)[0])
    return None


def insert_metadata(
    bare: bytes,
    *,
    icc: bytes | None = None,
    exif: bytes | None = None,
    xmp: bytes | None = None,
    iptc: bytes | None = None,
    dpi: tuple[float, float] | None = None,
    warnings: list[str],
) -> bytes:
    """`bare` (a JFIF stream from an encoder) with metadata segments behind its JFIF header.

    EXIF and XMP go into APP1, IPTC into APP13, the profile into as many APP2 as it needs (ICC.1:2022, B.4). What does
    not fit into its segment is left out, which `warnings` then says.
    """
    if bare[:4] != b"\xff\xd8\xff\xe0" or bare[6:11] != b"JFIF\0":
        raise ValueError("the encoder wrote no JFIF header")
    header = bytearray(bare[:_SOI_AND_JFIF])
    if dpi is not None:
        x, y = (min(max(round(value), 1), 65_535) for value in dpi)
        struct.pack_into(">BHH", header, 13, 1, x, y)
    segments = []
    for name, marker, block in (
        ("EXIF", 0xE1, PREFIX + exif if exif is not None else None),
        ("XMP", 0xE1, _XMP_PREFIX + xmp if xmp is not None else None),
        ("IPTC", 0xED, to_resources(iptc) if iptc is not None else None),
    ):
        if block is not None and len(block) > MAX_SEGMENT:
            warnings.append(f"{name} of {len(block)} bytes does not fit into a JPEG and was left out")
        elif block is not None:
            segments.append(_segment(marker, block))
    if icc is not None:
        step = MAX_SEGMENT - len(_ICC_PREFIX) - 2
        parts = [icc[start : start + step] for start in range(0, len(icc), step)]
        if len(parts) > 255:
            warnings.append(f"a profile of {len(icc)} bytes does not fit into a JPEG and was left out")
            parts = []
        segments += [
            _segment(0xE2, _ICC_PREFIX + bytes([number, len(parts)]) + part)
            for number, part in enumerate(parts, start=1)
        ]
    return bytes(header) + b"".join(segments) + bare[_SOI_AND_JFIF:]


def _segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body
