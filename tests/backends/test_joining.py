"""Tiles of several threads in one run: who shares, that nothing changes by it, errors, lack of memory, interruptions."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from enhancer.backends.base import NetSpec, OutOfMemory
from enhancer.backends.joining import JoinedNet
from enhancer.backends.tiler import run_tiled
from enhancer.backends.torch_backend import TorchNet

Planes = NDArray[np.float32]
LONG_S = 20.0
"""A wait that only a defect makes end in vain."""
SPEC = NetSpec("double", 2, 3, 3, halo=0, batch_tiles=8)
POISON = np.float32(666)


def tiles(count: int, height: int, width: int, seed: int = 0) -> Planes:
    return np.random.default_rng(seed).random((count, 3, height, width), np.float32)


def doubled(batch: Planes) -> Planes:
    return (batch + 1).repeat(2, 2).repeat(2, 3)


class Gated:
    """Doubles tiles; each run waits until it is let through, and the sizes of all runs are kept."""

    def __init__(self, spec: NetSpec = SPEC, memory: int = 1 << 40) -> None:
        self.spec = spec
        self.memory = memory
        self.shapes: list[tuple[int, ...]] = []
        self.entered = threading.Semaphore(0)
        self.through = threading.Semaphore(0)

    def run(self, batch: Planes) -> Planes:
        self.shapes.append(batch.shape)
        self.entered.release()
        assert self.through.acquire(timeout=LONG_S)
        if batch.size > self.memory:
            raise OutOfMemory(f"{batch.shape}")
        if (batch == POISON).any():
            raise ValueError("poison")
        return doubled(batch)

    def open(self, runs: int = 100) -> None:
        self.through.release(runs)


def behind_the_first(net: Gated, joined: JoinedNet, batches: Sequence[Planes]) -> list[Future[Planes]]:
    """Hand over the first batch and, while the net is busy with it, all others, in order; then let everything run."""
    pool = ThreadPoolExecutor(len(batches))
    answers = [pool.submit(joined.run, batches[0])]
    assert net.entered.acquire(timeout=LONG_S)
    for number, batch in enumerate(batches[1:], start=1):
        answers.append(pool.submit(joined.run, batch))
        wait_until(lambda number=number: len(joined._waiting) == number)
    net.open()
    pool.shutdown(wait=True)
    return answers


def wait_until(condition: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(int(LONG_S / 0.002)):
        if condition():
            return
        pause.wait(0.002)
    raise AssertionError("waited in vain")


def test_what_waits_in_one_shape_runs_together_and_all_else_for_itself() -> None:
    net = Gated()
    batches = [tiles(1, 4, 4), tiles(1, 4, 4, 1), tiles(2, 4, 4, 2), tiles(1, 4, 6, 3), tiles(1, 4, 4, 4)]
    answers = behind_the_first(net, JoinedNet(net, at_once=1), batches)
    for batch, answer in zip(batches, answers, strict=True):
        np.testing.assert_array_equal(answer.result(), doubled(batch))
    assert net.shapes[0] == (1, 3, 4, 4)
    assert sorted(net.shapes[1:]) == [(1, 3, 4, 6), (4, 3, 4, 4)]


def test_no_more_run_together_than_the_spec_allows() -> None:
    net = Gated(NetSpec("double", 2, 3, 3, halo=0, batch_tiles=8, batch_pixels=3 * 16))
    answers = behind_the_first(net, JoinedNet(net, at_once=1), [tiles(1, 4, 4, seed) for seed in range(8)])
    assert all(answer.exception() is None for answer in answers)
    assert [shape[0] for shape in net.shapes] == [1, 3, 3, 1]


def test_an_error_is_told_to_the_guilty_alone() -> None:
    net = Gated()
    batches = [tiles(1, 4, 4, seed) for seed in range(5)]
    batches[2][:] = POISON
    answers = behind_the_first(net, JoinedNet(net, at_once=1), batches)
    for number, answer in enumerate(answers):
        if number == 2:
            with pytest.raises(ValueError, match="poison"):
                answer.result()
        else:
            np.testing.assert_array_equal(answer.result(), doubled(batches[number]))
    assert [shape[0] for shape in net.shapes] == [1, 4, 1, 1, 1, 1]


def test_out_of_memory_halves_what_runs_together_for_good() -> None:
    net = Gated(memory=2 * 3 * 16)
    joined = JoinedNet(net, at_once=1)
    batches = [tiles(1, 4, 4, seed) for seed in range(5)]
    answers = behind_the_first(net, joined, batches)
    for batch, answer in zip(batches, answers, strict=True):
        np.testing.assert_array_equal(answer.result(), doubled(batch))
    assert [shape[0] for shape in net.shapes] == [1, 4, 2, 2]
    assert joined.spec.tiles_at_once(4, 4) == 2
    assert joined.spec.tiles_at_once(2, 4) == 4


def test_a_single_tile_that_does_not_fit_is_the_tilers_concern() -> None:
    net = Gated(memory=1)
    net.open()
    joined = JoinedNet(net)
    with pytest.raises(OutOfMemory):
        joined.run(tiles(1, 4, 4))
    assert joined.spec == SPEC


def test_two_runs_go_on_at_once_and_no_third() -> None:
    net = Gated()
    joined = JoinedNet(net)
    with ThreadPoolExecutor(3) as pool:
        answers = [pool.submit(joined.run, tiles(1, side, side)) for side in (2, 3, 4)]
        assert net.entered.acquire(timeout=LONG_S)
        assert net.entered.acquire(timeout=LONG_S)
        assert not net.entered.acquire(timeout=0.05)
        net.open()
    assert all(answer.exception() is None for answer in answers)


def test_where_the_thread_that_runs_is_interrupted_the_others_run_themselves() -> None:
    """As by Ctrl-C, which no handler of errors catches."""
    net = Gated()
    run, interrupted = net.run, []

    def interruptible(batch: Planes) -> Planes:
        if len(batch) > 1 and not interrupted:
            interrupted.append(len(batch))
            raise KeyboardInterrupt
        return run(batch)

    net.run = interruptible  # type: ignore[method-assign]
    batches = [tiles(1, 4, 4, seed) for seed in range(4)]
    answers = behind_the_first(net, JoinedNet(net, at_once=1), batches)
    failed = [number for number, answer in enumerate(answers) if answer.exception()]
    assert interrupted == [3]
    assert len(failed) == 1
    for number in set(range(4)) - set(failed):
        np.testing.assert_array_equal(answers[number].result(), doubled(batches[number]))


@settings(max_examples=25, deadline=None)
@given(
    st.integers(0, 1 << 30),
    st.integers(2, 6),
    st.sampled_from([1, 2]),
    st.sampled_from([1, 2, 5, 8]),
    st.sampled_from([0.0, 0.1, 0.4]),
)
@example(1, 6, 1, 8, 0.4)
def test_whatever_comes_together_each_gets_its_own(
    seed: int, threads: int, at_once: int, most: int, poisoned: float
) -> None:
    """Threads with tiles of odd shapes, some poisoned, on a net that runs short of memory."""
    net = Gated(NetSpec("double", 2, 3, 3, halo=0, batch_tiles=most), memory=4 * 3 * 7 * 5)
    net.open(1 << 20)
    joined = JoinedNet(net, at_once=at_once)
    start = threading.Barrier(threads)

    def one(thread: int) -> list[tuple[Planes, Planes | Exception]]:
        random = np.random.default_rng([seed, thread])
        start.wait(LONG_S)
        told: list[tuple[Planes, Planes | Exception]] = []
        for _ in range(12):
            height, width = random.choice([(1, 1), (1, 3), (7, 5), (5, 7)])
            batch = random.random((random.integers(1, 4), 3, height, width), np.float32)
            if random.random() < poisoned:
                batch[-1, 0, 0, 0] = POISON
            try:
                told.append((batch.copy(), joined.run(batch)))
            except ValueError as error:
                told.append((batch, error))
        return told

    with ThreadPoolExecutor(threads) as pool:
        answers = [answer for told in pool.map(one, range(threads), timeout=LONG_S) for answer in told]
    assert len(answers) == 12 * threads
    for batch, found in answers:
        if (batch == POISON).any():
            assert isinstance(found, ValueError)
        else:
            np.testing.assert_array_equal(found, doubled(batch))
    assert not joined._waiting
    assert joined._running == 0


def test_pictures_in_threads_become_what_they_become_alone() -> None:
    """A real net in torch, tiles and all, on six pictures of three sizes at once; within float rounding."""
    torch.manual_seed(3)
    module = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, padding=1),
        torch.nn.ReLU(),
        torch.nn.Conv2d(8, 12, 3, padding=1),
        torch.nn.PixelShuffle(2),
    )
    alone = TorchNet(module, NetSpec("two", 2, 3, 3, halo=2), "cpu")
    sizes: list[tuple[int, ...]] = []
    batching = TorchNet(module, NetSpec("two", 2, 3, 3, halo=2, batch_tiles=6), "cpu")
    run = batching.run

    def noted(batch: Planes) -> Planes:
        if not sizes:
            wait_until(lambda: len(joined._waiting) == len(pictures) - 1)
        sizes.append(batch.shape)
        return run(batch)

    batching.run = noted  # type: ignore[method-assign]
    joined = JoinedNet(batching, at_once=1)
    pictures = [tiles(1, *shape, seed)[0] for seed, shape in enumerate([(40, 33), (40, 33), (17, 64)] * 2)]
    sizes.append((0,))  # nobody is waited for
    for planes in pictures:
        run_tiled(batching, planes, max_tile=20)
    sizes_alone = sizes.copy()
    sizes.clear()
    with ThreadPoolExecutor(len(pictures)) as pool:
        found = list(pool.map(lambda planes: run_tiled(joined, planes, max_tile=20), pictures))
    for planes, result in zip(pictures, found, strict=True):
        np.testing.assert_allclose(result, run_tiled(alone, planes, max_tile=20), atol=1e-6)
    most_of_one = max(shape[0] for shape in sizes_alone)
    assert max(shape[0] for shape in sizes) > most_of_one
