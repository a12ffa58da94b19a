"""What the training loop trains, and the plainest form of it."""

from __future__ import annotations

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Trainable(nn.Module, ABC):
    """A module that knows the weights that are kept of it, which may be fewer than those it learns."""

    @abstractmethod
    def folded(self) -> dict[str, Tensor]:
        """Weights for inference by name."""


class AsIs(Trainable):
    """A net that is trained in the form in which it is used."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, given: Tensor) -> Tensor:
        """What the net gives."""
        result: Tensor = self.net(given)
        return result

    def folded(self) -> dict[str, Tensor]:
        """Its own weights and buffers."""
        return dict(self.net.state_dict())
