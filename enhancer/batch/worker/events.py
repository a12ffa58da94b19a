"""What a worker process reports to its supervisor: one JSON object a line on its standard output."""

from __future__ import annotations

import json
import os
import sys
import threading
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict

ShardMode = Literal["enhance", "evaluate", "second_look"]
"""What a worker may do to the pictures of a shard, under the shard's lease."""

Mode = ShardMode | Literal["thumbnails", "requests"]

EXIT_LEASE_LOST: Final = 10
EXIT_TRANSIENT: Final = 11
EXIT_REFUSED: Final = 12


class Event(BaseModel):
    """One line.

    Attributes:
        event: ``ready`` (imports done), ``started`` and ``item`` (a picture begins, is done), ``waiting`` (a picture
            that began is not worked on until its next step), ``progress`` (it is worked on; without a key: still
            alive), ``finished`` (nothing left), ``error`` (the worker itself gives up; `data` says why).
        key: the picture.
        state: the picture's state after ``item``.
        data: more, by event.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    event: Literal["ready", "started", "waiting", "progress", "item", "finished", "error"]
    key: str | None = None
    state: str | None = None
    data: dict[str, Any] = {}


class EventStream:
    """The worker's end, for all its threads. Takes the real standard output for itself, so that a library that prints
    spoils nothing.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        sys.stdout.flush()
        self._stream = os.fdopen(os.dup(1), "w", encoding="utf-8", buffering=1)
        os.dup2(2, 1)

    def send(self, event: str, *, key: str | None = None, state: str | None = None, **data: Any) -> None:
        """Write one event; a supervisor that is gone raises BrokenPipeError, which ends the worker."""
        line = {"event": event, "key": key, "state": state, "data": data}
        text = json.dumps({k: v for k, v in line.items() if v not in (None, {})}) + "\n"
        with self._lock:
            self._stream.write(text)
            self._stream.flush()
