"""Which runtime a net runs in."""

from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from enhancer.backends.choice import open_net
from enhancer.errors import ModelError
from enhancer.models.catalogue import load_catalogue
from enhancer.settings import Settings

ON_GPU = torch.cuda.is_available()


@pytest.mark.parametrize(
    ("name", "precision", "expected"),
    [
        ("fast-x4", "auto", ("openvino", "int8")),
        ("fast-x4", "int8", ("openvino", "int8")),
        ("fast-x4", "fp32", ("openvino", "fp32")),
        ("denoise", "auto", ("openvino", "fp32")),  # its int8 build was refused: it loses 2 dB
        ("denoise", "int8", ("openvino", "fp32")),
        ("scratches", "auto", ("openvino", "fp32")),
        ("colour", "fp32", ("openvino", "fp32")),
    ],
)
def test_on_a_cpu(name: str, precision, expected: tuple[str, str]) -> None:
    spec = open_net(load_catalogue().get(name), Settings(), "cpu", precision).spec
    assert (spec.runtime, spec.precision, spec.name) == (*expected, name)


def test_a_runtime_can_be_forced() -> None:
    entry = load_catalogue().get("fast-x4")
    assert open_net(entry, Settings(runtime="torch"), "cpu", "auto").spec.runtime == "torch"
    with pytest.raises(ModelError, match="models build dat-light-x4 --runtime openvino") as caught:
        open_net(load_catalogue().get("dat-light-x4"), Settings(runtime="openvino"), "cpu", "auto")
    assert caught.value.reason == "no-build"
    with pytest.raises(ModelError, match="needs a CUDA device"):
        open_net(entry, Settings(runtime="tensorrt"), "cpu", "auto")


@pytest.mark.gpu
@pytest.mark.skipif(not ON_GPU, reason="no CUDA device")
def test_on_a_gpu_torch_computes_in_half() -> None:
    net = open_net(load_catalogue().get("fast-x4"), Settings(), "auto", "auto")
    assert (net.spec.runtime, net.half, net.device.type) == ("torch", True, "cuda")


def test_a_plain_net_on_a_cpu_needs_no_torch() -> None:
    """Its seconds would be most of a worker's start."""
    code = """
import sys
from enhancer.backends.choice import open_net
from enhancer.models.catalogue import load_catalogue
from enhancer.settings import Settings
for precision in ("auto", "fp32"):
    open_net(load_catalogue().get("fast-x4"), Settings(), "cpu", precision)
print("torch" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
