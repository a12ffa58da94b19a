"""Nets on a CUDA device: float32 that is float32, float16 beside it, seams, batches, threads, lack of memory.

Needs no more than torch, NumPy, scikit-image's pictures and what the package's settings and catalogue import.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from skimage import data

from enhancer.backends.base import Net, NetSpec
from enhancer.backends.joining import RUNS_AT_ONCE, JoinedNet
from enhancer.backends.tiler import run_tiled
from enhancer.backends.torch_backend import TorchNet, pick_device
from enhancer.models.catalogue import load_catalogue
from enhancer.models.loading import load_net
from enhancer.models.store import ensure
from enhancer.settings import Settings
from enhancer.stages.nets import Nets
from tests.model_cache import MODEL_CACHE

pytestmark = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]

Planes = NDArray[np.float32]
LONG_S = 60.0
"""A wait that only a defect makes end in vain."""
EXACT = 2e-5
"""Of float32 sums in another order, on values in [0, 1]; TF32 is a hundred times as far off."""
HALF = 2 / 255
"""Of float16 sums in another order: a CPU's largest difference from float32 is 0.0016."""


@pytest.fixture(scope="module")
def photograph() -> Planes:
    """3 x 512 x 512."""
    return np.ascontiguousarray((data.astronaut().astype(np.float32) / 255).transpose(2, 0, 1))


def fast_x4(device: str = "cuda", *, half: bool = False) -> TorchNet:
    entry = load_catalogue().get("fast-x4")
    net = load_net(entry, ensure(entry, Settings(model_dir=MODEL_CACHE)))
    return TorchNet(net.module, net.spec, device, half=half)


def psnr(one: Planes, other: Planes) -> float:
    return float(-10 * np.log10(np.square(one.astype(np.float64) - other).mean()))


def test_float32_is_that_of_the_cpu_and_no_tf32(photograph: Planes) -> None:
    part = photograph[:, 64:192, 160:288]
    found = run_tiled(fast_x4(), part)
    np.testing.assert_allclose(found, run_tiled(fast_x4("cpu"), part), atol=EXACT)


def test_float16_is_near_float32(photograph: Planes) -> None:
    """On a CPU, where only the weights' and values' rounding differs, 75 dB were measured."""
    net = fast_x4(half=True)
    exact, half = run_tiled(fast_x4(), photograph), run_tiled(net, photograph)
    assert net.half
    assert net.spec.precision == "fp16"
    assert 60 < psnr(exact, half) < 100  # more would be float32 under another name


def test_tiles_leave_no_seams(photograph: Planes) -> None:
    net = fast_x4()
    np.testing.assert_allclose(run_tiled(net, photograph, max_tile=96), run_tiled(net, photograph), atol=EXACT)


def test_results_lie_as_pictures_do_and_in_the_hosts_memory(photograph: Planes) -> None:
    found = fast_x4(half=True).run(photograph[None, :, :40, :56])
    assert (found.shape, found.dtype) == ((1, 3, 160, 224), np.float32)
    assert np.moveaxis(found, 1, 3).flags.c_contiguous


@pytest.mark.parametrize("half", [False, True])
def test_pictures_that_share_batches_become_what_they_become_alone(photograph: Planes, half: bool) -> None:
    """Eight threads, three sizes, eager and repeated: a race for a buffer or a stream would show as wrong pixels."""
    net = fast_x4(half=half)
    pictures = [photograph[:, step : step + height, step : step + width] for step in (0, 40, 80, 120)
                for height, width in ((200, 300), (200, 300), (129, 77))]  # fmt: skip
    alone = [run_tiled(net, planes, max_tile=128) for planes in pictures]
    joined = Noting(net)
    with ThreadPoolExecutor(8) as pool:
        for _ in range(3):
            for planes, found in zip(
                alone, pool.map(lambda p: run_tiled(joined, p, max_tile=128), pictures), strict=True
            ):
                np.testing.assert_allclose(found, planes, atol=HALF if half else EXACT)
    assert max(joined.sizes) > 1


class Noting(JoinedNet):
    """Keeps the number of tiles of each run."""

    def __init__(self, net: TorchNet) -> None:
        self.sizes: list[int] = []
        run, lock = net.run, threading.Lock()

        class Inner:
            spec = net.spec

            def run(_, batch: Planes) -> Planes:
                with lock:
                    self.sizes.append(len(batch))
                return run(batch)

        super().__init__(Inner())


def test_threads_without_joining_get_their_own(photograph: Planes) -> None:
    """More threads than streams: those that find none wait."""
    net = fast_x4()
    parts = [photograph[None, :, step : step + 64, step : step + 96] for step in range(0, 320, 40)]
    expected = [net.run(part) for part in parts]
    assert len(parts) > RUNS_AT_ONCE
    with ThreadPoolExecutor(len(parts)) as pool:
        for _ in range(5):
            for found, wanted in zip(pool.map(net.run, parts), expected, strict=True):
                np.testing.assert_allclose(found, wanted, atol=EXACT)


