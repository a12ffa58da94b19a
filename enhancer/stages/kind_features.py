"""Features that separate drawn, written and rendered pictures from photographs; each is a share or about in [0, 1].

Renderings have few colours and places where neighbours are equal to the bit; pages have a ground of one tone, ink of
another and little between; screens and dither have all of their contrast in the finest detail and repeat themselves at
a distance. Photographs have none of that: noise and texture everywhere, soft and strong edges alike. Among them are
the features of V. Athitsos, M. J. Swain, C. Frankel, "Distinguishing photographs and graphics on the World Wide Web"
(IEEE Workshop on Content-Based Access of Image and Video Libraries, 1997): the number of colours, how frequent the
most frequent are, neighbours that are equal, neighbours that are far apart.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from enhancer.image import FloatPixels

SIDE: Final = 512
"""Longer sides are represented by parts that together are about as long."""
PARTS: Final = 4
CELL: Final = 8
CONTRASTY: Final = 80
"""Range of a cell's luma from which its distribution is looked at."""
FAR_APART: Final = 64
MOST_SORTED: Final = 32768
"""Pixels whose exact colours are counted."""
REPEATS: Final = (3, 24)
"""Distances in pixels at which a screen repeats itself."""
FEATURES: Final = (
    "equal", "ramp", "soft", "strong", "flat1", "flat3", "flat6", "contrasty", "two_toned", "finest", "colours",
    "top1", "top2", "top8", "mode1", "mode2", "entropy", "light", "dark", "chroma", "grey", "repeats",
    "coarse_flat", "coarse_entropy", "quietest", "edge_flat",
)  # fmt: skip


def kind_features(pixels: FloatPixels, visible: NDArray[np.bool_] | None = None) -> NDArray[np.float64]:
    """The features of a picture, in the order of :data:`FEATURES`.

    Args:
        pixels: H x W x C, float32 in [0, 1]; about a quarter of a megapixel of it is looked at.
        visible: H x W, False where it is wholly transparent; what is there is not looked at.

    Returns:
        One vector, finite.
    """
    rows = [_features(part, shown) for part, shown in _parts(pixels, visible)]
    if not rows:
        return np.zeros(len(FEATURES))
    return np.asarray(np.mean(rows, axis=0), np.float64)


def _parts(
    pixels: FloatPixels, visible: NDArray[np.bool_] | None
) -> list[tuple[NDArray[np.uint8], NDArray[np.bool_] | None]]:
    """Parts of the picture in 8 bits, and where they are visible: one of a small picture, sixteen of a large one."""
    height, width = pixels.shape[:2]
    parts = []
    for rows in _spans(height):
        for columns in _spans(width):
            shown = None if visible is None else visible[rows, columns]
            if shown is None or shown.any():
                values = np.clip(np.rint(pixels[rows, columns] * 255), 0, 255).astype(np.uint8)
                parts.append((values, shown))
    return parts


def _spans(side: int) -> list[slice]:
    if side <= SIDE:
        return [slice(0, side)]
    length = SIDE // PARTS
    return [slice(int(start), int(start) + length) for start in np.linspace(0, side - length, PARTS)]


def _features(values: NDArray[np.uint8], shown: NDArray[np.bool_] | None) -> list[float]:
    """Of one part, H x W x C in 8 bits."""
    luma = np.rint(values.astype(np.float32) @ _weights(values.shape[2])).astype(np.uint8)
    seen = np.ones(luma.shape, bool) if shown is None else shown
    return [
        *_steps(values, luma, seen),
        *_cells(luma, seen),
        *_colours(values, luma, seen),
        _repeats(luma),
        *_coarse(luma),
        *_ground(values, luma),
    ]


def _weights(channels: int) -> NDArray[np.float32]:
    return np.array([0.299, 0.587, 0.114] if channels == 3 else [1.0], np.float32)


def _steps(values: NDArray[np.uint8], luma: NDArray[np.uint8], seen: NDArray[np.bool_]) -> list[float]:
    """Shares of neighbours that are equal in all channels, a ramp's step apart, softly and strongly different."""
    equal, steps = [], []
    for axis in (0, 1):
        both = np.delete(seen, 0, axis) & np.delete(seen, -1, axis)
        apart = np.abs(np.diff(values.astype(np.int16), axis=axis)).max(axis=2)[both]
        equal.append(apart == 0)
        steps.append(np.abs(np.diff(luma.astype(np.int16), axis=axis))[both])
    same, step = np.concatenate(equal), np.concatenate(steps)
    if not same.size:
        return [0.0] * 4
    return [
        float(same.mean()),
        float((~same & (step <= 2)).mean()),
        float(((step > 2) & (step <= 32)).mean()),
        float((step > FAR_APART).mean() / max(1e-3, (step > 4).mean())),
    ]


