"""Repair of impulse ("salt-and-pepper") noise: pixels replaced by an extreme value, the others untouched.

Decision: :mod:`enhancer.stages.impulse_evidence` separates impulses, which occur everywhere, from the strokes, dots
and patterns of drawings, and measures their rate.

Repair: detection by an adaptive neighbourhood and replacement by the median of what was not suspected, as in the
adaptive median filter (H. Hwang, R. A. Haddad, "Adaptive median filters: new algorithms and results", IEEE Trans. Image
Processing 4(4), 1995) and in the two-phase scheme that changes flagged pixels only (R. H. Chan, C.-W. Ho, M. Nikolova,
"Salt-and-pepper noise removal by median-type noise detectors and detail-preserving regularization", IEEE Trans. Image
Processing 14(10), 2005). Pixels in a straight row longer than chance makes of impulses are strokes, and stay.
"""

from __future__ import annotations

from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from enhancer.image import FloatPixels
from enhancer.options import ImpulseRepairOptions
from enhancer.stages.base import Context, Decision, Stage
from enhancer.stages.impulse_evidence import CONTRAST, EXTREME, isolated_extremes, objection_to
from enhancer.stages.kinds import is_photograph
from enhancer.stages.sampling import evenly_spread_crops

LARGEST_RADIUS: Final = 3
CROWD_RADIUS: Final = 2
CROWD_QUANTILE: Final = 0.999
CHUNK: Final = 1 << 18
MEDIAN_SIDE: Final = 5
STROKE_CONTRAST: Final = np.float32(0.3)
"""How far a thin stroke stands out from the median around it; paler ones are no extremes."""
ONE_COLOUR: Final = np.float32(0.15)
"""How far from the extreme the pixels of a stroke of one colour are; other dark rows must be LONGER, as texture has
short ones."""
LONGER: Final = 2
DRAWN: Final = 0.25
"""Share of the extremes in rows from which a picture is taken to have thin strokes."""
SHORTEST_STROKE: Final = 3
LONGEST_STROKE: Final = 7
BY_CHANCE: Final = 2e-3
"""Share of the impulses that may be taken for strokes because they happen to lie in a row."""


class ImpulseRepair(Stage):
    """Replaces isolated extreme pixels by the median of their trustworthy neighbours, channel by channel."""

    name = "impulse-repair"
    options = ImpulseRepairOptions
    off = "the recipe has impulse repair off"

    def measure(self, pixels: FloatPixels, context: Context) -> Decision:
        """Estimate the rate of impulses of each polarity in each channel.

        Args:
            pixels: H x W x C, float32 in [0, 1].
            context: its recipe may turn the stage off; a photograph may have impulses of one polarity.

        Returns:
            A decision whose numbers are ``pepper`` and ``salt``, each a list with one rate (0..1) per channel, and,
            where applied, ``strokes``, the share of the extremes that lie in rows of one colour.
        """
        if (idle := self.idle(context)) is not None:
            return Decision(False, idle)
        pepper, salt = [], []
        for channel in range(pixels.shape[2]):
            crops = [np.ascontiguousarray(crop[..., channel]) for crop in evenly_spread_crops(pixels)]
            medians = [_median(crop) for crop in crops]
            pepper.append(isolated_extremes(crops, medians))
            # The median of what is turned upside down is the median turned upside down, to the bit.
            salt.append(isolated_extremes([1 - crop for crop in crops], [1 - median for median in medians]))
        rates = np.array([[one.rate for one in side] for side in (pepper, salt)])
        numbers: dict[str, Any] = {
            "pepper": [round(float(rate), 5) for rate in rates[0]],
            "salt": [round(float(rate), 5) for rate in rates[1]],
        }
        if not rates.any():
            return Decision(False, "no impulses", numbers)
        if objection := objection_to(pepper, salt, photograph=is_photograph(context)):
            return Decision(False, objection, numbers)
        numbers["strokes"] = round(_share_in_rows(pixels, numbers), 4)
        return Decision(True, f"about {rates.sum(axis=0).max():.1%} of the pixels are impulses", numbers)

    def apply(self, block: FloatPixels, decision: Decision, context: Context) -> FloatPixels:
        """Repair the impulses of a block; pixels that are not flagged keep their exact value.

        Args:
            block: H x W x C, float32 in [0, 1].
            decision: from :meth:`measure`.
            context: not used.
        """
        repaired = block.copy()
        for channel in range(block.shape[2]):
            pepper, salt = decision.numbers["pepper"][channel], decision.numbers["salt"][channel]
            drawn = decision.numbers.get("strokes", 0.0) >= DRAWN
            repaired[..., channel] = repair_channel(block[..., channel], pepper=pepper, salt=salt, drawn=drawn)
        return repaired

    def halo(self, context: Context) -> int:
        """The largest window reaches 3 pixels; whether those are suspects depends on strokes beside them."""
        return LARGEST_RADIUS + LONGEST_STROKE + LONGER + MEDIAN_SIDE // 2


