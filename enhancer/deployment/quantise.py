"""Post-training quantisation to int8 by NNCF, for OpenVINO on any CPU."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def quantised(model: Any, given: Sequence[NDArray[np.float32]], *, ends_in_float: bool = False) -> Any:
    """An ``openvino.Model`` with its convolutions in int8.

    Weights keep to half of int8's range: where a CPU has no VNNI, products of two pairs are added in 16 bits, and would
    saturate: fast-x2 lost 0.98 dB there instead of 0.05. Ranges are the largest ever seen, not a mean of largest,
    with which it lost 0.13 dB.

    Args:
        model: in float32.
        given: inputs whose activations set the ranges.
        ends_in_float: leave the first and the last layer as they are.
    """
    from enhancer.deployment.telemetry import silence

    silence()
    import nncf
    from nncf.quantization.advanced_parameters import AdvancedQuantizationParameters, OverflowFix
    from nncf.quantization.range_estimator import RangeEstimatorParametersSet

    ignored = nncf.IgnoredScope(names=_ends(model)) if ends_in_float else None
    return nncf.quantize(
        model,
        nncf.Dataset(list(given)),
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(given),
        fast_bias_correction=True,
        ignored_scope=ignored,
        advanced_parameters=AdvancedQuantizationParameters(
            overflow_fix=OverflowFix.ENABLE, activations_range_estimator_params=RangeEstimatorParametersSet.MINMAX
        ),
    )


def _ends(model: Any) -> list[str]:
    """Names of the convolutions next to the input, and of those that no other one follows."""
    convolutions = [node for node in model.get_ordered_ops() if node.get_type_name() == "Convolution"]
    first = [node for node in convolutions if not _reaches(node, convolutions, forwards=False)]
    last = [node for node in convolutions if not _reaches(node, convolutions, forwards=True)]
    return sorted({node.get_friendly_name() for node in (*first, *last)})


def _reaches(start: Any, wanted: Sequence[Any], *, forwards: bool) -> bool:
    """Whether a way from `start` meets another of the nodes."""
    names = {node.get_friendly_name() for node in wanted} - {start.get_friendly_name()}
    seen: set[str] = set()
    pending = [start]
    while pending:
        node = pending.pop()
        if forwards:
            after = [target.get_node() for output in node.outputs() for target in output.get_target_inputs()]
        else:
            after = [given.get_source_output().get_node() for given in node.inputs()]
        for other in after:
            name = other.get_friendly_name()
            if name in names:
                return True
            if name not in seen:
                seen.add(name)
                pending.append(other)
    return False
