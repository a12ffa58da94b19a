"""Sharpening of luminance, in three ways, and when ``auto`` does it.

With ``low`` a Gaussian low-pass of the luma Y' (kernel k, standard deviation ``0.3 ((k - 1) / 2 - 1) + 0.8`` as OpenCV
derives it) and ``high = Y' - low``:

* ``frequency``: frequency separation, ``low + (1 + amount) high``.
* ``unsharp``: unsharp masking, ``Y' + amount high`` where ``|high| >= threshold``; at threshold 0 the two are the same
  filter by construction.
* ``adaptive``: adaptive unsharp masking in the manner of A. Polesel, G. Ramponi, V. J. Mathews, "Image enhancement via
  adaptive unsharp masking", IEEE Trans. Image Processing 9(3), 2000: ``Y' + amount w high``. The weight w is 0 where
  the gradient is what the measured noise alone would give, rises smoothly, and is 1 at edges. The result stays within
  the smallest and largest Y' of the k x k neighbourhood, widened on both sides by :data:`OVERSHOOT` of their
  difference: edges get steeper with hardly a halo.

The change of luma is added to R, G and B alike, so that the colour differences Cb and Cr stay.

``auto`` measures the blur at edges (S. Zhuo, T. Sim, "Defocus map estimation from a single image", Pattern Recognition
44(9), 2011: an edge blurred by sigma, blurred once more by 1, loses a factor ``R = sqrt(1 + 1 / sigma^2)`` of its
gradient). The sharpest quarter of the edges decides, so that a soft background behind a sharp subject is left alone. On
Set14, five wallpaper photographs and scikit-image's pictures that quartile's blur is at most 1.23 pixels (an ideal step
measures 0.8 to 1.0); blurred by 1.5 pixels most measure 1.2 to 1.6, blurred by 2 pixels 1.3 to 2.1. Noisy pictures are
left alone: their noise would be sharpened.
"""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

import cv2
import numpy as np
from scipy import ndimage

from enhancer.image import FloatPixels
from enhancer.options import SharpeningOptions
from enhancer.stages.base import Context, Decision, Stage
from enhancer.stages.drawn_edges import edges_drawn
from enhancer.stages.light import luminance
from enhancer.stages.luma_noise import in_levels, luma_noise, objection_of_noise
from enhancer.stages.sampling import evenly_spread_crops

OVERSHOOT: Final = 0.1
"""Of the local range, how far beyond it ``adaptive`` may go."""
SHARP_ENOUGH: Final = 1.3
"""Blur of the sharpest quarter of the edges, in pixels, up to which ``auto`` does nothing."""
EDGE: Final = 0.03
"""Least gradient of an edge after the second blur, per pixel."""
LEAST_EDGES: Final = 100
EDGE_RADIUS: Final = 2
SHARPEST: Final = 75
FLAT: Final = 1 / 255
"""Gradient up to which an area counts as flat, whatever the noise."""
NOISE_GRADIENT: Final = 1.6
"""Times the noise's standard deviation: 99.9 % of the gradients of noise alone (Rayleigh, 0.433 a side) are smaller."""
EDGE_OVER_FLAT: Final = 3
LARGEST_KERNEL: Final = 31


class Sharpness(NamedTuple):
    """What :func:`measure_sharpness` found.

    Attributes:
        blur: standard deviation in pixels of the blur at the sharpest quarter of the edges; None: too few edges.
        edges: how many were found.
        noise: standard deviation of the luma's noise on the scale [0, 1]; None: cannot be told.
    """

    blur: float | None
    edges: int
    noise: float | None


class Sharpening(Stage):
    """Steepens edges, as the recipe says or where measured blur calls for it."""

    name = "sharpening"
    options = SharpeningOptions
    off = "the recipe has sharpening off"

    def measure(self, pixels: FloatPixels, context: Context) -> Decision:
        """Measure blur and noise.

        Args:
            pixels: H x W x C, float32 in [0, 1].
            context: its recipe.

        Returns:
            A decision whose numbers are ``blur`` (pixels), ``edges``, ``noise`` (levels of 255), and where applied
            ``method``, ``kernel`` and ``amount``. In ``auto`` the kernel grows until its Gaussian is 0.7 of the blur.
        """
        if (idle := self.idle(context)) is not None:
            return Decision(False, idle)
        options = context.recipe.sharpening
        if options.amount == 0:
            return Decision(False, "the recipe's amount is 0")
        if options.mode == "auto" and sharp_before(context):
            return Decision(False, "edges as drawn are as sharp as the input's, which were sharp enough")
        blur, edges, noise = measure_sharpness(pixels)
        numbers: dict[str, Any] = {
            "blur": None if blur is None else round(blur, 2),
            "edges": edges,
            "noise": in_levels(noise),
        }
        kernel = options.kernel
        reason = "the recipe asks for it"
        if options.mode == "auto":
            if objection := _sharp_enough(blur) or objection_of_noise(noise, "sharpened"):
                return Decision(False, objection, numbers)
            assert blur is not None  # that was an objection
            while kernel < LARGEST_KERNEL and gaussian_sigma(kernel) < 0.7 * blur:
                kernel += 2
            reason = f"edges are blurred by {blur:.1f} pixels"
        numbers |= {"method": options.method, "kernel": kernel, "amount": options.amount}
        return Decision(True, reason, numbers)

    def apply(self, block: FloatPixels, decision: Decision, context: Context) -> FloatPixels:
        """Sharpen a block.

        Args:
            block: H x W x C, float32 in [0, 1].
            decision: from :meth:`measure`.
            context: its recipe.

        Returns:
            H x W x C, float32 in [0, 1].
        """
        kernel, amount = decision.numbers["kernel"], np.float32(decision.numbers["amount"])
        luma = luminance(block)
        if decision.numbers["method"] == "adaptive":
            overshoot = 0.0 if edges_drawn(context) else OVERSHOOT
            change = adaptive_change(
                luma, kernel, amount, noise=(decision.numbers["noise"] or 0) / 255, beyond=overshoot
            )
        else:
            threshold = context.recipe.sharpening.threshold if decision.numbers["method"] == "unsharp" else 0.0
            high = high_pass(luma, kernel)
            change = np.where(np.abs(high) >= threshold, amount * high, np.float32(0))
        sharpened: FloatPixels = np.clip(block + change[..., None], 0, 1)
        return sharpened

    def halo(self, context: Context) -> int:
        """Half the kernel; the decided one's, once it is decided."""
        decision = context.decisions.get(self.name)
        kernel = decision.numbers.get("kernel") if decision is not None else None
        return (kernel or LARGEST_KERNEL) // 2