def _median(crop: FloatPixels, side: int = 3) -> FloatPixels:
    """The median of 3 x 3 or 5 x 5, edges mirrored; OpenCV's, as it takes a tenth of SciPy's time."""
    reach = side // 2
    framed = cv2.copyMakeBorder(crop, reach, reach, reach, reach, cv2.BORDER_REFLECT_101)
    return np.asarray(cv2.medianBlur(framed, side)[reach:-reach, reach:-reach], np.float32)


def repair_channel(values: FloatPixels, *, pepper: float, salt: float, drawn: bool = False) -> FloatPixels:
    """`values` (H x W, [0, 1]) with impulses replaced, given the rates at which each polarity strikes.

    Args:
        values: one channel.
        pepper: share of the pixels that were struck dark.
        salt: and of those struck light.
        drawn: whether the picture has thin strokes, so that rows with grey pixels in them are strokes too.
    """
    suspects = np.zeros(values.shape, dtype=bool)
    if pepper > 0:
        suspects |= _scattered(values <= EXTREME, pepper) & ~stroke_pixels(values, pepper, drawn=drawn)
    if salt > 0:
        suspects |= _scattered(values >= 1 - EXTREME, salt) & ~stroke_pixels(1 - values, salt, drawn=drawn)
    rows, columns = np.nonzero(suspects)
    trusted = np.where(suspects, np.float32(np.inf), values)
    padded = np.pad(trusted, LARGEST_RADIUS, mode="symmetric")
    repaired = values.copy()
    for start in range(0, rows.size, CHUNK):
        y, x = rows[start : start + CHUNK], columns[start : start + CHUNK]
        medians = _trusted_medians(padded, y, x)
        old = values[y, x]
        repaired[y, x] = np.where(np.abs(old - medians) > CONTRAST, medians, old)
    return repaired


def _scattered(extreme: NDArray[np.bool_], rate: float) -> NDArray[np.bool_]:
    """The extremes that do not stand in a crowd of their own kind, as letters and burnt-out skies do.

    A crowd has more of them within 5 x 5 than impulses at `rate` would bring together once in a thousand times.
    """
    from scipy import stats  # a second and a half to import, which only damaged pictures have to wait for

    side = 2 * CROWD_RADIUS + 1
    ones = extreme.astype(np.float32)
    around = ndimage.uniform_filter(ones, side, mode="mirror") * side**2 - ones
    most = float(stats.binom.ppf(CROWD_QUANTILE, side**2 - 1, rate))
    crowded: NDArray[np.bool_] = around > most + 0.5
    return extreme & ~crowded


