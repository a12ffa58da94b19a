"""Plain nets against loops over single values, and their halo against their reach."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from enhancer.backends.tiler import run_tiled
from enhancer.backends.torch_backend import TorchNet
from enhancer.models.architectures.plain import PlainNet, PlainShape, spec_of
from enhancer.models.catalogue import load_catalogue

Planes = NDArray[np.float64]
ENTRY = load_catalogue().get("jpeg")


def strong(shape: PlainShape, seed: int = 3) -> PlainNet:
    """A net with random weights whose response neither dies out nor explodes."""
    torch.manual_seed(seed)
    net = PlainNet(shape).eval().requires_grad_(False)
    for part in net.convolutions:
        torch.nn.init.kaiming_normal_(part.weight)
    return net


def random_planes(count: int, height: int, width: int) -> NDArray[np.float32]:
    return np.random.default_rng(height * 100 + width).random((count, height, width), np.float32)


def run(net: PlainNet, planes: NDArray[np.float32]) -> NDArray[np.float32]:
    with torch.inference_mode():
        return net(torch.from_numpy(planes)[None])[0].numpy()


def naive(net: PlainNet, given: NDArray[np.float32]) -> Planes:
    """What the net's docstrings say, value by value, in float64."""
    fold, scale = net.shape.fold, net.shape.scale
    height, width = given.shape[1:]
    rows, columns = -(-height // fold), -(-width // fold)
    even = np.pad(given.astype(np.float64), ((0, 0), (0, rows * fold - height), (0, columns * fold - width)), "edge")
    picture = np.zeros((3 * fold * fold, rows, columns))
    for channel in range(3):
        for y in range(fold):
            for x in range(fold):
                picture[(channel * fold + y) * fold + x] = even[channel, y::fold, x::fold]
    conditions = [even[3 + c].reshape(rows, fold, columns, fold).mean(axis=(1, 3)) for c in range(net.shape.conditions)]
    planes = np.stack([*picture, *conditions])
    for number, part in enumerate(net.convolutions):
        weight, bias = part.weight.double().numpy(), part.bias.double().numpy()
        padded = np.pad(planes, ((0, 0), (1, 1), (1, 1)))
        planes = np.stack(
            [
                [
                    [(padded[:, y : y + 3, x : x + 3] * weight[out]).sum() + bias[out] for x in range(columns)]
                    for y in range(rows)
                ]
                for out in range(len(weight))
            ]
        )
        if number < len(net.convolutions) - 1:
            planes = np.maximum(planes, 0)
    side = scale * fold
    result = np.zeros((3, rows * side, columns * side))
    for channel in range(3):
        for y in range(side):
            for x in range(side):
                place = (channel * side + y) * side + x
                result[channel, y::side, x::side] = planes[place] + picture[place // scale**2]
    return result[:, : scale * height, : scale * width]


@pytest.mark.parametrize(
    "shape",
    [
        PlainShape(6, 2, scale=4),
        PlainShape(5, 1, scale=2),
        PlainShape(4, 1, conditions=1),
        PlainShape(6, 2, conditions=1, fold=2),
        PlainShape(6, 2, fold=2),
    ],
    ids=str,
)
@pytest.mark.parametrize("size", [(5, 7), (1, 4)])
def test_it_computes_what_it_says(shape: PlainShape, size: tuple[int, int]) -> None:
    net = strong(shape)
    planes = random_planes(3 + shape.conditions, *size)
    np.testing.assert_allclose(run(net, planes), naive(net, planes), atol=2e-5)


@pytest.mark.parametrize("shape", [PlainShape(8, 3, scale=2), PlainShape(8, 2, conditions=1, fold=2)], ids=str)
def test_the_halo_is_the_reach(shape: PlainShape) -> None:
    """One changed pixel is felt as far as the halo says, and no further."""
    net = strong(shape)
    side, middle = 41 * shape.fold, 20 * shape.fold
    planes = random_planes(3 + shape.conditions, side, side)
    changed = planes.copy()
    changed[:, middle, middle] += 100
    felt = (run(net, planes) != run(net, changed)).any(axis=0)
    rows = np.flatnonzero(felt.any(axis=1)) // shape.scale
    assert middle - rows.min() == shape.halo
    assert rows.max() - middle == shape.halo + shape.fold - 1  # the fold's own last pixel


@pytest.mark.parametrize("shape", [PlainShape(48, 8, scale=4), PlainShape(32, 8, conditions=1, fold=2)], ids=str)
def test_tiles_equal_the_whole(shape: PlainShape) -> None:
    """The shapes that are bundled; as far as float32 goes, the values being about 1."""
    net = strong(shape)
    spec = spec_of(net, "any")
    planes = random_planes(3 + shape.conditions, 62, 94)
    expected = run(net, planes)
    found = run_tiled(TorchNet(net, spec, "cpu"), planes, max_tile=spec.halo * 2 + 16)
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def test_the_shape_is_read_off_the_weights() -> None:
    shape = PlainShape(12, 5, scale=3)
    assert PlainShape.of(PlainNet(shape).state_dict(), scale=3, conditions=0, fold=1) == shape


def test_a_net_cannot_fold_and_enlarge() -> None:
    with pytest.raises(ValueError, match="either folds or enlarges"):
        PlainShape(8, 2, scale=2, fold=2)
