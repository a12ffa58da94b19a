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
)


def foreign_format(data: bytes) -> str | None:
    """The name of a picture format that is recognised but not read, or None."""
    for signature, name in _FOREIGN:
        if data.startswith(signature):
            return name
    return None