def measure_sharpness(pixels: FloatPixels) -> Sharpness:
    """Blur at edges, and noise, of the luma.

    Args:
        pixels: H x W x C, float32 in [0, 1]; at most about 4 megapixels of it are looked at.
    """
    crops = [np.ascontiguousarray(luminance(crop)) for crop in evenly_spread_crops(pixels)]
    noise = luma_noise(pixels)
    least = max(EDGE, 4 * (noise or 0))
    ratios = np.concatenate([_gradient_ratios(crop, least) for crop in crops])
    if ratios.size < LEAST_EDGES:
        return Sharpness(None, int(ratios.size), noise)
    ratio = float(np.percentile(ratios, SHARPEST))
    blur = 1 / math.sqrt(max(ratio**2 - 1, 1e-4))
    return Sharpness(blur, int(ratios.size), noise)


def gaussian_sigma(kernel: int) -> float:
    """Standard deviation of a Gaussian low-pass of `kernel` pixels, by OpenCV's rule."""
    return 0.3 * ((kernel - 1) / 2 - 1) + 0.8


def high_pass(luma: FloatPixels, kernel: int) -> FloatPixels:
    """What a Gaussian low-pass of `kernel` pixels takes from `luma` (H x W)."""
    sigma = gaussian_sigma(kernel)
    high: FloatPixels = luma - cv2.GaussianBlur(luma, (kernel, kernel), sigma, borderType=cv2.BORDER_REFLECT)
    return high


def _sharp_enough(blur: float | None) -> str | None:
    if blur is None:
        return "too few edges to tell how sharp it is"
    return f"sharp enough: edges are blurred by {blur:.1f} pixels" if blur <= SHARP_ENOUGH else None


def sharp_before(context: Context) -> bool:
    """Whether what was enlarged with edges as drawn was sharp enough as it came: more would only be a halo."""
    if context.source is None or not edges_drawn(context):
        return False
    blur = measure_sharpness(context.source).blur
    return blur is not None and blur <= SHARP_ENOUGH


def adaptive_change(
    luma: FloatPixels, kernel: int, amount: np.float32, *, noise: float, beyond: float = OVERSHOOT
) -> FloatPixels:
    """What ``adaptive`` adds to `luma` (H x W, [0, 1]) with `noise` of that standard deviation in it.

    The result goes by `beyond` of the local range beyond it.
    """
    flat = max(FLAT, NOISE_GRADIENT * noise)
    rise = np.clip((_gradient(luma) - flat) / ((EDGE_OVER_FLAT - 1) * flat), 0, 1).astype(np.float32)
    weight = rise * rise * (3 - 2 * rise)
    sharpened = luma + amount * weight * high_pass(luma, kernel)
    window = np.ones((kernel, kernel), np.uint8)
    lowest = cv2.erode(luma, window, borderType=cv2.BORDER_REPLICATE)
    highest = cv2.dilate(luma, window, borderType=cv2.BORDER_REPLICATE)
    margin = np.float32(beyond) * (highest - lowest)
    change: FloatPixels = np.clip(sharpened, lowest - margin, highest + margin) - luma
    return change


def _gradient(luma: FloatPixels) -> FloatPixels:
    """Magnitude of the gradient by Sobel's operator, per pixel."""
    down, across = (
        cv2.Sobel(luma, cv2.CV_32F, dx, 1 - dx, ksize=3, scale=1 / 8, borderType=cv2.BORDER_REPLICATE) for dx in (0, 1)
    )
    magnitude: FloatPixels = np.hypot(down, across)
    return magnitude


def _gradient_ratios(luma: FloatPixels, least: float) -> FloatPixels:
    """Gradient before over after a blur of 1 pixel, at the ridges of gradients of at least `least`."""
    before = _gradient(luma)
    after = _gradient(ndimage.gaussian_filter(luma, 1, mode="nearest"))
    side = 2 * EDGE_RADIUS + 1
    ridge = (after >= least) & (after >= cv2.dilate(after, np.ones((side, side), np.uint8)))
    ratios: FloatPixels = before[ridge] / after[ridge]
    return ratios
