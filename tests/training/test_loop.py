"""Training can be cut off and resumed without a trace, and what is kept is the running average."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from enhancer.models.plain import PlainNet, PlainShape
from enhancer.training.loop import AsIs, Schedule, Trainable, train
from enhancer.training.reparameterisation import Reparameterised

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


def test_the_curve_of_a_resumed_run_tells_each_step_once(tmp_path: Path) -> None:
    schedule = replace(SCHEDULE, save_every=6)
    broken = line()
    with pytest.raises(Killed):
        train(broken, loss_of(broken, die_at=9), lambda _: {}, schedule, tmp_path, seed=0)
    resumed = line()
    train(resumed, loss_of(resumed), lambda _: {}, schedule, tmp_path, seed=0)
    with (tmp_path / "curve.csv").open() as file:
        assert [int(row["step"]) for row in csv.DictReader(file)] == [4, 8, 12]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("form", [AsIs, Reparameterised])
def test_a_cuda_device_is_used_and_learns_as_the_cpu_does(tmp_path: Path, form: type[Trainable]) -> None:
    def trained(folder: Path) -> tuple[str, dict[str, Tensor]]:
        torch.manual_seed(0)
        module = form(PlainNet(PlainShape(8, 2)))

        def loss_at(step: int) -> Tensor:
            given = torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(step))
            return (module(given) - given.flip(1)).square().mean()

        weights = train(module, loss_at, lambda weights: {}, replace(SCHEDULE, rate=1e-3), folder, seed=0)
        return next(module.parameters()).device.type, weights

    where, weights = trained(tmp_path / "cuda")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, "is_available", lambda: False)
        _, expected = trained(tmp_path / "cpu")
    assert where == "cuda"
    for name, tensor in expected.items():
        assert weights[name].device.type == "cpu"
        torch.testing.assert_close(weights[name], tensor, rtol=1e-3, atol=1e-4)


def test_a_loss_that_is_not_finite_stops_the_training(tmp_path: Path) -> None:
    module = line()
    with pytest.raises(FloatingPointError, match="seed 7"):
        train(module, lambda _: module.net.weight.sum() * float("nan"), lambda _: {}, SCHEDULE, tmp_path, seed=7)
