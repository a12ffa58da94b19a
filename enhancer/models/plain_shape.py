"""The shape of a plain net (:mod:`enhancer.models.architectures.plain`): all that backends need.

Imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from enhancer.models.spec import NetSpec

COLOURS: Final = 3
MAX_TILE: Final = 1024
"""Side of a tile of a plain net's output: with 64 channels at a fold of 1 it takes about 0.6 GB in torch."""


class Shaped(Protocol):
    """A tensor or an array."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""
        ...


@dataclass(frozen=True, slots=True)
class PlainShape:
    """The hyperparameters of a plain net.

    Attributes:
        width: channels between the convolutions.
        depth: convolutions between the first and the last.
        scale: output side over input side.
        conditions: planes after the three colours, such as a map of the noise's strength.
        fold: side of the square of pixels that becomes one, with as many times the channels; 1 or 2. Only where `scale`
            is 1.
    """

    width: int
    depth: int
    scale: int = 1
    conditions: int = 0
    fold: int = 1

    def __post_init__(self) -> None:
        if self.scale > 1 and self.fold > 1:
            raise ValueError(f"a plain net either folds or enlarges, not both: {self}")

    @property
    def halo(self) -> int:
        """Input pixels around a pixel that its result depends on: exact, one for each convolution."""
        return self.fold * (self.depth + 2)

    @classmethod
    def of(cls, state: Mapping[str, Shaped], *, scale: int, conditions: int, fold: int) -> PlainShape:
        """Width and depth read off the weights; the rest cannot be seen there.

        Raises:
            KeyError: the weights are no plain net's.
        """
        return cls(state["convolutions.0.weight"].shape[0], len(state) // 2 - 2, scale, conditions, fold)

    def spec(self, name: str) -> NetSpec:
        """What the tiler and the stages must know of the net called `name`."""
        return NetSpec(
            name,
            scale=self.scale,
            in_channels=COLOURS + self.conditions,
            out_channels=COLOURS,
            halo=self.halo,
            multiple_of=self.fold,
            minimum=self.fold,
            max_tile=MAX_TILE // self.scale,
        )
