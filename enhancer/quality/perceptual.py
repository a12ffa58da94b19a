"""LPIPS (Zhang et al. 2018) of pictures, by fixed crops, on weights from our own catalogue: no hidden download."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any, Final

import numpy as np

from enhancer.image import FloatPixels
from enhancer.models.catalogue import load_catalogue
from enhancer.models.store import ensure
from enhancer.quality.lpips_net import LpipsNet
from enhancer.quality.metrics import check_pixels
from enhancer.settings import Settings

CROP_SIZE: Final = 256
# AlexNet's two poolings leave nothing of less than 31 pixels a side, VGG's four of less than 16.
SMALLEST_SIDE: Final = 32
_TOGETHER: Final = 4
"""Crops that the net sees at once, so that their number does not set the memory it takes."""


class LpipsScorer:
    """Learned perceptual distance; the net is loaded on first use and kept.

    It runs on the CPU: a few 256-pixel crops take tens of milliseconds, and a score must not depend on the machine.

    Args:
        settings: ``lpips_net`` (``alex``, which its authors advise for measuring, or ``vgg``), ``lpips_crops``, and
            where models are kept.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self.net = settings.lpips_net
        self.crops = settings.lpips_crops

    def distance(self, a: FloatPixels, b: FloatPixels, *, crops: int | None = None) -> float:
        """LPIPS between two pictures: the mean over crops; 0 for equal ones, larger is further, mostly below 1.

        Args:
            a: H x W x C float32 in [0, 1], C = 1 (replicated) or 3.
            b: the same height and width; C may differ.
            crops: how many 256-pixel crops (see :func:`crop_boxes`); 0 the whole picture, None the settings' number.
                Pictures with a side below 32 pixels are mirrored up to that size, the least that the nets can see.

        Raises:
            TypeError, ValueError: pixels out of range, not finite, or of different sizes.
            ModelError: the weights cannot be had.
        """
        check_pixels(a)
        check_pixels(b)
        if a.shape[:2] != b.shape[:2]:
            raise ValueError(f"pictures of {a.shape[:2]} and {b.shape[:2]} cannot be compared")
        boxes = crop_boxes(a.shape[0], a.shape[1], self.crops if crops is None else crops)
        distances: list[float] = []
        for some in (boxes[start : start + _TOGETHER] for start in range(0, len(boxes), _TOGETHER)):
            distances += self._module.distances(*([_seen(picture[box]) for box in some] for picture in (a, b)))
        return math.fsum(distances) / len(boxes)

    def protocol(self, crops: int | None = None) -> dict[str, Any]:
        """What a figure must carry: net, version of the linear heads, crops and their side."""
        count = self.crops if crops is None else crops
        return {"net": self.net, "version": "0.1", "crops": count, "crop_size": CROP_SIZE if count else None}

    @cached_property
    def _module(self) -> LpipsNet:
        entry = load_catalogue().get(f"lpips-{self.net}")
        return LpipsNet(self.net, ensure(entry, self._settings), threads=self._settings.threads)


def crop_boxes(height: int, width: int, crops: int) -> list[tuple[slice, slice]]:
    """Where to look: one 256-pixel crop in the middle of each of `crops` equal cells.

    A crop that would stick out is moved inwards. The cells are those of the grid whose cells are nearest to squares.
    A side below 256 is taken whole, and the grid then has one cell along it. A picture no larger than one crop, or
    `crops` = 0, is one box: the whole.
    """
    if crops < 0:
        raise ValueError(f"crops must be 0 (the whole picture) or more, not {crops}")
    if crops == 0 or (height <= CROP_SIZE and width <= CROP_SIZE):
        return [(slice(0, height), slice(0, width))]
    grids = [(rows, crops // rows) for rows in range(1, crops + 1) if crops % rows == 0]
    if height <= CROP_SIZE:
        grids = [(1, crops)]
    elif width <= CROP_SIZE:
        grids = [(crops, 1)]
    rows, columns = min(grids, key=lambda grid: abs(math.log((height / grid[0]) / (width / grid[1]))))
    return [(y, x) for y in _spread(height, rows) for x in _spread(width, columns)]


def _spread(side: int, count: int) -> list[slice]:
    """`count` slices of at most 256, centred in equal cells of `side`."""
    size = min(side, CROP_SIZE)
    starts = [round((index + 0.5) * side / count - size / 2) for index in range(count)]
    return [slice(start, start + size) for start in (min(max(start, 0), side - size) for start in starts)]


def _seen(pixels: FloatPixels) -> FloatPixels:
    """H x W x C as H x W x 3, mirrored up to the smallest side."""
    if pixels.shape[2] == 1:
        pixels = np.repeat(pixels, 3, axis=2)
    missing = [max(0, SMALLEST_SIDE - side) for side in pixels.shape[:2]]
    if any(missing):
        pixels = np.pad(pixels, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="symmetric")
    return pixels
