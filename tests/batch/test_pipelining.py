"""Steps in threads of their own: order, overlap, errors, early stop; and the account of what is in hand."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from queue import SimpleQueue

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from enhancer.batch.worker.pipelining import ByteBudget, Done, StepThread, carry_out

LONG_S = 20.0
"""A wait that only a defect makes end in vain."""


@pytest.fixture
def done() -> SimpleQueue[Done[int]]:
    return SimpleQueue()


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as opened:
        yield opened


def test_work_is_done_in_the_order_of_arrival_by_one_thread(done: SimpleQueue[Done[int]], stack: ExitStack) -> None:
    seen: list[tuple[int, str]] = []
    step = stack.enter_context(StepThread("square", lambda n: seen.append((n, threading.current_thread().name)), done))
    for number in range(100):
        step.hand(number)
    told = [done.get(timeout=LONG_S) for _ in range(100)]
    assert told == [Done("square", number) for number in range(100)]
    assert seen == [(number, "square") for number in range(100)]


def test_two_steps_work_at_the_same_time(done: SimpleQueue[Done[int]], stack: ExitStack) -> None:
    meeting = threading.Barrier(2)  # who works alone waits here in vain
    first = stack.enter_context(StepThread("first", lambda n: meeting.wait(LONG_S) and None, done))
    second = stack.enter_context(StepThread("second", lambda n: meeting.wait(LONG_S) and None, done))
    first.hand(1)
    second.hand(2)
    told = {done.get(timeout=LONG_S) for _ in range(2)}
    assert told == {Done("first", 1), Done("second", 2)}


def test_a_step_of_several_threads_works_on_as_many_pieces_at_once(done: SimpleQueue[Done[int]]) -> None:
    meeting = threading.Barrier(3)  # fewer wait here in vain
    with StepThread("meet", lambda n: meeting.wait(LONG_S) and None, done, count=3) as step:
        for number in range(6):
            step.hand(number)
        told = {done.get(timeout=LONG_S) for _ in range(6)}
    assert told == {Done("meet", number) for number in range(6)}
    assert not any(thread.is_alive() for thread in step._threads)


def test_an_error_is_told_and_the_next_piece_is_done(done: SimpleQueue[Done[int]], stack: ExitStack) -> None:
    error = SystemExit("a piece of work must not end the thread")

    def fail(number: int) -> None:
        if number == 1:
            raise error

    step = stack.enter_context(StepThread("fail", fail, done))
    for number in (0, 1, 2):
        step.hand(number)
    assert [done.get(timeout=LONG_S) for _ in range(3)] == [Done("fail", 0), Done("fail", 1, error), Done("fail", 2)]


def test_at_the_end_what_was_not_begun_is_dropped(done: SimpleQueue[Done[int]]) -> None:
    begun, go_on = threading.Event(), threading.Event()
    worked: list[int] = []

    def work(number: int) -> None:
        worked.append(number)
        begun.set()
        assert go_on.wait(LONG_S)

    with StepThread("slow", work, done, grace_s=0) as step:
        for number in range(5):
            step.hand(number)
        assert begun.wait(LONG_S)
    go_on.set()
    (thread,) = step._threads
    thread.join(LONG_S)
    assert not thread.is_alive()
    assert worked == [0]
    assert done.get(timeout=LONG_S) == Done("slow", 0)


def test_a_step_knows_the_context_of_who_made_it_and_keeps_its_own_to_itself(
    done: SimpleQueue[Done[int]], stack: ExitStack
) -> None:
    seen: list[dict[str, object]] = []

    def look(number: int) -> None:
        with structlog.contextvars.bound_contextvars(item=number):
            seen.append(structlog.contextvars.get_contextvars())

    with structlog.contextvars.bound_contextvars(run="night"):
        step = stack.enter_context(StepThread("look", look, done))
        step.hand(1)
        step.hand(2)
        for _ in range(2):
            done.get(timeout=LONG_S)
        assert structlog.contextvars.get_contextvars() == {"run": "night"}
    assert seen == [{"run": "night", "item": 1}, {"run": "night", "item": 2}]


def test_carry_out_raises_nothing() -> None:
    answer = carry_out("divide", lambda n: 1 // n, 0)  # type: ignore[arg-type, return-value]
    assert isinstance(answer.error, ZeroDivisionError)


class TestTheBudget:
    def test_what_is_together_within_the_limit_fits(self) -> None:
        budget = ByteBudget(100)
        budget.charge("a", 60)
        assert budget.fits("b", 40)
        assert not budget.fits("b", 41)
        budget.charge("b", 40)
        budget.release("a")
        assert budget.charged == 40

    def test_what_is_too_large_goes_alone(self) -> None:
        budget = ByteBudget(100)
        assert budget.fits("huge", 1000)
        budget.charge("small", 10)
        assert not budget.fits("huge", 1000)
        budget.release("small")
        budget.charge("huge", 1000)
        assert not budget.fits("small", 1)

    def test_the_oldest_may_always_grow_and_others_within_the_limit(self) -> None:
        budget = ByteBudget(100)
        budget.charge("old", 10)
        budget.charge("young", 50)
        assert budget.fits("old", 500)
        assert budget.fits("young", 90)
        assert not budget.fits("young", 91)

    @given(st.lists(st.integers(1, 300), max_size=60))
    def test_pieces_begun_in_order_take_the_limit_at_most_or_are_one(self, sizes: list[int]) -> None:
        budget, in_hand = ByteBudget(200), []
        for number, size in enumerate(sizes):
            while not budget.fits(number, size):
                budget.release(in_hand.pop(0))
            budget.charge(number, size)
            in_hand.append(number)
            assert budget.charged <= 200 or in_hand == [number]
