"""Whether pixels once were a JPEG, and of which quality, estimated from the pixels for files that do not say.

Z. Fan, R. de Queiroz, "Identification of bitmap compression history: JPEG detection and quantizer estimation", IEEE
Trans. Image Processing 12(2), 2003: the coefficients of the discrete cosine transform of 8 x 8 blocks, taken on the
grid of the former JPEG, still lie near multiples of the steps that they were quantised with.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy.fft import dctn

from enhancer.codecs.jpeg import luminance_table
from enhancer.image import FloatPixels

BLOCK: Final = 8
LEAST_SIDE: Final = 64
MOST_BLOCKS: Final = 8192
"""Half a megapixel; more blocks, evenly spread, add no information."""
LEAST_COEFFICIENTS: Final = 256
LEAST_AGREEMENT: Final = 0.5
"""Between what pictures reach that never were JPEGs (at most 0.25) and JPEGs (0.79 and more): docs/quality.md."""
QUALITIES: Final = tuple(range(5, 96))
FREQUENCIES: Final = tuple((v, u) for v in range(4) for u in range(4) if 0 < v + u <= 3)
"""Low ones, which survive coarse steps often enough to be counted."""
LEAST_STEP: Final = 3
"""Finer steps drown in the rounding of RGB to bytes."""
CLIPPED: Final = 1 / 510
_LUMA: Final = np.array([0.299, 0.587, 0.114], np.float32)


Value = TypeVar("Value", bound=np.generic)


@dataclass(frozen=True, slots=True)
class History:
    """What the pixels show.

    Attributes:
        quality: libjpeg's, 5 to 95.
        agreement: how well the coefficients lie on that quality's multiples: 1 exactly, 0 not at all.
        offset: row and column of the first corner of the block grid, 0 to 7.
    """

    quality: int
    agreement: float
    offset: tuple[int, int]


def former_jpeg(pixels: FloatPixels) -> History | None:
    """The JPEG that the pixels come from.

    Args:
        pixels: H x W x C, float32 in [0, 1], of 8 bits; not resized, turned or filtered since, though perhaps cut.

    Returns:
        None where they come from none, or where it cannot be determined with confidence.
    """
    if min(pixels.shape[:2]) < LEAST_SIDE:
        return None
    values = pixels[..., 0] if pixels.shape[2] == 1 else pixels @ _LUMA
    offset = (_grid_phase(values.T), _grid_phase(values))
    hidden = np.asarray(((pixels <= CLIPPED) | (pixels >= 1 - CLIPPED)).any(axis=2))
    coefficients = _coefficients(255 * values[offset[0] :, offset[1] :], hidden[offset[0] :, offset[1] :])
    found: History | None = None
    for quality in QUALITIES:
        agreement = _agreement(coefficients, luminance_table(quality))
        # Multiples of a step are multiples of its half too: of equally good ones the coarsest, which comes first.
        if agreement is not None and agreement > (found.agreement + 0.02 if found else LEAST_AGREEMENT):
            found = History(quality, round(agreement, 3), offset)
    return found


def _grid_phase(values: FloatPixels) -> int:
    """Where along the rows blocks begin: the column, modulo 8, before which neighbours differ most."""
    steps = np.abs(np.diff(values, n=1, axis=1)).mean(axis=0)
    whole = steps[: steps.size // BLOCK * BLOCK].reshape(-1, BLOCK).mean(axis=0)
    return int(whole.argmax() + 1) % BLOCK


def _coefficients(values: FloatPixels, hidden: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Coefficients of whole blocks without clipped pixels, N x 8 x 8, level-shifted (ITU-T T.81 A.3.1)."""
    down, across = values.shape[0] // BLOCK, values.shape[1] // BLOCK

    def cut(plane: NDArray[Value]) -> NDArray[Value]:
        whole = plane[: down * BLOCK, : across * BLOCK].reshape(down, BLOCK, across, BLOCK)
        return whole.swapaxes(1, 2).reshape(-1, BLOCK, BLOCK)

    usable = np.flatnonzero(~cut(hidden).any(axis=(1, 2)))
    chosen = usable[:: max(1, usable.size // MOST_BLOCKS)]
    blocks = cut(values)[chosen]
    return np.asarray(dctn(blocks - np.float32(128), axes=(1, 2), norm="ortho"), np.float32)


def _agreement(coefficients: NDArray[np.float32], table: NDArray[np.int64]) -> float | None:
    """Mean of cos(2 pi c / step) over the coefficients that were not quantised to zero; None: there are too few."""
    total, count = 0.0, 0
    for row, column in FREQUENCIES:
        step = int(table[row, column])
        if step < LEAST_STEP:
            continue
        values = coefficients[:, row, column]
        values = values[np.abs(values) > 0.6 * step]
        total += float(np.cos(2 * np.pi / step * values).sum(dtype=np.float64))
        count += values.size
    return total / count if count >= LEAST_COEFFICIENTS else None
