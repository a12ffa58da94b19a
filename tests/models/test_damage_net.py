"""The detector of scratches: its reach is what it says, tiles do not show, and the bundled weights are whole."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch

from enhancer.backends.base import NetSpec
from enhancer.backends.tiler import run_tiled
from enhancer.backends.torch_backend import TorchNet
from enhancer.models.architectures.damage import COLOURS, HALO, MAX_TILE, MULTIPLE, DamageNet, DamageShape
from enhancer.models.catalogue import load_catalogue
from enhancer.models.loading import load_net


@pytest.fixture(scope="module")
def net() -> DamageNet:
    torch.manual_seed(0)
    return DamageNet(DamageShape(6, 6, 6)).eval()


def test_its_reach_is_within_the_halo(net: DamageNet) -> None:
    given = torch.rand(1, 3, 256, 256, requires_grad=True)
    odds = net(given)[0, 0]
    for place in range(128, 128 + MULTIPLE):
        (gradient,) = torch.autograd.grad(odds[place, place], given, retain_graph=True)
        touched = gradient.abs().sum(dim=(0, 1)).nonzero()
        reach = int((touched - place).abs().max())
        assert 64 < reach <= HALO


def test_tiled_equals_whole(net: DamageNet) -> None:
    planes = np.random.default_rng(0).random((3, 424, 301), dtype=np.float32)
    spec = NetSpec("d", 1, COLOURS, 1, HALO, MULTIPLE, MULTIPLE, MAX_TILE)
    ready = TorchNet(net, spec, "cpu")
    np.testing.assert_allclose(run_tiled(ready, planes, max_tile=256), run_tiled(ready, planes), atol=1e-5)


def test_the_shape_is_read_off_the_weights(net: DamageNet) -> None:
    assert DamageShape.of(net.state_dict()) == DamageShape(6, 6, 6)


def test_the_bundled_detector() -> None:
    entry = load_catalogue().default("scratches")
    assert entry.bundled is not None
    assert hashlib.sha256(entry.bundled.read_bytes()).hexdigest() == entry.sha256
    assert entry.bundled.stat().st_size < 500_000
    loaded = load_net(entry, entry.bundled)
    assert sum(parameter.numel() for parameter in loaded.module.parameters()) < 250_000
    spec = loaded.spec
    assert (spec.in_channels, spec.out_channels, spec.halo, spec.multiple_of) == (3, 1, HALO, MULTIPLE)
