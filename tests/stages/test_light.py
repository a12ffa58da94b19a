"""Transfer function and luminance against scikit-image's conversions and the standard's own figures."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.color import rgb2xyz

from enhancer.stages.light import from_linear, luminance, to_linear


def test_the_transfer_function_gives_the_standards_values() -> None:
    encoded = np.array([0, 0.04045, 0.5, 1], dtype=np.float32)
    np.testing.assert_allclose(to_linear(encoded), [0, 0.0031308, 0.2140411, 1], atol=1e-6)


def test_both_ways_stay_within_a_millionth_of_the_formula() -> None:
    values = np.linspace(0, 1, 1_000_001).astype(np.float32)
    exact = values.astype(np.float64)
    linear = np.where(exact <= 0.04045, exact / 12.92, ((exact + 0.055) / 1.055) ** 2.4)
    encoded = np.where(exact <= 0.0031308, exact * 12.92, 1.055 * exact ** (1 / 2.4) - 0.055)
    np.testing.assert_allclose(to_linear(values), linear, rtol=0, atol=1e-6)
    np.testing.assert_allclose(from_linear(values), encoded, rtol=0, atol=1e-6)


@pytest.mark.parametrize("shape", [(), (1,), (0, 3), (3, 5, 1), (300, 301, 3)])
def test_any_layout_gives_what_single_values_give(shape: tuple[int, ...]) -> None:
    """Whatever the blocks, strides and shape."""
    values = np.asarray(np.random.default_rng(4).random(shape), dtype=np.float32)
    for function in (to_linear, from_linear):
        whole = function(values.T)
        assert whole.shape == values.T.shape
        assert whole.dtype == np.float32
        alone = [float(function(np.asarray(value, dtype=np.float32))) for value in values.T.ravel()[:200]]
        np.testing.assert_allclose(whole.ravel()[:200], alone, rtol=0, atol=2e-7)


def test_the_input_stays_as_it_was() -> None:
    values = np.random.default_rng(5).random((9, 9, 3)).astype(np.float32)
    before = values.copy()
    from_linear(to_linear(values))
    np.testing.assert_array_equal(values, before)


def test_every_16_bit_value_comes_back() -> None:
    values = (np.arange(65536) / 65535).astype(np.float32)
    back = np.rint(from_linear(to_linear(values)) * 65535)
    np.testing.assert_array_equal(back, np.arange(65536))


def test_values_outside_the_range_stay_finite_and_ordered() -> None:
    values = np.linspace(-0.5, 1.5, 201, dtype=np.float32)
    light = to_linear(values)
    assert light.dtype == np.float32
    assert np.all(np.diff(light) > 0)
    np.testing.assert_allclose(from_linear(light), values, atol=1e-5)


def test_luminance_is_the_y_of_xyz() -> None:
    picture = np.random.default_rng(3).random((7, 9, 3)).astype(np.float32)
    np.testing.assert_allclose(luminance(to_linear(picture)), rgb2xyz(picture)[..., 1], atol=2e-4)


@pytest.mark.parametrize("shape", [(4, 5, 1), (4, 5, 3)])
def test_luminance_of_white_is_one(shape: tuple[int, ...]) -> None:
    np.testing.assert_allclose(luminance(np.ones(shape, dtype=np.float32)), 1, atol=1e-6)
