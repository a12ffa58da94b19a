"""The balanced net: a plain trunk, each layer followed by gated attention over local windows, all layers fused.

The gate of a pixel is read off three scales, the pixel itself and the means of the windows that it lies in (as the
squeeze and excitation of J. Hu et al., CVPR 2018, but over windows instead of the whole picture, in the manner of the
multi-scale modulation of SAFMN, L. Sun et al., ICCV 2023). The outputs of all layers are fused into the last one (as in
IMDN, Z. Hui et al., ACM MM 2019). Windows lie on a fixed grid, so that a tile cut along it computes what the whole
picture would, up to what reaches in from beyond its halo.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

COLOURS: Final = 3
WINDOWS: Final = (4, 16)


@dataclass(frozen=True, slots=True)
class FusionShape:
    """Channels between the convolutions, layers between the first and the last one, output side over input side."""

    width: int
    depth: int
    scale: int

    @classmethod
    def of(cls, state: Mapping[str, Tensor], *, scale: int) -> FusionShape:
        """Width and depth read off the weights; the rest cannot be seen there.

        Raises:
            KeyError: the weights are no such net's.
        """
        width, layers = state["fusion.weight"].shape[:2]
        return cls(width, layers // width, scale)


class WindowGate(nn.Module):
    """A factor in (0, 1) for each pixel and channel, from the pixel and from the windows around it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.scales = nn.ModuleList(nn.Conv2d(width, width, 1, bias=index == 0) for index in range(1 + len(WINDOWS)))

    def forward(self, planes: Tensor) -> Tensor:
        """N x width x H x W to the same shape."""
        height, width = planes.shape[-2:]
        gate = self.scales[0](planes)
        for window, mix in zip(WINDOWS, self.scales[1:], strict=True):
            # A window at the lower or right edge holds fewer pixels: its mean is over those alone.
            mean = functional.avg_pool2d(planes, window, ceil_mode=True, count_include_pad=False)
            whole = mix(mean).repeat_interleave(window, -2).repeat_interleave(window, -1)
            gate = gate + whole[..., :height, :width]
        return torch.sigmoid(gate)


class FusionNet(nn.Module):
    """``depth`` layers of a 3x3 convolution, ReLU and a gated 3x3 convolution, fused, and a pixel shuffle."""

    def __init__(self, shape: FusionShape) -> None:
        super().__init__()
        self.shape = shape
        width = shape.width
        self.convolutions = nn.ModuleList(
            [
                nn.Conv2d(COLOURS, width, 3, padding=1),
                *(nn.Conv2d(width, width, 3, padding=1) for _ in range(shape.depth)),
                nn.Conv2d(width, COLOURS * shape.scale**2, 3, padding=1),
            ]
        )
        self.changes = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(shape.depth))
        self.gates = nn.ModuleList(WindowGate(width) for _ in range(shape.depth))
        self.fusion = nn.Conv2d(width * shape.depth, width, 1)
        # A fresh net starts as its plain trunk, so that it can grow from a trained one.
        for grown in (*self.changes, self.fusion):
            assert isinstance(grown, nn.Conv2d)
            assert grown.bias is not None
            nn.init.zeros_(grown.weight)
            nn.init.zeros_(grown.bias)

    def forward(self, given: Tensor) -> Tensor:
        """Enlarge.

        Args:
            given: N x 3 x H x W, RGB in [0, 1].

        Returns:
            N x 3 x (scale * H) x (scale * W), not clipped.
        """
        planes = functional.relu(self.convolutions[0](given))
        layers = []
        for convolution, change, gate in zip(self.convolutions[1:-1], self.changes, self.gates, strict=True):
            planes = functional.relu(convolution(planes))
            planes = planes + gate(planes) * change(planes)
            layers.append(planes)
        planes = planes + self.fusion(torch.cat(layers, dim=1))
        picture = given.repeat_interleave(self.shape.scale**2, dim=1)
        result: Tensor = functional.pixel_shuffle(self.convolutions[-1](planes) + picture, self.shape.scale)
        return result
