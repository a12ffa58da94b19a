"""Every reason that an error of this package gives: the ``error_class`` of an item's row, the word in brackets after a
message on the command line, what filters and dashboards go by.

A value never changes once released. docs/operations.md says what to do about those that pictures fail with. Another
package's stages and formats may give reasons of their own, so :class:`~enhancer.errors.EnhancerError` takes any string.
"""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """A stable word for why something failed or was refused."""

    # ---- of an error that says no more
    ERROR = "error"
    UNEXPECTED = "unexpected"

    # ---- the picture, as it lies in the store or on the disk
    EMPTY = "empty"
    NOT_A_PICTURE = "not-a-picture"
    TRUNCATED = "truncated"
    CORRUPT = "corrupt"
    UNREADABLE = "unreadable"
    UNSUPPORTED = "unsupported"
    TOO_MANY_BYTES = "too-many-bytes"
    TOO_MANY_PAGES = "too-many-pages"
    TOO_MANY_PIXELS = "too-many-pixels"
    OUTPUT_TOO_LARGE = "output-too-large"
    CANNOT_HOLD = "cannot-hold"
    UNWRITABLE = "unwritable"
    NOT_FINITE = "not-finite"

    # ---- its result
    GATE = "gate"
    RUN_GATE = "run-gate"
    DROPPED = "dropped"
    CHANGED = "changed"
    RESULT_GONE = "result-gone"
    BAD_COPY = "bad-copy"
    BAD_RESULT = "bad-result"
    MOVED = "moved"
    SUPERSEDED = "superseded"
    TARGET_BUSY = "target-busy"
    TARGET_COLLISION = "target-collision"
    TARGET_TAKEN = "target-taken"
    SIZE_MISMATCH = "size-mismatch"
    REFERENCE_MISMATCH = "reference-mismatch"

    # ---- the worker that had it in hand, and its run
    WORKER = "worker"
    HUNG = "hung"
    MEMORY_LIMIT = "memory-limit"
    WORKER_DIED = "worker-died"
    WORKER_KILLED = "worker-killed"
    BUSY_ELSEWHERE = "busy-elsewhere"
    CLAIM_LOST = "claim-lost"
    LEASE_LOST = "lease-lost"
    NOT_ATTEMPTED = "not-attempted"
    UNFINISHED = "unfinished"
    RUN_FAILED = "run-failed"
    DRIFT = "drift"

    # ---- the machine
    OUT_OF_MEMORY = "out-of-memory"
    NO_SPACE = "no-space"
    SYSTEM = "system"
    TIMEOUT = "timeout"
    CONNECTION = "connection"

    # ---- the store
    STORAGE = "storage"
    GONE = "gone"
    MISSING = "missing"
    CHANGING = "changing"
    SLOW_DOWN = "slow-down"
    BROKEN_ANSWER = "broken-answer"
    REFUSED = "refused"
    ACCESS_DENIED = "access-denied"
    ARCHIVED = "archived"
    BAD_CREDENTIALS = "bad-credentials"
    EXPIRED_CREDENTIALS = "expired-credentials"
    NO_CREDENTIALS = "no-credentials"
    NO_SUCH_STORE = "no-such-store"
    WRONG_REGION = "wrong-region"
    CLOCK = "clock"
    BAD_ADDRESS = "bad-address"
    BAD_KEY = "bad-key"
    BAD_URL = "bad-url"
    BAD_PATTERN = "bad-pattern"
    TOO_LARGE = "too-large"

    # ---- the ledger
    LEDGER = "ledger"
    LEDGER_SCHEMA = "ledger-schema"
    BAD_LEDGER_DSN = "bad-ledger-dsn"

    # ---- a net
    MODEL = "model"
    UNKNOWN_MODEL = "unknown-model"
    WRONG_PURPOSE = "wrong-purpose"
    BAD_DEVICE = "bad-device"
    BAD_PRECISION = "bad-precision"
    BAD_WEIGHTS = "bad-weights"
    BAD_ARCHIVE = "bad-archive"
    UNSAFE_WEIGHTS = "unsafe-weights"
    WRONG_HASH = "wrong-hash"
    DOWNLOAD = "download"
    OFFLINE = "offline"
    NO_BUILD = "no-build"
    BAD_CATALOGUE = "bad-catalogue"
    NOT_BUILT = "not-built"
    TOO_LOSSY = "too-lossy"
    NET_NEEDED = "net-needed"
    TOO_FEW_PICTURES = "too-few-pictures"
    NOT_BETTER = "not-better"

    # ---- who signs results
    SIGNING = "signing"

    # ---- what was asked for
    BAD_REQUEST = "bad-request"
    BAD_PARAMS = "bad-params"
    BAD_COLLECTIONS = "bad-collections"
    BAD_RECIPE = "bad-recipe"
    BAD_RULES = "bad-rules"
    BAD_SETTING = "bad-setting"
    BAD_SETTINGS = "bad-settings"
    BAD_CONNECTION = "bad-connection"
    BAD_FILE = "bad-file"
    BAD_FOLDER = "bad-folder"
    EMPTY_SHEET = "empty-sheet"
    MISSING_PARAM = "missing-param"
    MISSING_EXTRA = "missing-extra"
    BAD_EXTENSION = "bad-extension"
    UNKNOWN_FORMAT = "unknown-format"
    NO_COLLECTION = "no-collection"
    NO_CONNECTION = "no-connection"
    NO_RUN = "no-run"
    OTHER_RUN = "other-run"
    OVERLAPPING_URLS = "overlapping-urls"
    TOO_MANY_SHARDS = "too-many-shards"
    UNKNOWN_RECIPE = "unknown-recipe"
    UNKNOWN_SETTING = "unknown-setting"

    # ---- the page
    FOREIGN_ADDRESS = "foreign-address"
    NOT_ALLOWED = "not-allowed"
    NOT_FOUND = "not-found"

    # ---- the service
    UNAUTHORIZED = "unauthorized"
    RATE_LIMITED = "rate-limited"
    QUEUE_FULL = "queue-full"
    KEY_REUSED = "key-reused"
    NO_JOB = "no-job"
    NOT_READY = "not-ready"
    EXPIRED = "expired"
    BAD_SIGNATURE = "bad-signature"
