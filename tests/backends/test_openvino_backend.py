"""Nets in OpenVINO against torch, and int8 in tiles against the whole picture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from enhancer.backends.openvino_backend import OpenVinoNet
from enhancer.backends.openvino_graph import plain_graph, plain_weights
from enhancer.backends.tiler import run_tiled
from enhancer.errors import ModelError
from enhancer.models import builds
from enhancer.models.architectures.plain import PlainNet
from enhancer.models.catalogue import load_catalogue
from enhancer.models.plain_shape import PlainShape
from enhancer.settings import Settings

INT8 = ("fast-x2", "fast-x4", "jpeg")


def picture(height: int, width: int, channels: int = 3) -> np.ndarray:
    """Smooth and rough parts, as a photograph has."""
    random = np.random.default_rng(height * 1000 + width)
    rows, columns = np.mgrid[:height, :width]
    waves = [0.5 + 0.4 * np.sin(rows / (3 + c) + columns / (7 - c)) for c in range(channels)]
    return np.clip(np.stack(waves) + random.normal(0, 0.05, (channels, height, width)), 0, 1).astype(np.float32)


@pytest.mark.parametrize(
    "shape", [PlainShape(8, 2, 2), PlainShape(8, 1, 3), PlainShape(6, 1, 1, 1, 2), PlainShape(6, 0, 1, 2, 1)]
)
def test_the_graph_is_the_net(shape: PlainShape) -> None:
    torch.manual_seed(5)
    net = PlainNet(shape).eval().requires_grad_(False)
    weights = {name: tensor.numpy() for name, tensor in net.state_dict().items()}
    ready = OpenVinoNet(plain_graph(weights, shape), shape.spec("any"))
    for height, width in ((2, 2), (10, 14), (32, 6)):
        given = picture(height, width, 3 + shape.conditions)[None]
        np.testing.assert_allclose(ready.run(given), net(torch.from_numpy(given)).numpy(), atol=2e-6)


@pytest.fixture(scope="module")
def int8() -> dict[str, OpenVinoNet]:
    nets = {}
    for name in INT8:
        kept = builds.find(load_catalogue().get(name), "openvino", "int8", Settings())
        assert kept is not None, f"{name}: the package's int8 build is of other weights than the catalogue's"
        nets[name] = OpenVinoNet(kept.path, kept.build.spec)
    return nets


@settings(max_examples=25, deadline=None)
@given(
    name=st.sampled_from(INT8),
    sides=st.sampled_from([(1, 1), (1, 83), (97, 1), (53, 61), (64, 64), (101, 47), (90, 127)]),
    tile=st.integers(46, 80),
)
def test_int8_in_tiles_is_bit_for_bit_the_whole(
    int8: dict[str, OpenVinoNet], name: str, sides: tuple[int, int], tile: int
) -> None:
    net = int8[name]
    given = picture(*sides, net.spec.in_channels)
    np.testing.assert_array_equal(run_tiled(net, given, max_tile=tile), run_tiled(net, given, max_tile=4096))


def test_a_tile_without_its_halo_differs(int8: dict[str, OpenVinoNet]) -> None:
    """So that the test above can fail."""

    class Short:
        spec = replace(int8["fast-x4"].spec, halo=2)
        run = staticmethod(int8["fast-x4"].run)

    given = picture(90, 90)
    assert not np.array_equal(run_tiled(Short(), given, max_tile=46), run_tiled(Short(), given, max_tile=4096))


@pytest.mark.parametrize("name", INT8)
def test_int8_is_near_float(int8: dict[str, OpenVinoNet], name: str) -> None:
    """What quantising costs is judged on photographs when it is built; here, that it is the same net at all."""
    entry = load_catalogue().get(name)
    assert entry.bundled is not None
    weights, shape = plain_weights(entry, entry.bundled)
    given = picture(64, 80, int8[name].spec.in_channels)[None]
    exact = OpenVinoNet(plain_graph(weights, shape), shape.spec(name)).run(given)
    assert 1e-6 < np.abs(int8[name].run(given) - exact).mean() < 0.01


def test_a_read_only_batch_is_taken_and_left_alone(int8: dict[str, OpenVinoNet]) -> None:
    given = np.broadcast_to(picture(12, 20, 1), (3, 12, 20))[None]
    before = given.copy()
    int8["fast-x2"].run(given)
    np.testing.assert_array_equal(given, before)


def test_results_of_two_calls_are_two_arrays(int8: dict[str, OpenVinoNet]) -> None:
    first = int8["fast-x2"].run(picture(12, 20)[None])
    kept = first.copy()
    int8["fast-x2"].run(picture(20, 12)[None])
    np.testing.assert_array_equal(first, kept)


def test_what_is_no_model_is_refused(tmp_path) -> None:
    path = tmp_path / "net.xml"
    path.write_text("<net/>")
    with pytest.raises(ModelError, match="OpenVINO cannot use") as caught:
        OpenVinoNet(path, PlainShape(8, 2, 2).spec("any"))
    assert caught.value.reason == "bad-weights"
