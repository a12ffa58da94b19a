"""The net that a configuration file's table ``net`` describes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import load_file
from torch import nn

from enhancer.models.damage_net import DamageNet, DamageShape
from enhancer.models.plain import PlainNet, PlainShape


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
    if table["kind"] == "plain":
        return PlainNet(PlainShape(**shape))
    if table["kind"] == "damage":
        return DamageNet(DamageShape(**shape))
    raise ValueError(f"no net is of kind {table['kind']!r}: plain or damage")