def _cells(luma: NDArray[np.uint8], seen: NDArray[np.bool_]) -> list[float]:
    """Shares of cells that are flat within 1, 3 and 6 levels, or contrasty; how two-toned those are; finest detail."""
    height, width = (side // CELL * CELL for side in luma.shape)
    if not height or not width:
        return [0.0] * 6
    squares = luma[:height, :width].reshape(height // CELL, CELL, width // CELL, CELL).swapaxes(1, 2)
    cells = squares.reshape(-1, CELL * CELL).astype(np.float32)
    whole = seen[:height, :width].reshape(height // CELL, CELL, width // CELL, CELL).swapaxes(1, 2)
    cells = cells[whole.reshape(-1, CELL * CELL).all(axis=1)]
    if not len(cells):
        return [0.0] * 6
    deviation = cells.std(axis=1)
    lowest, highest = cells.min(axis=1, keepdims=True), cells.max(axis=1, keepdims=True)
    contrasty = (highest - lowest)[:, 0] >= CONTRASTY
    place = (cells - lowest) / np.maximum(highest - lowest, 1)
    ends = ((place < 0.2) | (place > 0.8)).mean(axis=1)
    fine = luma.astype(np.float32)
    residual = float(np.abs(fine - cv2.blur(fine, (3, 3))).mean())
    return [
        float((deviation < 1).mean()),
        float((deviation < 3).mean()),
        float((deviation < 6).mean()),
        float(contrasty.mean()),
        float(ends[contrasty].mean()) if contrasty.any() else 0.5,
        residual / (float(fine.std()) + 4),
    ]


def _colours(values: NDArray[np.uint8], luma: NDArray[np.uint8], seen: NDArray[np.bool_]) -> list[float]:
    """Number of colours, the most frequent ones, modes and entropy of luma, light, dark, chroma and grey."""
    chosen = values[seen].astype(np.uint32)
    if chosen.shape[1] == 1:
        chosen = np.repeat(chosen, 3, axis=1)
    count = max(len(chosen), 2)
    codes = chosen[:, 0] << 16 | chosen[:, 1] << 8 | chosen[:, 2]
    some = codes[:: max(1, codes.size // MOST_SORTED)]
    exact = np.unique(some).size
    coarse = np.bincount((chosen[:, 0] >> 4) << 8 | (chosen[:, 1] >> 4) << 4 | chosen[:, 2] >> 4, minlength=4096)
    top = np.sort(coarse)[::-1].cumsum() / count
    histogram = np.bincount(luma[seen], minlength=256) / count
    window = np.convolve(histogram, np.ones(25), "same")
    first = int(window.argmax())
    away = window.copy()
    away[max(0, first - 48) : first + 49] = 0
    spread = chosen.max(axis=1).astype(int) - chosen.min(axis=1)
    return [
        float(np.log(exact) / np.log(max(some.size, 2))),
        float(top[0]),
        float(top[1]),
        float(top[7]),
        float(window[first]),
        float(window[first] + away.max()),
        _entropy(histogram),
        float(histogram[235:].sum()),
        float(histogram[:21].sum()),
        float(spread.mean() / 255),
        float((spread <= 6).mean()),
    ]


def _entropy(histogram: NDArray[np.float64]) -> float:
    """In bytes: 0 for one value, 1 for 256 equally frequent ones."""
    some = histogram[histogram > 0]
    return float(-(some * np.log2(some)).sum() / 8)


def _repeats(luma: NDArray[np.uint8]) -> float:
    """The largest autocorrelation of fine detail at a distance, 0 to 1."""
    fine = luma.astype(np.float32)
    detail = fine - cv2.blur(fine, (5, 5))
    energy = float((detail**2).mean())
    nearest, farthest = REPEATS
    if energy < 1 or min(luma.shape) <= 2 * farthest:
        return 0.0
    spectrum = np.abs(np.fft.rfft2(detail)) ** 2
    correlation = np.fft.irfft2(spectrum, s=detail.shape) / (energy * detail.size)
    near = np.roll(correlation, (farthest, farthest), (0, 1))[: 2 * farthest + 1, : 2 * farthest + 1]
    down, across = np.mgrid[-farthest : farthest + 1, -farthest : farthest + 1]
    return float(np.clip(near[np.maximum(np.abs(down), np.abs(across)) >= nearest].max(), 0, 1))


def _coarse(luma: NDArray[np.uint8]) -> list[float]:
    """Flat cells and entropy of the picture reduced four times, where noise, dither and screens have gone."""
    size = max(1, luma.shape[1] // 4), max(1, luma.shape[0] // 4)
    small = cv2.resize(luma, size, interpolation=cv2.INTER_AREA)
    steps = np.abs(np.diff(small.astype(np.int16), axis=1))
    flat = float((steps <= 1).mean()) if steps.size else 1.0
    return [flat, _entropy(np.bincount(small.ravel(), minlength=256) / small.size)]


def _ground(values: NDArray[np.uint8], luma: NDArray[np.uint8]) -> list[float]:
    """Deviation in the quietest tenth of the cells (of 32 levels), and how flat it is beside strong edges."""
    height, width = (side // CELL * CELL for side in luma.shape)
    if not height or not width:
        return [0.0, 0.0]
    cells = luma[:height, :width].reshape(height // CELL, CELL, width // CELL, CELL).astype(np.float32)
    quietest = float(np.percentile(cells.std(axis=(1, 3)), 10)) / 32
    highest, lowest = (operation(luma, np.ones((3, 3), np.uint8)) for operation in (cv2.dilate, cv2.erode))
    span = highest.astype(np.int16) - lowest
    edges = cv2.dilate((span > FAR_APART).astype(np.uint8), np.ones((7, 7), np.uint8)).view(bool)
    beside = edges & (cv2.dilate((span > 24).astype(np.uint8), np.ones((3, 3), np.uint8)) == 0)
    return [min(quietest, 1.0), float((span[beside] <= 2).mean()) if beside.any() else 0.0]