class Hungry(torch.nn.Module):
    """Doubles values; takes so many bytes a pixel beside it, of the device's own allocator."""

    def __init__(self, bytes_a_pixel: int) -> None:
        super().__init__()
        self.bytes_a_pixel = bytes_a_pixel
        self.shapes: list[tuple[int, int]] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pixels = x.shape[0] * x.shape[2] * x.shape[3]
        scratch = torch.empty(pixels * self.bytes_a_pixel, dtype=torch.uint8, device=x.device)
        scratch[-1] = 2
        self.shapes.append((len(x), x.shape[2]))
        return x * scratch[-1]


@pytest.fixture
def room() -> Iterator[int]:
    """Bytes of the device that are free now."""
    torch.cuda.empty_cache()
    yield torch.cuda.mem_get_info()[0]
    torch.cuda.empty_cache()


def test_a_tile_that_is_really_too_large_is_done_in_smaller_ones(photograph: Planes, room: int) -> None:
    module = Hungry(room * 3 // 2 // 512**2)  # all of it: one and a half times what is free
    net = TorchNet(module, NetSpec("hungry", 1, 3, 3, halo=0), "cuda")
    np.testing.assert_array_equal(run_tiled(net, photograph), 2 * photograph)
    assert module.shapes == [(2, 256)] * 2  # neither the whole nor its four quarters at once


def test_a_batch_that_is_really_too_large_is_halved_and_remembered(photograph: Planes, room: int) -> None:
    module = Hungry(room * 3 // 2 // 512**2)
    joined = JoinedNet(TorchNet(module, NetSpec("hungry", 1, 3, 3, halo=0), "cuda"))
    for _ in range(2):
        np.testing.assert_array_equal(run_tiled(joined, photograph, max_tile=128), 2 * photograph)
    assert module.shapes == [(8, 128)] * 4  # sixteen at once were tried once
    assert joined.spec.tiles_at_once(128, 128) == 8


def test_nothing_is_left_on_the_device(photograph: Planes) -> None:
    net = fast_x4(half=True)
    run_tiled(net, photograph)
    before = torch.cuda.memory_allocated()
    for side in (512, 300, 111):
        run_tiled(net, photograph[:, :side, :side])
    assert torch.cuda.memory_allocated() <= before


class Overflowing(torch.nn.Module):
    """The identity, by way of values that are ten thousand times as large."""

    def __init__(self) -> None:
        super().__init__()
        self.up = torch.nn.Conv2d(3, 3, 1, bias=False)
        self.up.weight.data = torch.eye(3)[:, :, None, None] * 1e4

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.up(x) / 1e4


def test_float16_that_overflows_late_is_computed_again_and_float32_stays() -> None:
    net = TorchNet(Overflowing(), NetSpec("overflowing", 1, 3, 3, halo=0), "cuda", half=True)
    small, large = np.full((1, 3, 8, 8), 0.5, np.float32), np.full((1, 3, 8, 8), 50, np.float32)
    np.testing.assert_allclose(net.run(small), small, rtol=1e-3)
    assert net.spec.precision == "fp16"
    np.testing.assert_allclose(net.run(large), large, rtol=1e-5)
    assert (net.half, net.spec.precision) == (False, "fp32")
    np.testing.assert_allclose(net.run(small), small, rtol=1e-5)


def test_a_picture_that_is_not_finite_itself_leaves_float16_alone() -> None:
    net = TorchNet(Overflowing(), NetSpec("overflowing", 1, 3, 3, halo=0), "cuda", half=True)
    given = np.full((1, 3, 8, 8), np.nan, np.float32)
    assert np.isnan(net.run(given)).all()
    assert net.half


@pytest.mark.parametrize("setting", ["auto", "cuda", "cuda:0"])
def test_the_device_is_chosen(setting: str) -> None:
    assert pick_device(setting).type == "cuda"


def test_nets_for_a_worker_join_tiles_and_compute_in_float16() -> None:
    nets = Nets(Settings(model_dir=MODEL_CACHE), device="auto")
    net: Net = nets.super_resolution(4)
    assert nets.gains_by_dynamic_batching
    assert isinstance(net, JoinedNet)
    assert (net.spec.name, net.spec.runtime, net.spec.precision) == ("fast-x4", "torch", "fp16")
    assert net.spec.tiles_at_once(128, 128) > 1
    assert nets.super_resolution(4, precision="fp32").spec.precision == "fp32"
    assert not Nets(Settings(runtime="openvino"), device="auto").gains_by_dynamic_batching
