"""Nets in ncnn, a peer's runtime: from its own files, or written from one of our plain nets."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from enhancer.backends.base import NetSpec
from enhancer.image import FloatPixels
from enhancer.models.ncnn import FLOAT32_TAG, MAGIC

if TYPE_CHECKING:
    from enhancer.models.architectures.plain import PlainNet

RELU = 1
"""ncnn's number of the activation that a convolution applies to its own result."""


class NcnnNet:
    """A net ready to run on the CPU; implements :class:`enhancer.backends.base.Net` for batches of one.

    Args:
        param: the layers; the blobs that go in and come out are called ``data`` and ``output``.
        weights: their numbers.
        spec: what the tiler must know of it.
    """

    def __init__(self, param: Path, weights: Path, spec: NetSpec) -> None:
        import ncnn  # type: ignore[import-untyped]

        self._spec = spec
        self._ncnn = ncnn
        self._net: Any = ncnn.Net()
        self._net.opt.num_threads = len(os.sched_getaffinity(0))
        if self._net.load_param(str(param)) or self._net.load_model(str(weights)):
            raise ValueError(f"ncnn cannot load {param}")

    @property
    def spec(self) -> NetSpec:
        """What the tiler must know of it."""
        return self._spec

    def run(self, batch: FloatPixels) -> FloatPixels:
        """1 x C x H x W float32 to 1 x C' x sH x sW float32."""
        channels, height, width = batch.shape[1:]
        given = self._ncnn.Mat(
            width, height, channels
        )  # not of the array: ncnn aligns each channel, and copies nothing
        np.asarray(given)[:] = batch[0]
        extractor = self._net.create_extractor()
        extractor.input("data", given)
        failed, result = extractor.extract("output")
        if failed:
            raise RuntimeError(f"ncnn returned {failed}")
        pixels: FloatPixels = np.array(result)[None]
        return pixels


def write_plain(net: PlainNet, param: Path, weights: Path) -> None:
    """Write a plain net that enlarges, without conditions, in ncnn's format."""
    scale, last = net.shape.scale, len(net.convolutions) - 1
    rows = ["Input data 0 1 data", "Split split 1 2 data picture skip"]
    numbers = []
    given = "picture"
    state = {name: tensor.numpy().astype("<f4") for name, tensor in net.state_dict().items()}
    for place in range(last + 1):
        kernel, bias = (state[f"convolutions.{place}.{part}"] for part in ("weight", "bias"))
        activation = f" 9={RELU}" if place < last else ""
        shape = f"0={len(bias)} 1=3 4=1 5=1 6={kernel.size}{activation}"
        rows.append(f"Convolution convolution-{place} 1 1 {given} c{place} {shape}")
        numbers += [np.array([FLOAT32_TAG], "<u4").tobytes(), kernel.tobytes(), bias.tobytes()]
        given = f"c{place}"
    rows.append(f"PixelShuffle shuffle 1 1 {given} change 0={scale}")
    rows.append(f"Interp enlarge 1 1 skip large 0=1 1={scale:e} 2={scale:e}")
    rows.append("BinaryOp add 2 1 change large output 0=0")
    blobs = 5 + len(net.convolutions) + 1
    param.write_text("\n".join([MAGIC, f"{len(rows)} {blobs}", *rows, ""]), encoding="utf-8")
    weights.write_bytes(b"".join(numbers))
