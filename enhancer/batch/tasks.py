"""What the tasks of a shard call, one after the other: enhance, evaluate, look again, publish.

Each is idempotent and goes by the ledger's states, so that a second try does only what is missing.

All but publish see worker processes through the shard's pictures; the work on one picture is in
:mod:`enhancer.batch.worker`.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import structlog

from enhancer.batch.publication import Publisher
from enhancer.batch.shard_supervisor import ShardSupervisor
from enhancer.batch.worker.events import ShardMode
from enhancer.batch.worker_process import OnEvent, ignore_event
from enhancer.ledger import Ledger
from enhancer.settings import Settings

log = structlog.get_logger(__name__)


def enhance_shard(
    reference: Mapping[str, Any], *, settings: Settings, owner: str, on_event: OnEvent = ignore_event
) -> dict[str, int]:
    """Enhance every pending picture of a shard.

    Args:
        reference: the shard, ``{"run", "shard", "uri", "n"}``.
        settings: with the ledger's DSN and the store's keys.
        owner: who holds the lease, for people (task and try).
        on_event: called with every event of the workers.

    Returns:
        The shard's items by state.

    Raises:
        LeaseLostError: another attempt owns the shard.
        WorkerError: workers keep failing for no picture's fault.
    """
    return _supervise("enhance", reference, settings, owner, on_event)


def evaluate_shard(
    reference: Mapping[str, Any], *, settings: Settings, owner: str, on_event: OnEvent = ignore_event
) -> dict[str, int]:
    """Score every enhanced picture of a shard and pass it through the gate, but for those that need a net (a gentler
    attempt, the detector of scratches): these stay `enhanced`, marked for :func:`second_look_at_shard`. Arguments,
    result and errors as :func:`enhance_shard`.
    """
    return _supervise("evaluate", reference, settings, owner, on_event)


def second_look_at_shard(
    reference: Mapping[str, Any], *, settings: Settings, owner: str, on_event: OnEvent = ignore_event
) -> dict[str, int]:
    """Look again, where the nets are, at each picture of a shard that the evaluation left for that: make the gentler
    attempt of what the gate refused, and score what only a net can. No worker starts where nothing was left. Arguments,
    result and errors as :func:`enhance_shard`.
    """
    return _supervise("second_look", reference, settings, owner, on_event)


def publish_shard(
    reference: Mapping[str, Any], *, settings: Settings, owner: str, on_event: OnEvent = ignore_event
) -> dict[str, int]:
    """Publish every scored picture of a shard, in this process; arguments, result and errors as :func:`enhance_shard`,
    but for `on_event`, which is never called.
    """
    run_id, shard_id = str(reference["run"]), int(reference["shard"])
    with Ledger(settings.ledger_url()) as ledger:
        lease = ledger.leases.take(run_id, shard_id, owner, settings.lease_ttl_s)
        Publisher(lease, ledger, settings).run()
        ledger.leases.release(lease)
        counts = ledger.items.shard_counts(run_id, shard_id)
    log.info("shard published", run=run_id, shard=shard_id, **counts)
    return counts


def _supervise(
    mode: ShardMode, reference: Mapping[str, Any], settings: Settings, owner: str, on_event: OnEvent
) -> dict[str, int]:
    """Take the shard's lease and see workers of `mode` through its pictures; the shard's items by state."""
    run_id, shard_id = str(reference["run"]), int(reference["shard"])
    started = time.monotonic()
    with Ledger(settings.ledger_url()) as ledger:
        lease = ledger.leases.take(run_id, shard_id, owner, settings.lease_ttl_s)
        supervisor = ShardSupervisor(mode, lease, ledger, settings, on_event)
        try:
            supervisor.run()
        finally:
            worked = supervisor.peak_rss_mb > 0
            ledger.leases.release(
                lease,
                busy_s=time.monotonic() - started if worked else 0.0,
                peak_rss_mb=supervisor.peak_rss_mb if worked else None,
            )
        counts = ledger.items.shard_counts(run_id, shard_id)
    log.info("shard done", mode=mode, run=run_id, shard=shard_id, **counts)
    return counts
