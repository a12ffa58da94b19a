"""Whether the isolated extremes of a picture are impulses or its own dots: how often they occur, and how they lie.

An impulse replaces a pixel whatever stands there: independently of its neighbours, of the place, of the polarity and of
the channel. What is drawn does none of that. Four measurements separate the two, each of them exact for impulses:

* *rate*: among the pixels whose eight neighbours are all far from the extreme, the share that is extreme. The condition
  is on the neighbours alone, so for impulses this is their rate; strokes are connected and do not count at all. It has
  to be there in three quarters of the blocks of the picture.
* *spread*: block by block the counts vary as those of independent events do. Dots that were drawn stand in some places.
* *spacing*: at every distance as many pairs as chance brings together. Dot grids, halftones and dotted lines have one
  distance far too often; dithering avoids the short ones. (The pair correlation function; B. D. Ripley, "Modelling
  spatial patterns", J. Royal Statistical Society B 39(2), 1977.)
* *alike*: both polarities and all channels, wherever a pixel could show them. Drawings have one colour.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from enhancer.image import FloatPixels

EXTREME: Final = np.float32(1.5 / 255)
"""How near to 0 or 1 a value counts as extreme."""
NEAR: Final = np.float32(12 / 255)
"""Values between EXTREME and NEAR are where the tails of Gaussian noise would show, but no impulse."""
CONTRAST: Final = np.float32(0.1)
"""Least difference from the local median; below it an impulse does no visible harm and a repair might."""
CLEARANCES: Final = (np.float32(0.35), CONTRAST + NEAR)
"""How far from the extreme a pixel's neighbours must be for it to bear witness: beyond the tails of Gaussian noise
that came first; the second value is the resort of pictures that have hardly any such places."""
BELOW_MEDIAN: Final = np.float32(0.3)
"""How far below the local median a neighbour may be; beside a black pixel a slanted stroke on white is half grey."""
MIN_RATE: Final = 1e-3
"""Share of struck pixels (one polarity, one channel) from which the repair is worth its risk."""
MIN_RATE_ALONE: Final = 3e-3
"""The same where only one polarity could be seen, as on white paper."""
BLOCK: Final = 64
LEAST_SEEN: Final = 256
"""Pixels of a block in which an impulse would be visible; with fewer its rate says nothing."""
LEAST_BLOCKS: Final = 0.1
"""Share of the blocks that must have that many, or a few odd places would speak for the whole picture."""
MOST_SPREAD: Final = 3.0
"""Standard deviation of the blocks' counts over that of independent events; impulses have 1."""
MOST_VARIATION: Final = 0.35
"""Standard deviation of the blocks' rates over their mean that is accepted whatever the counts, for large rates."""
LEAST_ALIKE: Final = 0.25
"""Rate of the rarer polarity or channel over that of the commoner."""
LEAST_EXPECTED: Final = 20.0
"""Events that chance should bring for their absence to say something."""
NEAREST: Final = 4
FARTHEST: Final = 24
"""Distances in pixels (along the longer axis) that count as short, and up to which a repeated one is looked for."""
PAIRS_APART: Final = (0.6, 1.8)
"""Pairs at short distances over those expected; beyond these bounds the extremes avoid or seek each other."""
LEAST_SHARE: Final = 0.6
"""Share of extremes among visible places over that among places with clear neighbours; impulses have about 1."""
MOST_ELSE: Final = 1.5
"""Pixels that stand out from the ground over the impulses among them, up to which there is nothing but dots."""
REPEATED: Final = 0.1
"""Share of the extremes that may have another at one and the same distance beyond chance."""
SIGMAS: Final = 5.0
MOST_POINTS: Final = 4096
"""Extremes from which pairs are counted, whatever the picture's size."""


@dataclass(frozen=True, slots=True)
class Extremes:
    """The isolated extremes of one polarity in one channel.

    Attributes:
        rate: their share of the pixels that could show one, the median over the blocks; 0 where they are too few.
        found: their number.
        seen: pixels that could show one.
        objection: why they are no impulses; None: nothing speaks against it.
        nothing_else: whether hardly anything but them stands out from the ground in their direction.
    """

    rate: float
    found: int
    seen: int
    objection: str | None = None
    nothing_else: bool = False


