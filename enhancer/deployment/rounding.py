"""Rounding of a plain net's weights to int8 so that the errors of one make up for those of another.

Each weight rounded for itself costs fast-x4 0.17 dB where weights keep to half of int8's range, most of all that int8
costs it. Here the weights of an output channel are rounded one after another, and what one lost is put on those that
are still to be rounded, by as much as their inputs go together (E. Frantar et al., "GPTQ", ICLR 2023, after B. Hassibi
and D. Stork's Optimal Brain Surgeon): what changes least is what the layer gives on the calibration pictures.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from enhancer.image import FloatPixels
from enhancer.models.architectures.plain import PlainNet

LEVELS: Final = 63
"""Largest step of a weight, of either sign."""
FULL_RANGE: Final = 63.5
"""Steps to the end of the range, which NNCF takes the largest weight for (half of 127): see :func:`rounded`."""
PICTURES: Final = 24
"""Calibration pictures that are counted, at most, and in each every :data:`STRIDE`-th place down and across: more
changes nothing that could be measured."""
STRIDE: Final = 3
DAMPING: Final = 1e-2
"""Share of the mean square of the inputs that is added to that of each, so that the solution exists."""


def rounded_weights(net: PlainNet, given: Sequence[FloatPixels]) -> dict[str, NDArray[np.float32]]:
    """The net's weights by name, those of the convolutions rounded layer after layer.

    Args:
        net: in float32.
        given: what it is calibrated by, in_channels x H x W each. Of a layer the inputs count that it has after the
            layers before it were rounded.
    """
    net, given = copy.deepcopy(net), given[:: -(-len(given) // PICTURES)]
    for layer in net.convolutions:
        assert isinstance(layer, nn.Conv2d)
        weights = rounded(layer.weight.detach().numpy(), _together(net, layer, given))
        layer.weight.data = torch.from_numpy(weights)
    return {name: tensor.numpy() for name, tensor in net.state_dict().items()}


def rounded(weights: NDArray[np.float32], together: NDArray[np.float64]) -> NDArray[np.float32]:
    """The weights of one convolution in whole steps, of which the largest weight of a channel has `FULL_RANGE`.

    That one is left at the end of the range, so that whoever takes the range from the largest weight finds the same
    steps again; as a number of steps it is `LEVELS`, and as that it is counted.

    Args:
        weights: out x in x 3 x 3.
        together: (9 * in) x (9 * in), the sum of products of every two inputs, in the order of a channel's weights.

    Returns:
        The shape of `weights`.
    """
    flat = weights.reshape(len(weights), -1).astype(np.float64)
    step = np.maximum(np.abs(flat).max(axis=1), np.finfo(np.float32).tiny) / FULL_RANGE
    largest = np.abs(flat).argmax(axis=1)
    ends = np.copysign(LEVELS, flat[np.arange(len(flat)), largest])
    order = np.argsort(-np.diag(together), kind="stable")
    damped = together[np.ix_(order, order)] + DAMPING * np.diag(together).mean() * np.eye(len(together))
    spread = np.linalg.cholesky(np.linalg.inv(damped)).T
    left, steps = flat[:, order], np.empty_like(flat)
    for place, weight in enumerate(order):
        counted = np.clip(np.rint(left[:, place] / step), -LEVELS, LEVELS)
        steps[:, weight] = np.where(largest == weight, ends, counted)
        lost = (left[:, place] - steps[:, weight] * step) / spread[place, place]
        left[:, place:] -= np.outer(lost, spread[place, place:])
    steps[np.arange(len(flat)), largest] = np.copysign(FULL_RANGE, ends)
    return np.asarray(steps * step[:, None], np.float32).reshape(weights.shape)


@torch.inference_mode()
def _together(net: nn.Module, layer: nn.Conv2d, given: Sequence[FloatPixels]) -> NDArray[np.float64]:
    """The sum of products of every two inputs of a layer over its places."""
    total = torch.zeros((9 * layer.in_channels,) * 2, dtype=torch.float64)

    def count(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        columns = functional.unfold(inputs[0], 3, padding=1, stride=STRIDE)[0].double()
        total.addmm_(columns, columns.T)

    hook = layer.register_forward_pre_hook(count)
    try:
        for picture in given:
            net(torch.from_numpy(np.ascontiguousarray(picture))[None])
    finally:
        hook.remove()
    return total.numpy()
