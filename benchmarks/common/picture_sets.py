"""Test sets of super-resolution: truths, and what a net is given of them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from benchmarks.common.tables import SHARED
from enhancer.image import FloatPixels
from enhancer.training.pictures import load_picture, reduced


def pictures(folder: str, scale: int, limit: int | None) -> Iterator[tuple[FloatPixels, FloatPixels]]:
    """The truth, cut to a multiple of `scale`, and its reduced form; float32 of 8 bits."""
    for path in sorted((SHARED / "data" / folder).glob("*"))[:limit]:
        truth = load_picture(path, scale)
        official = SHARED / "data" / f"{folder}_lrx{scale}" / f"{path.stem}x{scale}.png"
        small = load_picture(official) if official.exists() else reduced(truth, scale)
        truth = truth[: small.shape[0] * scale, : small.shape[1] * scale]
        yield truth.astype(np.float32) / 255, small.astype(np.float32) / 255
