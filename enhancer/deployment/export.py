"""A catalogue's net as ONNX, and as an OpenVINO model."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from enhancer.backends.base import NetSpec
from enhancer.backends.openvino_graph import has_graph, plain_graph, plain_weights
from enhancer.deployment.telemetry import silence
from enhancer.models.architectures import own
from enhancer.models.catalogue import ModelEntry

OPSET: Final = 20
TRACED_SIDE: Final = 64
"""Of the example that a net is traced with; a multiple of every net's own."""


class Half(nn.Module):
    """A net that computes in float16, float32 outside: the precision of an ONNX file, as TensorRT 11 wants it."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net.half()

    def forward(self, picture: Tensor) -> Tensor:
        """N x C x H x W float32 to the same."""
        result: Tensor = self.net(picture.half())
        return result.float()


def to_onnx(module: nn.Module, spec: NetSpec, path: Path) -> None:
    """Write a net as ONNX, opset :data:`OPSET`.

    Its input is ``picture``, N x C x H x W float32, its output ``result``; all but C of any length. Opset 20 is read by
    ONNX Runtime from 1.17 on, which runs on phones.
    """
    example = torch.rand(1, spec.in_channels, TRACED_SIDE, TRACED_SIDE)
    free = {0: "n", 2: "h", 3: "w"}
    larger = free if spec.scale == 1 else {0: "n", 2: f"{spec.scale}h", 3: f"{spec.scale}w"}
    torch.onnx.export(
        module,
        (example,),
        str(path),
        input_names=["picture"],
        output_names=["result"],
        opset_version=OPSET,
        dynamic_axes={"picture": free, "result": larger},
        dynamo=False,  # the other exporter needs onnxscript, and gives the same graph for convolutions
    )


def to_openvino(entry: ModelEntry, weights: Path, module: nn.Module, spec: NetSpec) -> Any:
    """An ``openvino.Model`` of the net that takes and gives N x H x W x C float32.

    A plain net's is made from its weights; that of any other from torch's trace.
    """
    if has_graph(entry):
        return plain_graph(*plain_weights(entry, weights))
    return traced(module, spec.in_channels, only_side=only_side(entry))


def only_side(entry: ModelEntry) -> int | None:
    """Height and width of the only input that the entry's net takes; None: any that its spec allows."""
    architecture = own(entry.architecture) if entry.architecture else None
    return architecture.only_side if architecture else None


def traced(module: nn.Module, channels: int, *, only_side: int | None = None) -> Any:
    """An ``openvino.Model`` of any net of torch's from N x H x W x `channels` to N x H' x W' x C', float32.

    Args:
        module: the net.
        channels: of its input.
        only_side: height and width of the only input that it takes, which then is one picture; None: any.
    """
    silence()
    import openvino as ov
    from openvino.preprocess import PrePostProcessor

    side = only_side or TRACED_SIDE
    example = torch.rand(1, channels, side, side)
    shape = [1, channels, side, side] if only_side else [-1, channels, -1, -1]
    model = ov.convert_model(module, example_input=example, input=shape)
    layout = PrePostProcessor(model)
    layout.input().tensor().set_layout(ov.Layout("NHWC"))
    layout.input().model().set_layout(ov.Layout("NCHW"))
    layout.output().tensor().set_layout(ov.Layout("NHWC"))
    layout.output().model().set_layout(ov.Layout("NCHW"))
    return layout.build()


def as_openvino_input(given: Any) -> Any:
    """C x H x W as what :func:`to_openvino`'s models take."""
    return np.ascontiguousarray(np.moveaxis(given, 0, 2)[None], dtype=np.float32)
