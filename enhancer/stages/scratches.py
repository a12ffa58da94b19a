"""Repair of scratches, dust, chips and folds: a net finds them, and their surroundings are drawn over them.

The net (:mod:`enhancer.models.architectures.damage`) gives each pixel's log odds of being damaged. Marks are what
hysteresis makes of them (J. Canny, "A computational approach to edge detection", IEEE PAMI 8(6), 1986): connected
pixels above :data:`MAYBE` among which there is one above :data:`SURE`.

Wires, grass, whiskers and window frames look like scratches, and a picture has either them or scratches. So there are
two separate decisions. Whether the *picture* is damaged is decided by its surest marks: ``auto`` acts only where the
evidence, the sum over all marks of the share of the picture that they cover times the odds that belong to their mean
log odds, reaches :data:`LEAST_EVIDENCE`. So one large, sure mark counts as much as many that are less sure, and a mark
that merely may be one counts next to nothing: a few whiskers do not reach it. Below that floor not one pixel is
touched. Where the picture is damaged, *what* is damaged is all marks, for there a likely mark is one: :data:`MAYBE` and
:data:`SURE` are far lower than what the floor requires. ``make bench-scratch`` measures both on pictures that they were
not chosen on. There is a ceiling too, :data:`MOST_AREA`.

A recipe moves these bounds by ``scratches.sensitivity`` (:class:`Bounds`), and by ``scratches.mode=always`` it does
without floor and ceiling: somebody has looked at the print and says that it is damaged.

Holes are filled by :mod:`enhancer.stages.inpainting`; pixels outside them keep their exact values.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from enhancer.backends.base import Net
from enhancer.backends.tiler import run_tiled
from enhancer.image import FloatPixels
from enhancer.options import ScratchesOptions
from enhancer.stages.base import WHOLE_PICTURE, Context, Decision, Stage
from enhancer.stages.channels import to_planes
from enhancer.stages.inpainting import inpaint

MAYBE: Final = math.log(0.9 / 0.1)
"""Log odds from which a pixel may belong to a mark: those of a probability of 0.9."""
SURE: Final = math.log(0.95 / 0.05)
"""Log odds that the surest pixel of a mark must reach: those of a probability of 0.95."""
LEAST_PIXELS: Final = 60
"""Pixels that marks must cover, however small the picture."""
LEAST_EVIDENCE: Final = 6.0
"""Odds, times share of the picture, that all marks together must reach: a mark that covers one percent of it must have
mean log odds of 6.4. How this bound and the two above were chosen, the net's card says
(enhancer/models/bundled/scratches.md)."""
MOST_AREA: Final = 0.12
"""Share of the picture above which marks are its own texture, such as the joints of brickwork. Drawn damage of training
pictures covers less, however many kinds come together."""
RIM: Final = 1
"""Pixels around a mark that are drawn anew with it, for its edge is soft."""
SMALLEST_SIDE: Final = 32
USUAL: Final = 0.5
"""Sensitivity at which the bounds are those above."""
SPAN: Final = 2 * math.log(9)
"""Log odds by which the bounds of a mark are lower at sensitivity 1, and higher at 0: at 1 they take pixels from a
probability of 0.1."""
FLOOR_FACTOR: Final = 100.0
"""The floor is divided by so much at sensitivity 1, and multiplied by it at 0."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a mark and a damaged picture must reach.

    Attributes:
        maybe: log odds from which a pixel may belong to a mark.
        sure: log odds that the surest pixel of a mark must exceed.
        evidence: that all marks together must reach.
    """

    maybe: float = MAYBE
    sure: float = SURE
    evidence: float = LEAST_EVIDENCE

    @classmethod
    def at(cls, sensitivity: float) -> Bounds:
        """Those of a sensitivity from 0 to 1; at 0.5 the module's own."""
        above = (sensitivity - USUAL) / USUAL
        return cls(MAYBE - SPAN * above, SURE - SPAN * above, LEAST_EVIDENCE / FLOOR_FACTOR**above)


@dataclass(frozen=True, slots=True)
class Marks:
    """What was found in a picture.

    Attributes:
        mask: H x W, True where a mark is.
        count: of marks.
        evidence: that the picture is damaged; see above.
    """

    mask: NDArray[np.bool_]
    count: int
    evidence: float

    @property
    def convincing(self) -> bool:
        """Whether they are above the usual floor, and not so many that they must be texture."""
        return self.convince(LEAST_EVIDENCE)

    def convince(self, evidence: float) -> bool:
        """Whether they reach this evidence, and are neither too few pixels nor so many that they must be texture."""
        enough = self.evidence >= evidence and self.mask.sum() >= LEAST_PIXELS
        return bool(enough and self.mask.mean() <= MOST_AREA)


