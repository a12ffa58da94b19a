"""What a camera makes of a scene: light falls on a mosaic of colours, photons are counted, a picture is developed.

The noise is Poisson's and Gauss' in linear light (A. Foi et al., "Practical Poissonian-Gaussian noise modeling and
fitting for single-image raw-data", IEEE Trans. Image Processing 17(10), 2008) on a Bayer mosaic; the development after
it (demosaicing, white balance, gamma, sharpening) spreads it over neighbours and colours, as T. Brooks et al.
("Unprocessing Images for Learned Raw Denoising", CVPR 2019) undo and redo it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray

from enhancer.image import FloatPixels

MIDDLE: Final = 0.5
"""A middle grey after the tone curve."""
RAW_WHITE: Final = 65535 / 4
"""Raw values of white, with room for what noise adds above it."""
RAW_BLACK: Final = 2048.0
"""Raw value of black, so that noise is not cut off below it."""
_FRAME: Final = 4
"""Pixels around the scene, even: what demosaicing makes of the sensor's edge is cut off again."""
_DEMOSAICING: Final = (cv2.COLOR_BayerRGGB2RGB, cv2.COLOR_BayerRGGB2RGB_EA)


@dataclass(frozen=True, slots=True)
class Camera:
    """One exposure and its development.

    Attributes:
        shot: variance in linear light for each unit of signal, white being 1.
        read: standard deviation of the read noise in linear light.
        gains: of red and blue in the white balance, relative to green.
        edge_aware: demosaic along edges, not bilinearly.
        chroma_blur: standard deviation in pixels of the smoothing of the colour differences; 0: none.
        sharpening: strength of the unsharp mask (radius of one pixel); 0: none.
    """

    shot: float
    read: float
    gains: tuple[float, float]
    edge_aware: bool
    chroma_blur: float
    sharpening: float

    @classmethod
    def drawn(cls, noise: tuple[float, float], random: np.random.Generator) -> Camera:
        """A random camera.

        Args:
            noise: lowest and highest standard deviation of a middle grey's noise in the mosaic, in levels of 255 after
                the tone curve; the development makes it about twice as strong.
            random: of the draw.
        """
        level = random.uniform(*noise) / 255
        grey, above = (float(light) for light in _linear(np.array([MIDDLE, MIDDLE + level], np.float32)))
        linear = above - grey
        share = random.uniform(0.5, 0.95)
        return cls(
            shot=float(share * linear**2 / grey),
            read=float(linear * np.sqrt(1 - share)),
            gains=(float(random.uniform(1.4, 2.4)), float(random.uniform(1.3, 2.0))),
            edge_aware=bool(random.random() < 0.5),
            chroma_blur=float(random.uniform(0.5, 2.0)) if random.random() < 0.6 else 0.0,
            sharpening=float(random.uniform(0.2, 1.0)) if random.random() < 0.6 else 0.0,
        )

    def photographed(self, scene: FloatPixels, random: np.random.Generator, *, noisy: bool = True) -> FloatPixels:
        """The picture that the camera makes.

        Args:
            scene: H x W x 3 on [0, 1] in sRGB.
            random: of the noise.
            noisy: False: the same development without noise, to separate what the noise adds.

        Returns:
            float32 of the same shape, on [0, 1].
        """
        height, width = scene.shape[:2]
        scene = cv2.copyMakeBorder(scene, _FRAME, _FRAME + height % 2, _FRAME, _FRAME + width % 2, cv2.BORDER_REPLICATE)
        gains = np.array([self.gains[0], 1, self.gains[1]], np.float32)
        mosaic = _mosaic(_linear(scene) / gains)
        if noisy:
            deviation = np.sqrt(self.shot * mosaic + self.read**2)
            mosaic = mosaic + deviation * random.standard_normal(mosaic.shape, dtype=np.float32)
        raw = np.clip(np.rint(mosaic * RAW_WHITE + RAW_BLACK), 0, 65535).astype(np.uint16)
        colours = cv2.cvtColor(raw, _DEMOSAICING[self.edge_aware]).astype(np.float32)
        linear = np.clip((colours - RAW_BLACK) / np.float32(RAW_WHITE) * gains, 0, 1)
        developed = _toned(linear)
        if self.chroma_blur:
            developed = _smooth_chroma(developed, self.chroma_blur)
        if self.sharpening:
            soft = cv2.GaussianBlur(developed, (0, 0), 1.0)
            developed = developed + np.float32(self.sharpening) * (developed - soft)
        return np.clip(developed[_FRAME : _FRAME + height, _FRAME : _FRAME + width], 0, 1)


def _linear(toned: FloatPixels) -> FloatPixels:
    """Linear light of sRGB values (IEC 61966-2-1)."""
    light = np.where(toned <= 0.04045, toned / 12.92, ((toned + 0.055) / 1.055) ** 2.4)
    return np.asarray(light, np.float32)


def _toned(linear: FloatPixels) -> FloatPixels:
    """SRGB values of linear light in [0, 1]."""
    toned = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.asarray(toned, np.float32)


def _mosaic(colours: FloatPixels) -> NDArray[np.float32]:
    """H x W of an H x W x 3 picture as a Bayer sensor sees it: red and green above green and blue."""
    mosaic = colours[..., 1].copy()
    mosaic[::2, ::2] = colours[::2, ::2, 0]
    mosaic[1::2, 1::2] = colours[1::2, 1::2, 2]
    return mosaic


def _smooth_chroma(pixels: FloatPixels, sigma: float) -> FloatPixels:
    planes = cv2.cvtColor(np.clip(pixels, 0, 1), cv2.COLOR_RGB2YCrCb)
    planes[..., 1:] = cv2.GaussianBlur(planes[..., 1:], (0, 0), sigma)
    return np.asarray(cv2.cvtColor(planes, cv2.COLOR_YCrCb2RGB), np.float32)
