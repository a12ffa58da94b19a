"""Repair of scratches, dust, chips and folds: a net finds them, and their surroundings are drawn over them.

The net (:mod:`enhancer.models.damage_net`) gives each pixel's probability of being damaged. Marks are what hysteresis
makes of it (J. Canny, "A computational approach to edge detection", IEEE PAMI 8(6), 1986): connected pixels above
:data:`MAYBE` among which there is one above :data:`SURE`.

Wires, grass, whiskers and window frames look like scratches, and a picture has them or has scratches. Hence the
absolute floor: ``auto`` acts only where the marks that are beyond doubt (:data:`EVIDENT`) make up at least
:data:`LEAST_AREA` of the picture and at least :data:`LEAST_PIXELS`; below it not one pixel is touched. The floor was
chosen on training pictures; ``make bench-scratch`` says what it does to others. There is a ceiling too,
:data:`MOST_AREA`.

Holes are filled by :mod:`enhancer.stages.inpainting`; pixels outside them keep their exact values.
"""

from __future__ import annotations

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

MAYBE: Final = 0.95
"""Probability from which a pixel may belong to a mark."""
SURE: Final = 0.99
"""Probability that the surest pixel of a mark must reach."""
EVIDENT: Final = 0.99
"""Mean probability from which a mark is beyond doubt."""
LEAST_PIXELS: Final = 60
LEAST_AREA: Final = 6e-3
"""Pixels and share of the picture that marks beyond doubt must cover.

All five were chosen on training pictures: the best F1, and not one of 180 undamaged ones is touched, by a margin. That
is strict: of damaged prints a fifth is mended. They are high, too, because damaged pixels weigh four times as much as
whole ones in training."""
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
        evident: pixels of the marks that are beyond doubt.
    """

    mask: NDArray[np.bool_]
    count: int
    evident: int

    @property
    def convincing(self) -> bool:
        """Whether they are above the floor, and not so many that they must be texture."""
        least = max(LEAST_PIXELS, LEAST_AREA * self.mask.size)
        return self.evident >= least and self.mask.mean() <= MOST_AREA


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
            ``evident_area`` (that of the marks beyond doubt) and, where applied, the net's name as ``model``.
        """
        if context.recipe.scratches.mode == "off":
            return Decision(False, "the recipe has the repair of scratches off")
        if min(pixels.shape[:2]) < SMALLEST_SIDE:
            return Decision(False, "too small to tell scratches from detail")
        net = context.nets.damage_detector()
        marks = find_marks(damage_probability(net, pixels), context.visible)
        numbers = {
            "marks": marks.count,
            "area": round(float(marks.mask.mean()), 5),
            "evident_area": round(marks.evident / marks.mask.size, 5),
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
            marks = find_marks(damage_probability(context.nets.damage_detector(), block), context.visible)
        return inpaint(block, widened(marks.mask, RIM))

    def halo(self, context: Context) -> int:
        """A mark may cross the whole picture."""
        return WHOLE_PICTURE

    def scale(self, context: Context) -> float:
        """The size is kept."""
        return 1.0


def damage_probability(net: Net, pixels: FloatPixels) -> FloatPixels:
    """Each pixel's probability of being damaged.

    Args:
        net: RGB to log odds.
        pixels: H x W x C, float32 in [0, 1].

    Returns:
        H x W, float32 in [0, 1].
    """
    odds = run_tiled(net, to_planes(pixels))[0]
    probability: FloatPixels = 1 / (1 + np.exp(-np.clip(odds, -30, 30)))
    return probability


def find_marks(probability: FloatPixels, visible: NDArray[np.bool_] | None = None) -> Marks:
    """Marks by hysteresis.

    Args:
        probability: H x W, of each pixel's being damaged.
        visible: H x W, False where nothing is to be seen; None: all of it is.
    """
    if visible is not None:
        probability = np.where(visible, probability, np.float32(0))
    labels, count = ndimage.label(probability > MAYBE, np.ones((3, 3)))
    index = np.arange(1, count + 1)
    peak = np.asarray(ndimage.maximum(probability, labels, index))
    mean = np.asarray(ndimage.mean(probability, labels, index))
    area = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    kept = peak > SURE
    evident = int(area[kept & (mean > EVIDENT)].sum())
    return Marks(np.concatenate(([False], kept))[labels], int(kept.sum()), evident)


def widened(mask: NDArray[np.bool_], by: int) -> NDArray[np.bool_]:
    """The mask and all pixels no further from it than `by` to the side, up and down."""
    around = np.ones((2 * by + 1, 2 * by + 1), np.uint8)
    return np.asarray(cv2.dilate(mask.astype(np.uint8), around)).astype(bool)
