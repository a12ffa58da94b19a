"""Damage as real pictures have it, drawn on clean ones with a seed: for training, benchmarks and estimators.

Three models, each in four strengths:

* ``first-order``: blur, one of three reductions, white, grey or correlated noise, a JPEG file, often a second one whose
  blocks lie elsewhere.
* ``second-order``: the same and more, twice over, as Real-ESRGAN has it (X. Wang et al., "Real-ESRGAN: Training
  Real-World Blind Super-Resolution with Pure Synthetic Data", ICCVW 2021): blur kernels that are round, elongated,
  pointed or flat, resizing up and down, Gaussian and Poisson noise, JPEG, ringing of a sinc filter.
* ``camera``: blur, reduction, a camera (:mod:`enhancer.training.camera`) and a JPEG file.

The damage is handed over as plain pixels: where a JPEG's blocks lie is not kept to the picture's corner.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

import cv2
import numpy as np
from PIL import Image

from enhancer.image import FloatPixels, to_unit
from enhancer.training.blur_kernels import random_kernel, sinc_kernel
from enhancer.training.camera import Camera
from enhancer.training.degradations import as_bytes, through_jpeg
from enhancer.training.pictures import Bytes

Strength = Literal["clean", "light", "medium", "heavy"]
Model = Literal["first-order", "second-order", "camera"]
STRENGTHS: Final[tuple[Strength, ...]] = ("clean", "light", "medium", "heavy")
MODELS: Final[tuple[Model, ...]] = ("first-order", "second-order", "camera")

Range = tuple[float, float]
_FILTERS: Final = (Image.Resampling.BOX, Image.Resampling.BILINEAR, Image.Resampling.BICUBIC)
_CLEAN_FILTER: Final = Image.Resampling.BICUBIC
_BLOCK: Final = 16
"""Side of a JPEG's largest block, of chroma in 4:2:0: grids are shifted by less."""


@dataclass(frozen=True, slots=True)
class _Ranges:
    """What a strength draws from: standard deviations of blur in pixels of the result and of noise in levels of 255,
    JPEG qualities, and by how much a second-order picture's side may fall below the result's meanwhile.
    """

    blur: Range
    noise: Range
    quality: tuple[int, int]
    smallest: float


_RANGES: Final[dict[Strength, _Ranges]] = {
    "light": _Ranges((0.1, 0.4), (1.0, 4.0), (75, 94), 1.0),
    "medium": _Ranges((0.2, 0.7), (3.0, 8.0), (50, 80), 0.85),
    "heavy": _Ranges((0.4, 1.1), (7.0, 14.0), (30, 55), 0.65),
}


@dataclass(frozen=True, slots=True)
class Damage:
    """What was done to a picture.

    Attributes:
        model: which model drew it.
        strength: how much.
        blur: standard deviation of all blurring before the noise, in pixels of the result; reductions not counted.
        noise: standard deviation of the noise in the result before its last JPEG, in levels of 255, mean over colours;
            of the last round alone for second-order damage.
        grey: the noise is the same in the three colours.
        correlation: standard deviation in pixels of the filter that made the noise coarse; 0: white. A camera's noise
            has the correlation that its development gives, which is not counted.
        qualities: of the JPEG files, in order; empty: never was a JPEG.
        grid: row and column in the result where the last JPEG's first whole block of 8 begins, 0 to 7.
        sharpening: strength of an unsharp mask.
        ringing: a sinc filter was applied.
    """

    model: Model
    strength: Strength
    blur: float = 0.0
    noise: float = 0.0
    grey: bool = False
    correlation: float = 0.0
    qualities: tuple[int, ...] = ()
    grid: tuple[int, int] = (0, 0)
    sharpening: float = 0.0
    ringing: bool = False


