"""The JPEG 2000 frames of a DICOM file, checked before pydicom sees them.

pydicom 3.0 follows the boxes of a JP2 header (which PS3.5, A.4.4, does not allow in DICOM, and which files have all the
same) without asking whether they advance: a box of length 0 is an endless loop. The walks here end: each step goes
forward, and none goes beyond the frame.
"""

from __future__ import annotations

import struct
from typing import Any, Final

from pydicom.encaps import get_frame
from pydicom.pixels.utils import as_pixel_options
from pydicom.uid import JPEG2000TransferSyntaxes

from enhancer.errors import PictureError

_JP2: Final = b"\0\0\0\x0cjP  "
_SOC_SIZ: Final = b"\xff\x4f\xff\x51"
_SOT: Final = 0xFF90
_SIZ_LENGTH: Final = 38
"""Bytes of a SIZ segment without its components and its marker (ISO/IEC 15444-1, A.5.1)."""
_MAX_TILES: Final = 65_535
"""ISO/IEC 15444-1, A.4.2: tile indices have 16 bits."""


def check_frame(dataset: Any, index: int, name: str) -> None:
    """Refuse a JPEG 2000 frame with a malformed header; frames in other encodings pass.

    Args:
        dataset: pydicom's data set, with ``PixelData``.
        index: the frame, from 0.
        name: what errors call the file.

    Raises:
        PictureError: ``corrupt`` where boxes or marker segments do not follow each other, or where the codestream is
            not of the size that the data set states; ``truncated`` where the frame ends within its header.
        Exception: what pydicom raises where the frame cannot be found.
    """
    if dataset.file_meta.TransferSyntaxUID not in JPEG2000TransferSyntaxes:
        return
    options = as_pixel_options(dataset)
    offsets = options.get("extended_offsets")
    if offsets and len(offsets[0]) != len(offsets[1]):
        offsets = None  # as in pydicom, so that the frame checked is the frame decoded
    frame = get_frame(dataset.PixelData, index, number_of_frames=options["number_of_frames"], extended_offsets=offsets)
    name = f"{name}: frame {index + 1}"
    start = _codestream(frame, name)
    _check_size(frame, start, (int(dataset.Columns), int(dataset.Rows)), name)
    _check_main_header(frame, start, name)


def _codestream(frame: bytes, name: str) -> int:
    """The offset of the codestream: 0, or the contents of the first ``jp2c`` box of a JP2 file (I.4)."""
    if not frame.startswith(_JP2):
        return 0
    position = len(_JP2) + 4
    while position + 8 <= len(frame):
        length, kind = struct.unpack_from(">I4s", frame, position)
        if kind == b"jp2c":
            return position + 8
        if length < 8:  # 0 (to the end) and 1 (64 bits) are for large contents, which stand in no box before jp2c
            raise _corrupt(f"has a box of {length} bytes", name)
        position += length
    raise _truncated(name)


def _check_size(frame: bytes, start: int, stated: tuple[int, int], name: str) -> None:
    if frame[start : start + 4] != _SOC_SIZ:
        raise _corrupt("does not begin with its size", name)
    if len(frame) < start + 4 + _SIZ_LENGTH:
        raise _truncated(name)
    right, bottom, left, top, tile_width, tile_height = struct.unpack_from(">6I", frame, start + 8)
    size = (right - left, bottom - top)
    if size != stated:
        raise _corrupt(f"is of {size[0]} x {size[1]} pixels where the file states {stated[0]} x {stated[1]}", name)
    if not tile_width or not tile_height or -(-right // tile_width) * -(-bottom // tile_height) > _MAX_TILES:
        raise _corrupt(f"has tiles of {tile_width} x {tile_height} pixels", name)


def _check_main_header(frame: bytes, start: int, name: str) -> None:
    """From SIZ, which stands first, to the first tile-part (A.3)."""
    position = start + 2
    while position + 4 <= len(frame):
        marker, length = struct.unpack_from(">HH", frame, position)
        if marker == _SOT:
            return
        if marker < 0xFF00 or length < 2:
            raise _corrupt(f"has a segment {marker:04x} of {length} bytes", name)
        position += 2 + length
    raise _truncated(name)


def _corrupt(what: str, name: str) -> PictureError:
    return PictureError(f"{name}: its JPEG 2000 {what}; export the file again", reason="corrupt")


def _truncated(name: str) -> PictureError:
    return PictureError(f"{name}: its JPEG 2000 ends within its header; fetch or export it again", reason="truncated")
