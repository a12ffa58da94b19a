"""A worker's log in its task's log: one JSON object a line, with run, shard and item, and its level kept.

Airflow's task logs are structured; what arrives here as fields can be searched for there as fields.
"""

from __future__ import annotations

import json
import logging
import sys
from typing import Any, Final

import structlog

log = structlog.get_logger(__name__)

_LEVELS: Final = logging.getLevelNamesMapping()


def log_to_supervisor(**context: object) -> None:
    """For the worker: JSON lines on standard error; `context` (run, shard) is in each.

    While a picture is worked on, its key is bound as ``item`` (:func:`structlog.contextvars.bound_contextvars`).
    """
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(default=str, ensure_ascii=False),
        ],
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    structlog.contextvars.bind_contextvars(**context)


def relay(line: str) -> str:
    """For the supervisor: log a worker's line as it was meant; what is no such line (a crash's traceback) as it is.

    Returns:
        The line's text for people, without fields.
    """
    fields = _parsed(line)
    if fields is None:
        log.info(line)
        return line
    event, level = str(fields.pop("event")), _LEVELS.get(str(fields.pop("level", "info")).upper(), logging.INFO)
    log.log(level, event, **fields)
    return event


def _parsed(line: str) -> dict[str, Any] | None:
    if not line.startswith("{"):
        return None
    try:
        fields = json.loads(line)
    except json.JSONDecodeError:
        return None
    return fields if isinstance(fields, dict) and "event" in fields else None
