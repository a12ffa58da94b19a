"""The detector of scratches and dust: a small U-Net of plain 3x3 convolutions and ReLU on a folded picture.

The shape is that of O. Ronneberger et al., "U-Net" (MICCAI 2015), with three levels; the picture is first folded to
half its size, as in FFDNet (K. Zhang et al., IEEE TIP 2018), and the result unfolded, so that most of the work is done
on a quarter of the pixels and thin lines are still found to the pixel. The dilated convolutions at the lowest level see
85 pixels far: a wire continues behind a house, a scratch goes on over it. Its training: enhancer/training/scratches.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional

from enhancer.models.architecture import Architecture, Hints
from enhancer.models.spec import NetSpec

COLOURS: Final = 3
FOLD: Final = 2
MULTIPLE: Final = 4 * FOLD
"""Both sides of what the net is given must be multiples of this: three levels, each half as large as the one above."""
HALO: Final = 88
"""Input pixels around a pixel that its result depends on (85), rounded up to a multiple of :data:`MULTIPLE`."""
MAX_TILE: Final = 1024
"""A tile of this side takes about 0.3 GB with the bundled net."""
DILATIONS: Final = (1, 2, 4)


@dataclass(frozen=True, slots=True)
class DamageShape:
    """Channels of the three levels, the finest first."""

    fine: int = 20
    middle: int = 32
    coarse: int = 40

    @classmethod
    def of(cls, state: Mapping[str, Tensor]) -> DamageShape:
        """Read off the weights.

        Raises:
            KeyError: they are no such net's.
        """
        return cls(*(state[f"{name}.0.weight"].shape[0] for name in ("fine", "middle", "coarse")))


class DamageNet(nn.Module):
    """From a picture to the log odds that a pixel is damaged."""

    def __init__(self, shape: DamageShape) -> None:
        super().__init__()
        self.shape = shape
        fine, middle, coarse = shape.fine, shape.middle, shape.coarse
        self.fine = _convolutions(COLOURS * FOLD**2, fine, (1, 1))
        self.middle = _convolutions(fine, middle, (1, 1))
        self.coarse = _convolutions(middle, coarse, DILATIONS)
        self.middle_up = _convolutions(coarse + middle, middle, (1,))
        self.fine_up = _convolutions(middle + fine, fine, (1, 1))
        self.last = nn.Conv2d(fine, FOLD**2, 3, padding=1)

    def forward(self, given: Tensor) -> Tensor:
        """Run the net.

        Args:
            given: N x 3 x H x W: RGB in [0, 1]; both sides multiples of :data:`MULTIPLE`.

        Returns:
            N x 1 x H x W log odds.
        """
        fine = self.fine(functional.pixel_unshuffle(given - 0.5, FOLD))
        middle = self.middle(functional.max_pool2d(fine, 2))
        coarse = self.coarse(functional.max_pool2d(middle, 2))
        middle = self.middle_up(torch.cat((_doubled(coarse), middle), dim=1))
        fine = self.fine_up(torch.cat((_doubled(middle), fine), dim=1))
        return functional.pixel_shuffle(self.last(fine), FOLD)


def load(state: Mapping[str, Tensor], hints: Hints) -> DamageNet:
    """The net with these weights.

    Raises:
        KeyError, RuntimeError: they are another net's.
    """
    net = DamageNet(DamageShape.of(state))
    net.load_state_dict(dict(state))
    return net


def spec_of(net: DamageNet, name: str) -> NetSpec:
    """What the tiler and the stages must know of it."""
    return NetSpec(
        name,
        scale=1,
        in_channels=COLOURS,
        out_channels=1,
        halo=HALO,
        multiple_of=MULTIPLE,
        minimum=MULTIPLE,
        max_tile=MAX_TILE,
    )


def fresh(shape: Mapping[str, Any]) -> DamageNet:
    """A net with random weights; `shape` has the fields of :class:`DamageShape`."""
    return DamageNet(DamageShape(**shape))


def _doubled(planes: Tensor) -> Tensor:
    return functional.interpolate(planes, scale_factor=2.0, mode="nearest")


def _convolutions(given: int, wanted: int, dilations: tuple[int, ...]) -> nn.Sequential:
    layers: list[nn.Module] = []
    for dilation in dilations:
        layers += [nn.Conv2d(given, wanted, 3, padding=dilation, dilation=dilation), nn.ReLU()]
        given = wanted
    return nn.Sequential(*layers)


ARCHITECTURE: Final = Architecture("Damage", load, spec_of, fresh=fresh)