def isolated_extremes(crops: list[FloatPixels], medians: list[FloatPixels]) -> Extremes:
    """Measure the pixels that were replaced by a value near 0.

    Args:
        crops: H x W pieces of one channel, float32 in [0, 1]. For the other polarity pass ``1 - crop``.
        medians: of each its medians of 3 x 3.

    Returns:
        The rate is 0 if a quarter of the blocks has less than :data:`MIN_RATE`, or if values *near* the extreme are so
        frequent that they rather are the clipped tail of strong Gaussian noise.
    """
    lowest = [_lowest_neighbour(crop) for crop in crops]
    for clearance in CLEARANCES:
        clear = [
            low > np.maximum(clearance, median - BELOW_MEDIAN) for low, median in zip(lowest, medians, strict=True)
        ]
        struck = [seen & (crop <= EXTREME) for crop, seen in zip(crops, clear, strict=True)]
        counted, found = _counts(clear, struck)
        blocks = sum(_block_counts(one).size for one in clear)
        if counted.size < LEAST_BLOCKS * blocks or not counted.size:
            continue
        total, seen_total = int(found.sum()), int(counted.sum())
        rates = found / counted
        if np.percentile(rates, 25) < MIN_RATE:
            return Extremes(0.0, total, seen_total)
        near = [seen & (crop > EXTREME) & (crop <= NEAR) for crop, seen in zip(crops, clear, strict=True)]
        rate = float(np.median(rates))
        near_counted, near_found = _counts(clear, near)
        if np.median(near_found / near_counted) > rate / 4:
            return Extremes(0.0, total, seen_total)
        objection = _avoiding(crops, medians, clearance, rate) or _in_places(counted, found) or _spacing(struck, clear)
        return Extremes(rate, total, seen_total, objection, _nothing_else(crops, rate))
    return Extremes(0.0, 0, 0)


def objection_to(pepper: list[Extremes], salt: list[Extremes], *, photograph: bool = False) -> str | None:
    """Why what was found in the channels is no impulse noise; None: nothing speaks against it.

    Args:
        pepper: of each channel.
        salt: likewise.
        photograph: whether it is known to be one: then impulses may be of one polarity, as hot pixels are.
    """
    everything = [*pepper, *salt]
    spoken = next((one.objection for one in everything if one.objection), None)
    if spoken is not None:
        return spoken
    if photograph:
        return _of_some_channels(pepper) or _of_some_channels(salt)
    return _of_some_channels(everything) or _of_one_polarity(pepper, salt)


def _of_some_channels(everything: list[Extremes]) -> str | None:
    """An objection where a channel or polarity that could show as many has far fewer."""
    commonest = max(one.rate for one in everything)
    expected = [one.seen * commonest for one in everything]
    rare = [
        few >= LEAST_EXPECTED and one.found < LEAST_ALIKE * few for one, few in zip(everything, expected, strict=True)
    ]
    if any(rare):
        return "isolated dots of one colour, not of all channels and both polarities: the picture's own"
    return None


def _of_one_polarity(pepper: list[Extremes], salt: list[Extremes]) -> str | None:
    """An objection to few extremes, or extremes on an empty ground, where only one polarity could be seen."""
    everything = [*pepper, *salt]
    commonest = max(one.rate for one in everything)
    alone = any(sum(one.seen for one in side) * commonest < LEAST_EXPECTED for side in (pepper, salt))
    if alone and commonest < MIN_RATE_ALONE:
        return f"isolated dots of one polarity, {commonest:.2%} of the pixels: as likely the picture's own"
    if alone and all(one.nothing_else for one in everything if one.rate):
        return "isolated dots on an empty ground: stars, snow or stippling"
    return None


def _lowest_neighbour(crop: FloatPixels) -> FloatPixels:
    """The least of the eight values around each pixel, edges mirrored."""
    ring = np.array([[1, 1, 1], [1, 0, 1], [1, 1, 1]], np.uint8)
    framed = cv2.copyMakeBorder(crop, 1, 1, 1, 1, cv2.BORDER_REFLECT_101)
    return np.asarray(cv2.erode(framed, ring)[1:-1, 1:-1], np.float32)


