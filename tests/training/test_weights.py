"""Weights as they are bundled."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from enhancer.training.weights import save_half


def test_halves_come_back_with_what_is_said_about_them(tmp_path: Path) -> None:
    weights = {"first": torch.randn(3, 4).T, "second": torch.tensor([1e-3, 1 / 3])}
    path = save_half(weights, tmp_path / "net.safetensors", {"data": "BSDS500"})
    read = load_file(path)
    assert {name: tensor.dtype for name, tensor in read.items()} == dict.fromkeys(weights, torch.float16)
    for name, tensor in weights.items():
        assert torch.equal(read[name], tensor.half())
    with safe_open(path, "pt") as file:
        assert file.metadata() == {"data": "BSDS500"}
    assert [entry.name for entry in tmp_path.iterdir()] == ["net.safetensors"]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640)])
def test_others_may_read_the_file_as_the_umask_lets_them(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        path = save_half({"weight": torch.ones(2)}, tmp_path / "net.safetensors")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == mode
