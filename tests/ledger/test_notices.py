"""Each notice once, whoever asks first; what was not told may be told by the next."""

from __future__ import annotations

import pytest


def test_the_first_of_many_tells_it(ledger, race):
    def tell(number):
        with ledger.notices.once("late", "dag/run") as first:
            return first

    assert sorted(race(6, tell), key=bool) == [False] * 5 + [True]


def test_kinds_and_subjects_are_told_apart(ledger):
    for kind, subject in (("late", "a"), ("late", "b"), ("failed", "a")):
        with ledger.notices.once(kind, subject) as first:
            assert first


def fail_inside(ledger):
    with ledger.notices.once("late", "a"):
        raise OSError("away")


def test_an_error_takes_it_back(ledger):
    with pytest.raises(OSError, match="away"):
        fail_inside(ledger)
    with ledger.notices.once("late", "a") as first:
        assert first


def test_an_error_of_one_who_was_not_first_takes_nothing_back(ledger):
    with ledger.notices.once("late", "a"):
        pass
    with pytest.raises(OSError, match="away"):
        fail_inside(ledger)
    with ledger.notices.once("late", "a") as first:
        assert not first
