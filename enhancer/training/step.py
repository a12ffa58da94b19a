"""One step of training: the loss of a batch, its gradients, the optimiser, and the running average of the weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import torch
from torch import Tensor, nn

from enhancer.training.trainable import Trainable

FIRST_STEPS: Final = 3
"""Steps before one is captured: CUDA's libraries make their plans and the optimiser its state in them."""


def averaged_weight(step: int, most: float) -> float:
    """Weight of the past in the running average: `most` in the end, less in the first steps, soon outdated."""
    return min(most, (step + 1) / (step + 10))


class Step:
    """Steps run eagerly, on any device.

    Args:
        module: lies on its device already.
        loss: of a batch there.
        average: the running average of the folded weights, updated in place.
        clip: bound of the gradient's norm.
        bfloat16: compute the loss's convolutions in bfloat16, on a CUDA device.
    """

    def __init__(
        self,
        module: Trainable,
        loss: Callable[..., Tensor],
        average: Mapping[str, Tensor],
        *,
        clip: float,
        bfloat16: bool = False,
    ) -> None:
        self._module, self._loss, self._average = module, loss, average
        self._clip, self._bfloat16 = clip, bfloat16
        self._parameters = [one for one in module.parameters() if one.requires_grad]
        self.optimizer = self._fresh_optimizer()

    def __call__(self, batch: Sequence[Tensor], *, rate: float, past: float) -> Tensor:
        """Do one step.

        Args:
            batch: on the CPU.
            rate: learning rate.
            past: weight of the past in the running average.

        Returns:
            The loss before the step.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        return self._advance(batch, 1 - past)

    def load_optimizer(self, state: dict[str, Any]) -> None:
        """Go on with the moments of a checkpoint, made on whatever device."""
        self.optimizer.load_state_dict(_with_settings(state, self.optimizer))

    def _fresh_optimizer(self, **settings: Any) -> torch.optim.Adam:
        return torch.optim.Adam(self._parameters, betas=(0.9, 0.99), **settings)

    def _advance(self, batch: Sequence[Tensor], present: float | Tensor) -> Tensor:
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cuda", torch.bfloat16, enabled=self._bfloat16, cache_enabled=False):
            loss = self._loss(*batch)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._parameters, self._clip)
        self.optimizer.step()
        self._blend(present)
        return loss.detach()

    @torch.no_grad()
    def _blend(self, present: float | Tensor) -> None:
        for name, tensor in self._module.folded().items():
            if tensor.is_floating_point():
                self._average[name].lerp_(tensor, present)
            else:
                self._average[name].copy_(tensor)


class CapturedStep(Step):
    """Steps on a CUDA device, run eagerly at first, then captured once as a CUDA graph and replayed.

    What changes from step to step, the batch, the rate and the average's weight, is copied to where the record expects
    it (PyTorch's documentation, "CUDA Graphs", on whole-network capture).
    """

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        self._rate = torch.zeros((), device="cuda")
        self._present = torch.zeros((), device="cuda")
        super().__init__(*arguments, **settings)
        self._given: list[Tensor] = []
        self._value: Tensor | None = None
        self._graph: torch.cuda.CUDAGraph | None = None
        self._done = 0

    def __call__(self, batch: Sequence[Tensor], *, rate: float, past: float) -> Tensor:
        """Do one step; what is returned is overwritten by the next."""
        self._rate.fill_(rate)
        self._present.fill_(1 - past)
        if not self._given:
            self._given = [torch.empty_like(tensor, device="cuda") for tensor in batch]
        for place, tensor in zip(self._given, batch, strict=True):
            place.copy_(tensor, non_blocking=True)
        self._done += 1
        if self._done <= FIRST_STEPS:
            return self._aside()
        if self._graph is None:
            self._graph = torch.cuda.CUDAGraph()
            # Other threads go on meanwhile: batches are pinned by one.
            with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
                self._value = self._advance(self._given, self._present)
        self._graph.replay()
        assert self._value is not None
        return self._value

    def _fresh_optimizer(self, **settings: Any) -> torch.optim.Adam:
        return super()._fresh_optimizer(lr=self._rate, capturable=True, **settings)

    def _aside(self) -> Tensor:
        """A step on a stream of its own, as those before a capture must be."""
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            value = self._advance(self._given, self._present)
        torch.cuda.current_stream().wait_stream(stream)
        return value


def _with_settings(state: dict[str, Any], optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """An optimiser's state with the settings of this one, as a checkpoint of another device has other ones."""
    groups = [
        {**new, "params": old["params"]}
        for old, new in zip(state["param_groups"], optimizer.state_dict()["param_groups"], strict=True)
    ]
    return {**state, "param_groups": groups}
