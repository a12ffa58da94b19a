"""The enhance task: see a worker through a shard's pictures (the work on one is
:mod:`enhancer.batch.worker.enhance`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from enhancer.batch.supervisor import OnEvent, supervise
from enhancer.settings import Settings


def enhance_shard(
    reference: Mapping[str, Any], *, settings: Settings, owner: str, on_event: OnEvent | None = None
) -> dict[str, int]:
    """Enhance every pending picture of a shard. Idempotent: what is done stays done.

    Args:
        reference: the shard, ``{"run", "shard", "uri", "n"}``.
        settings: with the ledger's DSN and the store's keys.
        owner: who holds the lease, for people (task and try).
        on_event: told every event of the worker.

    Returns:
        The shard's items by state.

    Raises:
        LeaseLostError: another attempt owns the shard.
        WorkerError: workers keep failing for no picture's fault.
    """
    return supervise("enhance", reference, settings=settings, owner=owner, on_event=on_event)
