"""Damage done on purpose to clean pictures, the same for training, tests and benchmarks.

Every function is pure and takes its random generator, so that a figure can be had again from its seed.
"""

from __future__ import annotations

import io
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from enhancer.image import FloatPixels
from enhancer.training.pictures import Bytes

Subsampling = Literal["4:4:4", "4:2:0"]

_PILLOW_SUBSAMPLING: Final = {"4:4:4": 0, "4:2:0": 2}


def with_gaussian_noise(pixels: FloatPixels, sigma: float | FloatPixels, random: np.random.Generator) -> FloatPixels:
    """White Gaussian noise, independent in every sample and not clipped, so that its mean is zero.

    Args:
        pixels: any shape, on the scale [0, 1].
        sigma: standard deviation on the same scale, one number or an array that broadcasts with `pixels`.
        random: of the draw.

    Returns:
        float32, the shape of `pixels`.
    """
    drawn = random.standard_normal(pixels.shape, dtype=np.float32)
    return np.asarray(pixels + np.asarray(sigma, np.float32) * drawn, dtype=np.float32)


def with_impulses(pixels: FloatPixels, rate: float, random: np.random.Generator) -> FloatPixels:
    """Salt and pepper: a share of the samples, each channel on its own, becomes black or white with equal odds.

    Args:
        pixels: any shape, on the scale [0, 1].
        rate: expected share of struck samples.
        random: of the draw.
    """
    struck = random.random(pixels.shape) < rate
    return np.where(struck, random.random(pixels.shape) < 0.5, pixels).astype(np.float32)


def as_bytes(pixels: FloatPixels) -> Bytes:
    """Rounded and clipped to what an 8-bit file can hold."""
    return np.clip(np.rint(pixels * 255), 0, 255).astype(np.uint8)


def noise_map(side: int, highest: float, random: np.random.Generator) -> FloatPixels:
    """How strong the noise of one training patch is, pixel by pixel.

    One time in eight there is none, one time in four it varies, bilinear between the strengths at the four corners;
    else it is the same everywhere. Strengths are uniform from 0 to `highest`.

    Returns:
        side x side float32.
    """
    kind = random.random()
    if kind < 1 / 8:
        return np.zeros((side, side), np.float32)
    if kind < 3 / 8:
        corners = random.uniform(0, highest, (2, 2))
        ramp = np.linspace(0, 1, side)
        ends = np.stack([1 - ramp, ramp])
        return (ends.T @ corners @ ends).astype(np.float32)
    return np.full((side, side), random.uniform(0, highest), np.float32)


def through_jpeg(pixels: Bytes, quality: int, subsampling: Subsampling = "4:2:0") -> Bytes:
    """What is left of H x W x 3 bytes of RGB after a JPEG file by Pillow (libjpeg's tables for `quality`, 1 to 100)."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=quality, subsampling=_PILLOW_SUBSAMPLING[subsampling])
    with Image.open(file) as decoded:
        result: NDArray[np.uint8] = np.asarray(decoded.convert("RGB"))
    return result
