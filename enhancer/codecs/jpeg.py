"""What a JPEG stream says of itself before it is decoded."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Final

import numpy as np

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
