"""LPIPS (R. Zhang et al., CVPR 2018) as a loss, in torch; what measures is in :mod:`enhancer.quality.lpips_net`."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

from enhancer.quality.lpips_net import EPSILON, HEADS, SCALE, SHIFT, STAGES


class LpipsLoss(nn.Module):
    """The mean distance of pairs of patches, with gradients to the first.

    Args:
        net: ``alex`` or ``vgg``.
        weights: safetensors of the backbone, as the catalogue's ``lpips-alex`` and ``lpips-vgg`` are kept.
    """

    def __init__(self, net: str, weights: Path) -> None:
        super().__init__()
        self._stages = STAGES[net]
        layers = {name.removeprefix("features."): tensor.float() for name, tensor in load_file(weights).items()}
        for _, convolutions in self._stages:
            for number, _, _ in convolutions:
                self.register_buffer(f"kernel_{number}", layers[f"{number}.weight"].contiguous())
                self.register_buffer(f"bias_{number}", layers[f"{number}.bias"])
        heads = load_file(HEADS)
        for place in range(len(self._stages)):
            self.register_buffer(f"head_{place}", heads[f"{net}.{place}"].float().reshape(1, -1, 1, 1))
        self.register_buffer("shift", torch.tensor(SHIFT).reshape(1, 3, 1, 1))
        self.register_buffer("scale", torch.tensor(SCALE).reshape(1, 3, 1, 1))

    def forward(self, made: Tensor, wanted: Tensor) -> Tensor:
        """The distance.

        Args:
            made: N x 3 x H x W, RGB in [0, 1] or little beyond.
            wanted: as many; no gradients flow to it.
        """
        with torch.no_grad():
            targets = self._features(wanted)
        total = made.new_zeros(())
        for place, (found, target) in enumerate(zip(self._features(made), targets, strict=True)):
            total = total + ((found - target).square() * self.get_buffer(f"head_{place}")).sum(dim=1).mean()
        return total

    def _features(self, pictures: Tensor) -> list[Tensor]:
        """Normalised features after each stage."""
        state = (2 * pictures - 1 - self.get_buffer("shift")) / self.get_buffer("scale")
        state = state.contiguous(memory_format=torch.channels_last)
        found = []
        for pooling, convolutions in self._stages:
            if pooling:
                state = functional.max_pool2d(state, pooling, 2)
            for number, stride, padding in convolutions:
                kernel, bias = self.get_buffer(f"kernel_{number}"), self.get_buffer(f"bias_{number}")
                state = functional.relu(functional.conv2d(state, kernel, bias, stride, padding))
            length = (state.square().sum(dim=1, keepdim=True) + EPSILON).sqrt()
            found.append(state / (length + EPSILON))
        return found
