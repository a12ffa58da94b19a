"""Repair of scratches, dust, chips and folds: a net finds them, and their surroundings are drawn over them.

The net (:mod:`enhancer.models.damage_net`) gives each pixel's log odds of being damaged. Marks are what hysteresis
makes of them (J. Canny, "A computational approach to edge detection", IEEE PAMI 8(6), 1986): connected pixels above
:data:`MAYBE` among which there is one above :data:`SURE`.

Wires, grass, whiskers and window frames look like scratches, and a picture has them or has scratches. So two questions
are kept apart. Whether the *picture* is damaged is asked of the marks that are beyond doubt: ``auto`` acts only where
straight ones (:data:`STRAIGHT`) above :data:`EVIDENT` make up at least :data:`LEAST_STRAIGHT_AREA` of the picture, or
marks of any shape above :data:`EVIDENT_OF_ANY_SHAPE` at least :data:`LEAST_AREA`: bright rims of cups and spoons, which
are bent, are the likeliest to be mistaken. Below that floor not one pixel is touched. Where the picture is damaged,
*what* is damaged is all marks, for there a likely mark is one: :data:`MAYBE` and :data:`SURE` are far lower than the
floor. ``make bench-scratch`` says what both do to pictures that they were not chosen on. There is a ceiling too,
:data:`MOST_AREA`.

Holes are filled by :mod:`enhancer.stages.inpainting`; pixels outside them keep their exact values.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Final

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from enhancer.backends.base import Net
from enhancer.backends.tiler import run_tiled
from enhancer.image import FloatPixels
from enhancer.stages.base import WHOLE_PICTURE, Context, Decision
from enhancer.stages.channels import to_planes
from enhancer.stages.inpainting import inpaint

MAYBE: Final = math.log(0.8 / 0.2)
"""Log odds from which a pixel may belong to a mark: those of a probability of 0.8."""
SURE: Final = math.log(0.99 / 0.01)
"""Log odds that the surest pixel of a mark must reach: those of a probability of 0.99."""
EVIDENT: Final = 4.25
"""Mean log odds from which a straight mark is beyond doubt. Of log odds, since a mean of probabilities near 1 tells
them apart no more."""
EVIDENT_OF_ANY_SHAPE: Final = 5.0
"""The same for marks of any shape, among them scratches that cross."""
STRAIGHT: Final = 0.1
"""Standard deviation of a straight mark's pixels across it over that along it, at most."""
LEAST_PIXELS: Final = 60
LEAST_STRAIGHT_AREA: Final = 3e-3
LEAST_AREA: Final = 8e-3
"""Pixels and share of the picture that marks beyond doubt must cover.

Chosen on 130 pictures of the training folder, 40 of them kept from the net, as they are and scanned, and damaged by the
trained kinds, one to three together. Of all floors of this form that touch no more than 1 % of the undamaged ones (2 of
260), this one acts on about the most damaged ones: on 41 %, which have 59 % of all damage. In pictures that are acted
on, marks agree best with the truth (F1 0.87) with the two bounds above; on all, whatever the floor, it is 0.66."""
MOST_AREA: Final = 0.12
"""Share of the picture above which marks are its own texture, such as the joints of brickwork. Drawn damage of training
pictures covers less, however many kinds come together."""
RIM: Final = 1
"""Pixels around a mark that are drawn anew with it, for its edge is soft."""
SMALLEST_SIDE: Final = 32


@dataclass(frozen=True, slots=True)
class Marks:
    """What was found in a picture.

    Attributes:
        mask: H x W, True where a mark is.
        count: of marks.
        evident: pixels of the marks of any shape that are beyond doubt.
        evident_straight: pixels of the straight ones that are.
    """

    mask: NDArray[np.bool_]
    count: int
    evident: int
    evident_straight: int

    @property
    def convincing(self) -> bool:
        """Whether they are above the floor, and not so many that they must be texture."""
        area = self.mask.size
        beyond_doubt = self.evident >= max(LEAST_PIXELS, LEAST_AREA * area) or self.evident_straight >= max(
            LEAST_PIXELS, LEAST_STRAIGHT_AREA * area
        )
        return beyond_doubt and self.mask.mean() <= MOST_AREA


