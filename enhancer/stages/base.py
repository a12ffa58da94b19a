"""The contract of a stage: measure, decide, then apply a pure function block by block."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Final

import numpy as np
from numpy.typing import NDArray

from enhancer.image import FloatPixels
from enhancer.stages.kinds import no_photograph

if TYPE_CHECKING:
    from enhancer.image import Metadata
    from enhancer.options import StageOptions
    from enhancer.recipe import Recipe
    from enhancer.stages.nets import Nets


WHOLE_PICTURE: Final = 1 << 30
"""Halo of a stage whose result may depend on all of the picture; it cannot be applied block by block."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What a stage decided and why; recorded with the result.

    Attributes:
        applied: whether :meth:`Stage.apply` is to be called.
        reason: one short sentence for people.
        numbers: what was measured or chosen; JSON-able, finite.
    """

    applied: bool
    reason: str
    numbers: dict[str, Any] = field(default_factory=dict)


@dataclass(slots=True)
class Context:
    """What stages of one picture share.

    Attributes:
        recipe: what was asked for.
        metadata: what the file said.
        nets: gives loaded nets by purpose; loading happens on first use and outlives the picture.
        visible: H x W, False where the picture as it came is wholly transparent and its values mean nothing; None: all
            of it is visible. Holds up to super-resolution, after which no stage measures the source.
        source: H x W x C, what super-resolution was given, for later stages that hold its result against it;
            None where nothing was enlarged.
        fidelity: what the fidelity net makes of `source`, where a perceptual net enlarged it and somebody asked for it
            (:func:`enhancer.stages.super_resolution.fidelity_result`).
        decisions: earlier stages' decisions by name, in order.
    """

    recipe: Recipe
    metadata: Metadata
    nets: Nets
    visible: NDArray[np.bool_] | None = None
    source: FloatPixels | None = None
    fidelity: FloatPixels | None = None
    decisions: dict[str, Decision] = field(default_factory=dict)
    _kept: dict[str, tuple[FloatPixels, Any]] = field(default_factory=dict, repr=False)

    def keep(self, stage: str, pixels: FloatPixels, found: object) -> None:
        """Keep what a stage's ``measure`` found in `pixels`, too large for its decision, for its ``apply``."""
        self._kept[stage] = (pixels, found)

    def take(self, stage: str, pixels: FloatPixels) -> Any:
        """What the stage kept of these very pixels, once; None where it kept nothing of them."""
        measured, found = self._kept.pop(stage, (None, None))
        return found if measured is pixels else None


class Stage(ABC):
    """One step of enhancement, which says of itself all that others need to know.

    `measure` sees the whole picture (or a bounded preview) as float32 H x W x C in [0, 1], C = 1 or 3. `apply` maps a
    block of the same layout; it is pure, depends on at most `halo(context)` input pixels around each output pixel, and
    multiplies both sides by `scale(context)` (1 for all but super-resolution).

    Attributes:
        name: in records and messages (``soft-focus``). The module, the class and the recipe's key are called the same
            (``soft_focus``, ``SoftFocus``, ``soft_focus``).
        options: the model of what a recipe may say of it: whether it is wanted, the nets it may use, a gentler try.
        off: what the record says where the recipe does not want it.
        for_photographs: it is made for photographs and leaves every other kind of picture alone, unless the recipe asks
            for it whatever the picture is (:meth:`enhancer.options.StageOptions.insists`).
        corrects: it changes on purpose what a picture shows, where others bring back what was there: a result is
            judged against its input with the same corrections.
        after: of a stage from another package, the name of the one that it follows; None: it comes last.
    """

    name: ClassVar[str]
    options: ClassVar[type[StageOptions] | None] = None
    off: ClassVar[str] = "the recipe has it off"
    for_photographs: ClassVar[bool] = False
    corrects: ClassVar[bool] = False
    after: ClassVar[str | None] = None

    def idle(self, context: Context) -> str | None:
        """Why the stage has nothing to do, by the recipe and the kind of picture; None: it has to look.

        A stage that is idle is neither measured nor applied. Where it is not, and comes after super-resolution, the
        enlarged picture is kept whole for it (:mod:`enhancer.stages.big_pictures`).
        """
        if not self.wanted(context):
            return self.off
        return no_photograph(context) if self.for_photographs and not self.insists(context) else None

    def wanted(self, context: Context) -> bool:
        """Whether the recipe lets the stage act on some picture."""
        return self.options is None or bool(self.asked(context).wanted())

    def insists(self, context: Context) -> bool:
        """Whether the recipe requests the stage by name, whatever kind of picture it is."""
        return self.options is not None and bool(self.asked(context).insists())

    def asked(self, context: Context) -> Any:
        """What the recipe says of the stage: an instance of its `options`."""
        return context.recipe.options_of(self.name)

    @abstractmethod
    def measure(self, pixels: FloatPixels, context: Context) -> Decision:
        """Look, decide, and say why."""

    @abstractmethod
    def apply(self, block: FloatPixels, decision: Decision, context: Context) -> FloatPixels:
        """The stage's function; called only where the decision says so."""

    @abstractmethod
    def halo(self, context: Context) -> int:
        """Input pixels around a block that its result depends on."""

    def scale(self, context: Context) -> float:
        """Output side over input side."""
        return 1.0
