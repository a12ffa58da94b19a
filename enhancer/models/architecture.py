"""What this package must know of an architecture of nets. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from enhancer.models.spec import NetSpec

if TYPE_CHECKING:
    from torch import Tensor, nn


class Hints(Protocol):
    """What a catalogue entry says of a net that cannot be seen from its weights."""

    @property
    def scale(self) -> int:
        """Output side over input side."""
        ...

    @property
    def conditions(self) -> int:
        """Planes after the three colours."""
        ...

    @property
    def fold(self) -> int:
        """Side of the square of pixels that becomes one."""
        ...


@dataclass(frozen=True, slots=True)
class LoadedNet:
    """A net in torch, on the CPU, float32, in evaluation mode and without gradients; and what its caller must know."""

    module: nn.Module
    spec: NetSpec


@dataclass(frozen=True, slots=True)
class Architecture:
    """How an architecture of this package's own is loaded and described.

    Attributes:
        name: as it is shown.
        load: the net of a catalogue entry, with its weights (float32). Raises KeyError, ValueError or
            RuntimeError where they are another net's.
        spec: of such a net under a name.
        recognise: the net from its weights alone, as far as they say; None where they are something else's. Unset: it
            cannot be recognised without a catalogue entry.
        fresh: a net with random weights from the fields of its shape, to be trained. Unset: it is not trained by
            :mod:`enhancer.training.nets`.
        only_side: height and width of the only input that the net takes; None: any that its spec allows.
    """

    name: str
    load: Callable[[Mapping[str, Tensor], Hints], nn.Module]
    spec: Callable[[Any, str], NetSpec]
    recognise: Callable[[Mapping[str, Tensor]], nn.Module | None] | None = None
    fresh: Callable[[Mapping[str, Any]], nn.Module] | None = None
    only_side: int | None = None
