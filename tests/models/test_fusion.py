"""The balanced net against loops over single values, and how far tiles may be from the whole."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from enhancer.backends.tiler import run_tiled
from enhancer.backends.torch_backend import TorchNet
from enhancer.models.catalogue import load_catalogue
from enhancer.models.fusion import WINDOWS, FusionNet, FusionShape, WindowGate
from enhancer.models.loading import FUSION_HALO, spec_of
from enhancer.models.plain import PlainNet, PlainShape

Planes = NDArray[np.float64]


def fresh(shape: FusionShape, seed: int = 4) -> FusionNet:
    """A net with random weights, those too that a net to be trained starts with at zero."""
    torch.manual_seed(seed)
    net = FusionNet(shape).eval().requires_grad_(False)
    for part in (*net.changes, net.fusion):
        part.reset_parameters()
    return net


def values(part: torch.nn.Conv2d) -> tuple[Planes, Planes]:
    bias = torch.zeros(part.out_channels) if part.bias is None else part.bias
    return part.weight.double().numpy(), bias.double().numpy()


def mixed(planes: Planes, part: torch.nn.Conv2d) -> Planes:
    """A 1 x 1 convolution."""
    weight, bias = values(part)
    return np.einsum("oi,ihw->ohw", weight[..., 0, 0], planes) + bias[:, None, None]


def convolved(planes: Planes, part: torch.nn.Conv2d) -> Planes:
    weight, bias = values(part)
    height, width = planes.shape[1:]
    padded = np.pad(planes, ((0, 0), (1, 1), (1, 1)))
    result = np.zeros((len(weight), height, width))
    for y in range(height):
        for x in range(width):
            result[:, y, x] = (padded[None, :, y : y + 3, x : x + 3] * weight).sum(axis=(1, 2, 3)) + bias
    return result


def gated(planes: Planes, gate: WindowGate) -> Planes:
    """The gate of each pixel from the pixel and the means of its windows on the fixed grid."""
    total = mixed(planes, gate.scales[0])
    for window, mix in zip(WINDOWS, gate.scales[1:], strict=True):
        means = np.zeros_like(planes)
        for y in range(planes.shape[1]):
            for x in range(planes.shape[2]):
                top, left = y // window * window, x // window * window
                means[:, y, x] = planes[:, top : top + window, left : left + window].mean(axis=(1, 2))
        total += mixed(means, mix)
    return 1 / (1 + np.exp(-total))


def naive(net: FusionNet, given: NDArray[np.float32]) -> Planes:
    """What the net's docstrings say, in float64."""
    scale = net.shape.scale
    picture = given.astype(np.float64)
    planes = np.maximum(convolved(picture, net.convolutions[0]), 0)
    layers = []
    for convolution, change, gate in zip(net.convolutions[1:-1], net.changes, net.gates, strict=True):
        planes = np.maximum(convolved(planes, convolution), 0)
        planes = planes + gated(planes, gate) * convolved(planes, change)
        layers.append(planes)
    last = convolved(planes + mixed(np.concatenate(layers), net.fusion), net.convolutions[-1])
    result = np.zeros((3, scale * picture.shape[1], scale * picture.shape[2]))
    for channel in range(3):
        for y in range(scale):
            for x in range(scale):
                result[channel, y::scale, x::scale] = last[(channel * scale + y) * scale + x] + picture[channel]
    return result


@pytest.mark.parametrize("size", [(19, 22), (16, 32), (1, 5)])
def test_it_computes_what_it_says(size: tuple[int, int]) -> None:
    net = fresh(FusionShape(4, 2, 2))
    planes = np.random.default_rng(0).random((3, *size), np.float32)
    with torch.inference_mode():
        found = net(torch.from_numpy(planes)[None])[0].numpy()
    np.testing.assert_allclose(found, naive(net, planes), atol=2e-5)


def test_tiles_are_bounded_by_what_reaches_in_from_beyond_the_halo() -> None:
    """Measured with three draws of such weights: 2e-5 to 2e-4 of the largest value; with half the halo 5e-3 to 3e-2."""
    net = fresh(FusionShape(12, 4, 2))
    for part in net.modules():
        if isinstance(part, torch.nn.Conv2d) and part.kernel_size == (3, 3):
            torch.nn.init.kaiming_normal_(part.weight)
    entry = load_catalogue().get("jpeg")
    spec = spec_of(entry, net)
    planes = np.random.default_rng(5).random((3, 128, 160), np.float32)
    with torch.inference_mode():
        whole = net(torch.from_numpy(planes)[None])[0].numpy()
    far = []
    for halo in (FUSION_HALO, FUSION_HALO // 2):
        tiled = run_tiled(TorchNet(net, replace(spec, halo=halo), "cpu"), planes, max_tile=2 * halo + 32)
        far.append(np.abs(tiled - whole).max() / np.abs(whole).max())
    assert far[0] < 1e-3 < far[1]


def test_a_net_to_be_trained_starts_as_its_plain_trunk() -> None:
    torch.manual_seed(1)
    trunk = PlainNet(PlainShape(6, 3, scale=2))
    net = FusionNet(FusionShape(6, 3, 2))
    missing = net.load_state_dict(trunk.state_dict(), strict=False)
    assert not missing.unexpected_keys
    given = torch.rand(1, 3, 20, 17)
    with torch.inference_mode():
        assert torch.equal(net(given), trunk(given))


def test_the_shape_is_read_off_the_weights() -> None:
    shape = FusionShape(10, 3, 4)
    assert FusionShape.of(FusionNet(shape).state_dict(), scale=4) == shape
