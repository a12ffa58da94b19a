"""Pictures as a screen shows them: 8 bits, sRGB, transparency on white; for thumbnails, pyramids and histograms."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import ceil, sqrt
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from enhancer.batch.views import TILE
from enhancer.codecs.colour import to_working
from enhancer.image import Image, to_unit

Shown = NDArray[np.uint8]
"""H x W x 3 (RGB) or H x W x 1."""

THUMBNAIL: Final = 320
"""Pixels of a thumbnail's longer side."""
BINS: Final = 64
_THUMBNAIL_QUALITY: Final = 82
_TILE_QUALITY: Final = 88
_STRIP_PIXELS: Final = 4 * 2**20
_SAMPLED: Final = 2**18
"""Pixels that a histogram and a window are measured on."""


@dataclass(frozen=True, slots=True)
class Window:
    """The values that are shown as black and white.

    Attributes:
        low: shown as black; a float picture's in its own values, else on 0 to 1.
        high: shown as white; likewise.
        narrowed: whether this is less than all that the samples can hold.
    """

    low: float = 0.0
    high: float = 1.0
    narrowed: bool = False


def window_of(image: Image) -> Window:
    """The window in which to show a picture, and its result with it.

    Grey of more than 8 bits (X-rays, microscopes, elevations) often fills a small part of its range, and would be
    black on a screen: where the values from the 0.1st to the 99.9th percentile span less than half of the range, they
    alone are shown. Colours are shown as they are.
    """
    low, high = image.metadata.float_range or (0.0, 1.0)
    if not image.is_grey or image.pixels.dtype == np.uint8:
        return Window(low, high)
    values = to_unit(_sampled(image.pixels), image.metadata.float_range)
    dark, bright = (float(value) for value in np.percentile(values, (0.1, 99.9)))
    if not 0 < bright - dark < 0.5:
        return Window(low, high)
    return Window(low + dark * (high - low), low + bright * (high - low), narrowed=True)


def displayed(image: Image, window: Window) -> Shown:
    """A picture as a screen shows it.

    Args:
        image: of any size: where it has to be converted, that is done in strips.
        window: from :func:`window_of`.

    Returns:
        The picture's own pixels where these are what is shown.
    """
    if _is_shown(image, window):
        return np.asarray(image.pixels, np.uint8)
    shown = np.empty(image.pixels.shape, np.uint8)
    rows = max(1, _STRIP_PIXELS // image.width)
    for top in range(0, image.height, rows):
        strip = slice(top, top + rows)
        shown[strip] = _convert(image, strip, window)
    return shown


def _is_shown(image: Image, window: Window) -> bool:
    plain = image.pixels.dtype == np.uint8 and image.alpha is None and not window.narrowed
    return plain and (image.metadata.icc is None or to_working(_part(image, slice(0, 1))).metadata.icc is not None)


def _part(image: Image, rows: slice) -> Image:
    return replace(image, pixels=image.pixels[rows], alpha=None if image.alpha is None else image.alpha[rows])


def _convert(image: Image, rows: slice, window: Window) -> Shown:
    part = to_working(_part(image, rows))
    if part.pixels.dtype == np.float32:
        values = to_unit(part.pixels, (window.low, window.high))
    else:
        values = to_unit(part.pixels)
        if window.narrowed:
            values = (values - np.float32(window.low)) / np.float32(window.high - window.low)
    if part.alpha is not None:
        alpha = to_unit(part.alpha)[..., None]
        values = values * alpha + (1 - alpha)
    return np.rint(np.clip(np.nan_to_num(values), 0, 1) * 255).astype(np.uint8)


def thumbnail(image: Image, window: Window, side: int = THUMBNAIL) -> bytes:
    """A JPEG with the longer side at `side` pixels at most."""
    scale = min(1.0, side / max(image.height, image.width))
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    small = image.with_pixels(
        _shrunk(image.pixels, size), None if image.alpha is None else _shrunk(image.alpha[..., None], size)[..., 0]
    )
    return _jpeg(displayed(small, window), _THUMBNAIL_QUALITY)


def histogram(image: Image, window: Window) -> tuple[tuple[int, ...], ...]:
    """A picture's :attr:`enhancer.batch.views.SideAbout.histogram`, of at most a quarter of a million of its pixels."""
    alpha = None if image.alpha is None else _sampled(image.alpha)
    shown = displayed(image.with_pixels(_sampled(image.pixels), alpha), window)
    counts = [np.bincount(shown[..., at].ravel() // (256 // BINS), minlength=BINS) for at in range(shown.shape[2])]
    top = max(1, *(int(channel.max()) for channel in counts))
    return tuple(tuple(round(1000 * int(count) / top) for count in channel) for channel in counts)


def factors_of(width: int, height: int) -> tuple[int, ...]:
    """The scale factors of a pyramid, down to where one tile holds the whole picture."""
    factors = [1]
    while ceil(max(width, height) / factors[-1]) > TILE:
        factors.append(factors[-1] * 2)
    return tuple(factors)


def tiles(shown: Shown) -> Iterator[tuple[str, bytes]]:
    """The tiles of a pyramid, from the whole resolution down, each with the end of its address as the IIIF Image API 3
    gives it (4, and the canonical form of 4.7).
    """
    height, width = shown.shape[:2]
    level = shown
    for factor in factors_of(width, height):
        if factor > 1:
            level = _shrunk(level, (ceil(width / factor), ceil(height / factor)))
        for top in range(0, level.shape[0], TILE):
            for left in range(0, level.shape[1], TILE):
                part = level[top : top + TILE, left : left + TILE]
                yield _address(part, left, top, factor, width, height), _jpeg(part, _TILE_QUALITY)


def _address(part: Shown, left: int, top: int, factor: int, width: int, height: int) -> str:
    """REGION/SIZE/0/default.jpg of a part of a level that begins at (left, top) of that level."""
    x, y = left * factor, top * factor
    w, h = min(TILE * factor, width - x), min(TILE * factor, height - y)
    region = "full" if (w, h) == (width, height) else f"{x},{y},{w},{h}"
    size = "max" if part.shape[:2] == (height, width) else f"{part.shape[1]},{part.shape[0]}"
    return f"{region}/{size}/0/default.jpg"


def _sampled(samples: NDArray[Any]) -> NDArray[Any]:
    """Every n-th row and column, so that about `_SAMPLED` pixels remain."""
    step = max(1, ceil(sqrt(samples.shape[0] * samples.shape[1] / _SAMPLED)))
    return np.ascontiguousarray(samples[::step, ::step])


def _shrunk(samples: NDArray[Any], size: tuple[int, int]) -> NDArray[Any]:
    if size == (samples.shape[1], samples.shape[0]):
        return samples
    small: NDArray[Any] = cv2.resize(samples, size, interpolation=cv2.INTER_AREA)
    return small.reshape(size[1], size[0], samples.shape[2])


def _jpeg(shown: Shown, quality: int) -> bytes:
    plain = cv2.cvtColor(shown, cv2.COLOR_RGB2BGR) if shown.shape[2] == 3 else shown
    done, data = cv2.imencode(".jpg", plain, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise RuntimeError("OpenCV could not encode a JPEG")
    return data.tobytes()
