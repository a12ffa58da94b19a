"""Training can be cut off and resumed without a trace, and what is kept is the running average."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from enhancer.models.architectures.plain import PlainNet, PlainShape
from enhancer.training.loop import Schedule, train
from enhancer.training.reparameterisation import Reparameterised
from enhancer.training.step import CapturedStep, Step, averaged_weight
from enhancer.training.trainable import AsIs, Trainable

SCHEDULE = Schedule(steps=12, warmup=2, rate=0.05, average=0.9, validate_every=4, save_every=4)


class Killed(Exception):
    pass


def line(seed: int = 0) -> AsIs:
    torch.manual_seed(seed)
    return AsIs(nn.Linear(4, 4))


def draw(step: int) -> list[Tensor]:
    return [torch.randn(8, 4, generator=torch.Generator().manual_seed(step))]


def draw_until(die_at: int) -> Callable[[int], list[Tensor]]:
    def dying(step: int) -> list[Tensor]:
        if step == die_at:
            raise Killed
        return draw(step)

    return dying


def loss_of(module: nn.Module) -> Callable[[Tensor], Tensor]:
    return lambda given: (module(given) - 2 * given).square().mean()


def test_a_resumed_run_ends_with_the_same_weights(tmp_path: Path) -> None:
    whole = line()
    expected = train(whole, draw, loss_of(whole), lambda _: {}, SCHEDULE, tmp_path / "whole", seed=0)

    broken = line()
    with pytest.raises(Killed):
        train(broken, draw_until(9), loss_of(broken), lambda _: {}, SCHEDULE, tmp_path / "cut", seed=0)
    resumed = line(seed=5)
    result = train(resumed, draw, loss_of(resumed), lambda _: {}, SCHEDULE, tmp_path / "cut", seed=0)

    for name, tensor in expected.items():
        torch.testing.assert_close(result[name], tensor, rtol=0, atol=0)


def test_the_average_is_that_of_the_weights_along_the_way(tmp_path: Path) -> None:
    module = line()
    seen: list[Tensor] = [module.net.weight.detach().clone()]
    inner, (first,) = loss_of(module), draw(0)

    def loss(given: Tensor) -> Tensor:
        if given is not first:
            seen.append(module.net.weight.detach().clone())
        return inner(given)

    result = train(
        module, lambda step: [first] if step == 0 else draw(step), loss, lambda _: {}, SCHEDULE, tmp_path, seed=0
    )
    seen.append(module.net.weight.detach().clone())
    expected = seen[0]
    for step, weight in enumerate(seen[1:]):
        past = min(0.9, (step + 1) / (step + 10))
        expected = past * expected + (1 - past) * weight
    torch.testing.assert_close(result["weight"], expected)


def test_the_curve_has_a_line_for_each_validation(tmp_path: Path) -> None:
    module = line()
    train(
        module,
        draw,
        loss_of(module),
        lambda weights: {"size": float(weights["weight"].norm())},
        SCHEDULE,
        tmp_path,
        seed=0,
    )
    with (tmp_path / "curve.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == [4, 8, 12]
    assert float(rows[-1]["size"]) > 0


def test_the_curve_of_a_resumed_run_tells_each_step_once(tmp_path: Path) -> None:
    schedule = replace(SCHEDULE, save_every=6)
    broken = line()
    with pytest.raises(Killed):
        train(broken, draw_until(9), loss_of(broken), lambda _: {}, schedule, tmp_path, seed=0)
    resumed = line()
    train(resumed, draw, loss_of(resumed), lambda _: {}, schedule, tmp_path, seed=0)
    with (tmp_path / "curve.csv").open() as file:
        assert [int(row["step"]) for row in csv.DictReader(file)] == [4, 8, 12]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
@pytest.mark.parametrize("form", [AsIs, Reparameterised])
def test_a_cuda_device_is_used_and_learns_as_the_cpu_does(tmp_path: Path, form: type[Trainable]) -> None:
    def trained(folder: Path) -> tuple[str, dict[str, Tensor]]:
        torch.manual_seed(0)
        module = form(PlainNet(PlainShape(8, 2)))

        def noise(step: int) -> list[Tensor]:
            return [torch.rand(2, 3, 16, 16, generator=torch.Generator().manual_seed(step))]

        def loss(given: Tensor) -> Tensor:
            return (module(given) - given.flip(1)).square().mean()

        weights = train(module, noise, loss, lambda weights: {}, replace(SCHEDULE, rate=1e-3), folder, seed=0)
        return next(module.parameters()).device.type, weights

    where, weights = trained(tmp_path / "cuda")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.cuda, "is_available", lambda: False)
        _, expected = trained(tmp_path / "cpu")
    assert where == "cuda"
    for name, tensor in expected.items():
        assert weights[name].device.type == "cpu"
        torch.testing.assert_close(weights[name], tensor, rtol=1e-3, atol=1e-4)


def test_batches_drawn_by_other_processes_are_the_same(tmp_path: Path) -> None:
    here, there = line(), line()
    expected = train(here, draw, loss_of(here), lambda _: {}, SCHEDULE, tmp_path / "here", seed=0)
    result = train(there, draw, loss_of(there), lambda _: {}, SCHEDULE, tmp_path / "there", seed=0, workers=2)
    for name, tensor in expected.items():
        torch.testing.assert_close(result[name], tensor, rtol=0, atol=0)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
def test_a_recorded_step_does_what_a_step_does(tmp_path: Path) -> None:
    given = torch.rand(64, 4, 3, 16, 16, generator=torch.Generator().manual_seed(0))

    def trained(kind: type[Step]) -> dict[str, Tensor]:
        torch.manual_seed(0)
        module = Reparameterised(PlainNet(PlainShape(8, 2))).to("cuda")
        average = {name: tensor.detach().clone() for name, tensor in module.folded().items()}
        advance = kind(module, lambda batch: (module(batch) - batch.flip(1)).abs().mean(), average, clip=0.5)
        for step, batch in enumerate(given):
            where = [batch.pin_memory()] if kind is CapturedStep else [batch.to("cuda")]
            advance(where, rate=1e-3 / (1 + step), past=averaged_weight(step, 0.9))
        return average

    expected = trained(Step)
    for name, tensor in trained(CapturedStep).items():
        torch.testing.assert_close(tensor, expected[name], rtol=1e-3, atol=1e-4)


def test_a_loss_that_is_not_finite_stops_the_training(tmp_path: Path) -> None:
    module = line()
    with pytest.raises(FloatingPointError, match="seed 7"):
        train(module, draw, lambda _: module.net.weight.sum() * float("nan"), lambda _: {}, SCHEDULE, tmp_path, seed=7)
