"""FFDNet for colour: a denoiser that is given the strength of the noise, pixel by pixel.

K. Zhang, W. Zuo, L. Zhang, "FFDNet: Toward a Fast and Flexible Solution for CNN-based Image Denoising", IEEE TIP 2018.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from enhancer.models.architecture import Architecture, Hints
from enhancer.models.spec import NetSpec

MAX_TILE: Final = 768
"""One such tile takes about 0.2 GB."""
WIDTH: Final = 96
DEPTH: Final = 12
HALO: Final = 2 * DEPTH
"""Each 3x3 convolution reaches one pixel further, and a pixel here is two of the picture's."""


class FFDNet(nn.Module):
    """Twelve 3x3 convolutions on the picture folded to half its size, with the noise map as one more channel.

    Parameter names are those of the published weights (``model.0.weight`` to ``model.22.bias``).
    """

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = [nn.Conv2d(3 * 4 + 1, WIDTH, 3, padding=1), nn.ReLU(inplace=True)]
        for _ in range(DEPTH - 2):
            layers += [nn.Conv2d(WIDTH, WIDTH, 3, padding=1), nn.ReLU(inplace=True)]
        layers.append(nn.Conv2d(WIDTH, 3 * 4, 3, padding=1))
        self.model = nn.Sequential(*layers)

    def forward(self, noisy: Tensor) -> Tensor:
        """Remove the noise.

        Args:
            noisy: N x 4 x H x W: RGB in [0, 1], then the noise's standard deviation on the same scale (sigma / 255 for
                8-bit figures), which may differ from pixel to pixel. Trained for 0 to 75 / 255.

        Returns:
            N x 3 x H x W, not clipped. Odd sides are padded by replication inside and cut again.
        """
        height, width = noisy.shape[-2:]
        even = functional.pad(noisy, (0, width % 2, 0, height % 2), mode="replicate")
        folded = functional.pixel_unshuffle(even[:, :3], 2)
        sigma = functional.avg_pool2d(even[:, 3:], 2)
        clean: Tensor = self.model(torch.cat((folded, sigma), dim=1))
        return functional.pixel_shuffle(clean, 2)[..., :height, :width]


def load(state: Mapping[str, Tensor], hints: Hints) -> FFDNet:
    """The net with these weights.

    Raises:
        RuntimeError: they are another net's.
    """
    net = FFDNet()
    net.load_state_dict(dict(state))
    return net


def recognise(state: Mapping[str, Tensor]) -> FFDNet | None:
    """The net from its weights, which spandrel takes for DnCNN's; None where they are something else's."""
    net = FFDNet()
    if {key: tensor.shape for key, tensor in state.items()} != {k: t.shape for k, t in net.state_dict().items()}:
        return None
    net.load_state_dict(dict(state))
    return net


def spec_of(net: FFDNet, name: str) -> NetSpec:
    """What the tiler and the stages must know of it; the halo is its exact reach."""
    return NetSpec(name, scale=1, in_channels=4, out_channels=3, halo=HALO, multiple_of=2, minimum=2, max_tile=MAX_TILE)


ARCHITECTURE: Final = Architecture("FFDNet", load, spec_of, recognise)
