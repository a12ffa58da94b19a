"""The table from exception to kind, and the back-off."""

from __future__ import annotations

import sqlite3

import pytest
from sqlalchemy.exc import DataError, OperationalError

from enhancer.batch import failures
from enhancer.batch.failures import (
    MAX_DELAY_S,
    MAX_MESSAGE,
    NOT_THE_PICTURE,
    Failure,
    attempt_all,
    classify,
    end_state,
    is_systemic,
    pause_before_retry,
)
from enhancer.errors import ErrorKind, LeaseLostError, ModelError, ObjectGoneError, PictureError, StorageError
from enhancer.ledger import ItemState
from enhancer.ledger.targets import TargetCollisionError
from enhancer.settings import Settings


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
        (StorageError("x", reason="access-denied", kind=PERMANENT), PERMANENT, "access-denied"),
        (StorageError("x", reason="archived", kind=PERMANENT), PERMANENT, "archived"),
        (TargetCollisionError("x"), PERMANENT, "target-collision"),
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
        (StorageError("x", reason="no-space"), True),
        (StorageError("x", reason="expired-credentials"), True),
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


BASE_S = 2.0


def settings(attempts: int = 31) -> Settings:
    return Settings(item_attempts=attempts, item_retry_delay_s=BASE_S)


def pauses(failure: Failure, attempt: int) -> list[float]:
    found = [pause_before_retry(failure, attempt, settings()) for _ in range(400)]
    return [pause for pause in found if pause is not None]


@pytest.mark.parametrize("attempt", [1, 2, 3, 5, 30])
def test_the_pause_grows_to_its_bound_half_of_it_certain(attempt: int) -> None:
    ceiling = min(MAX_DELAY_S, BASE_S * 2 ** (attempt - 1))
    found = pauses(Failure(TRANSIENT, "timeout", "", "read"), attempt)
    assert len(found) == 400
    assert 0.5 * ceiling <= min(found) < 0.55 * ceiling
    assert 0.95 * ceiling < max(found) <= ceiling


def test_a_store_that_asks_to_slow_down_is_asked_again_sooner() -> None:
    found = pauses(Failure(TRANSIENT, "slow-down", "", "read"), 30)
    assert 0.4 * MAX_DELAY_S < max(found) <= 0.5 * MAX_DELAY_S


REASONS = {
    ("transient", "no"): ["timeout", "target-busy"],
    ("permanent", "no"): sorted(NOT_THE_PICTURE),
    ("permanent", "yes"): ["truncated", "unexpected"],
    ("poison", "yes"): ["hung", "worker-killed"],
}


@pytest.mark.parametrize("stage", ["read", "score", "publish"])
def test_the_policy_is_what_its_table_says(stage: str) -> None:
    """The rows of the module's docstring, read as data; the stage plays no part."""
    lines = (failures.__doc__ or "").splitlines()
    start = next(number for number, line in enumerate(lines) if line.split()[:2] == ["kind", "blames"])
    rows = [line.split() for line in lines[start + 1 : lines.index("", start)]]
    assert [(row[0], row[1]) for row in rows] == list(REASONS)
    for row in rows:
        for reason in REASONS[row[0], row[1]]:
            failure = Failure(ErrorKind(row[0]), reason, "", stage)
            assert failure.blames_picture is (row[1] == "yes")
            retried = pause_before_retry(failure, 1, settings(attempts=3)) is not None
            assert retried is (row[2] == "item_attempts")
            assert pause_before_retry(failure, 3, settings(attempts=3)) is None
            assert end_state(failure, failed_runs=0) == row[-1]
            assert end_state(failure, failed_runs=2) is ItemState.QUARANTINED


class TestAttempts:
    """Work that is tried again goes to the end of the line."""

    @staticmethod
    def tried(*needed: int, pause: float = 0.0) -> tuple[list[tuple[int, int]], int]:
        """Which try of which piece came when, where piece n needs so many tries; and how often it waited."""
        order: list[tuple[int, int]] = []
        waits: list[None] = []

        def attempt(piece: int, number: int) -> float | None:
            order.append((piece, number))
            return pause if number < needed[piece] else None

        attempt_all(range(len(needed)), attempt, lambda: waits.append(None))
        return order, len(waits)

    def test_each_piece_gets_the_tries_that_it_needs_and_the_others_go_first(self) -> None:
        order, _ = self.tried(1, 3, 1, 2)
        assert order[:4] == [(0, 1), (1, 1), (2, 1), (3, 1)]
        assert sorted(order[4:]) == [(1, 2), (1, 3), (3, 2)]

    def test_it_says_that_it_waits(self) -> None:
        assert self.tried(2, pause=0.02)[1] >= 1
        assert self.tried(1, 1)[1] == 0
