"""The net of LPIPS (Zhang et al. 2018), as its authors' package `lpips` defines it, in OpenVINO.

`lpips` imports torch and torchvision, which took more of an evaluating worker's start than all else; all that is needed
of them are two lists of layers, and the linear heads, which lie beside this module. OpenVINO runs the same float32
convolutions in less time. tests/quality holds this net against the package.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load_file

from enhancer.backends.openvino_backend import request_of
from enhancer.errors import ModelError
from enhancer.image import FloatPixels

HEADS: Final = Path(__file__).with_name("lpips-heads.safetensors")
SHIFT: Final = (-0.030, -0.088, -0.188)
SCALE: Final = (0.458, 0.448, 0.450)
EPSILON: Final = 1e-10

Array = NDArray[np.float32]
Layer = tuple[str, int, int]
"""A convolution: its number in torchvision's list of layers, stride and padding."""

_ALEX: Final[tuple[tuple[int, tuple[Layer, ...]], ...]] = (
    (0, (("0", 4, 2),)),
    (3, (("3", 1, 2),)),
    (3, (("6", 1, 1),)),
    (0, (("8", 1, 1),)),
    (0, (("10", 1, 1),)),
)
_VGG: Final[tuple[tuple[int, tuple[Layer, ...]], ...]] = (
    (0, (("0", 1, 1), ("2", 1, 1))),
    (2, (("5", 1, 1), ("7", 1, 1))),
    (2, (("10", 1, 1), ("12", 1, 1), ("14", 1, 1))),
    (2, (("17", 1, 1), ("19", 1, 1), ("21", 1, 1))),
    (2, (("24", 1, 1), ("26", 1, 1), ("28", 1, 1))),
)
STAGES: Final = {"alex": _ALEX, "vgg": _VGG}
"""Of each net: the side of the pooling (by 2, 0: none) before each of five stages, and the stage's convolutions."""


class LpipsNet:
    """The distance of pairs of pictures: differences of normalised features after five stages, weighted and averaged.

    Args:
        net: ``alex`` or ``vgg``.
        weights: safetensors with torchvision's ``features`` keys (``features.0.weight`` or ``0.weight``).
        threads: of the CPU; 0: as many as this process may use.

    Raises:
        ModelError: tensors are missing or of the wrong shape.
    """

    def __init__(self, net: str, weights: Path, *, threads: int = 0) -> None:
        heads = load_file(HEADS)
        layers = {name.removeprefix("features."): np.asarray(w, np.float32) for name, w in load_file(weights).items()}
        try:
            model = _graph(net, layers, [heads[f"{net}.{number}"] for number in range(len(STAGES[net]))])
            self._request = request_of(model, threads)
        except (KeyError, RuntimeError) as error:
            cause = f"{type(error).__name__}: {str(error).splitlines()[0]}"
            raise ModelError(
                f"{weights.name} is no LPIPS backbone for {net!r}: {cause}", reason="bad-weights"
            ) from error
        self._lock = threading.Lock()  # a request has one input and one output

    def distances(self, first: list[FloatPixels], second: list[FloatPixels]) -> list[float]:
        """One for each pair.

        Args:
            first: pictures of one size, H x W x 3 float32 in [0, 1].
            second: as many more.
        """
        pictures = np.stack([*first, *second], dtype=np.float32)
        with self._lock:
            self._request.infer([pictures], share_inputs=True)
            found: list[float] = self._request.get_output_tensor().data.tolist()
        return found


def _graph(net: str, layers: Mapping[str, Array], heads: list[Array]) -> Any:
    """An ``openvino.Model`` from 2N x H x W x 3 in [0, 1] to the N distances of its first half to its second."""
    import openvino as ov
    from openvino import opset15 as op

    pictures = op.parameter([-1, -1, -1, 3], np.float32, name="pictures")
    signed = op.subtract(op.multiply(op.transpose(pictures, np.array([0, 3, 1, 2])), np.float32(2)), np.float32(1))
    shift, scale = (np.array(value, np.float32).reshape(1, 3, 1, 1) for value in (SHIFT, SCALE))
    state = op.divide(op.subtract(signed, op.constant(shift)), op.constant(scale))
    total = op.constant(np.zeros(1, np.float32))
    for (pooling, convolutions), head in zip(STAGES[net], heads, strict=True):
        if pooling:
            state = op.max_pool(state, [2, 2], [1, 1], [0, 0], [0, 0], [pooling, pooling]).output(0)
        for name, stride, padding in convolutions:
            kernel, bias = layers[f"{name}.weight"], layers[f"{name}.bias"]
            step, frame = [stride] * 2, [padding] * 2
            made = op.convolution(state, op.constant(kernel), step, frame, frame, [1, 1])
            state = op.relu(op.add(made, op.constant(bias.reshape(1, -1, 1, 1))))
        length = op.sqrt(op.reduce_sum(op.multiply(state, state), np.array([1]), keep_dims=True))
        normalised = op.divide(state, op.add(length, np.float32(EPSILON)))
        first, second = op.split(normalised, np.int64(0), 2).outputs()
        apart = op.subtract(first, second)
        weighted = op.multiply(op.multiply(apart, apart), op.constant(head.reshape(1, -1, 1, 1)))
        of_places = op.reduce_sum(weighted, np.array([1]), keep_dims=True)
        total = op.add(total, op.reduce_mean(of_places, np.array([1, 2, 3])))
    return ov.Model([total], [pictures], f"lpips-{net}")
