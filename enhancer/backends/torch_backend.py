"""Nets in torch, on the CPU or a CUDA device."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Final

import numpy as np
import torch
from torch import nn

from enhancer.backends import cuda
from enhancer.backends.base import NetSpec, OutOfMemory
from enhancer.errors import RequestError
from enhancer.image import FloatPixels

OUT_OF_MEMORY: Final = (
    "DefaultCPUAllocator: can't allocate memory",
    "DefaultCPUAllocator: not enough memory",
    "CUDA error: out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)
"""How a failed allocation is worded that has no exception class: the CPU's memory (POSIX, Windows), pinned memory, a
library's workspace."""


def pick_device(setting: str) -> torch.device:
    """The device for a setting: ``auto`` is CUDA where there is one, else the CPU; other values as torch names them.

    Raises:
        RequestError: CUDA is asked for and there is none, or the name means nothing (reason ``bad-device``).
    """
    if setting == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(setting)
    except RuntimeError as error:
        raise RequestError(f"{setting!r} is no device: use auto, cpu or cuda", reason="bad-device") from error
    if device.type == "cuda" and not torch.cuda.is_available():
        raise RequestError(f"device {setting!r} was asked for, but torch sees no CUDA device", reason="bad-device")
    return device


class TorchNet:
    """A net ready to run; implements :class:`enhancer.backends.base.Net`. Safe to share between threads.

    On a CUDA device its spec asks for several tiles at once, and float32 is float32: TF32, which torch takes for
    convolutions by default, has no more digits than float16.

    Args:
        module: takes and gives N x C x H x W; it is moved to the device.
        spec: what the tiler must know of it.
        device: a setting for :func:`pick_device`, or a device.
        half: compute in float16 where the device is CUDA. Every result is checked: one that float16 overflowed in is
            computed again in float32, and where that helps the net stays with float32 from then on; :attr:`half` and
            the spec's precision say so.
    """

    def __init__(
        self, module: nn.Module, spec: NetSpec, device: str | torch.device = "auto", *, half: bool = False
    ) -> None:
        self.device = pick_device(device) if isinstance(device, str) else device
        self._spec = spec
        self._module = module.to(self.device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        self.half = half and self.device.type == "cuda"
        self._in_half = _with_half_weights(self._module) if self.half else None
        if self.device.type == "cuda":
            torch.backends.cudnn.allow_tf32 = False
            self._spec = replace(spec, batch_tiles=cuda.BATCH_TILES, batch_pixels=cuda.BATCH_PIXELS)
            torch.cuda.synchronize(self.device)  # streams of their own read the weights from now on

    @property
    def spec(self) -> NetSpec:
        """What the tiler and the stages must know of it."""
        return replace(self._spec, precision="fp16") if self.half else self._spec

    def run(self, batch: FloatPixels) -> FloatPixels:
        """Run the net.

        Args:
            batch: N x in_channels x H x W float32; sides as the spec demands.

        Returns:
            N x out_channels x sH x sW float32, not clipped; in whatever order it lies in memory.

        Raises:
            OutOfMemory: the device cannot hold it. Every other error of torch passes as it is.
        """
        try:
            return self._on_cuda(batch) if self.device.type == "cuda" else self._on_cpu(batch)
        except torch.OutOfMemoryError as error:
            trouble = str(error)
        except RuntimeError as error:
            if not any(text in str(error) for text in OUT_OF_MEMORY):
                raise
            trouble = str(error)
        # Outside the handlers, as their exception holds on to the tensors of the failed attempt.
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        raise OutOfMemory(f"{self._spec.name} on {self.device}, tile {batch.shape}: {trouble.splitlines()[0]}")

    @torch.inference_mode()
    def _on_cpu(self, batch: FloatPixels) -> FloatPixels:
        given = torch.from_numpy(np.ascontiguousarray(batch)).to(memory_format=torch.channels_last)
        pixels: FloatPixels = self._module(given).float().numpy()
        return pixels

    @torch.inference_mode()
    def on_device(self, given: torch.Tensor) -> torch.Tensor:
        """The net alone, from tensor to tensor of its CUDA device, in the precision that it has now; unchecked."""
        return self._computed(given, half=self.half)

    def _computed(self, given: torch.Tensor, *, half: bool) -> torch.Tensor:
        if not half or self._in_half is None:
            result: torch.Tensor = self._module(given)
            return result
        with torch.autocast("cuda", torch.float16, cache_enabled=False):
            halved: torch.Tensor = self._in_half(given)
        return halved

    @torch.inference_mode()
    def _on_cuda(self, batch: FloatPixels) -> FloatPixels:
        with cuda.stream(self.device):
            given = cuda.to_device(batch, self.device)
            half = self.half  # another thread may find an overflow meanwhile
            result = self._computed(given, half=half)
            if not half:
                return cuda.to_host(result)
            finite = torch.isfinite(result).all()
            pixels = cuda.to_host(result)
            if finite:
                return pixels
            del result
            exact: FloatPixels = cuda.to_host(self._computed(given, half=False))
            if np.isfinite(exact).all():
                self.half = False
            return exact


def _with_half_weights(module: nn.Module) -> nn.Module:
    """A copy whose products have float16 weights, as autocast would cast them for each run; the rest stays float32."""
    halved = copy.deepcopy(module)
    for part in halved.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            part.half()
    return halved
