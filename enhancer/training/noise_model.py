"""What the noise of a set of pictures is like: how it grows with the light and what the colours share of it.

Sensors and film have noise whose variance is a straight line over the signal (A. Foi et al., "Practical
Poissonian-Gaussian noise modeling and fitting for single-image raw-data", IEEE Trans. Image Processing 17(10), 2008),
and a scanned grey picture or film grain has the same noise in all three colours. Both are read off the diagonal
differences of flat blocks; how strong the noise is altogether is measured elsewhere (:mod:`enhancer.stages.noise`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from enhancer.image import FloatPixels

Floats = NDArray[np.float64]

BLOCK: Final = 8
"""Side of a block, in cells of 2 x 2 pixels."""
BINS: Final = 8
"""Of a block's mean signal."""
FLATTEST: Final = 0.25
"""Share of a bin's blocks that is believed to be flat."""
LEAST_BLOCKS: Final = 8
CLIPPED: Final = 2 / 255


@dataclass(frozen=True, slots=True)
class NoiseModel:
    """Noise of mean zero, independent from pixel to pixel.

    Attributes:
        constant: part of the variance that is the same everywhere, on [0, 1].
        shot: part of the variance that grows with the signal, times the signal.
        correlation: 3 x 3, of the three colours.
    """

    constant: float
    shot: float
    correlation: Floats

    @classmethod
    def of(cls, pictures: Sequence[FloatPixels], sigma: float) -> NoiseModel:
        """The noise of some pictures.

        Args:
            pictures: H x W x 3 each, on [0, 1].
            sigma: its standard deviation over all, on the same scale, which the model keeps.
        """
        blocks = [_blocks(picture) for picture in pictures]
        means, covariances = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
        signals, variances, correlation = _flat(means, covariances)
        if not len(signals):
            return cls(sigma**2, 0.0, np.eye(3))
        slope, level = np.polyfit(signals, variances, 1) if len(signals) > 1 else (0.0, variances[0])
        if slope < 0:
            slope, level = 0.0, variances.mean()
        elif level < 0:
            slope, level = (signals @ variances) / (signals @ signals), 0.0
        # Flat blocks were chosen for their little noise, so that only their proportions are believed.
        share = sigma**2 / (level + slope * means.mean())
        return cls(float(share * level), float(share * slope), correlation)

    def drawn_on(self, pixels: FloatPixels, random: np.random.Generator) -> FloatPixels:
        """H x W x 3 with such noise, clipped to [0, 1] and rounded to the values of 8 bits, as files have it."""
        values, vectors = np.linalg.eigh(self.correlation)
        mixing = vectors * np.sqrt(np.clip(values, 0, None))
        noise = random.standard_normal(pixels.shape) @ mixing.T
        noisy = pixels + noise * np.sqrt(self.constant + self.shot * pixels)
        return np.asarray(np.rint(255 * np.clip(noisy, 0, 1)) / 255, np.float32)


def _blocks(pixels: FloatPixels) -> tuple[Floats, Floats]:
    """Of n blocks without clipping: mean signal (n), covariance of the colours' diagonal differences (n x 3 x 3)."""
    side = 2 * BLOCK
    down, across = pixels.shape[0] // side, pixels.shape[1] // side
    cut = pixels[: down * side, : across * side].astype(np.float64).reshape(down, side, across, side, 3)
    cut = cut.swapaxes(1, 2).reshape(down * across, side, side, 3)
    cut = cut[((cut > CLIPPED) & (cut < 1 - CLIPPED)).all(axis=(1, 2, 3))]
    difference = (cut[:, ::2, ::2] - cut[:, 1::2, ::2] - cut[:, ::2, 1::2] + cut[:, 1::2, 1::2]) / 2
    flat = difference.reshape(len(cut), BLOCK**2, 3)
    return cut.mean(axis=(1, 2, 3)), flat.swapaxes(1, 2) @ flat / BLOCK**2


def _flat(means: Floats, covariances: Floats) -> tuple[Floats, Floats, Floats]:
    """Signal and variance of the flattest blocks of each bin, and the colours' correlation over all of them."""
    signals, variances, chosen = [], [], []
    total = covariances.trace(axis1=1, axis2=2) / 3
    for lowest in np.arange(BINS) / BINS:
        here = np.flatnonzero((means >= lowest) & (means < lowest + 1 / BINS))
        if len(here) < LEAST_BLOCKS:
            continue
        flattest = here[np.argsort(total[here])[: max(1, round(FLATTEST * len(here)))]]
        signals.append(means[flattest].mean())
        variances.append(total[flattest].mean())
        chosen.append(covariances[flattest].mean(axis=0))
    if not chosen:
        return np.empty(0), np.empty(0), np.eye(3)
    covariance = np.mean(chosen, axis=0)
    deviations = np.sqrt(np.maximum(covariance.diagonal(), 1e-12))
    return np.array(signals), np.array(variances), covariance / np.outer(deviations, deviations)
