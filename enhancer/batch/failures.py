"""The one failure policy of enhance, evaluate and publish: what an error is, whether it is tried again, how it ends.

:func:`classify` makes an exception a :class:`Failure`, whose kind is the error's own. Then, for a picture:

    kind       blames the picture  tries in a run  pause before the next try       ends as
    transient  no                  item_attempts   grows, with jitter, to 60 s     failed
    permanent  no                  1               -                               failed
    permanent  yes                 1               -                               quarantined
    poison     yes                 1               -                               quarantined

A picture that ends `failed` is taken up by the next run; in the third run in a row it is quarantined, since a person
has to look. A permanent failure blames the picture unless its reason is one of :data:`NOT_THE_PICTURE`. What hits every
picture alike (:func:`is_systemic`) is no picture's failure at all: it fails the task, which Airflow tries again.
"""

from __future__ import annotations

import heapq
import random
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from sqlalchemy.exc import DataError, SQLAlchemyError

from enhancer.errors import EnhancerError, ErrorKind, MissingExtraError, ModelError
from enhancer.extras import missing_extra
from enhancer.ledger import ItemState
from enhancer.ledger.engine import is_transient
from enhancer.reasons import Reason
from enhancer.settings import Settings

T = TypeVar("T")

MAX_DELAY_S: Final = 60.0
SLOW_DOWN_FACTOR: Final = 0.5
MAX_MESSAGE: Final = 2000
WAIT_S: Final = 1.0
"""Longest sleep between two calls of `while_waiting`."""

SYSTEMIC: Final = frozenset(
    {
        Reason.BAD_CREDENTIALS,
        Reason.EXPIRED_CREDENTIALS,
        Reason.NO_CREDENTIALS,
        Reason.NO_SPACE,  # whoever goes on with the run once there is some has its pictures still to do
        Reason.NO_SUCH_STORE,
        Reason.SIGNING,
        Reason.WRONG_REGION,
    }
)
"""Reasons of a store, or of who signs, that no picture is at fault for: the task fails, pictures stay as they were."""

NOT_THE_PICTURE: Final = frozenset(
    {
        Reason.ACCESS_DENIED,  # a person grants access
        Reason.ARCHIVED,  # or restores the object
        Reason.BAD_RESULT,  # the stored result is damaged; made anew by the next run
        Reason.CHANGED,  # the next run sees another picture
        Reason.GONE,  # the result, or the input
        Reason.TARGET_COLLISION,  # two keys with one target; a person renames one
    }
)
"""Permanent, but without a fault of the picture: failed, not quarantined."""

RUNS_BEFORE_QUARANTINE: Final = 3
"""A picture that ended `failed` in so many runs in a row is quarantined: a person has to look."""

_TABLE: Final[tuple[tuple[type[BaseException], ErrorKind, str], ...]] = (
    (MemoryError, ErrorKind.TRANSIENT, Reason.OUT_OF_MEMORY),
    (TimeoutError, ErrorKind.TRANSIENT, Reason.TIMEOUT),
    (ConnectionError, ErrorKind.TRANSIENT, Reason.CONNECTION),
    (OSError, ErrorKind.TRANSIENT, Reason.SYSTEM),
    (NotImplementedError, ErrorKind.PERMANENT, Reason.UNSUPPORTED),
)


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong with one picture, ready for its row."""

    kind: ErrorKind
    error_class: str
    message: str
    stage: str

    def columns(self) -> dict[str, Any]:
        """The item table's error columns."""
        return {"stage": self.stage, "error_class": self.error_class, "error_message": self.message}

    @property
    def blames_picture(self) -> bool:
        """Whether the same picture would end the same way wherever and whenever it is tried."""
        return self.kind is not ErrorKind.TRANSIENT and self.error_class not in NOT_THE_PICTURE


def classify(error: BaseException, stage: str) -> Failure:
    """What an exception is.

    Our own errors say it themselves; databases' and the system's are looked up; what is unknown is permanent, because a
    bug in the code or a picture that trips a library ends the same way next time.
    """
    error = missing_extra(error) or error
    if isinstance(error, EnhancerError):
        return Failure(error.kind, error.reason, error.message[:MAX_MESSAGE], stage)
    text = f"{type(error).__name__}: {error}"[:MAX_MESSAGE]
    if isinstance(error, SQLAlchemyError):
        kind = ErrorKind.TRANSIENT if is_transient(error) else ErrorKind.PERMANENT
        # The statement's parameters may hold what does not belong into a log; the driver's own message is enough.
        return Failure(
            kind, Reason.LEDGER, f"{type(error).__name__}: {getattr(error, 'orig', '')}"[:MAX_MESSAGE], stage
        )
    for kind_of_error, kind, reason in _TABLE:
        if isinstance(error, kind_of_error):
            return Failure(kind, reason, text, stage)
    return Failure(ErrorKind.PERMANENT, Reason.UNEXPECTED, text, stage)


def is_systemic(error: BaseException) -> bool:
    """Whether the trouble is the surroundings' and would hit every picture alike: the ledger, the store as a whole, a
    net or a library that cannot be had. A value that the ledger's database does not take, and a net that runs out of
    memory, are one picture's.
    """
    error = missing_extra(error) or error
    if isinstance(error, SQLAlchemyError):
        return not isinstance(error, DataError)
    if isinstance(error, MissingExtraError):
        return True
    if isinstance(error, ModelError):
        return error.reason != Reason.OUT_OF_MEMORY
    return isinstance(error, EnhancerError) and error.reason in SYSTEMIC


def end_state(failure: Failure, failed_runs: int) -> ItemState:
    """How a picture ends its run with this failure: `failed` or `quarantined`.

    Args:
        failure: of its last try.
        failed_runs: earlier runs in a row that it ended as `failed`.
    """
    if failure.blames_picture or failed_runs + 1 >= RUNS_BEFORE_QUARANTINE:
        return ItemState.QUARANTINED
    return ItemState.FAILED


def pause_before_retry(failure: Failure, attempt: int, settings: Settings) -> float | None:
    """Seconds to wait before try `attempt` + 1 of a picture; None: that was its last try in this run.

    The pause is exponential with equal jitter, half of it certain (AWS Architecture Blog, "Exponential Backoff And
    Jitter", 2015), so that a store's restart is outlasted. A store's SlowDown waits less, since asking again is cheap.

    Args:
        failure: of try `attempt`.
        attempt: the tries so far, from 1.
        settings: ``item_attempts``, ``item_retry_delay_s``.
    """
    if failure.kind is not ErrorKind.TRANSIENT or attempt >= settings.item_attempts:
        return None
    ceiling = min(MAX_DELAY_S, settings.item_retry_delay_s * 2 ** max(0, attempt - 1))
    if failure.error_class == Reason.SLOW_DOWN:
        ceiling *= SLOW_DOWN_FACTOR
    return random.uniform(ceiling / 2, ceiling)  # noqa: S311 - spreading load, not secrecy


def attempt_all(
    pieces: Iterable[T], attempt: Callable[[T, int], float | None], while_waiting: Callable[[], None]
) -> None:
    """Attempt each piece of work; one that asks for another try gets it after its pause, the others going first.

    Args:
        pieces: taken one by one.
        attempt: called with a piece and the number of its try, from 1; returns the pause in seconds before the next
            try, or None where the piece is done with.
        while_waiting: called at least each second while nothing is due.
    """
    again: list[tuple[float, int, T, int]] = []
    for order, piece in enumerate(pieces):
        pause = attempt(piece, 1)
        if pause is not None:
            heapq.heappush(again, (time.monotonic() + pause, order, piece, 2))
    while again:
        due, order, piece, number = heapq.heappop(again)
        while (left := due - time.monotonic()) > 0:
            while_waiting()
            time.sleep(min(left, WAIT_S))
        pause = attempt(piece, number)
        if pause is not None:
            heapq.heappush(again, (time.monotonic() + pause, order, piece, number + 1))
