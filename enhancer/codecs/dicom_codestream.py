"""The JPEG 2000, JPEG-LS and JPEG frames of a DICOM file, checked before pydicom and the decoders see them.

pydicom 3.0 follows the boxes of a JP2 header (which PS3.5, A.4.4, does not allow in DICOM, and which files have all the
same) without asking whether they advance: a box of length 0 is an endless loop. The walks here end: each step goes
forward, and none goes beyond the frame. A decoder may make room for as many pixels as the frame's own header states
before it finds that there is no data for them, so the header has to state what the data set states, which
:class:`enhancer.codecs.limits.Limits` were held against.
"""

from __future__ import annotations

import struct
from typing import Any, Final

from pydicom.encaps import get_frame
from pydicom.pixels.utils import as_pixel_options
from pydicom.uid import JPEG2000TransferSyntaxes, JPEGLSTransferSyntaxes, JPEGTransferSyntaxes

from enhancer.errors import PictureError

_JP2: Final = b"\0\0\0\x0cjP  "
_SOC_SIZ: Final = b"\xff\x4f\xff\x51"
_SOT: Final = 0xFF90
_SIZ_LENGTH: Final = 38
"""Bytes of a SIZ segment without its components and its marker (ISO/IEC 15444-1, A.5.1)."""
_MAX_TILES: Final = 65_535
"""ISO/IEC 15444-1, A.4.2: tile indices have 16 bits."""
_STARTS_OF_FRAME: Final = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}
"""SOF0 to SOF15 of JPEG (ISO/IEC 10918-1, B.1.1.3) and SOF55 of JPEG-LS."""
_WITHOUT_LENGTH: Final = {0x00, 0x01, *range(0xD0, 0xD9)}
_SCAN_OR_END: Final = (0xDA, 0xD9)


def check_frame(dataset: Any, index: int, name: str) -> None:
    """Refuse JPEG 2000 with a malformed header, and JPEG and JPEG-LS of another size than the file states.

    Args:
        dataset: pydicom's data set, with ``PixelData``.
        index: the frame, from 0.
        name: what errors call the file.

    Raises:
        PictureError: ``corrupt`` where boxes or marker segments do not follow each other, or where the codestream is
            not of the size that the data set states; ``truncated`` where the frame ends within its header.
        Exception: what pydicom raises where the frame cannot be found.
    """
    syntax = dataset.file_meta.TransferSyntaxUID
    if syntax not in (*JPEG2000TransferSyntaxes, *JPEGLSTransferSyntaxes, *JPEGTransferSyntaxes):
        return
    options = as_pixel_options(dataset)
    offsets = options.get("extended_offsets")
    if offsets and len(offsets[0]) != len(offsets[1]):
        offsets = None  # as in pydicom, so that the frame checked is the frame decoded
    frame = get_frame(dataset.PixelData, index, number_of_frames=options["number_of_frames"], extended_offsets=offsets)
    name = f"{name}: frame {index + 1}"
    stated = (int(dataset.Columns), int(dataset.Rows))
    if syntax in JPEG2000TransferSyntaxes:
        start = _codestream(frame, name)
        _check_size(frame, start, stated, name)
        _check_main_header(frame, start, name)
        return
    size = _jpeg_size(frame)
    if size is not None and size != stated:
        raise _corrupt(f"JPEG {_of_another_size(size, stated)}", name)


def _jpeg_size(frame: bytes) -> tuple[int, int] | None:
    """Width and height of a JPEG or JPEG-LS, found as libjpeg finds them: past whatever is no marker, and past segments
    too short to hold their own length. None where they are not stated before the first scan.
    """
    position = frame.find(b"\xff")
    while 0 <= position < len(frame) - 8:
        marker = frame[position + 1]
        if marker in _SCAN_OR_END:
            return None
        if marker in _STARTS_OF_FRAME:
            height, width = struct.unpack_from(">HH", frame, position + 5)
            return (width, height) if height else None  # 0: it stands after the first scan (DNL)
        if marker == 0xFF:
            position += 1
        elif marker in _WITHOUT_LENGTH:
            position += 2
        else:
            position += 2 + max(struct.unpack_from(">H", frame, position + 2)[0], 2)
        position = frame.find(b"\xff", position)
    return None


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
            raise _corrupt(f"JPEG 2000 has a box of {length} bytes", name)
        position += length
    raise _truncated(name)


def _check_size(frame: bytes, start: int, stated: tuple[int, int], name: str) -> None:
    if frame[start : start + 4] != _SOC_SIZ:
        raise _corrupt("JPEG 2000 does not begin with its size", name)
    if len(frame) < start + 4 + _SIZ_LENGTH:
        raise _truncated(name)
    right, bottom, left, top, tile_width, tile_height = struct.unpack_from(">6I", frame, start + 8)
    size = (right - left, bottom - top)
    if size != stated:
        raise _corrupt(f"JPEG 2000 {_of_another_size(size, stated)}", name)
    if not tile_width or not tile_height or -(-right // tile_width) * -(-bottom // tile_height) > _MAX_TILES:
        raise _corrupt(f"JPEG 2000 has tiles of {tile_width} x {tile_height} pixels", name)


def _check_main_header(frame: bytes, start: int, name: str) -> None:
    """From SIZ, which stands first, to the first tile-part (A.3)."""
    position = start + 2
    while position + 4 <= len(frame):
        marker, length = struct.unpack_from(">HH", frame, position)
        if marker == _SOT:
            return
        if marker < 0xFF00 or length < 2:
            raise _corrupt(f"JPEG 2000 has a segment {marker:04x} of {length} bytes", name)
        position += 2 + length
    raise _truncated(name)


def _of_another_size(size: tuple[int, int], stated: tuple[int, int]) -> str:
    return f"is of {size[0]} x {size[1]} pixels where the file states {stated[0]} x {stated[1]}"


def _corrupt(what: str, name: str) -> PictureError:
    return PictureError(f"{name}: its {what}; export the file again", reason="corrupt")


def _truncated(name: str) -> PictureError:
    return PictureError(f"{name}: its JPEG 2000 ends within its header; fetch or export it again", reason="truncated")
