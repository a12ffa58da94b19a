"""Pictures that Pillow decodes and encodes, in the terms of this package: 8 bits, grey or RGB, alpha apart.

Pillow's plugins are called by class, so that no other format can be reached and Pillow's process-wide pixel limit plays
no part.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageFile

from enhancer.codecs.colour import cmyk_to_rgb
from enhancer.codecs.limits import Limits
from enhancer.codecs.raster import Found, interleaved, split
from enhancer.image import Image


def read_picture(
    plugin: Callable[[io.BytesIO], ImageFile.ImageFile], data: bytes, name: str, limits: Limits
) -> list[Found]:
    """The first picture of a file, by one of Pillow's plugins.

    Raises:
        PictureError: limits.
        Exception: what Pillow raises on damaged data.
    """
    image = plugin(io.BytesIO(data))
    limits.check_size(*image.size, name)
    return [from_pillow(image)]


def from_pillow(image: ImageFile.ImageFile) -> Found:
    """Pixels, alpha and metadata of a Pillow image of 8 bits, decoded now.

    Raises:
        Exception: what Pillow raises on damaged data.
    """
    mode = image.mode
    warnings = []
    if getattr(image, "is_animated", False):
        warnings.append("an animation: only its first frame was read")
    image.load()
    info = image.info
    icc = info.get("icc_profile")
    if image.mode == "CMYK":
        rgb, icc, warning = cmyk_to_rgb(np.asarray(image), icc)
        found = split(rgb)
        warnings += [warning] if warning else []
    else:
        found = split(np.asarray(_plain(image)))
    found.mode = mode
    found.bit_depth = 1 if mode == "1" else 8
    found.icc, found.exif, found.xmp = icc, _bytes(info.get("exif")), _bytes(info.get("xmp"))
    found.dpi = info.get("dpi")
    found.warnings = warnings
    return found


def _plain(image: PillowImage.Image) -> PillowImage.Image:
    """The same picture in mode L, LA, RGB or RGBA."""
    transparent = "transparency" in image.info or image.mode in ("PA", "La", "RGBa")
    if image.mode in ("LA", "RGBA") or (image.mode in ("L", "RGB") and not transparent):
        return image
    if image.mode in ("1", "L", "La"):
        return image.convert("LA" if transparent else "L")
    if image.mode in ("P", "PA", "RGB", "RGBa", "RGBX"):
        palette = image.palette if image.mode == "P" else None
        transparent = transparent or (palette is not None and palette.mode == "RGBA")
        return image.convert("RGBA" if transparent else "RGB")
    raise NotImplementedError(f"pixel mode {image.mode}")


def _bytes(value: Any) -> bytes | None:
    """Metadata as Pillow hands it over: bytes, sometimes text."""
    if isinstance(value, str):
        return value.encode()
    return value if isinstance(value, bytes) and value else None


def save(page: Image, format_name: str, **arguments: Any) -> bytes:
    """The page as a file by Pillow's writer of that format; arguments that are None are left out."""
    buffer = io.BytesIO()
    given = {key: value for key, value in arguments.items() if value is not None}
    PillowImage.fromarray(interleaved(page)).save(buffer, format_name, **given)
    return buffer.getvalue()
