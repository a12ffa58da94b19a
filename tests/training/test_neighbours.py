"""Sub-sampling against a naive loop, and what the loss of a pair can and cannot see."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from enhancer.training.neighbours import PAIRS, draw_pairs, neighbour_loss, residual, sub_sampled


def test_the_two_pictures_are_neighbours_of_each_cell() -> None:
    random = np.random.default_rng(0)
    pictures = torch.from_numpy(random.random((2, 3, 8, 6), dtype=np.float32))
    pairs = draw_pairs((2, 3, 8, 6), random)
    first, second = sub_sampled(pictures, pairs)
    for n in range(2):
        for row in range(4):
            for column in range(3):
                one, other = pairs[n, row, column].tolist()
                for place, result in ((one, first), (other, second)):
                    expected = pictures[n, :, 2 * row + place // 2, 2 * column + place % 2]
                    torch.testing.assert_close(result[n, :, row, column], expected)


def test_every_ordered_pair_of_true_neighbours_is_drawn_and_no_other() -> None:
    neighbours = {(a, b) for a in range(4) for b in range(4) if abs(a // 2 - b // 2) + abs(a % 2 - b % 2) == 1}
    assert set(PAIRS) == neighbours
    assert len(PAIRS) == len(neighbours)
    drawn = draw_pairs((1, 3, 200, 200), np.random.default_rng(1)).reshape(-1, 2)
    counts = [int((drawn == torch.tensor(pair)).all(dim=1).sum()) for pair in PAIRS]
    assert sum(counts) == len(drawn)
    assert counts == pytest.approx(np.full(8, 1250), rel=0.15)


def test_of_two_nets_the_residual_is_smaller_for_the_one_nearer_the_truth() -> None:
    random = np.random.default_rng(2)
    noisy = torch.from_numpy(np.float32(0.5 + 0.1 * random.standard_normal((1, 3, 256, 256))))
    sigma = torch.full_like(noisy[:, :1], 0.1)
    pairs = draw_pairs(noisy.shape, random)

    def square(result: float | None) -> float:
        def net(given: torch.Tensor) -> torch.Tensor:
            return given[:, :3] if result is None else torch.full_like(given[:, :3], result)

        return float(residual(net, noisy, sigma, pairs).square().mean())

    # The noise's variance stays, whatever the net: 0.01, and twice that where the net keeps it.
    assert square(0.5) == pytest.approx(0.01, rel=0.02)
    assert square(0.53) == pytest.approx(0.01 + 0.03**2, rel=0.02)
    assert square(None) == pytest.approx(0.02, rel=0.02)


def test_the_regulariser_forgives_what_the_neighbours_do_not_have_in_common() -> None:
    ramp = torch.linspace(0, 1, 64).expand(1, 3, 64, 64).contiguous()
    sigma = torch.full_like(ramp[:, :1], 0.1)
    pairs = draw_pairs(ramp.shape, np.random.default_rng(3))

    def net(given: torch.Tensor) -> torch.Tensor:
        return given[:, :3]

    alone = float(neighbour_loss(net, ramp, sigma, pairs, regulariser=0, offset=0))
    both = float(neighbour_loss(net, ramp, sigma, pairs, regulariser=5, offset=0))
    assert alone == pytest.approx(0.5 / 63**2 / 0.1, rel=0.1)  # half of the pairs lie along the ramp
    assert both == pytest.approx(alone, abs=1e-9)
