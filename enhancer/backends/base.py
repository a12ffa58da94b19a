"""The contract of an inference backend: prepare a net once, then run it on arrays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from enhancer.image import FloatPixels
from enhancer.models.spec import NetSpec

__all__ = ["Net", "NetSpec", "OutOfMemory", "RunTile"]

RunTile = Callable[[FloatPixels], FloatPixels]
"""N x C x H x W float32 in, N x C' x sH x sW float32 out. Raises :class:`OutOfMemory` for a genuine lack of memory."""


class OutOfMemory(Exception):  # noqa: N818 - a condition that the tiler handles, not a failure
    """The device could not hold this tile; a smaller one may fit."""


class Net(Protocol):
    """A net that is ready to run on a device."""

    @property
    def spec(self) -> NetSpec:
        """What the tiler and the stages must know of it."""
        ...

    def run(self, batch: FloatPixels) -> FloatPixels:
        """N x C x H x W float32 to N x C' x sH x sW float32."""
        ...
