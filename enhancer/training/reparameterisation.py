"""Over-parameterised convolutions that are multiplied out at every step, so that what is trained is already folded.

Each 3x3 kernel is a sum of branches: the product of a 1x1 and a wider 3x3 kernel (K. Bhardwaj et al., SESR, MLSys
2022), a plain 3x3 kernel, a 1x1 kernel, and fixed edge filters with learned strengths (X. Zhang et al., "Edge-oriented
Convolution Block for Real-time Super Resolution on Mobile Devices", ACM MM 2021), plus the identity where the shapes
allow. Folding in the forward pass costs nothing beside the convolution itself.
"""

from __future__ import annotations

import math
from typing import Final

import torch
from torch import Tensor, nn
from torch.func import functional_call

from enhancer.training.trainable import Trainable

EXPANSION: Final = 4
"""Inner channels of the product, over the wider side of the kernel."""
EDGES: Final = (
    ((1, 0, -1), (2, 0, -2), (1, 0, -1)),  # Sobel, across
    ((1, 2, 1), (0, 0, 0), (-1, -2, -1)),  # Sobel, down
    ((0, 1, 0), (1, -4, 1), (0, 1, 0)),  # Laplace
)


class FoldedKernel(nn.Module):
    """The parameters from which one 3x3 kernel is computed; calling it gives the kernel.

    Args:
        given: input channels.
        wanted: output channels.
        gain: standard deviation of the kernel's start, relative to He's.
    """

    filters: Tensor
    centre: Tensor
    identity: Tensor

    def __init__(self, given: int, wanted: int, gain: float = 1.0) -> None:
        super().__init__()
        inner = EXPANSION * max(given, wanted)
        self.given, self.wanted = given, wanted
        deviation = gain * math.sqrt(2 / (9 * given))
        self.wide = nn.Parameter(torch.randn(inner, given * 9) * math.sqrt(deviation / math.sqrt(inner)))
        self.narrow = nn.Parameter(torch.randn(wanted, inner) * math.sqrt(deviation / math.sqrt(inner)))
        self.plain = nn.Parameter(torch.zeros(wanted, given * 9))
        self.point = nn.Parameter(torch.zeros(wanted, given))
        self.edges = nn.Parameter(torch.zeros(wanted * given, len(EDGES)))
        self.bias = nn.Parameter(torch.zeros(wanted))
        self.register_buffer("filters", torch.tensor(EDGES, dtype=torch.float32).flatten(1) / 8, persistent=False)
        centre = torch.zeros(1, 1, 3, 3)
        centre[..., 1, 1] = 1
        self.register_buffer("centre", centre, persistent=False)
        self.register_buffer("identity", torch.eye(wanted, given)[:, :, None, None] * centre, persistent=False)

    def forward(self) -> Tensor:
        """The kernel, wanted x given x 3 x 3."""
        shape = (self.wanted, self.given, 3, 3)
        kernel: Tensor = (self.narrow @ self.wide + self.plain).view(shape) + (self.edges @ self.filters).view(shape)
        kernel = kernel + self.point[:, :, None, None] * self.centre
        return kernel + self.identity if self.given == self.wanted else kernel

    @torch.no_grad()
    def start_from(self, convolution: nn.Conv2d) -> None:
        """Let the plain branch make up the difference to a convolution's own weights."""
        assert convolution.bias is not None
        self.plain.add_((convolution.weight - self()).flatten(1))
        self.bias.copy_(convolution.bias)


class Reparameterised(Trainable):
    """A net whose convolutions get their kernels from :class:`FoldedKernel`.

    Args:
        net: made of 3x3 convolutions and parts without parameters; it keeps the weights it has, which are never used.
        started: begin with the net's own weights instead of random ones.
    """

    def __init__(self, net: nn.Module, *, started: bool = False) -> None:
        super().__init__()
        self._net = [net]  # in a list: its own parameters are not this module's
        self._names = [name for name, part in net.named_modules() if isinstance(part, nn.Conv2d)]
        last = self._names[-1]
        self.kernels = nn.ModuleList()
        for name in self._names:
            part = net.get_submodule(name)
            assert isinstance(part, nn.Conv2d)
            kernel = FoldedKernel(part.in_channels, part.out_channels, 0.1 if name == last else 0.5)
            if started:
                kernel.start_from(part)
            self.kernels.append(kernel)

    def folded(self) -> dict[str, Tensor]:
        """The weights of the plain net, under its own names."""
        state = {}
        with torch.autocast("cuda", enabled=False):  # what is folded is what is kept: in full precision
            for name, kernel in zip(self._names, self.kernels, strict=True):
                state[f"{name}.weight"], state[f"{name}.bias"] = kernel(), kernel.bias
        return state

    def forward(self, given: Tensor) -> Tensor:
        """What the folded net gives."""
        result: Tensor = functional_call(self._net[0], self.folded(), (given,))
        return result
