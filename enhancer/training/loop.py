"""The training loop that all nets share: seeded, resumable, averaged, with its curve in a file.

An entry says how a step's batch is drawn, on the CPU and maybe in other processes, and what the loss of a batch is,
wherever the net lies. Where there is a CUDA device the net lies there, and a step is one graph (enhancer/training/
step.py): nets as small as these otherwise finish each kernel before the next of a thousand is launched.
"""

from __future__ import annotations

import csv
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import cv2
import structlog
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from enhancer.training.step import CapturedStep, Step, averaged_weight
from enhancer.training.trainable import Trainable

log = structlog.get_logger(__name__)

CHECKPOINT: Final = "checkpoint.pt"
CURVE: Final = "curve.csv"
LOOK_EVERY: Final = 100
"""Steps on a CUDA device between two looks at the loss, each of which waits for the device."""

Batch = Sequence[Tensor]
Draw = Callable[[int], Batch]
Loss = Callable[..., Tensor]


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


def device() -> torch.device:
    """Where nets are trained: the CUDA device if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def train(
    module: Trainable,
    draw: Draw,
    loss: Loss,
    validate: Callable[[Mapping[str, Tensor]], Mapping[str, float]],
    schedule: Schedule,
    folder: Path,
    *,
    seed: int,
    workers: int = 0,
    bfloat16: bool = False,
) -> dict[str, Tensor]:
    """Train, or go on with what a checkpoint in `folder` says; a run that is cut off loses `save_every` steps at most.

    Args:
        module: made on the CPU, so that the start is the same everywhere; moved to :func:`device`.
        draw: the batch of a step, tensors on the CPU whose shapes are the same in every step; it must depend on the
            step only, so that a resumed run sees the same data.
        loss: of such a batch on the module's device; a scalar with gradients.
        validate: figures of the averaged weights on the CPU, written to the curve; in dB or the like.
        schedule: how long and how fast.
        folder: checkpoint and curve; made where missing.
        seed: recorded; the caller has seeded torch before it made the module.
        workers: processes that draw batches ahead; 0: each is drawn here when its step begins.
        bfloat16: on a CUDA device, compute the loss's convolutions in bfloat16.

    Returns:
        The averaged weights on the CPU, by the names of the net for inference.

    Raises:
        FloatingPointError: the loss is no longer finite. On a CUDA device this is seen up to `LOOK_EVERY` steps later.
    """
    folder.mkdir(parents=True, exist_ok=True)
    module.to(device())
    average = {name: tensor.detach().clone() for name, tensor in module.folded().items()}
    kind = CapturedStep if device().type == "cuda" else Step
    advance = kind(module, loss, average, clip=schedule.clip, bfloat16=bfloat16)
    first, spent = _resume(folder / CHECKPOINT, module, advance, average)
    _forget_after(folder / CURVE, first)
    started = time.monotonic() - spent
    module.train()
    for step, batch in enumerate(_batches(draw, range(first, schedule.steps), workers), first):
        value = advance(batch, rate=_rate(step, schedule), past=averaged_weight(step, schedule.average))
        last = step + 1 == schedule.steps
        if (last or device().type == "cpu" or step % LOOK_EVERY == 0) and not torch.isfinite(value):
            raise FloatingPointError(f"the loss at step {step} is {value.item()}: lower the rate (seed {seed})")
        if last or (step + 1) % schedule.validate_every == 0:
            module.eval()
            figures = {"loss": value.item(), **validate(_on_cpu(average))}
            module.train()
            _note(folder / CURVE, step + 1, time.monotonic() - started, figures)
        if last or (step + 1) % schedule.save_every == 0:
            _save(folder / CHECKPOINT, step + 1, time.monotonic() - started, module, advance.optimizer, average)
    return _on_cpu(average)


class _Steps(Dataset[Batch]):
    """The batches of all steps, by step."""

    def __init__(self, draw: Draw) -> None:
        self._draw = draw

    def __getitem__(self, step: int) -> Batch:
        return self._draw(step)


def _batches(draw: Draw, steps: range, workers: int) -> DataLoader[Batch]:
    return DataLoader(
        _Steps(draw),
        batch_size=None,
        sampler=steps,
        num_workers=workers,
        worker_init_fn=_alone,
        multiprocessing_context="fork" if workers else None,
        prefetch_factor=4 if workers else None,
        pin_memory=device().type == "cuda",
    )


def _alone(_: int) -> None:
    cv2.setNumThreads(0)  # each process has one core; OpenCV's threads do not live through a fork


def _on_cpu(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.cpu() for name, tensor in weights.items()}


def _rate(step: int, schedule: Schedule) -> float:
    if step < schedule.warmup:
        return schedule.rate * (step + 1) / schedule.warmup
    done = (step - schedule.warmup) / max(1, schedule.steps - schedule.warmup)
    return schedule.rate * (0.01 + 0.99 * (1 + math.cos(math.pi * done)) / 2)


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


def _resume(path: Path, module: nn.Module, advance: Step, average: dict[str, Tensor]) -> tuple[int, float]:
    """The step to go on with and the seconds spent before."""
    if not path.exists():
        return 0, 0.0
    state = torch.load(path, map_location="cpu", weights_only=True)
    module.load_state_dict(state["module"])
    advance.load_optimizer(state["optimizer"])
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
