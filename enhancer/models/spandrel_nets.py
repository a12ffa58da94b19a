"""Nets of the architectures that spandrel knows: recognised by their weights, described by its descriptors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor, nn

from enhancer.errors import ModelError
from enhancer.models.architecture import LoadedNet
from enhancer.models.entry import ModelEntry, Tiling
from enhancer.models.spec import NetSpec

if TYPE_CHECKING:
    from spandrel import ImageModelDescriptor

UNMEASURED: Final = Tiling()
"""Of a net whose catalogue entry says nothing of tiles."""


class Described(nn.Module):
    """A net called as its descriptor calls it: some take more than a picture, or give more or other than one."""

    def __init__(self, descriptor: ImageModelDescriptor[Any]) -> None:
        super().__init__()
        self.net: nn.Module = descriptor.model
        self._call = descriptor._call_fn  # the descriptor itself also pads and clips, which is the tiler's and caller's
        # Only what is called in a way of its own module's is written for one picture at a time.
        self._takes_batches = self._call.__module__ == type(descriptor).__module__

    def forward(self, given: Tensor) -> Tensor:
        """N x C x H x W to N x C' x sH x sW, not clipped."""
        if self._takes_batches or len(given) == 1:
            result: Tensor = self._call(self.net, given)
            return result
        return torch.cat([self._call(self.net, picture) for picture in torch.split(given, 1)])


def by_entry(entry: ModelEntry, state: Mapping[str, Tensor]) -> LoadedNet:
    """The entry's net.

    Raises:
        ModelError: the weights are of no architecture that spandrel knows, or of another architecture or scale than
            the entry says (reason ``bad-weights``).
    """
    descriptor = described(state)
    if descriptor is None:
        raise ModelError(f"the weights of {entry.name} are of no known architecture", reason="bad-weights")
    found, wanted = descriptor.architecture.id, entry.architecture or descriptor.architecture.id
    if (found.lower(), descriptor.scale) != (wanted.lower(), entry.scale):
        raise ModelError(
            f"the weights of {entry.name} are {found} x{descriptor.scale}, the catalogue says {wanted} x{entry.scale}",
            reason="bad-weights",
        )
    return loaded(descriptor, entry.name, entry.tiling or UNMEASURED)


def described(state: Mapping[str, Tensor]) -> ImageModelDescriptor[Any] | None:
    """The net whose architecture and hyperparameters spandrel reads off its weights; None where it does not know it.

    Nets that need a mask beside the picture are taken for unknown.
    """
    from spandrel import ImageModelDescriptor, ModelLoader, UnsupportedModelError

    try:
        descriptor = ModelLoader(device=torch.device("cpu")).load_from_state_dict(dict(state))
    except UnsupportedModelError:
        return None
    return descriptor if isinstance(descriptor, ImageModelDescriptor) else None


def loaded(descriptor: ImageModelDescriptor[Any], name: str, tiling: Tiling) -> LoadedNet:
    """The descriptor's net under a name.

    What `tiling` leaves open is the descriptor's: sides are multiples of what the net needs, and no smaller.
    """
    size = descriptor.size_requirements
    spec = NetSpec(
        name=name,
        scale=descriptor.scale,
        in_channels=descriptor.input_channels,
        out_channels=descriptor.output_channels,
        halo=tiling.halo,
        multiple_of=tiling.multiple_of or size.multiple_of,
        minimum=tiling.minimum or max(1, size.minimum),
        max_tile=tiling.max_tile,
    )
    return LoadedNet(Described(descriptor).float().eval().requires_grad_(False), spec)
