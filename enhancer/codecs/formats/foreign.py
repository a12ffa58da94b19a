"""Pictures that are recognised and not read: the error can say what the file is."""

from __future__ import annotations

from typing import Final

_FOREIGN: Final = (
    (b"\0\0\0\x0cJXL ", "JPEG XL"),
    (b"\xff\x0a", "JPEG XL"),
    (b"8BPS", "Photoshop"),
    (b"%!PS", "PostScript"),
    (b"\xc5\xd0\xd3\xc6", "PostScript"),
    (b"%PDF", "PDF"),
    (b"\0\0\1\0", "Windows icon"),
    (b"icns", "Apple icon"),
    (b"v/1\x01", "OpenEXR"),
    (b"DDS ", "DirectDraw surface"),
    (b"BLP", "Blizzard texture"),
    (b"\x01\xda", "SGI"),
    (b"IIRO", "camera raw (Olympus ORF)"),
    (b"IIRS", "camera raw (Olympus ORF)"),
    (b"MMOR", "camera raw (Olympus ORF)"),
    (b"IIU\0", "camera raw (Panasonic RW2)"),
    (b"FUJIFILMCCD-RAW", "camera raw (Fujifilm RAF)"),
    (b"FOVb", "camera raw (Sigma X3F)"),
    (b"\0MRM", "camera raw (Minolta MRW)"),
)


def foreign_format(data: bytes) -> str | None:
    """The name of a picture format that is recognised but not read, or None."""
    for signature, name in _FOREIGN:
        if data.startswith(signature):
            return name
    return "camera raw (Canon CR3)" if data[4:12] == b"ftypcrx " else None
