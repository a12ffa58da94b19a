"""Learning to denoise from single noisy pictures: two half-size pictures out of one serve as a noise2noise pair.

T. Huang, S. Li, X. Jia, H. Lu, J. Liu, "Neighbor2Neighbor: Self-Supervised Denoising from Single Noisy Images", CVPR
2021. Of each cell of 2 x 2 pixels two neighbours are drawn, one for each half-size picture. They show nearly the same,
and if the noise of neighbouring pixels is independent and of mean zero, the net that gives one from the other with the
least squared error gives the clean picture. What the neighbours do not have in common is taken off by a regulariser:
the difference that the denoised whole picture has between them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

PAIRS: Final = ((0, 1), (0, 2), (1, 3), (2, 3), (1, 0), (2, 0), (3, 1), (3, 2))
"""Ordered neighbours within a cell, whose pixels are numbered row by row."""

Net = Callable[[Tensor], Tensor]


def draw_pairs(shape: Sequence[int], random: np.random.Generator) -> Tensor:
    """Which of :data:`PAIRS` each cell of N x C x H x W pictures gives: N x H/2 x W/2 x 2."""
    chosen = random.integers(len(PAIRS), size=(shape[0], shape[2] // 2, shape[3] // 2))
    return torch.from_numpy(np.array(PAIRS)[chosen])


def sub_sampled(pictures: Tensor, pairs: Tensor) -> tuple[Tensor, Tensor]:
    """The two half-size pictures of each picture.

    Args:
        pictures: N x C x H x W with even sides.
        pairs: N x H/2 x W/2 x 2, from :func:`draw_pairs`, on the pictures' device.

    Returns:
        Twice N x C x H/2 x W/2.
    """
    count, channels, height, width = pictures.shape
    cells = functional.pixel_unshuffle(pictures, 2).view(count, channels, 4, height // 2, width // 2)
    index = pairs[:, None].expand(-1, channels, -1, -1, -1).movedim(-1, 2)
    first, second = cells.gather(2, index).unbind(2)
    return first, second


def residual(net: Net, noisy: Tensor, sigma: Tensor, pairs: Tensor) -> Tensor:
    """What the net, given one half-size picture, lacks of the other, N x 3 x H/2 x W/2.

    Its mean square is that of the net's error plus the noise's, which no net changes: of two nets the one with less has
    the smaller error. Neither needs the truth.

    Args:
        net: takes N x 4 x H x W, RGB and the noise's standard deviation, and gives N x 3 x H x W.
        noisy: N x 3 x H x W on [0, 1], even sides.
        sigma: N x 1 x H x W on the same scale.
        pairs: from :func:`draw_pairs`.
    """
    first, second = sub_sampled(noisy, pairs)
    strength, _ = sub_sampled(sigma, pairs)
    return net(torch.cat((first, strength), dim=1)) - second


def neighbour_loss(
    net: Net, noisy: Tensor, sigma: Tensor, pairs: Tensor, *, regulariser: float, offset: float
) -> Tensor:
    """The loss of Neighbor2Neighbor, a scalar with gradients.

    Args:
        net: as for :func:`residual`.
        noisy: likewise.
        sigma: likewise.
        pairs: likewise.
        regulariser: weight of the second term, the paper's gamma.
        offset: squares are divided by the patch's mean sigma plus this, so that weak noise counts beside strong noise.
    """
    difference = residual(net, noisy, sigma, pairs)
    with torch.no_grad():
        whole_first, whole_second = sub_sampled(net(torch.cat((noisy, sigma), dim=1)), pairs)
    beyond = difference - (whole_first - whole_second)
    squares = difference.square() + regulariser * beyond.square()
    return (squares.mean(dim=(1, 2, 3)) / (sigma.mean(dim=(1, 2, 3)) + offset)).mean()