def damaged(
    picture: Bytes,
    scale: int,
    model: Model,
    strength: Strength,
    random: np.random.Generator,
    *,
    compression: Strength | None = None,
) -> tuple[Bytes, Damage]:
    """A damaged, reduced version of a picture.

    Args:
        picture: H x W x 3 of RGB, clean; `scale` divides the sides, which are at least 16 x `scale`.
        scale: by how much it is reduced; 1: not at all.
        model: kind of damage.
        strength: of it; ``clean``: antialiased bicubic reduction alone, by any model.
        random: of the draw; the same state gives the same result.
        compression: strength of the JPEG files alone, where it is another one, as of a noisy picture kept well;
            ``clean`` counts as ``light``.

    Returns:
        H / scale x W / scale x 3 bytes, and what was done.

    Raises:
        ValueError: the sides do not fit.
    """
    height, width = picture.shape[:2]
    if height % scale or width % scale or min(height, width) < 16 * scale:
        raise ValueError(
            f"a picture of {width} x {height} cannot be reduced by {scale}: cut it to multiples, 16 or more"
        )
    if strength == "clean":
        return _reduced(picture, scale, _CLEAN_FILTER), Damage(model, strength)
    ranges = _RANGES[strength]
    if compression is not None:
        ranges = replace(ranges, quality=_RANGES["light" if compression == "clean" else compression].quality)
    if model == "first-order":
        return _first_order(picture, scale, strength, ranges, random)
    if model == "second-order":
        return _second_order(picture, scale, strength, ranges, random)
    return _camera(picture, scale, strength, ranges, random)


def _first_order(
    picture: Bytes, scale: int, strength: Strength, ranges: _Ranges, random: np.random.Generator
) -> tuple[Bytes, Damage]:
    blur = float(random.uniform(*ranges.blur))
    soft = cv2.GaussianBlur(picture, (0, 0), blur * scale)
    small = _reduced(soft, scale, _FILTERS[random.integers(len(_FILTERS))])
    sigma, grey, correlation = _noise_kind(ranges, random)
    noisy = as_bytes(to_unit(small) + _noise(small.shape, sigma, grey, correlation, random))
    files = 1 + (random.random() < 0.5) if random.random() < 0.8 else 0
    qualities, grid = [], (0, 0)
    for _ in range(files):
        qualities.append(_quality(ranges, random))
        noisy, grid = _shifted_jpeg(noisy, qualities[-1], random)
    return noisy, Damage("first-order", strength, blur, sigma, grey, correlation, tuple(qualities), grid)


def _second_order(
    picture: Bytes, scale: int, strength: Strength, ranges: _Ranges, random: np.random.Generator
) -> tuple[Bytes, Damage]:
    height, width = picture.shape[0] // scale, picture.shape[1] // scale
    blur = float(random.uniform(*ranges.blur))
    pixels = cv2.filter2D(to_unit(picture), -1, random_kernel(blur * scale, random), borderType=cv2.BORDER_REFLECT)
    size = random.uniform(ranges.smallest, max(1.0, 0.75 * scale))
    pixels = _resized(pixels, round(height * size), round(width * size), random)
    pixels = _with_light_noise(pixels, ranges, random)
    qualities = [_quality(ranges, random)]
    pixels = to_unit(_shifted_jpeg(as_bytes(pixels), qualities[0], random)[0])
    if random.random() < 0.8:
        further = float(random.uniform(0.1, 0.6 * ranges.blur[1]))
        pixels = cv2.filter2D(pixels, -1, random_kernel(further * size, random), borderType=cv2.BORDER_REFLECT)
        blur = float(np.hypot(blur, further))
    pixels = _resized(pixels, height, width, random)
    sigma, grey, correlation = _noise_kind(ranges, random)
    pixels = pixels + _noise(pixels.shape, sigma, grey, correlation, random)
    ringing = bool(random.random() < 0.4)
    if ringing:
        pixels = cv2.filter2D(pixels, -1, sinc_kernel(random.uniform(np.pi / 2, np.pi)), borderType=cv2.BORDER_REFLECT)
    qualities.append(_quality(ranges, random))
    result, grid = _shifted_jpeg(as_bytes(pixels), qualities[-1], random)
    return result, Damage(
        "second-order", strength, blur, sigma, grey, correlation, tuple(qualities), grid, ringing=ringing
    )


