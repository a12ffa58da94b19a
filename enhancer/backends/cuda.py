"""Between the host and a CUDA device: pinned memory, streams, and how much a device is given at once.

Results are sixteen times as large as what is enlarged four times, so that the way back costs more than a small net's
own work. They are converted and laid out pixel by pixel on the device, which has the faster memory for it, and copied
once, by DMA, into pinned memory that torch keeps and reuses. ``cudnn.benchmark`` stays off: tiles have as many shapes
as pictures, and batches as many sizes as there are neighbours, each of which it would stop to try kernels for.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from queue import LifoQueue
from typing import Final

import numpy as np
import torch

from enhancer.backends.joining import RUNS_AT_ONCE
from enhancer.image import FloatPixels

BATCH_TILES: Final = 32
BATCH_PIXELS: Final = 1 << 20
"""Four tiles of 512 x 512 pixels, sixteen of 256 x 256: enough to fill a device, in a few GB of its memory at 4x."""


@contextmanager
def stream(device: torch.device) -> Iterator[None]:
    """Work in a stream of the device's own, so that copies for one run go on while another computes.

    There are :data:`enhancer.backends.joining.RUNS_AT_ONCE` of them; who finds none free waits. What :func:`to_host`
    gave is complete; no tensor of the device may leave.
    """
    streams = _streams(device)
    mine = streams.get()
    try:
        with torch.cuda.stream(mine):
            yield
    finally:
        streams.put(mine)


def to_device(batch: FloatPixels, device: torch.device) -> torch.Tensor:
    """An array of the host, N x C x H x W float32 in any order, on the device, channels last."""
    staged = _pinned(torch.Size(batch.shape))
    np.copyto(staged.numpy(), batch)
    return staged.to(device, non_blocking=True)


def to_host(result: torch.Tensor) -> FloatPixels:
    """A result of the device, N x C x H x W, as float32, the channels of a pixel together; waits until it is there."""
    ready = result.to(torch.float32, memory_format=torch.channels_last)
    host = _pinned(ready.shape)
    host.copy_(ready, non_blocking=True)
    torch.cuda.current_stream(ready.device).synchronize()
    pixels: FloatPixels = host.numpy()
    return pixels


def _pinned(shape: torch.Size) -> torch.Tensor:
    return torch.empty(shape, dtype=torch.float32, pin_memory=True, memory_format=torch.channels_last)


@lru_cache
def _streams(device: torch.device) -> LifoQueue[torch.cuda.Stream]:
    streams: LifoQueue[torch.cuda.Stream] = LifoQueue()
    for _ in range(RUNS_AT_ONCE):
        streams.put(torch.cuda.Stream(device))  # type: ignore[no-untyped-call]
    return streams
