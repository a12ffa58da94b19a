"""SAFMN, a peer, in the variant whose weights its authors publish: ``safmn_x4.pth`` beside this checkout.

L. Sun, J. Dong, J. Tang, J. Pan, "Spatially-Adaptive Feature Modulation for Efficient Image Super-Resolution", ICCV
2023. Here the norms of the paper are gone, but for one over the whole picture after the first convolution (the
response normalisation of S. Woo et al., "ConvNeXt V2", CVPR 2023), and so are most biases.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

WIDTH, BLOCKS, SCALE, LEVELS = 36, 8, 4, 4


def published(path: Path) -> Safmn:
    """The net with the weights of a file."""
    net = Safmn()
    net.load_state_dict(torch.load(path, map_location="cpu", weights_only=True)["params"])
    return net.eval().requires_grad_(False)


class Safmn(nn.Module):
    """Names are those of the published weights."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = _ResponseNorm()
        self.to_feat = nn.Conv2d(3, WIDTH, 3, padding=1)
        self.feats = nn.Sequential(*(_Block() for _ in range(BLOCKS)))
        self.to_img = nn.Sequential(nn.Conv2d(WIDTH, 3 * SCALE**2, 3, padding=1), nn.PixelShuffle(SCALE))

    def forward(self, given: Tensor) -> Tensor:
        """N x 3 x H x W to N x 3 x 4H x 4W."""
        whole = functional.interpolate(given, scale_factor=float(SCALE), mode="bilinear", align_corners=False)
        result: Tensor = self.to_img(self.feats(self.norm(self.to_feat(given)))) + whole
        return result


class _ResponseNorm(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.zeros(1, WIDTH, 1, 1))
        self.beta = nn.Parameter(torch.zeros(1, WIDTH, 1, 1))

    def forward(self, planes: Tensor) -> Tensor:
        strength = planes.square().sum(dim=(2, 3), keepdim=True).sqrt()
        share = strength / (strength.mean(dim=1, keepdim=True) + 1e-6)
        return planes + self.gamma * planes * share + self.beta


class _Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.safm, self.ccm = _Modulation(), _Mixer()

    def forward(self, planes: Tensor) -> Tensor:
        planes = planes + self.safm(planes)
        result: Tensor = planes + self.ccm(planes)
        return result


class _Mixer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        wide = nn.Conv2d(WIDTH, 2 * WIDTH, 3, padding=1, bias=False)
        self.ccm = nn.Sequential(wide, nn.GELU(), nn.Conv2d(2 * WIDTH, WIDTH, 1, bias=False))

    def forward(self, planes: Tensor) -> Tensor:
        result: Tensor = self.ccm(planes)
        return result


class _Modulation(nn.Module):
    """Each quarter of the channels is seen at a scale of its own; together they weigh every pixel."""

    def __init__(self) -> None:
        super().__init__()
        part = WIDTH // LEVELS
        self.mfr = nn.ModuleList(nn.Conv2d(part, part, 3, padding=1, groups=part, bias=False) for _ in range(LEVELS))
        self.aggr = nn.Conv2d(WIDTH, WIDTH, 1, bias=False)

    def forward(self, planes: Tensor) -> Tensor:
        height, width = planes.shape[-2:]
        seen = []
        for level, (part, look) in enumerate(zip(planes.chunk(LEVELS, dim=1), self.mfr, strict=True)):
            if level:
                cells = (height >> (level + 1), width >> (level + 1))
                small = look(functional.adaptive_max_pool2d(part, cells))
                seen.append(functional.interpolate(small, size=(height, width), mode="nearest"))
            else:
                seen.append(look(part))
        result: Tensor = functional.gelu(self.aggr(torch.cat(seen, dim=1))) * planes
        return result
