"""Local contrast: contrast-limited adaptive histogram equalisation (CLAHE) of lightness, colour kept.

K. Zuiderveld, "Contrast limited adaptive histogram equalization", Graphics Gems IV, 1994, after S. M. Pizer et al.,
"Adaptive histogram equalization and its variations", Computer Vision, Graphics, and Image Processing 39, 1987. Each
tile has a histogram of L* (CIE 1976 L*a*b*); what a bin holds beyond the clip limit is shared among all bins; its
cumulative sum is the tile's curve; pixels between tile centres blend the curves of the four nearest. a* and b* stay.

cv2.createCLAHE does the same for integers, but its 16-bit form has 65536 bins for tiles that have fewer pixels than
that, so that its limit is never less than one pixel a bin and means something else at 16 bits than at 8. Here there are
256 bins at any depth and the curves are linear between them, so that 16-bit and float pictures keep their precision.
On 8-bit values the two agree to 5 levels at most and about 1 in the mean (OpenCV hands the remainder of the excess to
the dark bins first, whole pixels at a time).

``auto`` acts where the local contrast is low: the standard deviation of L* in windows of an eighth of the longer side,
of which the 90th percentile counts, so that a night sky around a contrasty subject is left alone. docs/quality.md has
what ordinary pictures measure.
"""

from __future__ import annotations

import warnings
from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage import color

from enhancer.image import FloatPixels
from enhancer.options import LocalContrastOptions
from enhancer.stages.base import WHOLE_PICTURE, Context, Decision, Stage
from enhancer.stages.light import from_linear, luminance, to_linear
from enhancer.stages.luma_noise import in_levels, luma_noise, objection_of_noise

LOW: Final = 5.0
"""Local contrast below which ``auto`` acts, as a standard deviation of L* (0 to 100)."""
BLANK: Final = 1.0
"""Local contrast below which there is nothing to bring out but grain."""
PREVIEW: Final = 1024
"""Longer side of the reduced picture that is measured."""
BINS: Final = 256
BAND: Final = 256
"""Rows worked on at a time."""


class LocalContrast(Stage):
    """CLAHE on L*, where the recipe asks for it or where local contrast is measured to be low."""

    name = "local-contrast"
    options = LocalContrastOptions
    off = "the recipe has local contrast off"
    for_photographs = True
    corrects = True

    def measure(self, pixels: FloatPixels, context: Context) -> Decision:
        """Measure the local contrast.

        Args:
            pixels: H x W x C, float32 in [0, 1].
            context: its recipe.

        Returns:
            A decision whose numbers are ``local_contrast`` (of L*, 0 to 50), ``noise`` (levels of 255) in ``auto``, and
            where applied ``clip_limit`` and ``tiles`` (down, across).
        """
        if (idle := self.idle(context)) is not None:
            return Decision(False, idle)
        options = context.recipe.local_contrast
        contrast = local_contrast(pixels)
        numbers: dict[str, Any] = {"local_contrast": round(contrast, 2)}
        reason = "the recipe asks for it"
        if options.mode == "auto":
            if contrast >= LOW:
                return Decision(False, f"local contrast of {contrast:.1f} is enough", numbers)
            if contrast < BLANK:
                return Decision(False, f"local contrast of {contrast:.1f}: hardly anything to bring out", numbers)
            noise = luma_noise(pixels)
            numbers["noise"] = in_levels(noise)
            if objection := objection_of_noise(noise, "brought out"):
                return Decision(False, objection, numbers)
            reason = f"local contrast of {contrast:.1f} is low"
        numbers |= {
            "clip_limit": options.clip_limit,
            "tiles": list(tile_grid(pixels.shape[0], pixels.shape[1], options)),
        }
        return Decision(True, reason, numbers)

    def apply(self, block: FloatPixels, decision: Decision, context: Context) -> FloatPixels:
        """Equalise the whole picture.

        Args:
            block: H x W x C, float32 in [0, 1]; all of the picture, since the tiles are parts of it.
            decision: from :meth:`measure`.
            context: not used.

        Returns:
            H x W x C, float32 in [0, 1]; grey stays one channel.
        """
        bands = [slice(top, top + BAND) for top in range(0, block.shape[0], BAND)]
        values = np.concatenate([lightness(block[rows]) / np.float32(100) for rows in bands])
        down, across = decision.numbers["tiles"]
        equalised = np.float32(100) * clahe(values, decision.numbers["clip_limit"], (down, across))
        result = np.empty_like(block)
        for rows in bands:
            result[rows] = with_lightness(block[rows], equalised[rows])
        return result

    def halo(self, context: Context) -> int:
        """Not bounded."""
        return WHOLE_PICTURE


