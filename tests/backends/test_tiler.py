"""Tiles against the whole picture, with nets whose reach is known, and a device that runs out of memory."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from enhancer.backends.base import NetSpec, OutOfMemory
from enhancer.backends.tiler import run_tiled
from enhancer.backends.torch_backend import TorchNet
from enhancer.errors import ErrorKind, ModelError
from enhancer.models.architectures.ffdnet import FFDNet

torch.manual_seed(11)
SIDES = st.sampled_from([1, 2, 3, 7, 13, 31, 53, 64])


class Plain(torch.nn.Module):
    """Three 3x3 convolutions and a pixel shuffle: three input pixels of reach."""

    def __init__(self, scale: int) -> None:
        super().__init__()
        self.body = torch.nn.Sequential(
            torch.nn.Conv2d(3, 6, 3, padding=1),
            torch.nn.ReLU(),
            torch.nn.Conv2d(6, 6, 3, padding=1),
            torch.nn.ReLU(),
            torch.nn.Conv2d(6, 3 * scale * scale, 3, padding=1),
            torch.nn.PixelShuffle(scale),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x)


PLAIN = {scale: Plain(scale) for scale in (1, 2, 3)}


def plain_net(scale: int, halo: int = 3) -> TorchNet:
    return TorchNet(PLAIN[scale], NetSpec("plain", scale, 3, 3, halo), "cpu")


def picture(height: int, width: int, channels: int = 3) -> NDArray[np.float32]:
    return np.random.default_rng(height * 1000 + width).random((channels, height, width), np.float32)


def whole(module: torch.nn.Module, planes: NDArray[np.float32]) -> NDArray[np.float32]:
    with torch.inference_mode():
        return module(torch.from_numpy(planes)[None])[0].numpy()


@settings(max_examples=40, deadline=None)
@given(SIDES, SIDES, st.integers(8, 40), st.sampled_from([1, 2, 3]))
@example(1, 1, 8, 2)
@example(1, 53, 8, 3)
@example(53, 31, 8, 1)
def test_tiles_equal_the_whole(height: int, width: int, max_tile: int, scale: int) -> None:
    planes = picture(height, width)
    found = run_tiled(plain_net(scale), planes, max_tile=max_tile)
    assert found.shape == (3, height * scale, width * scale)
    np.testing.assert_allclose(found, whole(PLAIN[scale], planes), atol=1e-5)


def test_a_halo_below_the_reach_shows() -> None:
    """Without this the property above could hold for a tiler that never tiles."""
    planes = picture(53, 53)
    found = run_tiled(plain_net(1, halo=2), planes, max_tile=16)
    assert np.abs(found - whole(PLAIN[1], planes)).max() > 1e-4


@settings(max_examples=12, deadline=None)
@given(SIDES, SIDES, st.sampled_from([56, 60, 64]))
@example(64, 53, 56)
@example(1, 1, 56)
def test_ffdnets_halo_is_its_reach(height: int, width: int, max_tile: int) -> None:
    """Random weights with a strong response; odd sides are continued by the tiler here, so the oracle gets them even."""
    torch.manual_seed(5)
    module = FFDNet().eval()
    for weight in module.parameters():
        if weight.ndim == 4:
            torch.nn.init.kaiming_normal_(weight)
    planes = picture(height, width, 4)
    even = np.pad(planes, ((0, 0), (0, height % 2), (0, width % 2)), mode="reflect")
    expected = whole(module, even)[:, :height, :width]
    net = TorchNet(module, NetSpec("ffdnet", 1, 4, 3, halo=24, multiple_of=2, minimum=2), "cpu")
    np.testing.assert_allclose(run_tiled(net, planes, max_tile=max_tile), expected, atol=1e-5 * np.abs(expected).max())


class Nearest:
    """Repeats each pixel; records the tiles it was given, and holds at most `memory` pixels."""

    def __init__(self, spec: NetSpec, memory: int = 1 << 60) -> None:
        self.spec = spec
        self.memory = memory
        self.tiles: list[tuple[int, int]] = []

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        height, width = batch.shape[2:]
        if height * width > self.memory:
            raise OutOfMemory(f"{height} x {width}")
        self.tiles.append((height, width))
        return batch.repeat(self.spec.scale, 2).repeat(self.spec.scale, 3)


def repeated(planes: NDArray[np.float32], scale: int) -> NDArray[np.float32]:
    return planes.repeat(scale, 1).repeat(scale, 2)


def test_tiles_are_balanced() -> None:
    net = Nearest(NetSpec("nearest", 1, 3, 3, halo=0))
    run_tiled(net, picture(101, 30), max_tile=50)
    assert net.tiles == [(34, 30), (34, 30), (33, 30)]


@pytest.mark.parametrize("shape", [(1, 1), (1, 40), (33, 65), (100, 7), (64, 96)])
def test_multiples_and_least_sides_are_kept(shape: tuple[int, int]) -> None:
    net = Nearest(NetSpec("nearest", 2, 3, 3, halo=3, multiple_of=8, minimum=16))
    planes = picture(*shape)
    np.testing.assert_array_equal(run_tiled(net, planes, max_tile=40), repeated(planes, 2))
    for sides in net.tiles:
        assert all(side % 8 == 0 and 16 <= side <= 40 for side in sides)


def test_beyond_the_edge_the_picture_is_reflected() -> None:
    class Keep(Nearest):
        def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
            self.given = batch[0]
            return super().run(batch)

    net = Keep(NetSpec("keep", 1, 3, 3, halo=0, multiple_of=16))
    planes = picture(5, 11)
    run_tiled(net, planes)
    np.testing.assert_array_equal(net.given, np.pad(planes, ((0, 0), (0, 11), (0, 5)), mode="reflect"))


def test_out_of_memory_halves_the_tile_and_repeats_nothing() -> None:
    spec = NetSpec("nearest", 2, 3, 3, halo=0)
    net = Nearest(spec)
    planes = picture(64, 64)

    calls = 0
    run = net.run

    def run_short_of_memory(batch: NDArray[np.float32]) -> NDArray[np.float32]:
        nonlocal calls
        calls += 1
        if calls == 3:
            net.memory = 16 * 16  # after two tiles of 32 x 32 memory gets short
        return run(batch)

    net.run = run_short_of_memory  # type: ignore[method-assign]
    np.testing.assert_array_equal(run_tiled(net, planes, max_tile=32), repeated(planes, 2))
    assert net.tiles == [(32, 32)] * 2 + [(16, 16)] * 8


class ByBatches(Nearest):
    """Takes several tiles; holds at most `memory` pixels of them together."""

    def run(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        if len(batch) * batch.shape[2] * batch.shape[3] > self.memory:
            raise OutOfMemory(f"{batch.shape}")
        self.tiles.append((len(batch), batch.shape[3]))
        return batch.repeat(self.spec.scale, 2).repeat(self.spec.scale, 3)


def test_tiles_of_one_shape_are_given_together() -> None:
    net = ByBatches(NetSpec("nearest", 2, 3, 3, halo=4, batch_tiles=8, batch_pixels=5 * 24 * 24))
    planes = picture(80, 80)
    np.testing.assert_array_equal(run_tiled(net, planes, max_tile=24), repeated(planes, 2))
    # 5 x 5 tiles of 16 with a halo of 4: nine inside, 24 x 24, in two batches; twelve at the edges and four corners
    assert sorted(net.tiles) == [(4, 20), (4, 24), (5, 24), (6, 20), (6, 24)]


def test_out_of_memory_halves_the_batch_first_and_then_the_tile() -> None:
    net = ByBatches(NetSpec("nearest", 2, 3, 3, halo=0, batch_tiles=8), memory=3 * 16 * 16)
    planes = picture(64, 64)
    np.testing.assert_array_equal(run_tiled(net, planes, max_tile=16), repeated(planes, 2))
    assert net.tiles == [(2, 16)] * 8
    net.tiles.clear()
    net.memory = 8 * 8
    np.testing.assert_array_equal(run_tiled(net, planes, max_tile=16), repeated(planes, 2))
    assert net.tiles == [(1, 8)] * 64
    net.memory = 0
    with pytest.raises(ModelError, match="does not fit into memory"):
        run_tiled(net, planes, max_tile=16)


@settings(max_examples=25, deadline=None)
@given(SIDES, SIDES, st.integers(8, 40), st.sampled_from([1, 2, 3]), st.integers(2, 9))
def test_batches_of_tiles_equal_the_whole(height: int, width: int, max_tile: int, scale: int, most: int) -> None:
    """Within float rounding: torch's kernels for larger batches may sum in another order."""
    spec = NetSpec("plain", scale, 3, 3, halo=3, batch_tiles=most)
    planes = picture(height, width)
    found = run_tiled(TorchNet(PLAIN[scale], spec, "cpu"), planes, max_tile=max_tile)
    np.testing.assert_allclose(found, whole(PLAIN[scale], planes), atol=1e-5)


