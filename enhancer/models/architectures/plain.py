"""Plain nets: 3x3 convolutions and ReLU, nothing else, as they run near the limit of a processor's integer units.

The shape is SESR's after folding (K. Bhardwaj et al., "Collapsible Linear Blocks for Super-Efficient Super Resolution",
MLSys 2022) with the pixel shuffle of ESPCN (W. Shi et al., CVPR 2016); with `fold`, the picture is first folded to a
fraction of its size, as in FFDNet (K. Zhang et al., IEEE TIP 2018). How such a net is trained: enhancer/training.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from enhancer.models.architecture import Architecture, Hints
from enhancer.models.plain_shape import COLOURS, PlainShape
from enhancer.models.spec import NetSpec

__all__ = ["COLOURS", "PlainNet", "PlainShape"]


class PlainNet(nn.Module):
    """``depth + 2`` convolutions with ReLU between them, added to the picture itself (repeated, where it enlarges)."""

    def __init__(self, shape: PlainShape) -> None:
        super().__init__()
        self.shape = shape
        folded = shape.fold**2
        given, wanted = COLOURS * folded + shape.conditions, COLOURS * folded * shape.scale**2
        widths = (given, *[shape.width] * (shape.depth + 1), wanted)
        self.convolutions = nn.ModuleList(nn.Conv2d(before, after, 3, padding=1) for before, after in pairwise(widths))

    def forward(self, given: Tensor) -> Tensor:
        """Run the net.

        Args:
            given: N x (3 + conditions) x H x W: RGB in [0, 1], then the conditions.

        Returns:
            N x 3 x (scale * H) x (scale * W), not clipped. Sides that `fold` does not divide are padded by replication
            inside and cut again.
        """
        height, width = given.shape[-2:]
        fold, scale = self.shape.fold, self.shape.scale
        if fold > 1:
            given = functional.pad(given, (0, -width % fold, 0, -height % fold), mode="replicate")
        picture = functional.pixel_unshuffle(given[:, :COLOURS], fold)
        planes = picture
        if self.shape.conditions:
            planes = torch.cat((picture, functional.avg_pool2d(given[:, COLOURS:], fold)), dim=1)
        for convolution in self.convolutions[:-1]:
            planes = functional.relu(convolution(planes))
        change = self.convolutions[-1](planes)
        result: Tensor = functional.pixel_shuffle(change + picture.repeat_interleave(scale**2, dim=1), scale * fold)
        return result[..., : scale * height, : scale * width]


def load(state: Mapping[str, Tensor], hints: Hints) -> PlainNet:
    """The net of an entry with these weights.

    Raises:
        KeyError, ValueError, RuntimeError: they are another net's.
    """
    net = PlainNet(PlainShape.of(state, scale=hints.scale, conditions=hints.conditions, fold=hints.fold))
    net.load_state_dict(dict(state))
    return net


def recognise(state: Mapping[str, Tensor]) -> PlainNet | None:
    """A denoiser with a noise map, such as ours and what was adapted from it; None where it is something else."""
    kernels = [tensor for tensor in state.values() if tensor.ndim == 4]
    if not kernels or any(not key.startswith("convolutions.") for key in state):
        return None
    # What comes out is the folded picture, what goes in the same and the noise map: that gives the fold away.
    first, last = state["convolutions.0.weight"], state[f"convolutions.{len(kernels) - 1}.weight"]
    fold = {COLOURS: 1, 4 * COLOURS: 2}.get(last.shape[0])
    if fold is None or first.shape[1] != last.shape[0] + 1:
        return None
    net = PlainNet(PlainShape.of(state, scale=1, conditions=1, fold=fold))
    net.load_state_dict(dict(state))
    return net


def spec_of(net: PlainNet, name: str) -> NetSpec:
    """What the tiler and the stages must know of it."""
    return net.shape.spec(name)


def fresh(shape: Mapping[str, Any]) -> PlainNet:
    """A net with random weights; `shape` has the fields of :class:`PlainShape`."""
    return PlainNet(PlainShape(**shape))


ARCHITECTURE: Final = Architecture("Plain", load, spec_of, recognise, fresh)
