"""Cutting into shards: every picture in exactly one, in order, balanced; absurd counts refused with the way out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from enhancer.batch.shards import calibrate, cut, estimate_s
from enhancer.errors import RequestError
from enhancer.recipe import preset
from enhancer.settings import Settings

costs = st.lists(st.floats(0.01, 5000, allow_nan=False), min_size=1, max_size=200)


@hypothesis_settings(deadline=None)
@given(costs=costs, minutes=st.floats(0.5, 30), minimum=st.integers(1, 20), most=st.integers(1, 50))
def test_shards_are_monotone_and_balanced(costs: list[float], minutes: float, minimum: int, most: int) -> None:
    settings = Settings(shard_minutes=minutes, min_shards=minimum, shard_max_items=most, max_shards=1_000_000)
    total = sum(costs)
    chosen = cut(len(costs), total, settings)
    assert 1 <= chosen.count <= len(costs)
    before, numbers, sums = 0.0, [], dict.fromkeys(range(chosen.count), 0.0)
    for cost in costs:
        number = chosen.shard_of(before)
        numbers.append(number)
        sums[number] += cost  # KeyError: a shard that does not exist
        before += cost
    assert numbers[0] == 0
    assert numbers == sorted(numbers)
    share = total / chosen.count
    assert max(sums.values()) <= (share + max(costs)) * (1 + 1e-9)


def test_the_number_of_shards_follows_length_items_and_minimum() -> None:
    settings = Settings(shard_minutes=10, shard_max_items=100, min_shards=2, max_shards=500)
    assert cut(1000, 600.0 * 20 + 1, settings).count == 21  # by length
    assert cut(1001, 10.0, settings).count == 11  # by items
    assert cut(50, 10.0, settings).count == 2  # at least
    assert cut(1, 6000.0, settings).count == 1  # a picture cannot be cut
    assert cut(0, 0.0, settings).count == 0


def test_pictures_that_cost_nothing_have_a_shard() -> None:
    assert cut(3, 0.0, Settings()).shard_of(0.0) == 0


def test_too_many_shards_are_refused_with_the_ways_out() -> None:
    with pytest.raises(RequestError) as caught:
        cut(100_000, 3600.0 * 1000, Settings(shard_minutes=10, max_shards=500))
    message = caught.value.message
    assert caught.value.reason == "too-many-shards"
    assert "6000 shards" in message
    for way_out in ("ENHANCER_MAX_SHARDS=500", "ENHANCER_SHARD_MINUTES", "max_items", "prefix"):
        assert way_out in message


def test_exactly_as_many_as_allowed_are_no_trouble() -> None:
    assert cut(1000, 600.0 * 500, Settings(shard_minutes=10, max_shards=500)).count == 500


def test_enlarging_costs_more_than_restoring_and_large_more_than_small() -> None:
    photo, archive = preset("photo"), preset("archive")
    assert estimate_s(10**6, photo) > estimate_s(10**6, archive) > estimate_s(10**5, archive) > 0


@pytest.mark.parametrize(
    ("estimated", "measured", "factor"),
    [(0, 0, 1.0), (100, 0, 1.0), (0, 100, 1.0), (100, 250, 2.5), (1, 1e9, 50.0), (1e9, 1, 0.02)],
)
def test_calibration_is_the_ratio_within_reason(estimated: float, measured: float, factor: float) -> None:
    assert calibrate(estimated, measured) == factor