class ScratchRepair:
    """Finds scratches, dust and folds and draws their surroundings over them."""

    name: ClassVar[str] = "scratches"

    def measure(self, pixels: FloatPixels, context: Context) -> Decision:
        """Look for marks.

        Args:
            pixels: H x W x C, float32 in [0, 1].
            context: its recipe, nets and mask of visible pixels.

        Returns:
            A decision whose numbers are ``marks`` (how many), ``area`` (share of the picture that they cover),
            ``evident_area`` and ``evident_straight_area`` (that of the marks beyond doubt) and, where applied, the
            net's name as ``model``.
        """
        if context.recipe.scratches.mode == "off":
            return Decision(False, "the recipe has the repair of scratches off")
        if min(pixels.shape[:2]) < SMALLEST_SIDE:
            return Decision(False, "too small to tell scratches from detail")
        net = context.nets.damage_detector()
        marks = find_marks(damage_odds(net, pixels), context.visible)
        numbers = {
            "marks": marks.count,
            "area": round(float(marks.mask.mean()), 5),
            "evident_area": round(marks.evident / marks.mask.size, 5),
            "evident_straight_area": round(marks.evident_straight / marks.mask.size, 5),
        }
        if not marks.count:
            return Decision(False, "no scratches", numbers)
        if not marks.convincing:
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
            marks = find_marks(damage_odds(context.nets.damage_detector(), block), context.visible)
        return inpaint(block, widened(marks.mask, RIM))

    def halo(self, context: Context) -> int:
        """A mark may cross the whole picture."""
        return WHOLE_PICTURE

    def scale(self, context: Context) -> float:
        """The size is kept."""
        return 1.0


def damage_odds(net: Net, pixels: FloatPixels) -> FloatPixels:
    """Each pixel's log odds of being damaged.

    Args:
        net: RGB to log odds.
        pixels: H x W x C, float32 in [0, 1].

    Returns:
        H x W, float32.
    """
    odds: FloatPixels = run_tiled(net, to_planes(pixels))[0]
    return odds


def find_marks(odds: FloatPixels, visible: NDArray[np.bool_] | None = None) -> Marks:
    """Marks by hysteresis.

    Args:
        odds: H x W, each pixel's log odds of being damaged.
        visible: H x W, False where nothing is to be seen; None: all of it is.
    """
    if visible is not None:
        odds = np.where(visible, odds, np.float32(-np.inf))
    labels, count = ndimage.label(odds > MAYBE, np.ones((3, 3)))
    index = np.arange(1, count + 1)
    peak = np.asarray(ndimage.maximum(odds, labels, index))
    mean = np.asarray(ndimage.mean(odds, labels, index))
    area = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    kept = peak > SURE
    return Marks(
        mask=np.concatenate(([False], kept))[labels],
        count=int(kept.sum()),
        evident=int(area[kept & (mean > EVIDENT_OF_ANY_SHAPE)].sum()),
        evident_straight=int(area[kept & (mean > EVIDENT) & (crookedness(labels, count) < STRAIGHT)].sum()),
    )


def crookedness(labels: NDArray[np.integer], count: int) -> NDArray[np.float64]:
    """How far each mark is from a straight line: the deviation of its pixels across over that along its main axis.

    Args:
        labels: H x W, the number of each pixel's mark; 0: none.
        count: of marks.

    Returns:
        `count` values from 0 to 1, of the marks in their order; 1 for one that is as long as it is wide.
    """
    places = np.nonzero(labels)
    which = labels[places]
    rows, columns = (place.astype(np.float64) for place in places)
    area = np.maximum(np.bincount(which, minlength=count + 1), 1)

    def mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.bincount(which, weights=values, minlength=count + 1) / area

    down, across = rows - mean(rows)[which], columns - mean(columns)[which]
    # A pixel is a square of side 1, not a point: 1/12 each way.
    down_squared, across_squared, both = mean(down**2) + 1 / 12, mean(across**2) + 1 / 12, mean(down * across)
    half = (down_squared + across_squared) / 2
    off = np.hypot((down_squared - across_squared) / 2, both)
    return np.asarray(np.sqrt(np.maximum(half - off, 0) / (half + off))[1:])


def widened(mask: NDArray[np.bool_], by: int) -> NDArray[np.bool_]:
    """The mask and all pixels no further from it than `by` to the side, up and down."""
    around = np.ones((2 * by + 1, 2 * by + 1), np.uint8)
    return np.asarray(cv2.dilate(mask.astype(np.uint8), around)).astype(bool)
