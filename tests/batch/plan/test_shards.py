"""Cutting into shards: every picture in exactly one, in order, balanced; absurd counts refused with the way out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from enhancer.batch.plan.shards import calibrate, cut, estimate_s
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
    assert min(minimum, len(costs)) <= chosen.count <= len(costs)
    numbers = list(chosen.numbers(costs))
    assert len(numbers) == len(costs)
    assert numbers == sorted(numbers)
    assert numbers[0] == 0
    assert min(minimum, len(costs)) <= len(set(numbers)) <= chosen.count
    sums = dict.fromkeys(numbers, 0.0)
    for number, cost in zip(numbers, costs, strict=True):
        sums[number] += cost
    share = total / chosen.count
    assert max(sums.values()) <= (share + max(costs)) * (1 + 1e-9)


@pytest.mark.parametrize(
    ("costs", "numbers"),
    [
        ([0.1] * 6, [0, 0, 1, 1, 2, 2]),  # sums of tenths fall short of where a shard ends
        ([9.0, 0.1, 0.1], [0, 2, 3]),
        ([0.1, 0.1, 9.0], [0, 1, 2]),
        ([9.0, 0.1, 0.1, 0.1], [0, 2, 2, 3]),
        ([0.0] * 6, [0, 0, 1, 1, 2, 2]),
    ],
)
def test_there_are_as_many_shards_as_are_asked_for_at_the_least(costs: list[float], numbers: list[int]) -> None:
    assert list(cut(len(costs), sum(costs), Settings(min_shards=3)).numbers(costs)) == numbers


def test_the_number_of_shards_follows_length_items_and_minimum() -> None:
    settings = Settings(shard_minutes=10, shard_max_items=100, min_shards=2, max_shards=500)
    assert cut(1000, 600.0 * 20 + 1, settings).count == 21  # by length
    assert cut(1001, 10.0, settings).count == 11  # by items
    assert cut(50, 10.0, settings).count == 2  # at least
    assert cut(1, 6000.0, settings).count == 1  # a picture cannot be cut
    assert cut(0, 0.0, settings).count == 0


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
