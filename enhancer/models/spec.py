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
        batch_tiles: tiles of one shape that it may be given at once, where it gains by that; 1: it does not.
        batch_pixels: input pixels, of all these tiles together, beyond which it gains no more.
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
    batch_tiles: int = 1
    batch_pixels: int = 1 << 20

    def tiles_at_once(self, height: int, width: int) -> int:
        """How many tiles of this shape it may be given at once; at least 1."""
        return max(1, min(self.batch_tiles, self.batch_pixels // (height * width)))
