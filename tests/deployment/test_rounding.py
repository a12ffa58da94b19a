"""Rounding to int8 that makes up for itself, against rounding each weight alone and against NNCF."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional

from enhancer.deployment.rounding import FULL_RANGE, LEVELS, STRIDE, rounded, rounded_weights
from enhancer.models.architectures.plain import PlainNet, PlainShape


@pytest.fixture
def weights() -> np.ndarray:
    return np.random.default_rng(0).standard_normal((5, 2, 3, 3)).astype(np.float32)


def steps_of(weights: np.ndarray) -> np.ndarray:
    """Each weight in steps, of which NNCF finds so many below the largest weight of a channel."""
    return weights * (FULL_RANGE / np.abs(weights).max(axis=(1, 2, 3), keepdims=True))


def test_inputs_that_have_nothing_in_common_leave_plain_rounding(weights: np.ndarray) -> None:
    expected = np.clip(np.rint(steps_of(weights)), -LEVELS, LEVELS)
    result = steps_of(rounded(weights, np.diag(np.arange(1.0, 19.0))))
    np.testing.assert_allclose(np.clip(result, -LEVELS, LEVELS), expected, atol=1e-4)


def test_results_are_whole_steps_and_keep_the_range(weights: np.ndarray) -> None:
    inputs = np.random.default_rng(1).standard_normal((18, 6)) @ np.random.default_rng(2).standard_normal((6, 400))
    result = rounded(weights, inputs @ inputs.T)
    np.testing.assert_allclose(np.abs(result).max(axis=(1, 2, 3)), np.abs(weights).max(axis=(1, 2, 3)), rtol=1e-6)
    steps = np.clip(steps_of(result), -LEVELS, LEVELS)
    np.testing.assert_allclose(steps, np.rint(steps), atol=1e-4)


def test_what_a_layer_gives_changes_less_than_by_plain_rounding(weights: np.ndarray) -> None:
    inputs = np.random.default_rng(1).standard_normal((18, 6)) @ np.random.default_rng(2).standard_normal((6, 400))
    step = np.abs(weights).max(axis=(1, 2, 3), keepdims=True) / FULL_RANGE

    def error(result: np.ndarray) -> float:
        kept = np.clip(np.rint(result / step), -LEVELS, LEVELS) * step
        return float((((kept - weights).reshape(5, -1) @ inputs) ** 2).mean())

    assert error(rounded(weights, inputs @ inputs.T)) < 0.25 * error(weights)


def test_later_layers_see_what_the_rounded_ones_before_them_give() -> None:
    """Weights by hand: the second layer's inputs are counted by a naive loop behind the first, rounded one."""
    torch.manual_seed(3)
    net = PlainNet(PlainShape(width=4, depth=0, scale=1)).eval().requires_grad_(False)
    picture = np.random.default_rng(4).random((3, 6, 5), dtype=np.float32)
    result = rounded_weights(net, [picture])
    first = torch.from_numpy(result["convolutions.0.weight"])
    between = functional.relu(
        functional.conv2d(torch.from_numpy(picture)[None], first, net.convolutions[0].bias, padding=1)
    )
    padded = np.pad(between[0].double().numpy(), ((0, 0), (1, 1), (1, 1)))
    together = np.zeros((36, 36))
    for top in range(0, 6, STRIDE):
        for left in range(0, 5, STRIDE):
            window = padded[:, top : top + 3, left : left + 3].ravel()
            together += np.outer(window, window)
    expected = rounded(net.convolutions[1].weight.numpy(), together)
    np.testing.assert_allclose(result["convolutions.1.weight"], expected, atol=1e-6)
    assert np.array_equal(result["convolutions.1.bias"], net.convolutions[1].bias.numpy())


def test_nncf_leaves_the_steps_as_they_are() -> None:
    """Behind NNCF the weights are the same whole steps, or its rounding would undo this one."""
    from enhancer.backends.openvino_graph import plain_graph
    from enhancer.deployment.quantise import quantised

    torch.manual_seed(5)
    net = PlainNet(PlainShape(width=8, depth=1, scale=1)).eval().requires_grad_(False)
    pictures = [np.random.default_rng(seed).random((3, 16, 16), dtype=np.float32) for seed in range(3)]
    result = rounded_weights(net, pictures)
    model = quantised(plain_graph(result, net.shape), [picture.transpose(1, 2, 0)[None] for picture in pictures])
    kept = [
        node.get_data()
        for node in model.get_ordered_ops()
        if node.get_type_name() == "Constant" and node.get_element_type().get_type_name() == "i8"
    ]
    expected = [
        np.clip(np.rint(steps_of(result[name])), -LEVELS, LEVELS) for name in sorted(result) if name.endswith("weight")
    ]
    assert [one.shape for one in kept] == [one.shape for one in expected]
    for one, other in zip(kept, expected, strict=True):
        np.testing.assert_array_equal(one, other)
