"""The net that restores faded colours: it looks at 48 x 48 pixels of a picture and says how to undo its print's ageing.

What it predicts is not pixels but 15 numbers of a function that is the same for every pixel and undoes, in order, a
surface's scattered light, the base's stain and the dyes' fading (enhancer/training/ageing.py has the model):

    d = -log10(light - veil) - white,    restored light = (10 ** -(matrix @ d) - black) / (1 - black)

An image-adaptive colour transform (H. Zeng et al., "Learning Image-adaptive 3D Lookup Tables for High Performance Photo
Enhancement in Real-time", IEEE TPAMI 2020) whose form is physical and whose numbers are bounded: it is smooth, rises
with each channel, and cannot jump in hue. A sixteenth number is the log-odds that it makes this picture better.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from enhancer.models.architecture import Architecture, Hints
from enhancer.models.spec import NetSpec

LOOK: Final = 48
"""Side of what the net looks at."""
OUTPUTS: Final = 16
"""veil (3), white (3), matrix (9, by rows), confidence (1)."""
SHARES: Final = (0.002, 0.01, 0.03, 0.1, 0.25, 0.5, 0.75, 0.9, 0.97, 0.99, 0.998)
PLACES: Final = tuple(round(share * (LOOK**2 - 1)) for share in SHARES)
"""Where these shares of the pixels end, in order of brightness."""
LOW, HIGH = 1, 9
SMALLEST: Final = 1e-3
"""Light below which density is not followed further."""
BLACK: Final = 10**-2.4
"""Light that a print's black reflects (:data:`enhancer.training.ageing.DENSEST`); it becomes none at all."""
DENSITY_RANGE: Final = (-0.5, 4.0)
VEIL_MOST, WHITE_MOST, CONTRAST_MOST, MIXED_MOST = 1.2, 0.6, 1.2, 0.35
"""Bounds: veil over the channel's darkest percent; white's distance from its brightest percent, in density; logarithm
of a channel's contrast; share of another channel's density."""


class ColourNet(nn.Module):
    """A small convolutional net, a learned histogram and plain statistics, joined by two dense layers."""

    def __init__(self, width: int = 16, hidden: int = 128) -> None:
        super().__init__()
        widths = (6, width, 2 * width, 3 * width, 4 * width)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, 3, stride=2, padding=1) for before, after in pairwise(widths)
        )
        self.colours = nn.ModuleList((nn.Conv2d(6, 32, 1), nn.Conv2d(32, 48, 1)))
        features = 2 * widths[-1] + 2 * 48 + 6 * len(SHARES) + 9
        self.norm = nn.LayerNorm(features)
        self.dense = nn.ModuleList((nn.Linear(features, hidden), nn.Linear(hidden, hidden)))
        self.last = nn.Linear(hidden, OUTPUTS)
        nn.init.normal_(self.last.weight, std=0.01)
        nn.init.zeros_(self.last.bias)

    def forward(self, look: Tensor) -> Tensor:
        """Judge pictures.

        Args:
            look: N x 3 x LOOK x LOOK, sRGB in [0, 1].

        Returns:
            N x OUTPUTS x 1 x 1, bounded but for the confidence.
        """
        encoded, density = _percentiles(look)
        low, high = encoded[..., LOW, None, None], encoded[..., HIGH, None, None]
        planes = torch.cat((look - 0.5, (look - low) / (high - low).clamp(min=0.05) - 0.5), dim=1)
        picture = planes
        for convolution in self.convolutions:
            picture = functional.relu(convolution(picture))
        points = planes[..., ::2, ::2]
        for convolution in self.colours:
            points = functional.relu(convolution(points))
        features = (
            picture.mean((2, 3)),
            picture.amax((2, 3)),
            points.mean((2, 3)),
            points.square().mean((2, 3)),
            4 * encoded.flatten(1) - 2,
            2 * density.flatten(1) - 1,
            _moments(look),
        )
        hidden = self.norm(torch.cat(features, dim=1))
        for layer in self.dense:
            hidden = functional.relu(layer(hidden))
        return self._bounded(self.last(hidden), encoded)[..., None, None]

    @staticmethod
    def _bounded(raw: Tensor, encoded: Tensor) -> Tensor:
        dark, bright = to_linear(encoded[..., LOW]), to_linear(encoded[..., HIGH])
        veil = VEIL_MOST * torch.sigmoid(raw[:, 0:3] + 1) * dark
        brightest = -torch.log10(above(bright - veil))
        white = brightest + WHITE_MOST * torch.tanh(raw[:, 3:6])
        contrast = torch.exp(CONTRAST_MOST * torch.tanh(raw[:, 6:9] + 0.3))
        mixed = MIXED_MOST * torch.tanh(raw[:, 9:15])
        one = torch.ones_like(mixed[:, :1])
        rows = (one, mixed[:, 0:2], mixed[:, 2:3], one, mixed[:, 3:4], mixed[:, 4:6], one)
        matrix = contrast[:, :, None] * torch.cat(rows, dim=1).view(-1, 3, 3)
        return torch.cat((veil, white, matrix.flatten(1), raw[:, 15:16]), dim=1)


