"""The net that a configuration file's table ``net`` describes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import nn

from enhancer.models.architectures import own


def build_net(table: Mapping[str, Any], start: Path | None = None) -> nn.Module:
    """A net with fresh weights, or with those of a file.

    Args:
        table: ``kind`` and the fields of that kind's shape.
        start: safetensors of the same net to start from.

    Raises:
        ValueError: the kind is unknown.
        RuntimeError: `start` is of another net.
    """
    net = _fresh(table)
    if start:
        net.load_state_dict({name: tensor.float() for name, tensor in load_file(start).items()})
    return net


def _fresh(table: Mapping[str, Any]) -> nn.Module:
    shape = {name: value for name, value in table.items() if name != "kind"}
    architecture = own(table["kind"])
    if architecture is None or architecture.fresh is None:
        raise ValueError(f"no net is of kind {table['kind']!r}: a module of enhancer/models/architectures that has one")
    return architecture.fresh(shape)
