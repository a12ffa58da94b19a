"""The evaluate task: score a shard's results in a worker (the work on one is :mod:`enhancer.batch.worker.evaluate`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from enhancer.batch.supervisor import OnEvent, supervise
from enhancer.settings import Settings


def evaluate_shard(
    reference: Mapping[str, Any], *, settings: Settings, owner: str, on_event: OnEvent | None = None
) -> dict[str, int]:
    """Score every enhanced picture of a shard and pass it through the gate; arguments, result and errors as
    :func:`enhancer.batch.enhancing.enhance_shard`.
    """
    return supervise("evaluate", reference, settings=settings, owner=owner, on_event=on_event)