def load(state: Mapping[str, Tensor], hints: Hints) -> ColourNet:
    """The net with given weights; its widths are read off them.

    Raises:
        KeyError, RuntimeError: they are not this net's.
    """
    net = ColourNet(state["convolutions.0.weight"].shape[0], state["last.weight"].shape[1])
    net.load_state_dict(dict(state))
    return net


def spec_of(net: ColourNet, name: str) -> NetSpec:
    """What its stage must know of it; it is not tiled."""
    return NetSpec(name, scale=1, in_channels=3, out_channels=OUTPUTS, halo=0, minimum=LOOK, max_tile=LOOK)


def restored(pixels: Tensor, numbers: Tensor) -> Tensor:
    """The function that the net's numbers describe.

    Args:
        pixels: N x 3 x H x W, sRGB in [0, 1].
        numbers: N x OUTPUTS x 1 x 1, as :class:`ColourNet` gives them.

    Returns:
        The same shape as `pixels`, not yet clipped to [0, 1].
    """
    veil, white = numbers[:, 0:3], numbers[:, 3:6]
    matrix = numbers[:, 6:15].view(-1, 3, 3)
    density = -torch.log10(above(to_linear(pixels) - veil)) - white
    mixed = torch.einsum("nij,njhw->nihw", matrix, density)
    return from_linear((torch.pow(10.0, -mixed.clamp(*DENSITY_RANGE)) - BLACK) / (1 - BLACK))


def above(light: Tensor) -> Tensor:
    """`light` where it is clearly above 0, and smoothly down to just above 0 below."""
    return (light + torch.sqrt(light * light + 4 * SMALLEST**2)) / 2


def to_linear(values: Tensor) -> Tensor:
    """Linear light of sRGB values."""
    return torch.where(values <= 0.04045, values / 12.92, ((values.clamp(min=0.04) + 0.055) / 1.055) ** 2.4)


def from_linear(light: Tensor) -> Tensor:
    """SRGB values of linear light."""
    return torch.where(light <= 0.0031308, light * 12.92, 1.055 * light.clamp(min=0.003) ** (1 / 2.4) - 0.055)


def _percentiles(look: Tensor) -> tuple[Tensor, Tensor]:
    """Each channel's percentiles, encoded and as density over the densest that counts; N x 3 x len(SHARES)."""
    ordered = look.flatten(2).sort(dim=2).values
    encoded = ordered[..., list(PLACES)]
    return encoded, -torch.log10(to_linear(encoded).clamp(min=SMALLEST)) / 3


def _moments(look: Tensor) -> Tensor:
    """Means, deviations and correlations of the channels' encoded values, N x 9."""
    values = look.flatten(2)
    mean = values.mean(2)
    centred = values - mean[..., None]
    deviation = centred.pow(2).mean(2).sqrt().clamp(min=1e-3)
    normal = centred / deviation[..., None]
    correlations = torch.stack([(normal[:, a] * normal[:, b]).mean(1) for a, b in ((0, 1), (0, 2), (1, 2))], dim=1)
    return torch.cat((4 * mean - 2, 4 * deviation - 1, 2 * correlations - 1), dim=1)


ARCHITECTURE: Final = Architecture("Colour", load, spec_of, only_side=LOOK)
