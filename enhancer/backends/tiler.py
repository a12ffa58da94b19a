"""Run a net over a picture of any size in tiles, so that memory is bounded by the tile.

Each tile is given with a halo of its surroundings, of which the result is cut away. Where the halo is at least the
net's reach, the tiles' seams are exact: a tile's own edge is then always either beyond the reach or the picture's edge.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from enhancer.backends.base import Net, NetSpec, OutOfMemory
from enhancer.backends.rect import Rect
from enhancer.errors import ErrorKind, ModelError
from enhancer.image import FloatPixels


def run_tiled(net: Net, planes: FloatPixels, *, max_tile: int | None = None) -> FloatPixels:
    """Run `net` over a whole picture.

    Tiles are balanced (no sliver at the right and bottom) and lie on multiples of ``spec.multiple_of``. Only at the
    picture's right and bottom edge, and only where its sides are no such multiple or below ``spec.minimum``, the
    picture is continued by reflection, as far as needed. Tiles of one shape are given together where the spec says that
    the net gains by it. When the device runs out of memory, what is left is done in batches of half as many tiles, and
    where one tile was too much, in tiles of half the side; finished tiles are never done again.

    Args:
        net: a net on its device.
        planes: in_channels x H x W float32, H and W at least 1.
        max_tile: longest side of what the net is given at once, halo included, in input pixels; None: the spec's own.

    Returns:
        out_channels x (scale * H) x (scale * W) float32, not clipped; in memory the channels of a pixel lie together,
        as they do in a picture.

    Raises:
        ValueError: `planes` has another number of channels than the net takes, or is empty.
        ModelError: not even the smallest tile fits into memory (reason ``out-of-memory``, transient).
    """
    spec = net.spec
    if planes.ndim != 3 or planes.shape[0] != spec.in_channels or 0 in planes.shape:
        raise ValueError(f"{spec.name} takes {spec.in_channels} x H x W, got shape {planes.shape}")
    height, width = planes.shape[1:]
    work = _Tiles(height, width, net, max_tile or spec.max_tile)
    result: FloatPixels | None = None
    while together := work.next_batch():
        given = [work.given(rect) for rect in together]
        try:
            tiles = net.run(_cut_all(planes, given))
        except OutOfMemory as error:
            if not work.again_in_smaller(together):
                raise ModelError(
                    f"{spec.name} does not fit into memory, not even with a tile of {given[0].longest}: {error}",
                    reason="out-of-memory",
                    kind=ErrorKind.TRANSIENT,
                ) from error
            continue
        if result is None:
            size = (height * spec.scale, width * spec.scale)
            if tiles.shape[2:] == size:  # the whole picture was one tile
                alone = spec.batch_tiles == 1  # else a view may hold on to other pictures' results
                return np.asarray(tiles[0], np.float32) if alone else np.array(tiles[0], np.float32, order="K")
            result = np.moveaxis(np.empty((*size, spec.out_channels), np.float32), 2, 0)
        for tile, rect, wide in zip(tiles, together, given, strict=True):
            _place(result, tile, rect, wide, spec.scale)
    assert result is not None
    return result


class _Tiles:
    """What of a picture is still to be done, and in which pieces."""

    def __init__(self, height: int, width: int, net: Net, limit: int) -> None:
        self._net = net
        self._down, self._across = _Axis(height, net.spec), _Axis(width, net.spec)
        self._limit = limit
        self._most = net.spec.batch_tiles
        self._pending = deque([Rect(0, self._down.extent, 0, self._across.extent)])

    def given(self, rect: Rect) -> Rect:
        """The tile with its halo."""
        return Rect(*self._down.with_halo(rect.top, rect.bottom), *self._across.with_halo(rect.left, rect.right))

    def next_batch(self) -> list[Rect]:
        """Tiles whose shapes with halo are the same, no more than the net may be given at once; empty at the end."""
        if not self._pending:
            return []
        first = self._pending.popleft()
        while len(smaller := self._split(first)) > 1:
            self._pending.extendleft(reversed(smaller))
            first = self._pending.popleft()
        shape = self.given(first).shape
        together = [first]
        room = min(self._most, self._net.spec.tiles_at_once(*shape))
        if room > 1:
            together += [rect for rect in self._pending if self.given(rect).shape == shape][: room - 1]
            taken = set(together)
            self._pending = deque(rect for rect in self._pending if rect not in taken)
        return together

    def again_in_smaller(self, together: list[Rect]) -> bool:
        """Take back a batch that was too large; False where it cannot be made smaller."""
        self._pending.extendleft(reversed(together))
        if len(together) > 1:
            self._most = len(together) // 2
            return True
        self._limit = self.given(together[0]).longest // 2
        return len(self._split(together[0])) > 1

    def _split(self, rect: Rect) -> list[Rect]:
        if self.given(rect).longest <= self._limit:
            return [rect]
        rows = self._down.pieces(rect.top, rect.bottom, self._limit)
        columns = self._across.pieces(rect.left, rect.right, self._limit)
        return [Rect(top, bottom, left, right) for top, bottom in rows for left, right in columns]


class _Axis:
    """One side of the picture, continued to a length that the net accepts, and how tiles lie along it."""

    def __init__(self, side: int, spec: NetSpec) -> None:
        self.step = spec.multiple_of
        self.extent = _up(max(side, spec.minimum), self.step)
        self.halo = _up(spec.halo, self.step)
        self.minimum = _up(spec.minimum, self.step)

    def with_halo(self, start: int, stop: int) -> tuple[int, int]:
        """The tile with its halo, clipped at the picture's edges, and no shorter than the net accepts."""
        low, high = max(0, start - self.halo), min(self.extent, stop + self.halo)
        missing = max(0, self.minimum - (high - low))
        low = max(0, low - missing)
        return low, max(high, min(self.extent, low + self.minimum))

    def pieces(self, start: int, stop: int, limit: int) -> list[tuple[int, int]]:
        """[start, stop) in equal pieces, as few as keep each within `limit` with its halo, but none below one step."""
        if stop - start <= self.step or self._length(start, stop) <= limit:
            return [(start, stop)]
        core = max(self.step, (limit - 2 * self.halo) // self.step * self.step)
        count = -(-(stop - start) // core)
        size = _up(-(-(stop - start) // count), self.step)
        return [(low, min(stop, low + size)) for low in range(start, stop, size)]

    def _length(self, start: int, stop: int) -> int:
        low, high = self.with_halo(start, stop)
        return high - low


def _up(value: int, step: int) -> int:
    return -(-value // step) * step


def _cut_all(planes: FloatPixels, rects: Sequence[Rect]) -> FloatPixels:
    """The pixels of rectangles of one shape, N x C x H x W; of a single one without a copy where it lies inside."""
    if len(rects) == 1:
        return _cut(planes, rects[0])[None]
    return np.stack([_cut(planes, rect) for rect in rects])


def _cut(planes: FloatPixels, rect: Rect) -> FloatPixels:
    """The pixels of `rect`, which may reach beyond the right and bottom edge: there the picture is reflected."""
    height, width = planes.shape[1:]
    inside = planes[:, *rect.slices]
    if rect.bottom <= height and rect.right <= width:
        return inside
    rows = _reflected(rect.top, rect.bottom, height)
    columns = _reflected(rect.left, rect.right, width)
    return planes[:, rows[:, None], columns]


def _reflected(start: int, stop: int, side: int) -> NDArray[np.intp]:
    """Indices [start, stop) folded back into [0, side) without repeating the edge pixel."""
    index = np.arange(start, stop)
    if side == 1:
        return np.zeros_like(index)
    period = 2 * (side - 1)
    folded = index % period
    return np.minimum(folded, period - folded)


def _place(result: FloatPixels, tile: FloatPixels, rect: Rect, given: Rect, scale: int) -> None:
    """Write the part of `tile` that `rect` covers to `result`; what lies beyond the picture is dropped."""
    kept = rect.within(result.shape[1] // scale, result.shape[2] // scale)
    result[:, *kept.times(scale).slices] = tile[:, *kept.inside(given, scale)]
