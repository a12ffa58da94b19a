"""What the ledger must hold, in plain dicts: the model that :mod:`tests.ledger.night_machine` runs beside it."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from enhancer.ledger import ItemState, Lease

S = ItemState
INPUT, OUTPUT = "s3://in", "s3://out"
KEYS = ("a", "b", "c")
SHARDS = {"a": 0, "b": 0, "c": 1}


def digest(data: bytes) -> str:
    """What the ledger records of an object."""
    return sha256(data).hexdigest()


@dataclass
class Job:
    """One picture in one worker's hands."""

    key: str
    step: str
    identity: str = ""
    staged: str = ""
    source: str = ""  # where the copy comes from
    copied: str | None = None  # the digest of what was copied over the target
    wanted: str = ""


@dataclass
class Worker:
    """What a worker believes, right or wrong."""

    lease: Lease
    job: Job | None = None


@dataclass
class Model:
    """What the ledger must hold, in plain dicts."""

    runs: list[str] = field(default_factory=list)
    finished: set[str] = field(default_factory=set)
    items: dict[tuple[str, str], ItemState] = field(default_factory=dict)
    identity: dict[tuple[str, str], str] = field(default_factory=dict)
    staged: dict[tuple[str, str], str] = field(default_factory=dict)
    reused: set[tuple[str, str]] = field(default_factory=set)
    epochs: dict[tuple[str, int], int] = field(default_factory=dict)
    live: dict[tuple[str, int], bool] = field(default_factory=dict)
    claims: dict[str, tuple[str, int, int]] = field(default_factory=dict)  # identity -> run, shard, epoch
    stored: dict[str, tuple[str, str]] = field(default_factory=dict)  # identity -> address, digest
    targets: dict[str, str | None] = field(default_factory=dict)  # address -> identity that the row vouches for
    holder: dict[str, str] = field(default_factory=dict)  # address -> run

    def holds(self, lease: Lease) -> bool:
        return self.epochs[lease.run_id, lease.shard_id] == lease.epoch

    def claim(self, lease: Lease, identity: str) -> str:
        if identity in self.stored:
            return "stored"
        there = self.claims.get(identity)
        mine = (lease.run_id, lease.shard_id)
        if there is not None and there[:2] != mine and self.epochs[there[:2]] == there[2] and self.live[there[:2]]:
            return "busy"
        self.claims[identity] = (*mine, lease.epoch)
        return "mine"

    def target_claim(self, run_id: str, address: str, key: str) -> str:
        there = self.holder.get(address)
        if there is not None and self.runs.index(there) > self.runs.index(run_id):
            return "superseded"
        writing = there is not None and self.items.get((there, key)) == S.COMMITTING
        if writing and there != run_id and self.live[str(there), SHARDS[key]]:
            return "busy"
        self.holder[address] = run_id
        self.targets.setdefault(address, None)
        return "mine"


def planned(run_id: str, key: str, position: int) -> dict[str, Any]:
    """An item's row as planning makes it."""
    return {
        "run_id": run_id, "key": key, "shard_id": SHARDS[key], "position": position, "state": "pending", "size": 1,
        "etag": "e", "recipe_name": "photo", "recipe_digest": "0" * 64, "failed_runs": 0, "attempts": 0,
    }  # fmt: skip
