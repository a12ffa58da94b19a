"""The finest details of one channel, block by block: how strong they are, and whether they are noise or texture.

The wavelet estimate of Donoho and Johnstone (Biometrika 81(3), 1994), :func:`skimage.restoration.estimate_sigma`, takes
texture for noise: 10.7 levels of 255 on scikit-image's clean ``grass``, 5.0 on ``gravel``. Four things correct it here:

* it is taken block by block and a low quantile is kept, since noise is everywhere and texture is not (block-based
  estimation as in S. Pyatykh, J. Hesser, L. Zheng, IEEE Trans. Image Processing 22(2), 2013, with a wavelet in place of
  their principal components);
* the spectrum distinguishes them: white noise is as strong in the diagonal as in the axial details of the wavelet
  transform, whereas pictures fall off towards the diagonal. What the axial details predict for the texture is taken
  off. (JPEG compression and enlargement kill diagonal details first, so neither is taken for noise either.)
* so does the distribution: the details of noise are Gaussian, those of texture, however dense, have heavy tails
  (S. Mallat, IEEE Trans. Pattern Analysis and Machine Intelligence 11(7), 1989; D. Zoran, Y. Weiss, "Scale invariance
  and noise in natural images", ICCV 2009, separate noise from pictures by kurtosis as well). Where the quietest blocks
  have heavy tails, none of it is called noise;
* what is stronger in the diagonal than in the axial details is neither noise nor texture but a pattern of sampling, as
  in the red channel of Set14's ``pepper``.

docs/quality.md has how often that goes wrong.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
import pywt
from numpy.typing import NDArray

from enhancer.image import FloatPixels
from enhancer.stages.sampling import evenly_spread_windows

BLOCK: Final = 32
SMALL_BLOCK: Final = 16
LEAST_BLOCKS: Final = 4
QUANTILE: Final = 25.0
QUIET: Final = 0.2
"""Share of the blocks, those of least detail, whose distribution is looked at."""
TEXTURE_FALL_OFF: Final = 0.5
"""Diagonal over axial detail strength of texture. Most clean pictures measure 0.25 to 0.55 (``grass`` 0.66), white
noise 1. A higher value would leave more textures alone and find less of the weak noise on them."""
HEAVY_TAILS: Final = 1.25
"""Excess kurtosis of the quietest blocks' diagonal details from which they are texture. Training pictures with noise of
5 added have 0.16 in the median, 0.8 in the ninth decile; clean ones that would measure more than 2.5 have 2.2 to 12."""
SURE: Final = 12 / 255
"""No clean picture as a whole was seen to measure that much (Set14's ``baboon`` 9.5, ``grass`` 7.2): it is noise."""
PATTERN: Final = 1.2
"""Diagonal over axial detail strength from which it is a pattern; noise on training pictures has at most 1.08."""
PAIRS: Final = ((0, 1), (1, 2), (0, 2))
"""The channels whose differences are measured."""
MAD_TO_SIGMA: Final = 1.482602218505602
NO_DETAIL: Final = 1e-5
"""What rounding leaves of the details of one even value."""
CLIPPED: Final = np.float32(2 / 255)
CLIPPED_SHARES: Final = (0.1, 0.5)
"""Blocks with more clipped pixels than this are not measured, as clipping hides noise; the second value is the resort
of pictures that have hardly any other blocks."""

Planes = Callable[[slice, slice], Iterator[tuple[FloatPixels, NDArray[np.bool_]]]]
"""Rows and columns of a picture to the values of each plane there, and which of them are clipped or not visible."""


@dataclass(frozen=True, slots=True)
class Blocks:
    """Strength of the finest wavelet details of one channel, block by block; each array has one value a block.

    Attributes:
        horizontal: standard deviation by the median absolute deviation, on the scale [0, 1].
        vertical: likewise.
        diagonal: likewise.
        kurtosis: excess kurtosis of the diagonal details, 0 for Gaussian ones, NaN where there are none.
        hidden: share of pixels that are clipped or not visible.
        rows: of the block's middle in the picture.
        columns: likewise.
        side: of a block in pixels.
        estimate: not of the blocks but of all that was looked at: the wavelet estimate of Donoho and Johnstone, as
            :func:`skimage.restoration.estimate_sigma` has it, on the scale [0, 1]; the median over crops.
    """

    horizontal: NDArray[np.float64]
    vertical: NDArray[np.float64]
    diagonal: NDArray[np.float64]
    kurtosis: NDArray[np.float64]
    hidden: NDArray[np.float64]
    rows: NDArray[np.float64]
    columns: NDArray[np.float64]
    side: int
    estimate: float

    def at(self, chosen: NDArray[np.bool_]) -> Blocks:
        """Those blocks alone."""
        return replace(
            self,
            horizontal=self.horizontal[chosen],
            vertical=self.vertical[chosen],
            diagonal=self.diagonal[chosen],
            kurtosis=self.kurtosis[chosen],
            hidden=self.hidden[chosen],
            rows=self.rows[chosen],
            columns=self.columns[chosen],
        )

    def measurable(self) -> Blocks | None:
        """Those that clipping does not hide; None if they are too few for an estimate."""
        for share in CLIPPED_SHARES:
            if np.count_nonzero(self.hidden < share) >= LEAST_BLOCKS:
                return self.at(self.hidden < share)
        return None


def measure_blocks(pixels: FloatPixels, visible: NDArray[np.bool_] | None = None) -> list[Blocks] | None:
    """Cut each channel into blocks and measure their finest details.

    Args:
        pixels: H x W x C, float32 in [0, 1]; at most about 4 megapixels of it are looked at.
        visible: H x W, False where the picture is wholly transparent.

    Returns:
        Of each channel the blocks that clipping does not hide; None where they are too few for an estimate.
    """
    height, width, channels = pixels.shape

    def planes(rows: slice, columns: slice) -> Iterator[tuple[FloatPixels, NDArray[np.bool_]]]:
        unseen = _unseen(visible, rows, columns)
        for channel in range(channels):
            values = np.ascontiguousarray(pixels[rows, columns, channel])
            yield values, _clipped(values) | unseen

    return _of_all(planes, channels, height, width)


def measure_differences(pixels: FloatPixels, visible: NDArray[np.bool_] | None = None) -> list[Blocks] | None:
    """The same of the channels' differences over sqrt(2): R - G, G - B and R - B.

    Args:
        pixels: H x W x 3, float32 in [0, 1].
        visible: H x W, False where the picture is wholly transparent.

    Returns:
        Three, of the blocks in which no channel is clipped; None where they are too few for an estimate.
    """
    height, width, _ = pixels.shape

    def planes(rows: slice, columns: slice) -> Iterator[tuple[FloatPixels, NDArray[np.bool_]]]:
        red, green, blue = channels = [np.ascontiguousarray(pixels[rows, columns, channel]) for channel in range(3)]
        hidden = _clipped(red) | _clipped(green) | _clipped(blue) | _unseen(visible, rows, columns)
        for one, other in PAIRS:
            yield (channels[one] - channels[other]) / np.float32(math.sqrt(2)), hidden

    return _of_all(planes, len(PAIRS), height, width)


def _of_all(planes: Planes, count: int, height: int, width: int) -> list[Blocks] | None:
    """The blocks of each of `count` planes that can be measured."""
    side = BLOCK if height * width >= 16 * BLOCK**2 else SMALL_BLOCK
    parts: list[list[NDArray[np.float64]]] = [[] for _ in range(count)]
    estimates: list[list[float]] = [[] for _ in range(count)]
    for rows, columns in evenly_spread_windows(height, width):
        for part, estimate, (values, hidden) in zip(parts, estimates, planes(rows, columns), strict=True):
            if min(values.shape) >= side:
                measured, wavelet = _measure_window(values, hidden, side, rows.start, columns.start)
                part.append(measured)
                estimate.append(wavelet)
    found = []
    for part, estimate in zip(parts, estimates, strict=True):
        merged = np.concatenate(part, axis=1) if part else np.empty((7, 0))
        horizontal, vertical, diagonal, kurtosis, hidden, down, across = merged
        whole = float(np.median(estimate)) if estimate else 0.0
        blocks = Blocks(horizontal, vertical, diagonal, kurtosis, hidden, down, across, side, whole).measurable()
        if blocks is None:
            return None
        found.append(blocks)
    return found


def _clipped(values: FloatPixels) -> NDArray[np.bool_]:
    return np.asarray((values <= CLIPPED) | (values >= 1 - CLIPPED))


def _unseen(visible: NDArray[np.bool_] | None, rows: slice, columns: slice) -> NDArray[np.bool_]:
    return np.zeros((1, 1), np.bool_) if visible is None else ~visible[rows, columns]


def most_noise(blocks: Blocks) -> float:
    """Low quantile over the blocks of what texture of the usual spectrum does not explain.

    Args:
        blocks: at least one.

    Returns:
        A standard deviation on the scale [0, 1], its sampling bias taken out. There is hardly more noise than that.
    """
    return float(np.percentile(unexplained(blocks), QUANTILE)) / sampling_bias(blocks.side)


def unexplained(blocks: Blocks) -> NDArray[np.float64]:
    """Of each block: strength of the details that texture of the usual spectrum does not explain."""
    axial = (blocks.horizontal + blocks.vertical) / 2
    share = TEXTURE_FALL_OFF**2
    variance = np.clip((blocks.diagonal**2 - share * axial**2) / (1 - share), 0, None)
    return np.minimum(np.sqrt(variance), blocks.diagonal)


def sampling_bias(side: int) -> float:
    """By what factor the low quantile over blocks of noise lies below its strength.

    The median absolute deviation of n Gaussian values scatters by 1.166 / sqrt(n), a quartile lies 0.674 below.
    """
    return 1 - 0.674 * 1.166 / (side / 2)


def is_texture(blocks: Blocks, heavy_tails: float = HEAVY_TAILS) -> bool:
    """Whether the quietest blocks, of one channel or a part of it, have not the looks of noise."""
    # Blocks that are even for the most part, as in borders and drawings, say nothing of the rest.
    detailed = blocks.at(blocks.diagonal > NO_DETAIL)
    if not detailed.diagonal.size:
        return True
    quietest = np.argsort(detailed.diagonal)[: max(LEAST_BLOCKS, round(QUIET * detailed.diagonal.size))]
    along = min(np.median(detailed.horizontal[quietest]), np.median(detailed.vertical[quietest]))
    if np.median(detailed.diagonal[quietest]) > PATTERN * along:
        return True
    return bool(np.median(detailed.kurtosis[quietest]) >= heavy_tails)


def _measure_window(
    values: FloatPixels, hidden: NDArray[np.bool_], side: int, top: int, left: int
) -> tuple[NDArray[np.float64], float]:
    """What :class:`Blocks` holds, in its order, of the whole blocks of H x W values, 7 x blocks; and its estimate."""
    horizontal, vertical, diagonal = _finest_details(values)
    down, across = values.shape[0] // side, values.shape[1] // side
    half = side // 2

    def cut(plane: FloatPixels) -> FloatPixels:
        whole = plane[: down * half, : across * half].reshape(down, half, across, half)
        return whole.swapaxes(1, 2).reshape(down * across, half * half)

    def strength(details: FloatPixels) -> NDArray[np.float64]:
        # Sorting has vector instructions, a partition of so few values has not; their number is even.
        ordered = np.sort(np.abs(details), axis=1)
        middle = ordered.shape[1] // 2
        pairs: NDArray[np.float64] = ordered[:, middle - 1].astype(np.float64) + ordered[:, middle]
        return np.float64(MAD_TO_SIGMA) * pairs / 2

    fine = cut(diagonal)
    squares = fine.astype(np.float64) ** 2
    power = squares.mean(axis=1)
    power[power < NO_DETAIL**2] = np.nan
    # The mean of ones and zeros over a power of two of them: exact.
    seen = hidden[: down * side, : across * side].astype(np.float32)
    hidden_shares = cv2.resize(seen, (across, down), interpolation=cv2.INTER_AREA).ravel()
    rows, columns = np.divmod(np.arange(down * across), across)
    measured = np.stack(
        [
            strength(cut(horizontal)),
            strength(cut(vertical)),
            strength(fine),
            (squares**2).mean(axis=1) / power**2 - 3,
            hidden_shares,
            top + (rows + 0.5) * side,
            left + (columns + 0.5) * side,
        ]
    )
    return measured, MAD_TO_SIGMA * _median(np.abs(diagonal[diagonal != 0]))


def _finest_details(values: FloatPixels) -> list[FloatPixels]:
    """Horizontal, vertical and diagonal ones, as :func:`pywt.dwt2` has them, to the bit.

    Its pass over columns takes four times as long as that over rows, so they are laid down first.
    """
    smooth, steep = (cv2.transpose(part) for part in pywt.dwt(cv2.transpose(values), "db2", mode="symmetric"))
    _, vertical = pywt.dwt(smooth, "db2", mode="symmetric")
    horizontal, diagonal = pywt.dwt(steep, "db2", mode="symmetric")
    return [horizontal, vertical, diagonal]


def _median(values: FloatPixels) -> float:
    """As :func:`numpy.median` has it, in a tenth of its time; 0 of none."""
    if not values.size:
        return 0.0
    middle = values.size // 2
    ordered = np.partition(values, middle)
    upper = ordered[middle]
    return float(upper if values.size % 2 else (ordered[:middle].max() + upper) / np.float32(2))
