"""GIF by Pillow, read only: the first frame of an animation, with a warning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from enhancer.codecs.formats.spec import FormatSpec

if TYPE_CHECKING:
    from enhancer.codecs.limits import Limits
    from enhancer.codecs.raster import Found


def _read(data: bytes, name: str, limits: Limits) -> list[Found]:
    from PIL.GifImagePlugin import GifImageFile

    from enhancer.codecs.pillow_pictures import read_picture

    return read_picture(GifImageFile, data, name, limits)


SPEC: Final = FormatSpec(
    name="GIF",
    title="GIF",
    recognises=lambda data: data.startswith((b"GIF87a", b"GIF89a")),
    read=_read,
    reads="palettes; of an animation the first frame",
)