def _counts(
    clear: list[NDArray[np.bool_]], struck: list[NDArray[np.bool_]]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pixels that could show an extreme, and those that do, of each block with at least LEAST_SEEN of the former."""
    counted = np.concatenate([_block_counts(one).ravel() for one in clear]).astype(np.int64)
    found = np.concatenate([_block_counts(one).ravel() for one in struck]).astype(np.int64)
    enough = counted >= LEAST_SEEN
    return counted[enough], found[enough]


def _avoiding(crops: list[FloatPixels], medians: list[FloatPixels], clearance: np.float32, rate: float) -> str | None:
    """An objection where extremes are rarer among all visible places than among those without a neighbour."""
    visible = [median > clearance for median in medians]
    places = sum(int(np.count_nonzero(one)) for one in visible)
    found = sum(int(np.count_nonzero(one & (crop <= EXTREME))) for one, crop in zip(visible, crops, strict=True))
    if found < LEAST_SHARE * rate * places:
        return "isolated dots that avoid each other: dithering or a screen, the picture's own"
    return None


def _nothing_else(crops: list[FloatPixels], rate: float) -> bool:
    """Whether what is darker than the ground is little more than extremes at `rate` are."""
    darker = sum(int(np.count_nonzero(crop < np.median(crop) - BELOW_MEDIAN)) for crop in crops)
    return darker < MOST_ELSE * rate * sum(crop.size for crop in crops)


def _in_places(counted: NDArray[np.int64], found: NDArray[np.int64]) -> str | None:
    """An objection where the blocks' counts vary more than those of independent events."""
    if counted.size < 4:
        return None
    rate = found.sum() / counted.sum()
    deviations = (found - rate * counted) / np.sqrt(rate * (1 - rate) * counted)
    variation = float(np.std(found / counted)) / rate
    if np.sqrt(np.mean(deviations**2)) > MOST_SPREAD and variation > MOST_VARIATION:
        return "isolated dots that stand in some places and not in others: the picture's own"
    return None


def _spacing(struck: list[NDArray[np.bool_]], clear: list[NDArray[np.bool_]]) -> str | None:
    """An objection where the extremes lie at regular distances, or avoid or seek each other."""
    pairs, chance = np.zeros((2, FARTHEST + 1, 2 * FARTHEST + 1))
    found = sum(int(np.count_nonzero(one)) for one in struck)
    seen = sum(int(np.count_nonzero(one)) for one in clear)
    every = max(1, found // MOST_POINTS)
    looked_from = 0
    for points, places in zip(struck, clear, strict=True):
        rows, columns = (where[::every] for where in np.nonzero(points))
        pairs += _pairs(rows, columns, points)
        chance += _pairs(rows, columns, places)
        looked_from += rows.size
    chance *= found / max(seen, 1)
    down, across = np.mgrid[: FARTHEST + 1, -FARTHEST : FARTHEST + 1]
    distance = np.maximum(down, np.abs(across))
    apart = (distance >= 2) & ((down > 0) | (across > 0))
    excess = pairs - chance - SIGMAS * np.sqrt(chance) - REPEATED * looked_from - SIGMAS
    if (excess[apart] > 0).any():
        return "isolated dots at regular distances: a pattern of the picture's own"
    short = apart & (distance <= NEAREST)
    observed, expected = float(pairs[short].sum()), float(chance[short].sum())
    least, most = PAIRS_APART
    margin = SIGMAS * np.sqrt(expected)
    if observed < least * expected - margin or observed > most * expected + margin:
        return "isolated dots that avoid or seek each other: a pattern of the picture's own"
    return None


def _pairs(rows: NDArray[np.intp], columns: NDArray[np.intp], places: NDArray[np.bool_]) -> NDArray[np.float64]:
    """How many points have a place (dy, dx) further on: dy from 0 to FARTHEST, dx from -FARTHEST to FARTHEST."""
    counts = np.zeros((FARTHEST + 1, 2 * FARTHEST + 1))
    framed = np.pad(places, ((0, FARTHEST), (FARTHEST, FARTHEST)))
    for down in range(FARTHEST + 1):
        for across in range(2 * FARTHEST + 1):
            counts[down, across] = np.count_nonzero(framed[rows + down, columns + across])
    return counts


def _block_counts(chosen: NDArray[np.bool_]) -> NDArray[np.int32]:
    """How many are True in each of about equal blocks of about :data:`BLOCK` pixels a side."""
    sums = cv2.integral(chosen.view(np.uint8))
    rows, columns = (_block_edges(side) for side in chosen.shape)
    return np.asarray(np.diff(np.diff(sums[np.ix_(rows, columns)], axis=0), axis=1), np.int32)


def _block_edges(side: int) -> NDArray[np.intp]:
    """Where blocks begin, and where the last one ends; the first ones are a pixel longer where that must be."""
    count = max(1, side // BLOCK)
    size, longer = divmod(side, count)
    blocks = np.arange(count + 1)
    return blocks * size + np.minimum(blocks, longer)
