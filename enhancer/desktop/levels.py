"""Pictures for the screen: 8-bit RGB in several sizes, in files that the window maps into its memory and paints from.

So a picture of 100 megapixels can be looked at: the window reads the rows that it shows, of the size that it shows.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from enhancer.image import Document, Image, from_unit, to_unit

if TYPE_CHECKING:
    from enhancer.processing import ImageEnhancer
    from enhancer.recipe import Recipe

STRIP: Final = 256
"""Rows converted at once."""

SMALLEST: Final = 512
"""No further level is made once the longer side is no longer than this."""

MARGIN: Final = 16
"""Pixels around a crop that nets see and nobody else does."""


def write_levels(image: Image, folder: Path, name: str) -> list[dict[str, Any]]:
    """Write a picture and its halves, quarters, ... as raw rows.

    Args:
        image: transparency is shown on white.
        folder: exists.
        name: of the files, without extension.

    Returns:
        Of each level, the largest first: ``file``, ``width`` and ``height``.
    """
    import cv2

    levels = []
    path = folder / f"{name}.0.rgb"
    shape = (image.height, image.width, 3)
    pixels: NDArray[np.uint8] = np.memmap(path, np.uint8, "w+", shape=shape)
    for top in range(0, image.height, STRIP):
        pixels[top : top + STRIP] = _shown(image, slice(top, top + STRIP))
    levels.append({"file": str(path), "width": shape[1], "height": shape[0]})
    while max(pixels.shape[:2]) > SMALLEST:
        half = (max(1, pixels.shape[1] // 2), max(1, pixels.shape[0] // 2))
        pixels = cv2.resize(np.asarray(pixels), half, interpolation=cv2.INTER_AREA).astype(np.uint8)
        path = folder / f"{name}.{len(levels)}.rgb"
        path.write_bytes(pixels.tobytes())
        levels.append({"file": str(path), "width": half[0], "height": half[1]})
    return levels


def _shown(image: Image, rows: slice) -> NDArray[Any]:
    """Rows as 8-bit RGB."""
    part = image.pixels[rows]
    if part.dtype != np.uint8 or image.alpha is not None:
        values = to_unit(part, image.metadata.float_range)
        if image.alpha is not None:
            alpha = to_unit(image.alpha[rows])[..., None]
            values = values * alpha + (1 - alpha)
        part = from_unit(values, np.dtype(np.uint8))
    return np.broadcast_to(part, (*part.shape[:2], 3))


def enhanced_crop(
    enhancer: ImageEnhancer, recipe: Recipe, image: Image, box: list[int]
) -> tuple[Image, list[dict[str, Any]]]:
    """A crop of a picture as the recipe would make it, and what was decided.

    Args:
        enhancer: whose nets are used.
        recipe: what to do.
        image: the whole picture.
        box: left, top, width and height of the crop in the picture's pixels; inside it.

    Returns:
        The crop, ``round(scale * side)`` on each side, and the decisions as records have them.
    """
    left, top, width, height = box
    x0, y0 = max(0, left - MARGIN), max(0, top - MARGIN)
    x1, y1 = min(image.width, left + width + MARGIN), min(image.height, top + height + MARGIN)
    part: Any = np.ascontiguousarray(image.pixels[y0:y1, x0:x1])
    shown: Any = None if image.alpha is None else np.ascontiguousarray(image.alpha[y0:y1, x0:x1])
    made = enhancer.enhance_document(Document((image.with_pixels(part, shown),)), recipe)
    result = made.document.first
    scale = result.width / (x1 - x0)
    a, b = round((left - x0) * scale), round((top - y0) * scale)
    w, h = round(width * scale), round(height * scale)
    cut = (slice(b, b + h), slice(a, a + w))
    alpha = None if result.alpha is None else result.alpha[cut]
    inner = result.with_pixels(result.pixels[cut], alpha)
    return inner, [decision.model_dump(mode="json") for decision in made.decisions]
