"""Weights in ncnn's files: a text (``.param``) that names the layers, and their numbers one after another (``.bin``).

Nothing in either can run code. The ``.bin`` has no index: what a layer holds follows from its line in the ``.param``.
One unknown layer or tag would shift all that follows, so both are refused, and the last layer must end where the
file does. The format is that of https://github.com/Tencent/ncnn/wiki/param-and-model-file-structure.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from enhancer.errors import ModelError

MAGIC: Final = "7767517"
FLOAT16_TAG: Final = 0x01306B47
FLOAT32_TAG: Final = 0

WEIGHTLESS: Final = frozenset({"Input", "Split", "Concat", "BinaryOp", "Eltwise", "Interp", "PixelShuffle", "ReLU"})
"""Layers that hold no numbers in the ``.bin``."""

_OUTPUTS, _KERNEL, _BIAS, _WEIGHTS, _KERNEL_HEIGHT = 0, 1, 5, 6, 11

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Layer:
    """One line of a ``.param``; `values` holds its ``key=value`` pairs that are not arrays, by key."""

    kind: str
    name: str
    values: dict[int, float]


def read_layers(param: Path) -> list[Layer]:
    """The layers of a ``.param`` file, in order.

    Raises:
        ModelError: it is no such file, or has not as many layers as it says (reason ``bad-weights``).
    """
    try:
        lines = [line.split() for line in param.read_text(encoding="utf-8").splitlines() if line.strip()]
        if lines[0] != [MAGIC]:
            raise ModelError(f"{param.name} does not begin with ncnn's {MAGIC}", reason="bad-weights")
        count, rows = int(lines[1][0]), lines[2:]
        layers = [_layer(row) for row in rows]
    except (ValueError, IndexError) as error:
        raise ModelError(f"{param.name} is not a .param file of ncnn: {error}", reason="bad-weights") from error
    if len(layers) != count:
        raise ModelError(f"{param.name} says {count} layers and has {len(layers)}", reason="bad-weights")
    return layers


def read_weights(param: Path, weights: Path) -> Iterator[tuple[Layer, dict[str, Array]]]:
    """The arrays of each layer that has some, in the order of the ``.param``.

    Args:
        param: the layers.
        weights: their numbers.

    Yields:
        A layer and its arrays: of a Convolution ``weight`` (out x in x height x width, float16 or float32) and, where
        it has one, ``bias`` (out, float32); of a PReLU ``weight`` (channels, float32).

    Raises:
        ModelError: a layer or a tag that is not known, a shape that cannot be, or numbers that end too early or too
            late (reason ``bad-weights``).
    """
    yield from weights_of(read_layers(param), weights, param.name)


def weights_of(layers: Iterable[Layer], weights: Path, name: str) -> Iterator[tuple[Layer, dict[str, Array]]]:
    """:func:`read_weights` where the layers are known without a ``.param``; `name` says in errors where from."""
    numbers = _Numbers(weights)
    for layer in layers:
        if layer.kind in WEIGHTLESS:
            continue
        try:
            if layer.kind == "Convolution":
                yield layer, _convolution(layer, numbers)
            elif layer.kind == "PReLU":
                yield layer, {"weight": numbers.take(int(layer.values[0]), np.dtype("<f4"))}
            else:
                raise ModelError(f"{name} has a layer {layer.kind}, which is not known", reason="bad-weights")
        except KeyError as error:
            raise ModelError(
                f"{name}: {layer.kind} {layer.name} lacks its value {error}", reason="bad-weights"
            ) from error
    numbers.check_end()


def convolution(name: str, outputs: int, inputs: int) -> Layer:
    """A 3 x 3 convolution with bias."""
    return Layer("Convolution", name, {_OUTPUTS: outputs, _KERNEL: 3, _BIAS: 1, _WEIGHTS: 9 * outputs * inputs})


def _layer(row: list[str]) -> Layer:
    kind, name, inputs, outputs = row[0], row[1], int(row[2]), int(row[3])
    values = {}
    for pair in row[4 + inputs + outputs :]:
        key, value = pair.split("=")
        if int(key) >= 0:  # keys of -23300 and below announce arrays, which no layer read here has among its shapes
            values[int(key)] = float(value)
    return Layer(kind, name, values)


def _convolution(layer: Layer, numbers: _Numbers) -> dict[str, Array]:
    values = layer.values
    outputs, width, count = int(values[_OUTPUTS]), int(values[_KERNEL]), int(values[_WEIGHTS])
    height = int(values.get(_KERNEL_HEIGHT, width))
    kernel = outputs * height * width
    if kernel <= 0 or count <= 0 or count % kernel:
        raise ModelError(
            f"{numbers.name}: {layer.name} cannot have {count} weights for {outputs} outputs of {height} x {width}",
            reason="bad-weights",
        )
    arrays = {"weight": numbers.tagged(count, layer.name).reshape(outputs, count // kernel, height, width)}
    if values.get(_BIAS):
        arrays["bias"] = numbers.take(outputs, np.dtype("<f4"))
    return arrays


class _Numbers:
    """A ``.bin``, read from its start to its end."""

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self._data = path.read_bytes()
        self._at = 0

    def take(self, count: int, dtype: np.dtype[Any]) -> Array:
        """The next `count` numbers; what fills them up to a multiple of 4 bytes is passed over."""
        size = count * dtype.itemsize
        padded = -(-size // 4) * 4
        if count < 0 or self._at + padded > len(self._data):
            raise ModelError(
                f"{self.name} ends at byte {len(self._data)}, {count} numbers are missing at {self._at}",
                reason="bad-weights",
            )
        array = np.frombuffer(self._data, dtype, count, self._at)
        self._at += padded
        return array

    def tagged(self, count: int, layer: str) -> Array:
        """The next `count` numbers after a tag that says how they are stored."""
        tag = int(self.take(1, np.dtype("<u4"))[0])
        if tag == FLOAT16_TAG:
            return self.take(count, np.dtype("<f2"))
        if tag == FLOAT32_TAG:
            return self.take(count, np.dtype("<f4"))
        raise ModelError(f"{self.name}: {layer} has the tag {tag:#010x}, which is not known", reason="bad-weights")

    def check_end(self) -> None:
        if self._at != len(self._data):
            raise ModelError(
                f"{self.name} has {len(self._data)} bytes, its layers end at {self._at}", reason="bad-weights"
            )
