"""The table from exception to kind, and the back-off."""

from __future__ import annotations

import sqlite3

import pytest
from sqlalchemy.exc import DataError, OperationalError

from enhancer.batch.failures import MAX_DELAY_S, MAX_MESSAGE, Failure, classify, is_systemic, retry_delay_s
from enhancer.errors import ErrorKind, LeaseLostError, ModelError, ObjectGoneError, PictureError, StorageError


def _locked() -> OperationalError:
    error = sqlite3.OperationalError("database is locked")
    error.sqlite_errorcode = sqlite3.SQLITE_BUSY
    return OperationalError("SELECT secret", {"key": "secret"}, error)


TRANSIENT, PERMANENT = ErrorKind.TRANSIENT, ErrorKind.PERMANENT


@pytest.mark.parametrize(
    ("error", "kind", "reason"),
    [
        (PictureError("x", reason="truncated"), PERMANENT, "truncated"),
        (StorageError("x", reason="slow-down"), TRANSIENT, "slow-down"),
        (StorageError("x", reason="bad-key", kind=PERMANENT), PERMANENT, "bad-key"),
        (StorageError("x", reason="access-denied", kind=PERMANENT), TRANSIENT, "access-denied"),
        (ObjectGoneError("x"), PERMANENT, "gone"),
        (LeaseLostError("x"), TRANSIENT, "lease-lost"),
        (MemoryError(), TRANSIENT, "out-of-memory"),
        (TimeoutError("x"), TRANSIENT, "timeout"),
        (ConnectionResetError("x"), TRANSIENT, "connection"),
        (OSError(28, "No space left on device"), TRANSIENT, "system"),
        (NotImplementedError("x"), PERMANENT, "unsupported"),
        (ZeroDivisionError("x"), PERMANENT, "unexpected"),
        (_locked(), TRANSIENT, "ledger"),
        (OperationalError("SELECT", {}, sqlite3.OperationalError("no such table: run")), PERMANENT, "ledger"),
    ],
)
def test_the_table(error: Exception, kind: ErrorKind, reason: str) -> None:
    failure = classify(error, "decode")
    assert (failure.kind, failure.error_class, failure.stage) == (kind, reason, "decode")


def test_a_ledger_error_shows_neither_statement_nor_parameters() -> None:
    assert "secret" not in classify(_locked(), "worker").message


def test_messages_are_cut() -> None:
    assert len(classify(PictureError("x" * 10_000), "decode").message) == MAX_MESSAGE
    assert len(classify(ValueError("x" * 10_000), "decode").message) == MAX_MESSAGE


@pytest.mark.parametrize(
    ("error", "systemic"),
    [
        (_locked(), True),
        (StorageError("x", reason="bad-credentials", kind=PERMANENT), True),
        (StorageError("x", reason="no-such-store", kind=PERMANENT), True),
        (ModelError("offline", reason="offline"), True),
        (ModelError("x", reason="out-of-memory", kind=TRANSIENT), False),
        (DataError("INSERT", {}, ValueError("a value that the column does not take")), False),
        (StorageError("x", reason="slow-down"), False),
        (PictureError("x", reason="corrupt"), False),
        (MemoryError(), False),
    ],
)
def test_what_is_no_pictures_fault(error: Exception, systemic: bool) -> None:
    assert is_systemic(error) is systemic


@pytest.mark.parametrize("attempt", [1, 2, 3, 5, 30])
def test_the_delay_grows_to_its_bound_half_of_it_certain(attempt: int) -> None:
    failure = Failure(TRANSIENT, "timeout", "", "read")
    ceiling = min(MAX_DELAY_S, 2.0 * 2 ** (attempt - 1))
    delays = [retry_delay_s(failure, attempt, 2.0) for _ in range(400)]
    assert 0.5 * ceiling <= min(delays) < 0.55 * ceiling
    assert 0.95 * ceiling < max(delays) <= ceiling


def test_a_store_that_asks_to_slow_down_is_asked_again_sooner() -> None:
    slow = Failure(TRANSIENT, "slow-down", "", "read")
    assert 0.4 * MAX_DELAY_S < max(retry_delay_s(slow, 30, 2.0) for _ in range(400)) <= 0.5 * MAX_DELAY_S