class Scratches(Stage):
    """Finds scratches, dust and folds and draws their surroundings over them."""

    name = "scratches"
    options = ScratchesOptions
    off = "the recipe has the repair of scratches off"
    for_photographs = True
    corrects = True

    def measure(self, pixels: FloatPixels, context: Context) -> Decision:
        """Look for marks.

        Args:
            pixels: H x W x C, float32 in [0, 1].
            context: its recipe, nets and mask of visible pixels.

        Returns:
            A decision whose numbers are ``marks`` (how many), ``area`` (share of the picture that they cover),
            ``evidence``, the ``sensitivity`` that was asked for and, where applied, the net's name as ``model``.
        """
        if (idle := self.idle(context)) is not None:
            return Decision(False, idle)
        if min(pixels.shape[:2]) < SMALLEST_SIDE:
            return Decision(False, "too small to tell scratches from detail")
        net = context.nets.damage_detector()
        asked: ScratchesOptions = self.asked(context)
        bounds = Bounds.at(asked.sensitivity)
        marks = _marks(net, pixels, context, bounds)
        numbers = {
            "marks": marks.count,
            "area": round(float(marks.mask.mean()), 5),
            "evidence": round(marks.evidence, 3),
            "sensitivity": asked.sensitivity,
        }
        if not marks.count:
            return Decision(False, "no scratches", numbers)
        if asked.mode != "always" and not marks.convince(bounds.evidence):
            texture = marks.mask.mean() > MOST_AREA
            because = "so many marks are texture" if texture else "too little that is surely a scratch"
            return Decision(False, because, numbers)
        context.keep(self.name, pixels, marks)
        return Decision(True, f"{marks.count} scratches or spots", {**numbers, "model": net.spec.name})

    def apply(self, block: FloatPixels, decision: Decision, context: Context) -> FloatPixels:
        """Repair the whole picture.

        Args:
            block: H x W x C, float32 in [0, 1]: the whole picture.
            decision: from :meth:`measure`.
            context: as in :meth:`measure`.

        Returns:
            H x W x C, float32 in [0, 1]; outside the marks and their rims the input's exact values.
        """
        marks: Marks | None = context.take(self.name, block)
        if marks is None:
            bounds = Bounds.at(self.asked(context).sensitivity)
            marks = _marks(context.nets.damage_detector(), block, context, bounds)
        return inpaint(block, widened(marks.mask, RIM))

    def halo(self, context: Context) -> int:
        """A mark may cross the whole picture."""
        return WHOLE_PICTURE


def _marks(net: Net, pixels: FloatPixels, context: Context, bounds: Bounds) -> Marks:
    """The marks within `bounds`; the evidence is that of the usual bounds, or fainter marks would lower it."""
    odds = damage_odds(net, pixels)
    marks = find_marks(odds, context.visible, maybe=bounds.maybe, sure=bounds.sure)
    if bounds == Bounds():
        return marks
    return replace(marks, evidence=find_marks(odds, context.visible).evidence)


def damage_odds(net: Net, pixels: FloatPixels) -> FloatPixels:
    """Each pixel's log odds of being damaged.

    Sides that are no multiple of what the net takes are continued by their last pixels, as in training, and not by
    reflection, which makes a thin line of a picture's thin border.

    Args:
        net: RGB to log odds.
        pixels: H x W x C, float32 in [0, 1].

    Returns:
        H x W, float32.
    """
    height, width = pixels.shape[:2]
    more = [(0, -side % net.spec.multiple_of) for side in (height, width)]
    odds: FloatPixels = run_tiled(net, np.pad(to_planes(pixels), [(0, 0), *more], mode="edge"))[0]
    return odds[:height, :width]


def find_marks(
    odds: FloatPixels, visible: NDArray[np.bool_] | None = None, *, maybe: float = MAYBE, sure: float = SURE
) -> Marks:
    """Marks by hysteresis.

    Args:
        odds: H x W, each pixel's log odds of being damaged.
        visible: H x W, False where nothing is to be seen; None: all of it is.
        maybe: log odds from which a pixel may belong to a mark.
        sure: log odds that the surest pixel of a mark must exceed.
    """
    if visible is not None:
        odds = np.where(visible, odds, np.float32(-np.inf))
    labels, count = ndimage.label(odds > maybe, np.ones((3, 3)))
    index = np.arange(1, count + 1)
    peak = np.asarray(ndimage.maximum(odds, labels, index))
    mean = np.asarray(ndimage.mean(odds, labels, index))
    area = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    kept = peak > sure
    return Marks(
        mask=np.concatenate(([False], kept))[labels],
        count=int(kept.sum()),
        evidence=float((area * np.exp(mean))[kept].sum() / labels.size),
    )


def widened(mask: NDArray[np.bool_], by: int) -> NDArray[np.bool_]:
    """The mask and all pixels no further from it than `by` to the side, up and down."""
    around = np.ones((2 * by + 1, 2 * by + 1), np.uint8)
    return np.asarray(cv2.dilate(mask.astype(np.uint8), around)).astype(bool)
