"""Nets in torch, on the CPU or a CUDA device."""

from __future__ import annotations

import numpy as np
import torch

from enhancer.backends.base import NetSpec, OutOfMemory
from enhancer.errors import RequestError
from enhancer.image import FloatPixels

CPU_OUT_OF_MEMORY = ("DefaultCPUAllocator: can't allocate memory", "DefaultCPUAllocator: not enough memory")
"""How torch words a failed allocation in the CPU's memory (POSIX, Windows), for which it has no exception class."""


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
    """A net ready to run; implements :class:`enhancer.backends.base.Net`.

    Args:
        module: takes and gives N x C x H x W; it is moved to the device.
        spec: what the tiler must know of it.
        device: a setting for :func:`pick_device`, or a device.
        half: compute in float16 where the device is CUDA. The first tile is checked: where float16 overflows, the net
            stays with float32 from then on, and :attr:`half` says so.
    """

    def __init__(
        self, module: torch.nn.Module, spec: NetSpec, device: str | torch.device = "auto", *, half: bool = False
    ) -> None:
        self.device = pick_device(device) if isinstance(device, str) else device
        self._spec = spec
        self._module = module.to(self.device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        self.half = half and self.device.type == "cuda"
        self._half_proven = False

    @property
    def spec(self) -> NetSpec:
        """What the tiler and the stages must know of it."""
        return self._spec

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
            return self._run(batch)
        except torch.OutOfMemoryError as error:
            trouble = str(error)
        except RuntimeError as error:
            if not any(text in str(error) for text in CPU_OUT_OF_MEMORY):
                raise
            trouble = str(error)
        # Outside the handlers, as their exception holds on to the tensors of the failed attempt.
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        raise OutOfMemory(f"{self._spec.name} on {self.device}, tile {batch.shape}: {trouble.splitlines()[0]}")

    @torch.inference_mode()
    def _run(self, batch: FloatPixels) -> FloatPixels:
        given = torch.from_numpy(np.ascontiguousarray(batch)).to(self.device, memory_format=torch.channels_last)
        if self.half:
            with torch.autocast("cuda", torch.float16):
                result = self._module(given)
            if not self._half_proven:
                self._half_proven = bool(torch.isfinite(result).all())
                self.half = self._half_proven
        if not self.half:
            result = self._module(given)
        pixels: FloatPixels = result.float().cpu().numpy()
        return pixels
