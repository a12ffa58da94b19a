"""Timing that peers share, and what this machine can do at most: what the speed benchmarks are held against.

Candidates run in turn, round after round, so that whatever else the machine does meets all of them alike.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

SCALE: Final = 4
QUALITY: Final = 92
NET_ALONE: Final = {
    "scale": SCALE,
    "denoise_strength": 0,
    "repair_impulses": False,
    **{stage: {"mode": "off"} for stage in ("jpeg", "exposure", "cast", "colour_fix")},
    "output": {"quality": QUALITY},
}
"""The recipe of a net without any other stage, from a JPEG to a JPEG."""
LONG_S: Final = 60.0
"""What takes longer is run once."""
FP32_SIDES: Final = (1024, 2048, 3072)
INT8_SHAPES: Final = ((1, 256, 128), (1, 512, 96), (3, 128, 128), (3, 256, 64))
"""Kernel, channels and side of the chains of convolutions among which the int8 limit is looked for."""
CHAIN: Final = 4
PICTURES_A_DAY: Final = 2_000_000
LIMIT_RUNS: Final = 5


@dataclass(frozen=True, slots=True)
class Limits:
    """The most operations a second, in units of 10^9, that anything here reaches; a product and a sum are two."""

    fp32: float
    int8: float

    def of(self, precision: str) -> float:
        """The limit for a net's precision."""
        return self.int8 if precision == "int8" else self.fp32


def medians(calls: Mapping[str, Callable[[], object]], runs: int) -> dict[str, float]:
    """Median wall-clock seconds of each call, run in turn after one that does not count.

    A call whose first run exceeds :data:`LONG_S` is not repeated: that run is its figure.
    """
    first = {name: _seconds(call) for name, call in calls.items()}
    repeated = [name for name, seconds in first.items() if seconds <= LONG_S]
    times: dict[str, list[float]] = {name: [] for name in repeated}
    for _ in range(runs):
        for name in repeated:
            times[name].append(_seconds(calls[name]))
    return {name: statistics.median(times[name]) if name in times else first[name] for name in calls}


def machines(a_second: float) -> int:
    """How many machines of this speed :data:`PICTURES_A_DAY` need, that work day and night."""
    return math.ceil(PICTURES_A_DAY / (24 * 3600 * a_second))


def limits() -> Limits:
    """Measured now: a matrix product in torch, and chains of convolutions in OpenVINO's int8."""
    return Limits(fp32=_fp32_limit(), int8=_int8_limit())


def operations(module: Any, side: int, channels: int = 3) -> float:
    """Operations of a torch net for a square picture, two for each product and sum; convolutions and matrices only."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        module(torch.zeros(1, channels, side, side))
    return float(counter.get_total_flops())


def _fp32_limit() -> float:
    import torch

    best = 0.0
    for side in FP32_SIDES:
        left, right = torch.rand(side, side), torch.rand(side, side)
        fastest = min(_seconds(lambda left=left, right=right: left @ right) for _ in range(LIMIT_RUNS))  # type: ignore[misc]
        best = max(best, 2 * side**3 / fastest / 1e9)
    return best


def _int8_limit() -> float:
    from enhancer.backends.base import NetSpec
    from enhancer.backends.openvino_backend import OpenVinoNet
    from enhancer.deployment.quantise import quantised

    best = 0.0
    for kernel, channels, side in INT8_SHAPES:
        given = np.random.default_rng(1).random((1, side, side, channels), np.float32)
        spec = NetSpec("limit", scale=1, in_channels=channels, out_channels=channels, halo=0)
        net = OpenVinoNet(quantised(_chain(kernel, channels), [given]), spec)
        planes = np.moveaxis(given, 3, 1)
        net.run(planes)
        fastest = min(_seconds(lambda net=net, planes=planes: net.run(planes)) for _ in range(LIMIT_RUNS))  # type: ignore[misc]
        best = max(best, 2 * CHAIN * (kernel * channels * side) ** 2 / fastest / 1e9)
    return best


def _chain(kernel: int, channels: int) -> Any:
    """Convolutions of one width, ReLU between them."""
    import openvino as ov
    from openvino import opset15 as op

    random = np.random.default_rng(2)
    given = op.parameter([1, -1, -1, channels], np.float32)
    planes = op.transpose(given, np.array([0, 3, 1, 2]))
    pad = [kernel // 2] * 2
    for _ in range(CHAIN):
        weights = random.normal(0, (kernel**2 * channels) ** -0.5, (channels, channels, kernel, kernel))
        planes = op.convolution(planes, op.constant(weights.astype(np.float32)), [1, 1], pad, pad, [1, 1])
        planes = op.relu(planes)
    return ov.Model([op.transpose(planes, np.array([0, 2, 3, 1]))], [given], "chain")


def _seconds(call: Callable[[], object]) -> float:
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin
