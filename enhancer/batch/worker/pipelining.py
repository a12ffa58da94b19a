"""Several pieces of work in hand at once, each at another step: a thread for each step, and one owner that decides.

The owner is the thread that makes these objects. It begins work, hands it from step to step, and hears of each step's
end from one queue; the threads decide nothing and wait for nothing but work. So the owner alone needs the ledger, and
what bounds the work in hand (:class:`ByteBudget`) needs no lock.
"""

from __future__ import annotations

import contextvars
import threading
import time
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from queue import SimpleQueue
from types import TracebackType
from typing import Final, Generic, TypeVar

T = TypeVar("T")

GRACE_S: Final = 5.0
"""An interpreter that ends while a thread is in native code may crash: most steps are over by then."""


@dataclass(frozen=True, slots=True)
class Done(Generic[T]):
    """A step is over for a piece of work: well, or with an error."""

    step: str
    work: T
    error: BaseException | None = None


def carry_out(step: str, do: Callable[[T], None], work: T) -> Done[T]:
    """Do a step; whatever it raises is in the answer, never raised."""
    try:
        do(work)
    except BaseException as error:
        return Done(step, work, error)
    return Done(step, work)


class StepThread(Generic[T]):
    """One step's own thread, or several. Work is taken in the order in which it was handed over, by each thread one
    piece after another.

    A context manager: the threads run until its end. What was handed over and not begun by then is dropped; what is
    being worked on is waited for a little, and then left: the threads do not keep the process alive.

    Args:
        step: its name.
        do: the step. It runs with the context variables of whoever made this object.
        done: gets each piece that is over.
        count: of threads.
        grace_s: longest wait at the end.
    """

    def __init__(
        self,
        step: str,
        do: Callable[[T], None],
        done: SimpleQueue[Done[T]],
        *,
        count: int = 1,
        grace_s: float = GRACE_S,
    ) -> None:
        self._grace_s = grace_s
        self._step, self._do, self._done = step, do, done
        self._waiting: SimpleQueue[T | None] = SimpleQueue()
        self._stopped = threading.Event()
        contexts = [contextvars.copy_context() for _ in range(count)]
        self._threads = [
            threading.Thread(target=context.run, args=(self._run,), name=step, daemon=True) for context in contexts
        ]

    def __enter__(self) -> StepThread[T]:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        for _ in self._threads:
            self._waiting.put(None)
        until = time.monotonic() + self._grace_s
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def hand(self, work: T) -> None:
        """Give it a piece of work; returns at once."""
        self._waiting.put(work)

    def _run(self) -> None:
        while (work := self._waiting.get()) is not None and not self._stopped.is_set():
            self._done.put(carry_out(self._step, self._do, work))


class ByteBudget:
    """The bytes that pieces of work in hand may take together. The owner's own account: not for several threads.

    The oldest piece always fits, so that there is no piece too large to be done; whoever asks for pieces in their order
    has such a piece alone in memory.

    Args:
        limit: in bytes.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._charged: dict[Hashable, int] = {}

    @property
    def charged(self) -> int:
        """Bytes of all that is in hand."""
        return sum(self._charged.values())

    def fits(self, piece: Hashable, count: int) -> bool:
        """Whether `piece` (new, or in hand already) may take `count` bytes in all."""
        oldest = next(iter(self._charged), piece)
        return oldest == piece or self.charged - self._charged.get(piece, 0) + count <= self._limit

    def charge(self, piece: Hashable, count: int) -> None:
        """`piece` takes `count` bytes from now on, whether they fit or not; the first charge fixes its age."""
        self._charged[piece] = count

    def release(self, piece: Hashable) -> None:
        """`piece` is out of hand."""
        self._charged.pop(piece, None)
