"""The size limit: exact sizes, and no aliasing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from enhancer.stages.size_limit import SizeLimit, limited_size

STAGE = SizeLimit()


@pytest.mark.parametrize(
    ("size", "limits", "wanted"),
    [
        ((3000, 4000), (None, 2000), (1500, 2000)),
        ((4000, 3000), (3_000_000, None), (2000, 1500)),
        ((3000, 4000), (3_000_000, 1000), (750, 1000)),
        ((300, 400), (120_000, 400), (300, 400)),
        ((1, 5000), (100, None), (1, 100)),
        ((5000, 1), (None, 10), (10, 1)),
        ((7, 7), (1, None), (1, 1)),
    ],
)
def test_sizes(size, limits, wanted):
    assert limited_size(*size, *limits) == wanted


@given(
    height=st.integers(1, 5000),
    width=st.integers(1, 5000),
    max_pixels=st.none() | st.integers(1, 10_000_000),
    max_side=st.none() | st.integers(1, 5000),
)
def test_limits_hold_and_the_aspect_is_kept(height, width, max_pixels, max_side):
    new_height, new_width = limited_size(height, width, max_pixels, max_side)
    assert 1 <= new_height <= height
    assert 1 <= new_width <= width
    assert new_height * new_width <= (max_pixels or height * width)
    assert max(new_height, new_width) <= (max_side or 5000)
    long, short = max(height, width), min(height, width)
    new_long, new_short = max(new_height, new_width), min(new_height, new_width)
    if max_pixels is None:
        assert new_short == max(1, round(short * new_long / long))
    # one pixel more would be over a limit, unless the picture is small enough as it is
    if new_long < long and new_short > 1:
        over_side = max_side is not None and new_long + 1 > max_side
        grown = (new_long + 1) ** 2 * short / long
        assert over_side or (max_pixels is not None and grown > max_pixels)


def lanczos_matrix(old, new):
    """Weights of a reduction by Lanczos with three lobes, from its definition: pixel centres lie at half-integers."""
    ratio = old / new
    distance = (np.arange(old)[None, :] + 0.5 - (np.arange(new)[:, None] + 0.5) * ratio) / ratio
    weights = np.where(np.abs(distance) < 3, np.sinc(distance) * np.sinc(distance / 3), 0)
    return weights / weights.sum(axis=1, keepdims=True)


def test_reduces_by_the_definition_of_lanczos(photo, context):
    picture = photo("astronaut")[:, :400]
    limited = context(input={"max_side": 200})
    decision = STAGE.measure(picture, limited)
    limited.decisions[STAGE.name] = decision
    reduced = STAGE.apply(picture, decision, limited)
    assert (decision.numbers["height"], decision.numbers["width"]) == reduced.shape[:2] == (200, 156)
    assert STAGE.scale(limited) == pytest.approx(200 / 512, abs=1e-6)
    expected = np.einsum("ij,jkc,lk->ilc", lanczos_matrix(512, 200), picture, lanczos_matrix(400, 156), optimize=True)
    assert expected.max() > 1.001  # it rings, and is clipped
    assert np.abs(reduced - np.clip(expected, 0, 1)).max() < 1e-5


def test_fine_stripes_turn_grey_and_not_into_coarse_ones(context):
    stripes = np.tile(np.array([0, 1, 0, 1, 1], np.float32), (300, 60))[..., None]
    limited = context(input={"max_pixels": 3600})
    reduced = STAGE.apply(stripes, STAGE.measure(stripes, limited), limited)
    assert reduced.shape == (60, 60, 1)
    assert reduced[:, 5:-5].std() < 0.01
    assert stripes[2::5, 2::5].std() == 0  # which naive sampling gets wrong by all of the contrast
    assert abs(stripes[2::5, 2::5].mean() - 0.6) > 0.3


def test_within_the_limits_nothing_happens(photo, context):
    assert not STAGE.measure(photo("coins"), context()).applied
    unlimited = context(input={"max_pixels": 10**9, "max_side": 10**5})
    assert not STAGE.measure(photo("coins"), unlimited).applied
    assert STAGE.scale(unlimited) == 1
