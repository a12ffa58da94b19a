"""Whether a store keeps its promise of conditional writes, found out by trying; recorded, never relied on."""

from __future__ import annotations

import logging
import secrets
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from enhancer.errors import StorageError
from enhancer.storage.base import ObjectStore
from enhancer.storage.s3 import S3Store

_log = logging.getLogger(__name__)

_RACERS = 2
_ROUNDS = 4


def probe_conditional_put(store: ObjectStore) -> bool | None:
    """Let two writes with ``If-None-Match: *`` race for a new object, a few times.

    Some servers ignored the condition under concurrent writes (seaweedfs#8800), so the answer of one store at one time
    proves little; the ledger arbitrates in any case.

    Args:
        store: what to try; its probe objects are removed again.

    Returns:
        True: one writer won each race. False: both believed to have won. None: the store cannot tell (a local folder, a
        server without conditional writes, a write that failed).
    """
    if not isinstance(store, S3Store):
        return None
    for _ in range(_ROUNDS):
        winners = _race(store, f".enhancer-probe-{secrets.token_hex(8)}")
        if winners != 1:
            return False if winners else None
    return True


def _race(store: S3Store, key: str) -> int:
    """How many writers believe to have written the object first; 0 also where a write failed."""
    start = Barrier(_RACERS)

    def write(racer: int) -> bool:
        start.wait(timeout=60)
        return store.create(key, b"%d" % racer)

    try:
        with ThreadPoolExecutor(_RACERS) as pool:
            return sum(pool.map(write, range(_RACERS)))
    except StorageError:
        return 0
    finally:
        _remove(store, key)


def _remove(store: S3Store, key: str) -> None:
    """A probe that cannot be removed must not keep a run from starting."""
    try:
        store.delete(key)
    except StorageError as error:
        _log.warning("the probe object %s is left behind: %s", store.address(key), error.message)
