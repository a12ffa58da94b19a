"""Tiles of several pictures in one run of a net: a GPU is not filled by one small tile.

Nobody waits for company. A tile that finds the device idle runs at once, in the thread that brought it; what arrives
meanwhile waits, and whichever of these threads goes next takes along all that waits in the same shape, as much as the
net's spec allows. So a lone picture is as fast as without, and the busier the device, the larger the batches. What a
tile becomes does not depend on its company, except for the last bits: kernels for larger batches sum in another order.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from enhancer.backends.base import Net, NetSpec, OutOfMemory
from enhancer.image import FloatPixels

RUNS_AT_ONCE: Final = 2
"""While the results of one run are copied back, another computes."""


@dataclass(eq=False, slots=True)
class _Request:
    """One call: its tiles, and what came of them."""

    tiles: FloatPixels
    taken: bool = False
    result: FloatPixels | None = None
    error: Exception | None = None

    @property
    def done(self) -> bool:
        return self.result is not None or self.error is not None


class JoinedNet:
    """A net for several threads at once, whose tiles it joins; implements :class:`enhancer.backends.base.Net`.

    Args:
        net: what runs; it must bear `at_once` calls at the same time.
        at_once: runs at the same time, at most.
    """

    def __init__(self, net: Net, *, at_once: int = RUNS_AT_ONCE) -> None:
        self.net = net
        self._spec = net.spec
        self._at_once = at_once
        self._running = 0
        self._waiting: list[_Request] = []
        self._turn = threading.Condition()

    @property
    def spec(self) -> NetSpec:
        """The net's; what it may be given at once shrinks for good when the device runs out of memory."""
        return replace(self.net.spec, batch_pixels=self._spec.batch_pixels)

    def run(self, batch: FloatPixels) -> FloatPixels:
        """Run the net, with whatever else of this shape waits.

        Args:
            batch: N x in_channels x H x W float32; sides as the spec demands. It must not change until the call ends.

        Returns:
            N x out_channels x sH x sW float32, not clipped; it may be a view of a larger array.

        Raises:
            OutOfMemory: the device cannot hold these tiles alone.
            Exception: what the net raised for these tiles alone; each caller gets its own.
        """
        own = _Request(batch)
        if together := self._await_turn(own):
            try:
                self._serve(together)
            finally:
                self._end_turn(together)
        try:
            if own.error is not None:
                raise own.error
        finally:
            own.error = None  # its traceback knows this frame
        assert own.result is not None
        return own.result

    def _await_turn(self, own: _Request) -> list[_Request]:
        """Those to run now, `own` among them; empty where another thread did it meanwhile."""
        with self._turn:
            self._waiting.append(own)
            try:
                while not own.done and (own.taken or self._running >= self._at_once):
                    self._turn.wait()
            except BaseException:  # an interrupted wait must not leave work in the queue that nobody waits for
                if not own.taken:
                    self._waiting.remove(own)
                raise
            if own.done:
                return []
            together = self._alike(own)
            for request in together:
                request.taken = True
                self._waiting.remove(request)
            self._running += 1
            return together

    def _alike(self, own: _Request) -> list[_Request]:
        """`own` and what else of its shape waits, oldest first, as much as may run at once."""
        together, room = [own], self.spec.tiles_at_once(*own.tiles.shape[2:]) - len(own.tiles)
        for other in self._waiting:
            if other is not own and other.tiles.shape[1:] == own.tiles.shape[1:] and len(other.tiles) <= room:
                together.append(other)
                room -= len(other.tiles)
        return together

    def _end_turn(self, together: Sequence[_Request]) -> None:
        """Wake who waits. Where this thread was interrupted, what it took along waits again, for the next to run it."""
        with self._turn:
            self._running -= 1
            undone = [request for request in together[1:] if not request.done]
            for request in undone:
                request.taken = False
            self._waiting[:0] = undone
            self._turn.notify_all()

    def _serve(self, together: Sequence[_Request]) -> None:
        """Run requests in one batch; where that fails, in smaller ones, so that only the guilty has the error."""
        trouble = self._attempt(together)
        if trouble is None:
            return
        if len(together) == 1:
            together[0].error = trouble
            return
        size = -(-len(together) // 2) if isinstance(trouble, OutOfMemory) else 1
        del trouble  # its traceback may hold on to the device's memory
        for first in range(0, len(together), size):
            self._serve(together[first : first + size])

    def _attempt(self, together: Sequence[_Request]) -> Exception | None:
        """Run requests in one batch; the error where that fails."""
        joined = together[0].tiles if len(together) == 1 else np.concatenate([one.tiles for one in together])
        try:
            result = self.net.run(joined)
        except OutOfMemory as error:
            self._remember_limit(joined)
            return error
        except Exception as error:  # whatever a net raises is re-raised in the caller
            return error
        start = 0
        for request in together:
            request.result = result[start : start + len(request.tiles)]
            start += len(request.tiles)
        return None

    def _remember_limit(self, joined: FloatPixels) -> None:
        """So many tiles at once were too many; a single one is the tiler's concern."""
        count, _, height, width = joined.shape
        if count > 1:
            with self._turn:
                pixels = min(self._spec.batch_pixels, count // 2 * height * width)
                self._spec = replace(self._spec, batch_pixels=pixels)
