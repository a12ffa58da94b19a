"""The privacy switch on a picture that is otherwise left alone: its file with other metadata, not encoded once more.

JPEG and WebP lose by being encoded again, and here they are not: the compressed picture is copied. PNG and TIFF are
encoded anew without loss, AVIF with it (its metadata is spread over an index that only an encoder writes).
"""

from __future__ import annotations

from enhancer.codecs.formats import formats
from enhancer.image import Metadata


def without_private(data: bytes, metadata: Metadata, warnings: list[str]) -> bytes | None:
    """The file without what :mod:`enhancer.codecs.private` lists, the compressed picture bit by bit as it was.

    Comments, thumbnails, previews and unknown parts go too: what they hold is not known.

    Args:
        data: a file that was decoded without error.
        metadata: of the picture in it.
        warnings: gets the blocks that had to go whole.

    Returns:
        None where that cannot be done: another format, a stream that only a lenient decoder reads, an animation, or a
        turned picture of which no readable metadata would say so any more.
    """
    way = next((spec.strip_private for spec in formats() if spec.name == metadata.format), None)
    said: list[str] = []
    try:
        result = way(data, metadata, said) if way is not None else None
    except ValueError:
        return None
    if result is not None:
        warnings += said
    return result
