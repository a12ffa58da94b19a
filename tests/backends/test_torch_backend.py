"""TorchNet: devices, real out-of-memory errors, and half precision that overflows."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from enhancer.backends.base import NetSpec, OutOfMemory
from enhancer.backends.torch_backend import TorchNet, pick_device
from enhancer.errors import RequestError

SPEC = NetSpec("test", 1, 3, 3, halo=1)
BATCH = np.random.default_rng(0).random((2, 3, 9, 5), np.float32)
needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")


class Greedy(torch.nn.Module):
    """Asks for more memory than any machine has."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.empty(1 << 50, device=x.device)


class Large(torch.nn.Module):
    """Its intermediate values are beyond float16's 65504."""

    def __init__(self) -> None:
        super().__init__()
        self.up = torch.nn.Conv2d(3, 3, 1, bias=False)
        self.up.weight.data = torch.eye(3)[:, :, None, None] * 1e6

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.up(x) / 1e6


def test_it_runs_the_module() -> None:
    module = torch.nn.Conv2d(3, 3, 3, padding=1)
    found = TorchNet(module, SPEC, "cpu").run(BATCH)
    with torch.no_grad():
        np.testing.assert_allclose(found, module(torch.from_numpy(BATCH)).numpy(), atol=1e-6)
    assert found.dtype == np.float32


def test_a_real_lack_of_memory_is_told_apart() -> None:
    with pytest.raises(OutOfMemory, match="test on cpu, tile"):
        TorchNet(Greedy(), SPEC, "cpu").run(BATCH)


def test_another_error_passes_as_it_is() -> None:
    with pytest.raises(RuntimeError, match="channels"):
        TorchNet(torch.nn.Conv2d(4, 3, 3), SPEC, "cpu").run(BATCH)


def test_half_is_for_cuda_only() -> None:
    net = TorchNet(Large(), SPEC, "cpu", half=True)
    assert not net.half
    np.testing.assert_allclose(net.run(BATCH), BATCH, rtol=1e-6)


def test_devices() -> None:
    assert pick_device("cpu").type == "cpu"
    assert pick_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    with pytest.raises(RequestError, match="is no device"):
        pick_device("abacus")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_where_there_is_none() -> None:
    with pytest.raises(RequestError, match="torch sees no CUDA device"):
        pick_device("cuda")


@pytest.mark.gpu
@needs_cuda
def test_cuda_out_of_memory() -> None:
    with pytest.raises(OutOfMemory, match="test on cuda"):
        TorchNet(Greedy(), SPEC, "cuda").run(BATCH)


@pytest.mark.gpu
@needs_cuda
def test_half_falls_back_where_it_overflows_and_remembers() -> None:
    net = TorchNet(Large(), SPEC, "cuda", half=True)
    np.testing.assert_allclose(net.run(BATCH), BATCH, rtol=1e-3)
    assert not net.half


@pytest.mark.gpu
@needs_cuda
def test_half_stays_where_it_holds() -> None:
    module = torch.nn.Conv2d(3, 3, 3, padding=1)
    expected = TorchNet(module, SPEC, "cpu").run(BATCH)
    net = TorchNet(module, SPEC, "cuda", half=True)
    np.testing.assert_allclose(net.run(BATCH), expected, atol=5e-3)
    assert net.half