def stroke_pixels(values: FloatPixels, rate: float, *, drawn: bool = False) -> NDArray[np.bool_]:
    """The dark pixels in straight rows too long for impulses at `rate`, and dark pixels that touch such a row.

    Args:
        values: H x W, float32 in [0, 1]; for light strokes pass ``1 - values``.
        rate: share of the pixels that were struck dark.
        drawn: take grey pixels into rows of that length; else rows with grey pixels must be longer, for texture has
            short ones.

    Returns:
        H x W. Dark is :data:`STROKE_CONTRAST` below the median of 5 x 5, so that thin strokes on a lighter ground are
        dark as a whole, and nothing of dark places is.
    """
    dark = values < _median(values, MEDIAN_SIDE) - STROKE_CONTRAST
    length = stroke_length(rate)
    rows = _in_rows(dark & (values <= ONE_COLOUR), length)
    rows |= _in_rows(dark, length if drawn else length + LONGER)
    beside = cv2.dilate(rows.view(np.uint8), np.ones((3, 3), np.uint8)).view(bool)
    strokes: NDArray[np.bool_] = dark & beside
    return strokes


def _share_in_rows(pixels: FloatPixels, rates: dict[str, Any]) -> float:
    """Share of the extremes standing out from their surroundings that lie in rows of one colour; the largest of all."""
    share = 0.0
    for channel in range(pixels.shape[2]):
        for polarity in ("pepper", "salt"):
            rate = rates[polarity][channel]
            if rate == 0:
                continue
            extremes = in_rows = 0
            for crop in evenly_spread_crops(pixels):
                one = np.ascontiguousarray(crop[..., channel])
                values = one if polarity == "pepper" else 1 - one
                dark = (values < _median(values, MEDIAN_SIDE) - STROKE_CONTRAST) & (values <= ONE_COLOUR)
                extremes += int(np.count_nonzero(dark))
                in_rows += int(np.count_nonzero(_in_rows(dark, stroke_length(rate))))
            share = max(share, in_rows / max(extremes, 1))
    return share


def _in_rows(dark: NDArray[np.bool_], length: int) -> NDArray[np.bool_]:
    """The pixels that lie in a straight row of at least `length`: opening by a line keeps just these."""
    rows = np.zeros_like(dark)
    for kernel in _line_kernels(length):
        opened = cv2.morphologyEx(
            dark.view(np.uint8), cv2.MORPH_OPEN, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=0
        )
        rows |= opened.view(bool)
    return rows


def stroke_length(rate: float) -> int:
    """The least length at which at most :data:`BY_CHANCE` of the impulses at `rate` lie in a straight row by chance."""
    for length in range(SHORTEST_STROKE, LONGEST_STROKE):
        if 4 * length * rate ** (length - 1) <= BY_CHANCE:
            return length
    return LONGEST_STROKE


def _line_kernels(length: int) -> list[NDArray[np.uint8]]:
    """Straight lines of `length` pixels in the four directions."""
    flat = np.zeros((length, length), np.uint8)
    flat[length // 2] = 1
    slope = np.eye(length, dtype=np.uint8)
    return [flat, np.ascontiguousarray(flat.T), slope, np.ascontiguousarray(slope[::-1])]


def _trusted_medians(padded: FloatPixels, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> FloatPixels:
    """Median of the finite values in the smallest of the windows 3, 5, 7 that has three; NaN where none has any.

    Args:
        padded: values with suspects set to infinity, padded by LARGEST_RADIUS on each side.
        rows: of the pixels wanted, before padding.
        columns: likewise.
    """
    medians = np.full(rows.size, np.nan, dtype=np.float32)
    open_ = np.arange(rows.size)
    for radius in range(1, LARGEST_RADIUS + 1):
        side = 2 * radius + 1
        shift = LARGEST_RADIUS - radius
        dy, dx = np.divmod(np.arange(side**2), side)
        window = padded[rows[open_, None] + shift + dy, columns[open_, None] + shift + dx]
        window.sort(axis=1)
        count = np.isfinite(window).sum(axis=1)
        enough = count >= (3 if radius < LARGEST_RADIUS else 1)
        found, n = window[enough], count[enough]
        each = np.arange(n.size)
        medians[open_[enough]] = (found[each, (n - 1) // 2] + found[each, n // 2]) / 2
        open_ = open_[~enough]
    return medians
