"""Temporary keys of the store on their way from a task to its worker process: one JSON line each, on standard input.

Not in the environment, which cannot be changed once a process runs, and not in a file, which others may read.
"""

from __future__ import annotations

import json
import threading
import time
from contextlib import suppress
from dataclasses import asdict
from typing import IO, Final

import structlog

from enhancer.errors import StorageError
from enhancer.reasons import Reason
from enhancer.storage.s3_keys import Keys, keys_of

log = structlog.get_logger(__name__)

SHORTEST_S: Final = 0.5
"""Between two questions to the source, however short its keys live."""
AFTER_TROUBLE_S: Final = 10.0
LONGEST_WAIT_S: Final = 60.0
"""A worker whose keys are at their end waits so long for others."""


class KeySender:
    """Sends the newest keys of a source to a worker, and others before these are at their end, until it is stopped.

    In a thread of its own: a source that does not answer must not keep the supervisor from its worker and its lease.

    Args:
        name: of the source.
        stream: the worker's standard input.
    """

    def __init__(self, name: str, stream: IO[str]) -> None:
        self._name = name
        self._stream = stream
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._send, name="key-sender", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Send no more; the stream may be closed afterwards."""
        self._stopped.set()
        self._thread.join(timeout=5)

    def _send(self) -> None:
        sent: Keys | None = None
        while not self._stopped.is_set():
            try:
                keys = keys_of(self._name)
            except Exception as error:  # whatever a source's libraries raise: what was sent is good for a while yet
                log.warning("no new keys for the store; asking again", source=self._name, error=type(error).__name__)
                self._stopped.wait(AFTER_TROUBLE_S)
                continue
            if keys != sent:
                with suppress(OSError, ValueError):  # the worker has ended
                    self._stream.write(json.dumps({"s3_keys": asdict(keys)}) + "\n")
                    self._stream.flush()
                sent = keys
            # Half of what is left each time: keys of an hour are asked for a few times, the source renews them late.
            self._stopped.wait(max(SHORTEST_S, (keys.expires_at - time.time()) / 2))


class ReceivedKeys:
    """What a worker was sent: a source for :func:`enhancer.storage.s3_keys.register`."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._keys: Keys | None = None

    def take(self, line: str) -> None:
        """A line of standard input; one that holds no keys is left alone."""
        with suppress(ValueError, TypeError):
            keys = Keys(**json.loads(line)["s3_keys"])
            with self._changed:
                self._keys = keys
                self._changed.notify_all()

    def __call__(self) -> Keys:
        """The newest keys that are still good; waits for them.

        Raises:
            StorageError: transient: none came.
        """
        with self._changed:
            good = self._changed.wait_for(self._are_good, timeout=LONGEST_WAIT_S)
            if not good or self._keys is None:
                raise StorageError(
                    f"the store's keys are at their end, and no others came in {LONGEST_WAIT_S:.0f} s: the task's log "
                    "says why",
                    reason=Reason.EXPIRED_CREDENTIALS,
                )
            return self._keys

    def _are_good(self) -> bool:
        return self._keys is not None and self._keys.expires_at > time.time()
