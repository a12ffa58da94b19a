"""The table of states against DESIGN section 4, written out here by hand."""

from __future__ import annotations

import pytest

from enhancer.ledger.states import GOOD, OPEN, TERMINAL, TRANSITIONS, VERDICTS, ItemState, check, sources_of


def test_terminal_states_are_those_of_the_design():
    named = {"published", "skipped", "reused", "rejected", "failed", "quarantined", "not_attempted"}
    assert {state.value for state in TERMINAL} == named
    assert GOOD < TERMINAL
    assert VERDICTS < TERMINAL
    assert not GOOD & VERDICTS


def test_every_state_is_either_open_or_held_or_terminal():
    assert OPEN | {ItemState.HELD} | TERMINAL == set(ItemState)
    assert not OPEN & TERMINAL


def test_the_table_has_every_state_and_leads_nowhere_else():
    assert set(TRANSITIONS) == set(ItemState)
    assert set().union(*TRANSITIONS.values()) <= set(ItemState)


@pytest.mark.parametrize("state", sorted(TERMINAL))
def test_terminal_is_final(state):
    assert TRANSITIONS[state] == frozenset()


@pytest.mark.parametrize("start", sorted(set(ItemState) - TERMINAL))
def test_every_open_state_can_end(start):
    seen, frontier = {start}, [start]
    while frontier:
        for after in TRANSITIONS[frontier.pop()] - seen:
            seen.add(after)
            frontier.append(after)
    assert seen & TERMINAL
    assert "published" in seen


def test_every_state_but_the_first_is_reached_from_pending():
    seen, frontier = {ItemState.PENDING}, [ItemState.PENDING]
    while frontier:
        for after in TRANSITIONS[frontier.pop()] - seen:
            seen.add(after)
            frontier.append(after)
    assert seen == set(ItemState)


def test_only_a_committing_item_is_published():
    assert sources_of(ItemState.PUBLISHED) == (ItemState.COMMITTING,)
    assert set(sources_of(ItemState.REUSED)) == {ItemState.COMMITTING}


def test_a_committing_item_is_never_simply_not_attempted():
    """Its bytes may lie at the target already."""
    assert ItemState.NOT_ATTEMPTED not in TRANSITIONS[ItemState.COMMITTING]


def test_check():
    check(ItemState.PENDING, ItemState.RUNNING)
    with pytest.raises(ValueError, match="published to pending"):
        check(ItemState.PUBLISHED, ItemState.PENDING)
