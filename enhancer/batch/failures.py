"""Errors as data: one table from exception to kind, and how long to wait before the next try."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy.exc import DataError, SQLAlchemyError

from enhancer.errors import EnhancerError, ErrorKind, MissingExtraError, ModelError
from enhancer.extras import missing_extra
from enhancer.ledger.engine import is_transient
from enhancer.reasons import Reason

MAX_DELAY_S: Final = 60.0
SLOW_DOWN_FACTOR: Final = 0.5
MAX_MESSAGE: Final = 2000

SYSTEMIC: Final = frozenset({Reason.BAD_CREDENTIALS, Reason.NO_CREDENTIALS, Reason.NO_SUCH_STORE, Reason.WRONG_REGION})
"""Reasons of a store that no picture is at fault for: the task fails, and the pictures stay as they were."""

NOT_THE_PICTURE: Final = frozenset({Reason.ACCESS_DENIED, Reason.ARCHIVED})
"""Permanent for the store, but a person can mend it without touching the picture: failed, not quarantined."""

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


def classify(error: BaseException, stage: str) -> Failure:
    """Look an exception up in the table.

    Our own errors say what they are; databases' and the system's are looked up; what is unknown is permanent, because a
    bug in the code or a picture that trips a library ends the same way next time.
    """
    error = missing_extra(error) or error
    if isinstance(error, EnhancerError):
        if error.reason in NOT_THE_PICTURE:
            return Failure(ErrorKind.TRANSIENT, error.reason, error.message[:MAX_MESSAGE], stage)
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


def retry_delay_s(failure: Failure, attempt: int, base_s: float) -> float:
    """Seconds before try `attempt` + 1: exponential with equal jitter, half of it certain (AWS Architecture Blog,
    "Exponential Backoff And Jitter", 2015), so that a store's restart is outlasted. A store's SlowDown waits less,
    since asking again is cheap.
    """
    ceiling = min(MAX_DELAY_S, base_s * 2 ** max(0, attempt - 1))
    if failure.error_class == Reason.SLOW_DOWN:
        ceiling *= SLOW_DOWN_FACTOR
    return random.uniform(ceiling / 2, ceiling)  # noqa: S311 - spreading load, not secrecy
