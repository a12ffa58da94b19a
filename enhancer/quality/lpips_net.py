"""The net of LPIPS (Zhang et al. 2018), as its authors' package `lpips` defines it, without that package's imports.

`lpips` imports torchvision, which took a quarter of an evaluating worker's start; all that is needed of either are two
lists of layers, and the linear heads that `lpips` carries as a file. tests/quality holds this net against the package.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Final

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from enhancer.errors import ModelError

_SHIFT: Final = (-0.030, -0.088, -0.188)
_SCALE: Final = (0.458, 0.448, 0.450)
_EPSILON: Final = 1e-10
_VGG: Final = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
"""Widths of VGG-16's convolutions of 3 x 3, by stage; a pooling of 2 x 2 before each stage but the first."""


class LpipsNet(nn.Module):
    """The distance of pairs of pictures: differences of normalised features after five layers, weighted and averaged.

    Args:
        net: ``alex`` or ``vgg``.
    """

    shift: Tensor
    scale: Tensor

    def __init__(self, net: str) -> None:
        super().__init__()
        stages, widths = (_alex(), (64, 192, 384, 256, 256)) if net == "alex" else (_vgg(), [s[-1] for s in _VGG])
        self.stages = nn.ModuleList(nn.Sequential(*stage) for stage in stages)
        self.heads = nn.ParameterList(torch.zeros(1, width, 1, 1) for width in widths)
        self.register_buffer("shift", torch.tensor(_SHIFT).view(1, 3, 1, 1))
        self.register_buffer("scale", torch.tensor(_SCALE).view(1, 3, 1, 1))

    def forward(self, a: Tensor, b: Tensor) -> Tensor:
        """N distances of N pairs: N x 3 x H x W each, in [-1, 1]."""
        total = torch.zeros(len(a))
        for first, second, head in zip(self._features(a), self._features(b), self.heads, strict=True):
            weighted = nn.functional.conv2d((_normalised(first) - _normalised(second)) ** 2, head)
            total = total + weighted.mean(dim=(1, 2, 3))
        return total

    def _features(self, pictures: Tensor) -> list[Tensor]:
        found = []
        state = ((pictures - self.shift) / self.scale).contiguous(memory_format=torch.channels_last)
        for stage in self.stages:
            state = stage(state)
            found.append(state)
        return found


def build_lpips(net: str, weights: Path) -> LpipsNet:
    """The distance net: backbone from `weights`, linear heads from the lpips package.

    Args:
        net: ``alex`` or ``vgg``.
        weights: safetensors with torchvision's ``features`` keys (``features.0.weight`` or ``0.weight``).

    Raises:
        ModelError: tensors are missing or of the wrong shape.
    """
    with torch.device("meta"):  # no storage: what would be drawn for it is only thrown away
        module = LpipsNet(net)
    layers = {name.removeprefix("features."): tensor for name, tensor in load_file(weights).items()}
    heads = torch.load(_heads_of(net), map_location="cpu", weights_only=True)
    state = {f"heads.{number}": heads[f"lin{number}.model.1.weight"] for number in range(len(module.heads))}
    state |= {"shift": torch.tensor(_SHIFT).view(1, 3, 1, 1), "scale": torch.tensor(_SCALE).view(1, 3, 1, 1)}
    # torchvision numbers a backbone's layers through, as its stages do here one after the other.
    number = 0
    for at, stage in enumerate(module.stages):
        for within, _ in enumerate(stage.children()):
            parts = {part: f"{number}.{part}" for part in ("weight", "bias")}
            state |= {f"stages.{at}.{within}.{part}": layers[name] for part, name in parts.items() if name in layers}
            number += 1
    try:
        module.load_state_dict(state, strict=True, assign=True)
    except RuntimeError as error:
        raise ModelError(f"{weights.name} is no LPIPS backbone for {net!r}: {error}", reason="bad-weights") from error
    return module.eval().requires_grad_(False).to(memory_format=torch.channels_last)


def _heads_of(net: str) -> Path:
    found = find_spec("lpips")
    if found is None or found.origin is None:
        raise ModelError("LPIPS needs the package lpips for its linear heads: pip install lpips", reason="no-lpips")
    return Path(found.origin).parent / "weights" / "v0.1" / f"{net}.pth"


def _alex() -> list[list[nn.Module]]:
    def conv(given: int, made: int, side: int, stride: int = 1, padding: int = 1) -> list[nn.Module]:
        return [nn.Conv2d(given, made, side, stride, padding), nn.ReLU(inplace=True)]

    return [
        conv(3, 64, 11, 4, 2),
        [nn.MaxPool2d(3, 2), *conv(64, 192, 5, padding=2)],
        [nn.MaxPool2d(3, 2), *conv(192, 384, 3)],
        conv(384, 256, 3),
        conv(256, 256, 3),
    ]


def _vgg() -> list[list[nn.Module]]:
    stages: list[list[nn.Module]] = []
    given = 3
    for widths in _VGG:
        stage: list[nn.Module] = [nn.MaxPool2d(2, 2)] if stages else []
        for made in widths:
            stage += [nn.Conv2d(given, made, 3, padding=1), nn.ReLU(inplace=True)]
            given = made
        stages.append(stage)
    return stages


def _normalised(features: Tensor) -> Tensor:
    """Each position's features at unit length."""
    return features / (torch.sqrt(torch.sum(features**2, dim=1, keepdim=True)) + _EPSILON)
