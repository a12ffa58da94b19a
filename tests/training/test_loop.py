"""Training can be cut off and resumed without a trace, and what is kept is the running average."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from enhancer.training.loop import AsIs, Schedule, train

SCHEDULE = Schedule(steps=12, warmup=2, rate=0.05, average=0.9, validate_every=4, save_every=4)


class Killed(Exception):
    pass


def line(seed: int = 0) -> AsIs:
    torch.manual_seed(seed)
    return AsIs(nn.Linear(4, 4))


def loss_of(module: nn.Module, die_at: int | None = None) -> Callable[[int], Tensor]:
    def loss_at(step: int) -> Tensor:
        if step == die_at:
            raise Killed
        given = torch.randn(8, 4, generator=torch.Generator().manual_seed(step))
        return (module(given) - 2 * given).square().mean()

    return loss_at


def test_a_resumed_run_ends_with_the_same_weights(tmp_path: Path) -> None:
    whole = line()
    expected = train(whole, loss_of(whole), lambda _: {}, SCHEDULE, tmp_path / "whole", seed=0)

    broken = line()
    with pytest.raises(Killed):
        train(broken, loss_of(broken, die_at=9), lambda _: {}, SCHEDULE, tmp_path / "cut", seed=0)
    resumed = line(seed=5)
    result = train(resumed, loss_of(resumed), lambda _: {}, SCHEDULE, tmp_path / "cut", seed=0)

    for name, tensor in expected.items():
        torch.testing.assert_close(result[name], tensor, rtol=0, atol=0)


def test_the_average_is_that_of_the_weights_along_the_way(tmp_path: Path) -> None:
    module = line()
    seen: list[Tensor] = [module.net.weight.detach().clone()]
    inner = loss_of(module)

    def loss_at(step: int) -> Tensor:
        if step:
            seen.append(module.net.weight.detach().clone())
        return inner(step)

    result = train(module, loss_at, lambda _: {}, SCHEDULE, tmp_path, seed=0)
    seen.append(module.net.weight.detach().clone())
    expected = seen[0]
    for step, weight in enumerate(seen[1:]):
        past = min(0.9, (step + 1) / (step + 10))
        expected = past * expected + (1 - past) * weight
    torch.testing.assert_close(result["weight"], expected)


def test_the_curve_has_a_line_for_each_validation(tmp_path: Path) -> None:
    module = line()
    train(
        module, loss_of(module), lambda weights: {"size": float(weights["weight"].norm())}, SCHEDULE, tmp_path, seed=0
    )
    with (tmp_path / "curve.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == [4, 8, 12]
    assert float(rows[-1]["size"]) > 0


def test_a_loss_that_is_not_finite_stops_the_training(tmp_path: Path) -> None:
    module = line()
    with pytest.raises(FloatingPointError, match="seed 7"):
        train(module, lambda _: module.net.weight.sum() * float("nan"), lambda _: {}, SCHEDULE, tmp_path, seed=7)
