"""A plain net's graph for OpenVINO, built from its weights without torch.

What a picture's layout costs is most of what a fast net does beside its convolutions, so the graph takes and gives
pixels as they lie in memory, H x W x C. The pixel shuffle costs nothing either: the last convolution is cut into one
for each row of the square that a pixel becomes, with the channels ordered so that what it gives is that row of the
result already; the rows need only be put below each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from enhancer.errors import ModelError
from enhancer.models.catalogue import ModelEntry
from enhancer.models.plain_shape import COLOURS, PlainShape

Array = NDArray[np.float32]


def has_graph(entry: ModelEntry) -> bool:
    """Whether the entry's net can be built here."""
    return entry.architecture is not None and entry.architecture.lower() == "plain"


def plain_weights(entry: ModelEntry, path: Path) -> tuple[dict[str, Array], PlainShape]:
    """Weights and shape of a plain net of the catalogue.

    Args:
        entry: whose architecture is ``Plain``.
        path: its safetensors file.

    Raises:
        ModelError: the file does not hold it (reason ``bad-weights``).
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        weights = {name: np.asarray(array, np.float32) for name, array in load_file(path).items()}
        shape = PlainShape.of(weights, scale=entry.scale, conditions=entry.conditions, fold=entry.fold)
        given, last = COLOURS * shape.fold**2 + shape.conditions, shape.depth + 1
        fits = weights["convolutions.0.weight"].shape[1] == given
        fits = fits and len(weights[f"convolutions.{last}.bias"]) == COLOURS * (shape.fold * shape.scale) ** 2
    except (SafetensorError, KeyError, IndexError, OSError) as error:
        raise ModelError(f"{path.name} does not hold {entry.architecture}: {error}", reason="bad-weights") from error
    if not fits:
        raise ModelError(f"{path.name} holds another plain net than {entry.name}", reason="bad-weights")
    return weights, shape


def plain_graph(weights: Mapping[str, Array], shape: PlainShape) -> Any:
    """The net as an ``openvino.Model`` with one input, ``picture``, and one output, ``result``.

    Args:
        weights: ``convolutions.N.weight`` and ``.bias``, as
            :class:`enhancer.models.architectures.plain.PlainNet` has them.
        shape: of the net.

    Returns:
        A model from N x H x W x (3 + conditions) to N x (scale * H) x (scale * W) x 3, float32, not clipped; H and W
        are of any length that ``fold`` divides.
    """
    import openvino as ov
    from openvino import opset15 as op

    arrays = {name: np.asarray(value, np.float32) for name, value in weights.items()}
    picture = op.parameter([-1, -1, -1, COLOURS + shape.conditions], np.float32, name="picture")
    planes = op.transpose(picture, np.array([0, 3, 1, 2]))
    colours, conditions = planes, None
    if shape.conditions:
        parts = op.variadic_split(planes, np.int64(1), np.array([COLOURS, shape.conditions]))
        colours, conditions = parts.output(0), parts.output(1)
    if shape.fold > 1:
        # Channels in the order of torch's pixel_unshuffle: colour, row, column.
        colours = op.space_to_depth(colours, "depth_first", shape.fold)
    features = colours
    if conditions is not None:
        window = [shape.fold] * 2
        mean = op.avg_pool(conditions, window, [0, 0], [0, 0], window, exclude_pad=True)
        features = op.concat([features, mean], 1)
    for number in range(shape.depth + 1):
        features = op.relu(_convolution(features, arrays, number, name=f"convolution-{number}"))
    side = shape.scale * shape.fold
    order = np.arange(COLOURS * side**2).reshape(COLOURS, side, side)
    rows = []
    for row in range(side):
        channels = order[:, row].T.reshape(-1)  # column, then colour: as the pixels of a row lie
        strip = _convolution(features, arrays, shape.depth + 1, channels, name=f"row-{row}")
        if shape.fold == 1:
            strip = op.add(strip, op.concat([colours] * side, 1))
        rows.append(op.unsqueeze(op.transpose(strip, np.array([0, 2, 3, 1])), np.int64(2)))
    stacked = op.concat(rows, 2) if side > 1 else rows[0]
    result = op.reshape(stacked, _large(picture, side, shape.fold), special_zero=False)
    if shape.fold > 1:
        untouched = picture
        if shape.conditions:
            begin, end, step, axis = np.array([0]), np.array([COLOURS]), np.array([1]), np.array([3])
            untouched = op.slice(picture, begin, end, step, axis)
        result = op.add(result, untouched)
    result.output(0).get_tensor().set_names({"result"})
    picture.output(0).get_tensor().set_names({"picture"})
    return ov.Model([result], [picture], "plain")


def _convolution(given: Any, arrays: Mapping[str, Array], number: int, channels: Any = None, *, name: str) -> Any:
    """The net's convolution `number`, or only its output `channels`, in their order."""
    from openvino import opset15 as op

    kernel, bias = arrays[f"convolutions.{number}.weight"], arrays[f"convolutions.{number}.bias"]
    if channels is not None:
        kernel, bias = kernel[channels], bias[channels]
    ones = [1, 1]
    made = op.convolution(given, op.constant(np.ascontiguousarray(kernel)), ones, ones, ones, ones, name=name)
    return op.add(made, op.constant(bias.reshape(1, -1, 1, 1)))


def _large(picture: Any, side: int, fold: int) -> Any:
    """The result's shape, N x H' x W' x 3, out of the input's."""
    from openvino import opset15 as op

    sizes = op.shape_of(picture, "i64")
    batch = op.gather(sizes, np.array([0]), np.int64(0))
    sides = op.gather(sizes, np.array([1, 2]), np.int64(0))
    larger = op.multiply(op.divide(sides, np.array([fold], np.int64)), np.array([side], np.int64))
    return op.concat([batch, larger, op.constant(np.array([COLOURS], np.int64))], 0)
