"""Seams of tiles under the large nets, whose halos are shorter than their reach, on a photograph with real weights.

RRDBNet's reach is hundreds of pixels, of which the far ones hardly count; DAT's channel attention looks at the whole
tile. So neither can be exact: these tests hold what their halos were chosen for. Weights are not fetched for it.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from skimage import data

from enhancer.backends.tiler import run_tiled
from enhancer.backends.torch_backend import TorchNet
from enhancer.models.catalogue import load_catalogue
from enhancer.models.loading import load_net
from enhancer.models.store import kept_path
from enhancer.settings import Settings
from tests.model_cache import MODEL_CACHE

Planes = NDArray[np.float32]


def load(name: str, folder: Path, halo: int | None = None) -> TorchNet:
    """A net of the catalogue, with a halo of its own or another."""
    entry = load_catalogue().get(name)
    path = kept_path(entry, Settings(home=folder, model_dir=MODEL_CACHE))
    if not path.is_file():
        pytest.skip(f"needs the weights: enhancer models fetch {name}")
    net = load_net(entry, path)
    spec = net.spec
    return TorchNet(net.module, spec if halo is None else replace(spec, halo=halo), "cpu")


def seams(net: TorchNet, planes: Planes, max_tile: int) -> Planes:
    """Differences of the result in tiles from that of the whole picture, both as they would be shown."""
    tiled, whole = (run_tiled(net, planes, max_tile=side) for side in (max_tile, max(planes.shape)))
    return np.abs(np.clip(tiled, 0, 1) - np.clip(whole, 0, 1))


@pytest.fixture(scope="module")
def face() -> Planes:
    """A face and hair, 40 x 128."""
    return (data.astronaut()[96:136, 160:288].astype(np.float32) / 255).transpose(2, 0, 1)


def test_rrdbnets_seams_are_no_more_than_one_level_of_255(face: Planes, tmp_path: Path) -> None:
    net = load("realsr-x4", tmp_path)
    assert net.spec.halo == 32
    assert seams(net, face, max_tile=112).max() <= 1 / 255


def test_a_short_halo_shows_under_rrdbnet(face: Planes, tmp_path: Path) -> None:
    """Without this the bound above could be one that any tiling keeps."""
    assert seams(load("realsr-x4", tmp_path, halo=2), face, max_tile=68).max() > 1 / 255


def test_dats_seams_are_bounded(face: Planes, tmp_path: Path) -> None:
    """Measured: 4e-4 in the mean and 0.018 at most; without a halo 6e-4 and 0.030."""
    found = seams(load("dat-light-x4", tmp_path), face, max_tile=96)
    without = seams(load("dat-light-x4", tmp_path, halo=0), face, max_tile=64)
    assert found.mean() < 1e-3
    assert found.max() < 0.03
    assert without.mean() > 1.2 * found.mean()
    assert without.max() > 1.2 * found.max()
