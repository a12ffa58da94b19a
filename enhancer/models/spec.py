"""What a caller must know of a net to feed it: :class:`NetSpec`. Loads no torch."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NetSpec:
    """What the tiler and the stages must know of a net.

    Attributes:
        name: its catalogue name.
        scale: output side over input side.
        in_channels: channels it takes (a noise map included).
        out_channels: channels it gives.
        halo: input pixels around a tile that its result depends on (the receptive field's radius, or a measured bound).
        multiple_of: both sides of a tile must be multiples of this.
        minimum: smallest side of a tile.
        max_tile: longest side of a tile, halo included, that keeps the net's memory moderate.
        runtime: what runs it.
        precision: of its products: ``fp32``, ``fp16`` or ``int8``.
    """

    name: str
    scale: int
    in_channels: int
    out_channels: int
    halo: int
    multiple_of: int = 1
    minimum: int = 1
    max_tile: int = 512
    runtime: str = "torch"
    precision: str = "fp32"
