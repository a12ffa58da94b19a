"""Filling wide holes with what the picture itself has nearby: patch by patch, so that texture and edges go on.

Expectation and maximisation as in Y. Wexler, E. Shechtman, M. Irani, "Space-Time Completion of Video", IEEE PAMI 29(3),
2007: every patch around a hole's pixel looks for the whole patch that is most like it, then every pixel becomes the
weighted mean of what the patches over it say. The search is random, at shrinking distances from the pixel and from its
best find so far (C. Barnes et al., "PatchMatch", SIGGRAPH 2009). The draw is always the same: so is the result.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from enhancer.image import FloatPixels

Mask = NDArray[np.bool_]
Places = NDArray[np.intp]

RADIUS: Final = 3
"""Of a patch, which is 7 x 7."""
REACH: Final = 40
"""Standard deviation in pixels of the widest search."""
ROUNDS: Final = 5
FIRST_TRIES: Final = 16
TRIES: Final = 8
"""Patches that are looked at for each pixel in the first round and in each later one."""
SURENESS: Final = 2.0
"""By so much a patch counts less for each pixel further from what is known (Wexler et al. have 1.3; docs/quality.md
compares both)."""
LEAST_SOURCES: Final = 64
CHUNK: Final = 1 << 14
"""Patches that are compared at once: 10 MB each way."""


def fill_from_patches(pixels: FloatPixels, holes: Mask, unknown: Mask) -> FloatPixels:
    """Fill holes from patches of the picture.

    Args:
        pixels: H x W x C, float32 in [0, 1]; in the holes a first guess.
        holes: H x W, what is to be filled.
        unknown: H x W, what must not be taken for the picture; includes the holes.

    Returns:
        A new array, bit for bit `pixels` outside the holes; `pixels` itself where no whole patches are near.
    """
    box = _surroundings(holes)
    side = 2 * RADIUS + 1
    around = ((RADIUS, RADIUS), (RADIUS, RADIUS))
    picture = np.pad(pixels[box], (*around, (0, 0)), mode="symmetric")
    inside = np.pad(holes[box], around)
    spoilt = cv2.dilate(np.pad(unknown[box], around).astype(np.uint8), np.ones((side, side), np.uint8)) > 0
    spoilt[:RADIUS] = spoilt[-RADIUS:] = spoilt[:, :RADIUS] = spoilt[:, -RADIUS:] = True
    if np.count_nonzero(~spoilt) < LEAST_SOURCES:
        return pixels
    nearest = ndimage.distance_transform_edt(spoilt, return_distances=False, return_indices=True)
    draw = np.random.default_rng(0)
    targets = np.argwhere(inside)
    sureness = SURENESS ** -np.asarray(ndimage.distance_transform_edt(inside))[inside]
    best = _moved(targets, nearest, draw, REACH)
    for round_ in range(ROUNDS):
        distance = _distances(picture, targets, best)
        for attempt in range(TRIES if round_ else FIRST_TRIES):
            start = targets if attempt % 2 == 0 else best
            tried = _moved(start, nearest, draw, REACH * 0.5 ** (attempt // 2 % 4))
            other = _distances(picture, targets, tried)
            better = other < distance
            best[better], distance[better] = tried[better], other[better]
        picture[inside] = _voted(picture, targets, best, distance, sureness)[inside]
    result = pixels.copy()
    height, width = result[box].shape[:2]
    filled = picture[RADIUS : RADIUS + height, RADIUS : RADIUS + width]
    result[box] = np.where(holes[box][..., None], filled, result[box])
    return result


def _surroundings(holes: Mask) -> tuple[slice, slice]:
    """The box around all holes in which patches are looked for."""
    margin = 2 * REACH + RADIUS
    rows, columns = np.flatnonzero(holes.any(axis=1)), np.flatnonzero(holes.any(axis=0))
    return (
        slice(max(0, int(rows[0]) - margin), int(rows[-1]) + margin + 1),
        slice(max(0, int(columns[0]) - margin), int(columns[-1]) + margin + 1),
    )


def _moved(places: Places, nearest: NDArray[np.int32], draw: np.random.Generator, by: float) -> Places:
    """Places at random around others, each on the whole patch next to it."""
    moved = places + np.rint(draw.normal(0, by, places.shape)).astype(np.intp)
    rows, columns = np.clip(moved, 0, np.array(nearest.shape[1:]) - 1).T
    return np.stack([nearest[0][rows, columns], nearest[1][rows, columns]], axis=1).astype(np.intp)


def _weights() -> NDArray[np.float32]:
    """What each pixel of a patch counts: most in its middle."""
    away = np.arange(-RADIUS, RADIUS + 1) ** 2
    return np.exp(-(away[:, None] + away) * 9 / (8 * RADIUS**2)).ravel().astype(np.float32)


def _offsets(width: int) -> NDArray[np.intp]:
    reach = np.arange(-RADIUS, RADIUS + 1)
    return (reach[:, None] * width + reach).ravel()


def _distances(picture: FloatPixels, here: Places, there: Places) -> NDArray[np.float32]:
    """Weighted squared difference of the patches around `here` and `there`, N x 2 each."""
    flat = picture.reshape(-1, picture.shape[2])
    width = picture.shape[1]
    offsets, weights = _offsets(width), _weights()
    result = np.empty(len(here), np.float32)
    for start in range(0, len(here), CHUNK):
        part = slice(start, start + CHUNK)
        one = flat[(here[part] @ (width, 1))[:, None] + offsets]
        difference = one - flat[(there[part] @ (width, 1))[:, None] + offsets]
        result[part] = np.einsum("npc,npc,p->n", difference, difference, weights)
    return result


def _voted(
    picture: FloatPixels,
    here: Places,
    there: Places,
    distance: NDArray[np.float32],
    sureness: NDArray[np.float64],
) -> FloatPixels:
    """Each pixel as the mean of what the patches over it found, good finds and sure places counting most."""
    height, width, channels = picture.shape
    flat, offsets = picture.reshape(-1, channels), _offsets(width)
    trust = sureness * np.exp(-distance / (2 * np.median(distance) + 1e-6))
    votes, counts = np.zeros((height * width, channels)), np.zeros(height * width)
    onto, taken = here @ (width, 1), there @ (width, 1)
    for offset, weight in zip(offsets, _weights(), strict=True):
        share = (trust * weight)[:, None]
        votes[onto + offset] += share * flat[taken + offset]
        counts[onto + offset] += share[:, 0]
    mean: FloatPixels = (votes / np.maximum(counts, 1e-12)[:, None]).astype(np.float32)
    return mean.reshape(height, width, channels)
