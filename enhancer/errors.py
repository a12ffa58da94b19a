"""The errors that this package raises on purpose, and what each means for a retry.

Errors are data here: every failure of a picture ends as a row with `kind`, `reason`, message and stage. `kind` decides
what happens next and is the only thing that the retry table of :mod:`enhancer.batch.failures` reads.
"""

from __future__ import annotations

from enum import StrEnum

from enhancer.reasons import Reason


class ErrorKind(StrEnum):
    """What a retry may hope for."""

    TRANSIENT = "transient"
    """Trouble of the surroundings (network, a lease taken over): the same work may succeed later."""
    PERMANENT = "permanent"
    """The input or the request is at fault: the same work ends the same way."""
    POISON = "poison"
    """The picture killed or hung a worker on its own: never try again unasked."""


class EnhancerError(Exception):
    """Base of all deliberate errors.

    Args:
        message: what is wrong and, where there is one, the way out; names the file or key.
        reason: a short stable word for tables and filters: of this package's own errors a
            :class:`~enhancer.reasons.Reason`.
        kind: overrides the class's default kind.
    """

    default_kind = ErrorKind.PERMANENT
    default_reason: str = Reason.ERROR

    def __init__(self, message: str, *, reason: str | None = None, kind: ErrorKind | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.reason = str(reason or self.default_reason)
        self.kind = kind or self.default_kind


class PictureError(EnhancerError):
    """A file that cannot be read or written as the picture it claims to be (reasons: see :mod:`enhancer.codecs`)."""

    default_reason = Reason.UNREADABLE


class RequestError(EnhancerError):
    """A recipe, parameter or setting that cannot be honoured; names the value and the ways out."""

    default_reason = Reason.BAD_REQUEST


class MissingExtraError(EnhancerError):
    """A library of an extra that is not installed (see :mod:`enhancer.extras`); names the extra and how to get it."""

    default_reason = Reason.MISSING_EXTRA


class ModelError(EnhancerError):
    """A net that cannot be found, fetched, verified or run."""

    default_reason = Reason.MODEL


class StorageError(EnhancerError):
    """An object store that refused or broke off. Transient unless the store says that it is not."""

    default_kind = ErrorKind.TRANSIENT
    default_reason = Reason.STORAGE


class ObjectGoneError(StorageError):
    """The object is not there (any more)."""

    default_kind = ErrorKind.PERMANENT
    default_reason = Reason.GONE


class LeaseLostError(EnhancerError):
    """Someone else owns the shard, result or target now: stop at once and publish nothing."""

    default_kind = ErrorKind.TRANSIENT
    default_reason = Reason.LEASE_LOST
