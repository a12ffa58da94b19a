"""PPM in binary with 8 bits, as Netpbm defines it. Loads NumPy only when a file is read or written."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from enhancer.codecs import FormatSpec

if TYPE_CHECKING:
    from enhancer.codecs import Limits
    from enhancer.codecs.raster import Found
    from enhancer.image import Document
    from enhancer.options import OutputOptions

HEADER = re.compile(rb"P6\s+(\d+)\s+(\d+)\s+255\s")


def read(data: bytes, name: str, limits: Limits) -> list[Found]:
    """The one page of a file."""
    import numpy as np

    from enhancer.codecs.raster import split

    header = HEADER.match(data)
    if header is None:
        raise ValueError("the header is not that of a PPM with 8 bits")
    width, height = int(header[1]), int(header[2])
    limits.check_size(width, height, name)
    samples = np.frombuffer(data, np.uint8, count=3 * width * height, offset=header.end())
    return [split(samples.reshape(height, width, 3))]


def write(document: Document, options: OutputOptions, warnings: list[str]) -> bytes:
    """The file of a picture; a grey one gets three equal channels."""
    import numpy as np

    pixels = document.first.pixels
    colours = np.broadcast_to(pixels, (*pixels.shape[:2], 3))
    return b"P6\n%d %d\n255\n" % (pixels.shape[1], pixels.shape[0]) + colours.tobytes()


SPEC = FormatSpec(
    name="PPM",
    title="PPM",
    recognises=lambda data: data.startswith(b"P6"),
    read=read,
    write=write,
    content_type="image/x-portable-pixmap",
    extensions=(".ppm",),
    alpha=False,
)
