"""The reader of ncnn's files against bytes written by hand, and an RRDBNet against the order in which it runs."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file
from spandrel.architectures.ESRGAN import ESRGAN

from enhancer.errors import ModelError
from enhancer.models.catalogue import load_catalogue
from enhancer.models.convert import convert
from enhancer.models.loading import load_net
from enhancer.models.ncnn import read_layers, read_weights

PARAM = """7767517
5 6
Input       data   0 1 data
Convolution first  1 1 data a 0=1 1=3 4=1 5=0 6=9
PReLU       act    1 1 a b 0=2
Split       twice  1 2 b c d
Convolution second 1 1 c e 0=2 1=3 11=1 5=1 6=6 9=2 -23310=1,2.000000e-01
"""
HALF, SINGLE = [0.5, -1, 2, 0.25, 8, -0.125, 1, 3, 0], [1.5, -2.5, 3.5, 4.5, 0.1, -0.2]
TAG16 = b"\x47\x6b\x30\x01"
BIN = (
    TAG16
    + struct.pack("<9e", *HALF)
    + b"??"  # 18 bytes are filled up to 20
    + struct.pack("<2f", 0.25, 0.75)
    + bytes(4)
    + struct.pack("<6f", *SINGLE)
    + struct.pack("<2f", 7, -7)
)


def files(folder: Path, param: str = PARAM, numbers: bytes = BIN) -> tuple[Path, Path]:
    paths = folder / "net.param", folder / "net.bin"
    paths[0].write_text(param, encoding="utf-8", newline="")
    paths[1].write_bytes(numbers)
    return paths


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_layers_and_numbers(tmp_path: Path, ending: str) -> None:
    param, numbers = files(tmp_path, PARAM.replace("\n", ending))
    assert [layer.kind for layer in read_layers(param)] == ["Input", "Convolution", "PReLU", "Split", "Convolution"]
    (first, one), (act, two), (second, three) = read_weights(param, numbers)
    assert (first.name, act.name, second.name) == ("first", "act", "second")
    assert one["weight"].dtype == np.float16
    np.testing.assert_array_equal(one["weight"], np.reshape(HALF, (1, 1, 3, 3)))
    assert "bias" not in one
    np.testing.assert_array_equal(two["weight"], [0.25, 0.75])
    assert three["weight"].shape == (2, 1, 1, 3)
    np.testing.assert_array_equal(three["weight"].ravel(), np.float32(SINGLE))
    np.testing.assert_array_equal(three["bias"], [7, -7])


@pytest.mark.parametrize(
    ("param", "numbers", "message"),
    [
        (PARAM.replace("7767517", "7767518"), BIN, "does not begin with"),
        ("", BIN, "not a .param file"),
        (PARAM.replace("5 6", "6 6"), BIN, "says 6 layers and has 5"),
        (PARAM.replace("0=1 1=3", "0=x 1=3"), BIN, "not a .param file"),
        (PARAM.replace("PReLU ", "LSTM  "), BIN, "a layer LSTM"),
        (PARAM.replace("6=9", "6=10"), BIN, "cannot have 10 weights for 1 outputs of 3 x 3"),
        (PARAM.replace("0=1 1=3", "0=0 1=3"), BIN, "cannot have"),
        (PARAM.replace(" 6=6", ""), BIN, "lacks its value 6"),
        (PARAM.replace("b 0=2", "b 0=-2"), BIN, "are missing"),
        (PARAM, BIN[:-4], "ends at byte"),
        (PARAM, b"", "ends at byte"),
        (PARAM, BIN + bytes(4), "its layers end at"),
        (PARAM, BIN.replace(TAG16, b"\x4c\x53\x0d\x00"), "the tag 0x000d534c, which is not known"),
    ],
)
def test_what_is_malformed_is_refused(tmp_path: Path, param: str, numbers: bytes, message: str) -> None:
    paths = files(tmp_path, param, numbers)
    with pytest.raises(ModelError, match=message) as caught:
        list(read_weights(*paths))
    assert caught.value.reason == "bad-weights"


def write_as_ncnn(net: torch.nn.Module, folder: Path) -> Path:
    """The convolutions of `net` in the order in which a forward pass runs them; the layout lies beside the result."""
    lines, numbers = [], b""

    def record(module: torch.nn.Conv2d, _given: Any, _result: Any) -> None:
        nonlocal numbers
        weight = module.weight.detach().numpy().astype("<f2")
        lines.append(f"Convolution c{len(lines)} 1 1 x y 0={weight.shape[0]} 1=3 4=1 5=1 6={weight.size}")
        numbers += TAG16 + weight.tobytes() + module.bias.detach().numpy().astype("<f4").tobytes()

    hooks = [m.register_forward_hook(record) for m in net.modules() if isinstance(m, torch.nn.Conv2d)]
    net(torch.zeros(1, 3, 4, 4))
    for hook in hooks:
        hook.remove()
    path = folder / "rrdb.published"
    path.write_bytes(numbers)
    path.with_suffix(".param").write_text("\n".join(["7767517", f"{len(lines)} 9", *lines]), encoding="utf-8")
    return path


def test_an_rrdbnet_comes_back(tmp_path: Path) -> None:
    torch.manual_seed(3)
    net = ESRGAN(num_filters=64, num_blocks=2, scale=4).eval().half().float()  # values that 16 bits can hold
    convert(write_as_ncnn(net, tmp_path), tmp_path / "kept.safetensors", "ncnn")
    kept = load_file(tmp_path / "kept.safetensors")
    assert kept["body.1.rdb3.conv5.weight"].dtype == np.float16
    entry = load_catalogue().get("realsr-x4")
    loaded = load_net(entry, tmp_path / "kept.safetensors")
    given = torch.rand(1, 3, 5, 7)
    with torch.inference_mode():
        found, expected = loaded.module(given), net(given)
    assert found.shape == (1, 3, 20, 28)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-6)
    assert (loaded.spec.scale, loaded.spec.in_channels) == (4, 3)


def test_what_is_no_rrdbnet_is_refused(tmp_path: Path) -> None:
    for lines in (2, 6, 22):
        layers = "\n".join(f"Convolution c{n} 1 1 x y 0=1 1=1 5=0 6=1" for n in range(lines))
        param, numbers = files(tmp_path, f"7767517\n{lines} 2\n{layers}", lines * (bytes(4) + struct.pack("<f", 1)))
        with pytest.raises(ModelError, match=f"cannot have {lines} convolutions"):
            convert(numbers, param.with_suffix(".safetensors"), "ncnn")
    param, numbers = files(tmp_path)
    with pytest.raises(ModelError, match="more than convolutions"):
        convert(numbers, param.with_suffix(".safetensors"), "ncnn")