def _camera(
    picture: Bytes, scale: int, strength: Strength, ranges: _Ranges, random: np.random.Generator
) -> tuple[Bytes, Damage]:
    blur = float(random.uniform(*ranges.blur))
    small = to_unit(_reduced(cv2.GaussianBlur(picture, (0, 0), blur * scale), scale, Image.Resampling.BOX))
    camera = Camera.drawn((ranges.noise[0] / 2, ranges.noise[1] / 2), random)  # development doubles it
    noisy = camera.photographed(small, random)
    sigma = float(np.std(noisy - camera.photographed(small, random, noisy=False)) * 255)
    quality = _quality(ranges, random)
    result, grid = _shifted_jpeg(as_bytes(noisy), quality, random)
    return result, Damage(
        "camera", strength, blur, sigma, qualities=(quality,), grid=grid, sharpening=camera.sharpening
    )


def _reduced(picture: Bytes, scale: int, resampling: Image.Resampling) -> Bytes:
    if scale == 1:
        return picture
    size = (picture.shape[1] // scale, picture.shape[0] // scale)
    return np.asarray(Image.fromarray(picture).resize(size, resampling))


def _resized(pixels: FloatPixels, height: int, width: int, random: np.random.Generator) -> FloatPixels:
    ways = (cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_CUBIC)
    resized = cv2.resize(pixels, (width, height), interpolation=ways[random.integers(len(ways))])
    return np.asarray(np.clip(resized, 0, 1), np.float32)


def _noise_kind(ranges: _Ranges, random: np.random.Generator) -> tuple[float, bool, float]:
    """Standard deviation in levels, whether grey, and standard deviation of the filter that makes it coarse."""
    kind = random.integers(3)
    return float(random.uniform(*ranges.noise)), bool(kind == 1), float(random.uniform(0.4, 0.9)) if kind == 2 else 0.0


def _noise(
    shape: tuple[int, ...], sigma: float, grey: bool, correlation: float, random: np.random.Generator
) -> FloatPixels:
    drawn = random.standard_normal((*shape[:2], 1 if grey else 3), dtype=np.float32)
    if correlation:
        drawn = cv2.GaussianBlur(drawn, (0, 0), correlation, borderType=cv2.BORDER_REFLECT).reshape(drawn.shape)
        drawn /= drawn.std()
    return np.asarray(np.broadcast_to(drawn * np.float32(sigma / 255), shape), np.float32)


def _with_light_noise(pixels: FloatPixels, ranges: _Ranges, random: np.random.Generator) -> FloatPixels:
    """Noise of the first round: Gaussian, or Poisson's, which grows with the light; grey in two of five."""
    sigma = random.uniform(*ranges.noise) / 255
    grey = bool(random.random() < 0.4)
    noise = _noise(pixels.shape, 255 * sigma, grey, 0.0, random)
    if random.random() < 0.5:
        noise = noise * np.sqrt(2 * pixels.mean(axis=2, keepdims=True) if grey else 2 * pixels)
    return np.asarray(pixels + noise, np.float32)


def _quality(ranges: _Ranges, random: np.random.Generator) -> int:
    return int(random.integers(ranges.quality[0], ranges.quality[1] + 1))


def _shifted_jpeg(pixels: Bytes, quality: int, random: np.random.Generator) -> tuple[Bytes, tuple[int, int]]:
    """Through a JPEG file whose blocks lie anywhere, and where the first whole one begins.

    What lies above and left of the picture in the file mirrors it.
    """
    above, left = (int(value) for value in random.integers(_BLOCK, size=2))
    framed = cv2.copyMakeBorder(pixels, above, 0, left, 0, cv2.BORDER_REFLECT)
    stored = through_jpeg(framed, quality, "4:2:0" if random.random() < 2 / 3 else "4:4:4")
    return np.ascontiguousarray(stored[above:, left:]), (-above % 8, -left % 8)
