"""The training loop that all nets share: seeded, resumable, averaged, with its curve in a file."""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import structlog
import torch
from torch import Tensor, nn

log = structlog.get_logger(__name__)

CHECKPOINT: Final = "checkpoint.pt"
CURVE: Final = "curve.csv"


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how fast to learn.

    Attributes:
        steps: optimisation steps in all.
        batch: patches per step.
        patch: side of a patch as the net gets it, in pixels.
        rate: peak learning rate; it rises linearly over `warmup` steps and falls with a cosine to a hundredth.
        warmup: steps.
        clip: bound of the gradient's norm.
        average: weight of the past in the running average of the weights, which is what is kept in the end.
        validate_every: steps between two lines of the curve.
        save_every: steps between two checkpoints.
    """

    steps: int
    batch: int = 16
    patch: int = 48
    rate: float = 1e-3
    warmup: int = 200
    clip: float = 0.5
    average: float = 0.999
    validate_every: int = 500
    save_every: int = 250


class Trainable(Protocol):
    """A module that knows the weights that are kept of it, which may be fewer than those it learns."""

    def folded(self) -> dict[str, Tensor]:
        """Weights for inference by name."""
        ...


class AsIs(nn.Module):
    """A net that is trained in the form in which it is used."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, *given: Tensor) -> Any:
        """What the net gives."""
        return self.net(*given)

    def folded(self) -> dict[str, Tensor]:
        """Its own weights and buffers."""
        return dict(self.net.state_dict())


def train(
    module: nn.Module,
    loss_at: Callable[[int], Tensor],
    validate: Callable[[Mapping[str, Tensor]], Mapping[str, float]],
    schedule: Schedule,
    folder: Path,
    *,
    seed: int,
) -> dict[str, Tensor]:
    """Train, or go on with what a checkpoint in `folder` says; a run that is cut off loses `save_every` steps at most.

    Args:
        module: has ``folded()`` (:class:`Trainable`).
        loss_at: the loss of a step, a scalar with gradients; it must depend on the step and the weights only, so that a
            resumed run sees the same data.
        validate: figures of the averaged weights, written to the curve; in dB or the like.
        schedule: how long and how fast.
        folder: checkpoint and curve; made where missing.
        seed: recorded; the caller has seeded torch before it made the module.

    Returns:
        The averaged weights, by the names of the net for inference.

    Raises:
        FloatingPointError: the loss is no longer finite.
    """
    folder.mkdir(parents=True, exist_ok=True)
    optimizer = torch.optim.Adam([one for one in module.parameters() if one.requires_grad], betas=(0.9, 0.99))
    average = {name: tensor.detach().clone() for name, tensor in module.folded().items()}  # type: ignore[operator]
    first, spent = _resume(folder / CHECKPOINT, module, optimizer, average)
    started = time.monotonic() - spent
    for step in range(first, schedule.steps):
        for group in optimizer.param_groups:
            group["lr"] = _rate(step, schedule)
        module.train()
        loss = loss_at(step)
        if not torch.isfinite(loss):
            raise FloatingPointError(f"the loss at step {step} is {loss.item()}: lower the rate (seed {seed})")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(module.parameters(), schedule.clip)
        optimizer.step()
        _blend(average, module, min(schedule.average, (step + 1) / (step + 10)))
        last = step + 1 == schedule.steps
        if last or (step + 1) % schedule.validate_every == 0:
            module.eval()
            figures = {"loss": loss.item(), **validate(average)}
            _note(folder / CURVE, step + 1, time.monotonic() - started, figures)
        if last or (step + 1) % schedule.save_every == 0:
            _save(folder / CHECKPOINT, step + 1, time.monotonic() - started, module, optimizer, average)
    return average


def _rate(step: int, schedule: Schedule) -> float:
    if step < schedule.warmup:
        return schedule.rate * (step + 1) / schedule.warmup
    done = (step - schedule.warmup) / max(1, schedule.steps - schedule.warmup)
    return schedule.rate * (0.01 + 0.99 * (1 + math.cos(math.pi * done)) / 2)


@torch.no_grad()
def _blend(average: dict[str, Tensor], module: nn.Module, weight: float) -> None:
    for name, tensor in module.folded().items():  # type: ignore[operator]
        if tensor.is_floating_point():
            average[name].lerp_(tensor, 1 - weight)
        else:
            average[name].copy_(tensor)


def _save(
    path: Path,
    step: int,
    spent: float,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: Mapping[str, Tensor],
) -> None:
    state = {
        "step": step,
        "spent": spent,
        "module": module.state_dict(),
        "optimizer": optimizer.state_dict(),
        "average": dict(average),
    }
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    partial.replace(path)


def _resume(
    path: Path,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    average: dict[str, Tensor],
) -> tuple[int, float]:
    """The step to go on with and the seconds spent before."""
    if not path.exists():
        return 0, 0.0
    state = torch.load(path, weights_only=True)
    module.load_state_dict(state["module"])
    optimizer.load_state_dict(state["optimizer"])
    for name, tensor in state["average"].items():
        average[name].copy_(tensor)
    log.info("training resumed", step=state["step"])
    return int(state["step"]), float(state["spent"])


def _note(path: Path, step: int, seconds: float, figures: Mapping[str, float]) -> None:
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(["step", "minutes", *figures])
        writer.writerow([step, f"{seconds / 60:.1f}", *(f"{value:.4f}" for value in figures.values())])
    log.info("training", step=step, minutes=round(seconds / 60, 1), **{k: round(v, 4) for k, v in figures.items()})
