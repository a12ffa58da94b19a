"""The training loop that all nets share: seeded, resumable, averaged, with its curve in a file.

Where there is a CUDA device, the net and what is kept of it lie there. Batches, losses and validation stay on the CPU:
what passes between is small beside the work of a step, and the entries need not know.
"""

from __future__ import annotations

import csv
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

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


class Trainable(nn.Module, ABC):
    """A module that knows the weights that are kept of it, which may be fewer than those it learns.

    Called, it takes a batch from any device and gives its result there.
    """

    @abstractmethod
    def folded(self) -> dict[str, Tensor]:
        """Weights for inference by name."""


class AsIs(Trainable):
    """A net that is trained in the form in which it is used."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, given: Tensor) -> Tensor:
        """What the net gives, where `given` lies."""
        result: Tensor = self.net(given.to(next(self.net.parameters()).device))
        return result.to(given.device)

    def folded(self) -> dict[str, Tensor]:
        """Its own weights and buffers."""
        return dict(self.net.state_dict())


def train(
    module: Trainable,
    loss_at: Callable[[int], Tensor],
    validate: Callable[[Mapping[str, Tensor]], Mapping[str, float]],
    schedule: Schedule,
    folder: Path,
    *,
    seed: int,
) -> dict[str, Tensor]:
    """Train, or go on with what a checkpoint in `folder` says; a run that is cut off loses `save_every` steps at most.

    Args:
        module: made on the CPU, so that the start is the same everywhere; moved to the CUDA device if there is one.
        loss_at: the loss of a step, a scalar with gradients; it must depend on the step and the weights only, so that a
            resumed run sees the same data.
        validate: figures of the averaged weights, written to the curve; in dB or the like.
        schedule: how long and how fast.
        folder: checkpoint and curve; made where missing.
        seed: recorded; the caller has seeded torch before it made the module.

    Returns:
        The averaged weights on the CPU, by the names of the net for inference.

    Raises:
        FloatingPointError: the loss is no longer finite.
    """
    folder.mkdir(parents=True, exist_ok=True)
    module.to("cuda" if torch.cuda.is_available() else "cpu")
    optimizer = torch.optim.Adam([one for one in module.parameters() if one.requires_grad], betas=(0.9, 0.99))
    average = {name: tensor.detach().clone() for name, tensor in module.folded().items()}
    first, spent = _resume(folder / CHECKPOINT, module, optimizer, average)
    _forget_after(folder / CURVE, first)
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
            figures = {"loss": loss.item(), **validate(_on_cpu(average))}
            _note(folder / CURVE, step + 1, time.monotonic() - started, figures)
        if last or (step + 1) % schedule.save_every == 0:
            _save(folder / CHECKPOINT, step + 1, time.monotonic() - started, module, optimizer, average)
    return _on_cpu(average)


def _on_cpu(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.cpu() for name, tensor in weights.items()}


def _rate(step: int, schedule: Schedule) -> float:
    if step < schedule.warmup:
        return schedule.rate * (step + 1) / schedule.warmup
    done = (step - schedule.warmup) / max(1, schedule.steps - schedule.warmup)
    return schedule.rate * (0.01 + 0.99 * (1 + math.cos(math.pi * done)) / 2)


@torch.no_grad()
def _blend(average: dict[str, Tensor], module: Trainable, weight: float) -> None:
    for name, tensor in module.folded().items():
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
    state = torch.load(path, map_location="cpu", weights_only=True)
    module.load_state_dict(state["module"])
    optimizer.load_state_dict(state["optimizer"])
    for name, tensor in state["average"].items():
        average[name].copy_(tensor)
    log.info("training resumed", step=state["step"])
    return int(state["step"]), float(state["spent"])


def _forget_after(path: Path, step: int) -> None:
    """Drop the lines of steps that were made after the checkpoint, for they are made again."""
    if not path.exists():
        return
    with path.open(newline="") as file:
        head, *rows = csv.reader(file)
    partial = path.with_suffix(".partial")
    with partial.open("w", newline="") as file:
        csv.writer(file).writerows([head, *(row for row in rows if int(row[0]) <= step)])
    partial.replace(path)


def _note(path: Path, step: int, seconds: float, figures: Mapping[str, float]) -> None:
    new = not path.exists()
    with path.open("a", newline="") as file:
        writer = csv.writer(file)
        if new:
            writer.writerow(["step", "minutes", *figures])
        writer.writerow([step, f"{seconds / 60:.1f}", *(f"{value:.4f}" for value in figures.values())])
    log.info("training", step=step, minutes=round(seconds / 60, 1), **{k: round(v, 4) for k, v in figures.items()})
