"""Where noise differs over the picture: its strength region by region, and the noise map for a denoiser.

Sensors' noise grows with the light (A. Foi et al., "Practical Poissonian-Gaussian noise modeling and fitting for
single-image raw-data", IEEE Trans. Image Processing 17(10), 2008), lens corrections amplify it in the corners, and
pasted pictures bring their own. One number for all of it smears the quiet parts or leaves the loud ones as they are.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from enhancer.image import FloatPixels
from enhancer.stages.noise_blocks import (
    LEAST_BLOCKS,
    QUANTILE,
    Blocks,
    is_texture,
    most_noise,
    sampling_bias,
    unexplained,
)

LEAST_REGION: Final = 96
"""Side in pixels: nine blocks, the fewest that give the noise within about 5 %."""
MOST_REGIONS: Final = 8
"""Along a side."""
LEAST_KNOWN: Final = 0.5
"""Least share of the regions whose noise can be separated from texture; below it no map is made."""
VARIES: Final = 1.5
MARGIN: Final = 6 / 255
"""Noise is believed to vary where the ninth decile of the regions passes VARIES times the first one by MARGIN, and is
at least MARGIN over all: weaker noise in parts of a picture may as well be their texture. Of 134 clean pictures for
training none passes, of 20 with noise that is the same everywhere, 5, 10 and 25 levels, none; with noise that grows
fourfold from left to right, 10 of 20 pass at an average of 10 levels and 15 at 25."""
HEAVY_TAILS_OF_FEW: Final = 0.6
"""As :data:`enhancer.stages.noise_blocks.HEAVY_TAILS`; a region's few blocks may look like noise by chance."""
SURELY_QUIET: Final = 3 / 255
"""A region that measures less is quiet, whether that is noise or texture."""


def noise_regions(channels: list[Blocks], height: int, width: int) -> NDArray[np.float64] | None:
    """Noise of each region of a picture in which it varies.

    Args:
        channels: what :func:`enhancer.stages.noise.measure_noise` looked at.
        height: of the picture in pixels.
        width: of the picture.

    Returns:
        Rows x columns standard deviations on the scale [0, 1], the root mean square over the channels, of equal parts
        of the picture; None where the noise is about the same everywhere, or it is known of too few parts.
    """
    rows, columns = (min(MOST_REGIONS, max(1, side // LEAST_REGION)) for side in (height, width))
    squares = np.zeros((rows, columns))
    at_most = np.zeros(rows * columns)
    for blocks in channels:
        at_most += _at_most(blocks, height, width, rows, columns) ** 2 / len(channels)
    if np.sqrt(at_most.max()) < MARGIN:
        return None  # as of most pictures: what follows takes its time
    for blocks in channels:
        squares += _regions_of(blocks, height, width, rows, columns) ** 2 / len(channels)
    sigmas = np.sqrt(squares)
    known = np.isfinite(sigmas)
    if np.count_nonzero(known) < max(4, LEAST_KNOWN * known.size):
        return None
    low, high = np.percentile(sigmas[known], [10, 90])
    if high < VARIES * low + MARGIN:
        return None
    # What is not known is the mean of its neighbours, the nearer the more.
    weight = ndimage.gaussian_filter(known.astype(np.float64), 1, mode="constant", truncate=MOST_REGIONS)
    around = ndimage.gaussian_filter(np.where(known, sigmas, 0), 1, mode="constant", truncate=MOST_REGIONS) / weight
    filled = np.asarray(np.where(known, sigmas, around), np.float64)
    return filled if np.sqrt(np.mean(filled**2)) >= MARGIN else None


def spread(regions: NDArray[np.float64], height: int, width: int) -> FloatPixels:
    """A value for each pixel, bilinear between the middles of the regions.

    Args:
        regions: rows x columns, of equal parts of a picture.
        height: of the picture.
        width: of the picture.

    Returns:
        height x width float32.
    """
    resized = cv2.resize(regions.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    return np.asarray(resized, np.float32)


def _regions_of(blocks: Blocks, height: int, width: int, rows: int, columns: int) -> NDArray[np.float64]:
    """Noise of one channel in each region; NaN where too few blocks can be measured, or it is texture."""
    region = _region_of_each(blocks, height, width, rows, columns)
    sigmas = np.full(rows * columns, np.nan)
    for index in range(rows * columns):
        inside = region == index
        if np.count_nonzero(inside) >= LEAST_BLOCKS:
            part = blocks.at(inside)
            sigma = most_noise(part)
            if sigma < SURELY_QUIET or not is_texture(part, HEAVY_TAILS_OF_FEW):
                sigmas[index] = sigma
    return sigmas.reshape(rows, columns)


def _at_most(blocks: Blocks, height: int, width: int, rows: int, columns: int) -> NDArray[np.float64]:
    """What :func:`_regions_of` can find at most, be it noise or texture; region by region, 0 where it finds nothing."""
    region = _region_of_each(blocks, height, width, rows, columns)
    noise = unexplained(blocks)
    ordered = noise[np.lexsort((noise, region))]
    counts = np.bincount(region, minlength=rows * columns)
    # The least of a region's values that is not below their quantile.
    place = np.cumsum(counts) - counts + np.ceil(QUANTILE / 100 * (counts - 1)).astype(int)
    known = counts >= LEAST_BLOCKS
    found = np.zeros(rows * columns)
    found[known] = ordered[place[known]] / sampling_bias(blocks.side)
    return found


def _region_of_each(blocks: Blocks, height: int, width: int, rows: int, columns: int) -> NDArray[np.intp]:
    """The region of each block, counted row by row."""
    row = np.minimum((blocks.rows * rows / height).astype(int), rows - 1)
    column = np.minimum((blocks.columns * columns / width).astype(int), columns - 1)
    return np.asarray(row * columns + column, np.intp)