def local_contrast(pixels: FloatPixels) -> float:
    """90th percentile of the standard deviation of L* in windows of an eighth of the longer side.

    Args:
        pixels: H x W x C, float32 in [0, 1]; a longer side than :data:`PREVIEW` is reduced to it first.
    """
    height, width = pixels.shape[:2]
    share = min(1.0, PREVIEW / max(height, width))
    size = max(1, round(share * width)), max(1, round(share * height))
    preview = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA) if share < 1 else pixels
    values = lightness(preview.reshape(*preview.shape[:2], -1)).astype(np.float64)
    side = max(3, max(values.shape) // 8)
    mean = ndimage.uniform_filter(values, side, mode="reflect")
    variance = ndimage.uniform_filter(values**2, side, mode="reflect") - mean**2
    return float(np.percentile(np.sqrt(np.maximum(variance, 0)), 90))


def tile_grid(height: int, width: int, options: LocalContrastOptions) -> tuple[int, int]:
    """Tiles down and across: as many as the options say along the longer side, about as wide as high."""
    longer = max(height, width)
    down, across = (max(1, round(options.tiles * side / longer)) for side in (height, width))
    return min(down, height), min(across, width)


def clahe(values: FloatPixels, clip_limit: float, tiles: tuple[int, int]) -> FloatPixels:
    """Contrast-limited adaptive histogram equalisation.

    Args:
        values: H x W, float32 in [0, 1].
        clip_limit: the most that a bin may hold, in multiples of what each holds in a flat histogram.
        tiles: down and across.

    Returns:
        H x W, float32 in [0, 1].
    """
    edges = [np.linspace(0, side, count + 1).astype(int) for side, count in zip(values.shape, tiles, strict=True)]
    curves = np.empty((*tiles, BINS), dtype=np.float32)
    for row in range(tiles[0]):
        for column in range(tiles[1]):
            tile = values[edges[0][row] : edges[0][row + 1], edges[1][column] : edges[1][column + 1]]
            curves[row, column] = _curve(tile, clip_limit)
    down, across = (_tile_positions(ends) for ends in edges)
    equalised = np.empty_like(values)
    for top in range(0, values.shape[0], BAND):
        band = values[top : top + BAND]
        # Between tile centres and between bins alike the curves are interpolated linearly.
        positions = np.broadcast_arrays(down[top : top + BAND, None], across[None, :], (BINS - 1) * band)
        equalised[top : top + BAND] = ndimage.map_coordinates(curves, positions, order=1, mode="nearest")
    return np.clip(equalised, 0, 1)


def _curve(tile: FloatPixels, clip_limit: float) -> NDArray[np.float64]:
    """The clipped histogram's cumulative share, at bins centred on k / 255."""
    counts = np.bincount(np.rint((BINS - 1) * tile.ravel()).astype(np.intp), minlength=BINS)
    shares = counts / counts.sum()
    limit = clip_limit / BINS
    clipped = np.minimum(shares, limit)
    clipped += (1 - clipped.sum()) / BINS
    return np.cumsum(clipped)


def _tile_positions(ends: NDArray[np.intp]) -> NDArray[np.float32]:
    """Where each pixel of a side lies among the tiles' centres: 0 at the first centre, 1 at the second."""
    centres = (ends[:-1] + ends[1:] - 1) / 2
    return np.interp(np.arange(ends[-1]), centres, np.arange(centres.size)).astype(np.float32)


def lightness(pixels: FloatPixels) -> FloatPixels:
    """L* of CIE 1976 (0 to 100) of sRGB values, H x W x C to H x W; grey is taken as three equal channels."""
    ratio = luminance(to_linear(np.clip(pixels, 0, 1)))
    low = ratio <= (6 / 29) ** 3
    return np.where(low, (29 / 3) ** 3 * ratio, 116 * np.cbrt(ratio) - 16).astype(np.float32)


def with_lightness(pixels: FloatPixels, values: FloatPixels) -> FloatPixels:
    """`pixels` (H x W x C, sRGB values) with L* replaced by `values` (H x W), a* and b* kept; clipped to [0, 1]."""
    if pixels.shape[2] == 1:
        ratio = np.where(values <= 8, values * (3 / 29) ** 3, ((values + 16) / 116) ** 3).astype(np.float32)
        return np.clip(from_linear(ratio)[..., None], 0, 1)
    lab = color.rgb2lab(np.clip(pixels, 0, 1))
    lab[..., 0] = values
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*negative Z values", category=UserWarning)
        colours: FloatPixels = np.clip(color.lab2rgb(lab), 0, 1).astype(np.float32)
    return colours
