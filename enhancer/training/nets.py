"""The net that a configuration file's table ``net`` describes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import nn

from enhancer.models.damage_net import DamageNet, DamageShape
from enhancer.models.fusion import FusionNet, FusionShape
from enhancer.models.plain import PlainNet, PlainShape


def build_net(table: Mapping[str, Any]) -> nn.Module:
    """A net with fresh weights.

    Args:
        table: ``kind`` and the fields of that kind's shape.

    Raises:
        ValueError: the kind is unknown.
    """
    shape = {name: value for name, value in table.items() if name != "kind"}
    if table["kind"] == "plain":
        return PlainNet(PlainShape(**shape))
    if table["kind"] == "fusion":
        return FusionNet(FusionShape(**shape))
    if table["kind"] == "damage":
        return DamageNet(DamageShape(**shape))
    raise ValueError(f"no net is of kind {table['kind']!r}: plain, fusion or damage")