class Counting(torch.nn.Module):
    """Doubles the picture; counts how often each place was computed, and fails where a tile is too large.

    Each pixel's first channel is its number, so that a tile says where it lies.
    """

    def __init__(self, side: int, memory: int, error: Exception) -> None:
        super().__init__()
        self.counts = np.zeros(side * side, int)
        self.memory = memory
        self.error = error
        self.tries = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.tries += 1
        if x.shape[-2] * x.shape[-1] > self.memory and self.counts.any():
            raise self.error
        places = np.rint(x[0, 0].numpy() * self.counts.size).astype(int)
        np.add.at(self.counts, places.ravel(), 1)
        return x.repeat_interleave(2, -2).repeat_interleave(2, -1)


def numbered(side: int) -> NDArray[np.float32]:
    numbers = np.arange(side * side, dtype=np.float32).reshape(side, side) / (side * side)
    return np.stack([numbers, numbers, numbers])


def test_torchs_own_out_of_memory_repeats_no_finished_pixel() -> None:
    """The first tile succeeds at full size; then memory is gone and tiles are halved twice."""
    module = Counting(64, 8 * 8, torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB"))
    planes = numbered(64)
    found = run_tiled(TorchNet(module, NetSpec("counting", 2, 3, 3, halo=0), "cpu"), planes, max_tile=32)
    np.testing.assert_array_equal(found, repeated(planes, 2))
    assert (module.counts == 1).all()
    assert module.tries == 1 + 2 + 3 * 16  # one of 32 x 32, two failures at 32 and 16, the rest of 8 x 8


def test_any_other_error_is_not_met_with_smaller_tiles() -> None:
    module = Counting(64, 8 * 8, RuntimeError("CUDA error: an illegal memory access was encountered"))
    with pytest.raises(RuntimeError, match="illegal memory access"):
        run_tiled(TorchNet(module, NetSpec("counting", 2, 3, 3, halo=0), "cpu"), numbered(64), max_tile=32)
    assert module.tries == 2


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 97), st.integers(1, 97), st.integers(24, 70), st.integers(0, 9), st.sampled_from([1, 2, 8]))
@example(1, 1, 24, 0, 1)
@example(97, 1, 32, 9, 8)
@example(5, 3, 1, 0, 1)
def test_every_pixel_is_computed_once_whatever_the_tiles(
    height: int, width: int, max_tile: int, halo: int, multiple_of: int
) -> None:
    net = Nearest(NetSpec("nearest", 2, 3, 3, halo, multiple_of, minimum=multiple_of))
    planes = picture(height, width)
    np.testing.assert_array_equal(run_tiled(net, planes, max_tile=max_tile), repeated(planes, 2))
    widest = max(max(tile) for tile in net.tiles)
    step = -(-halo // multiple_of) * multiple_of
    assert widest <= max(max_tile, multiple_of + 2 * step)


def test_when_nothing_fits_it_is_said() -> None:
    net = Nearest(NetSpec("nearest", 1, 3, 3, halo=4, multiple_of=8, minimum=8), memory=10)
    with pytest.raises(ModelError, match="does not fit into memory") as caught:
        run_tiled(net, picture(64, 64))
    assert (caught.value.reason, caught.value.kind) == ("out-of-memory", ErrorKind.TRANSIENT)


@pytest.mark.parametrize("shape", [(4, 8, 8), (3, 0, 8), (8, 8)])
def test_wrong_planes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="takes 3 x H x W"):
        run_tiled(plain_net(1), np.zeros(shape, np.float32))
