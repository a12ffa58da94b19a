"""A small site in local folders with a ledger in SQLite, and steps of a run that need no worker process."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from hashlib import md5
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

from enhancer.batch import layout
from enhancer.batch.plan.planning import Plan, plan_run
from enhancer.batch.plan.request import RunRequest
from enhancer.batch.tasks import publish_shard
from enhancer.batch.worker_process import worker_environment
from enhancer.identity import digest
from enhancer.ledger import Item, ItemState, Ledger, ScoredItem
from enhancer.ledger.leases import fence
from enhancer.settings import Settings

PLAIN = '{"name": "archive", "scale": 1, "denoise_strength": 0}'
"""A recipe that needs no net."""

KILLED_AT = """
import json, os, re, signal, sys
from enhancer.batch.plan.planning import plan_run
from enhancer.batch.tasks import publish_shard
from enhancer.batch.plan.request import RunRequest
from enhancer.settings import get_settings

event, pattern, what, argument = sys.argv[1:]

def kill_at(name, arguments):
    if name == event and any(re.search(pattern, str(part)) for part in arguments):
        os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(kill_at)
argument = json.loads(argument)
if what == "publish":
    publish_shard(argument, settings=get_settings(), owner="child")
else:
    request = RunRequest.from_params(argument["params"], get_settings())
    plan_run(request, settings=get_settings(), run_id=argument["run"], trigger="cli")
"""
"""A child that is killed with SIGKILL at a system call, as Python's audit events name it (PEP 578)."""


def png(seed: int, width: int = 24, height: int = 16) -> bytes:
    """A small smooth colour picture; another one for each seed."""
    ramp = np.add.outer(np.arange(height) * 3.0, np.arange(width) * 2.0)
    colour = np.random.default_rng(seed).uniform(0.3, 1.0, 3)
    pixels = (40 + ramp[..., None] * colour).astype(np.uint8)
    buffer = io.BytesIO()
    PIL.Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


@dataclass(frozen=True)
class Site:
    """Input, output, work and ledger of one test."""

    root: Path
    settings: Settings
    ledger: Ledger

    @property
    def input(self) -> Path:
        return self.root / "in"

    @property
    def output(self) -> Path:
        return self.root / "out"

    @property
    def work(self) -> Path:
        return self.root / "work"

    def put(self, **files: bytes) -> None:
        """Write inputs; ``__`` in a name stands for a slash, the last ``_`` for the dot."""
        for name, data in files.items():
            self.put_key(".".join(name.replace("__", "/").rsplit("_", 1)), data)

    def put_key(self, key: str, data: bytes) -> None:
        path = self.input / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def params(self, **params: Any) -> dict[str, Any]:
        urls = {"input_url": str(self.input), "output_url": str(self.output), "work_url": str(self.work)}
        return {**urls, "recipe": PLAIN, **params}

    def request(self, **params: Any) -> RunRequest:
        return RunRequest.from_params(self.params(**params), self.settings)

    def plan(self, run_id: str = "r1", **params: Any) -> Plan:
        return plan_run(self.request(**params), settings=self.settings, run_id=run_id, trigger="cli")

    def items(self, run_id: str) -> dict[str, ScoredItem]:
        return {row.key: row for row in self.ledger.queries.iter_items(run_id)}

    def states(self, run_id: str) -> dict[str, str]:
        return {key: row.state for key, row in self.items(run_id).items()}

    # ------------------------------------------------------------ steps of a run, without a worker

    def stage(
        self,
        run_id: str,
        key: str,
        data: bytes,
        target_key: str | None = None,
        *,
        details: dict[str, Any] | None = None,
    ) -> Item:
        """What enhance and evaluate leave behind: the result `data` under work_url, the item `scored`."""
        row = self.ledger.items.get(run_id, key)
        assert row is not None
        lease = self.ledger.leases.take(run_id, row.shard_id, "test", 60)
        identity = digest(data + key.encode() + run_id.encode())
        staged = layout.staged_key(run_id, lease.shard_id, lease.epoch, row.position, identity)
        path = self.work / staged
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        self.ledger.items.move(lease, key, ItemState.RUNNING)
        assert self.ledger.results.claim(lease, identity).status == "mine"
        with self.ledger.engine.begin() as connection:
            fence(connection, lease)
            self.ledger.results.store(
                connection,
                lease,
                identity,
                address=str(path),
                digest=digest(data),
                size=len(data),
                md5=md5(data, usedforsecurity=False).hexdigest(),
                format="PNG",
                details=details,
            )
            self.ledger.items.move_in(
                connection,
                lease,
                key,
                ItemState.ENHANCED,
                identity=identity,
                staged_key=staged,
                target_key=target_key or key,
                reused=0,
                details=details,
            )
            self.ledger.items.move_in(connection, lease, key, ItemState.SCORED)
        self.ledger.leases.release(lease)
        found = self.ledger.items.get(run_id, key)
        assert found is not None
        return found

    def publish(self, plan: Plan) -> None:
        for reference in plan.shards:
            publish_shard(reference, settings=self.settings, owner="test")

    def pass_gate(self, plan: Plan) -> None:
        """What evaluate does with good results, without loading a metric: every enhanced item becomes `scored`."""
        for reference in plan.shards:
            lease = self.ledger.leases.take(plan.run_id, reference["shard"], "test", 60)
            for row in self.ledger.items.of_shard(plan.run_id, lease.shard_id, ItemState.ENHANCED):
                self.ledger.items.move(lease, row.key, ItemState.SCORED)
            self.ledger.leases.release(lease)

    def settle(self, run_id: str, key: str, state: ItemState, **columns: Any) -> None:
        """End one item without work."""
        row = self.ledger.items.get(run_id, key)
        assert row is not None
        lease = self.ledger.leases.take(run_id, row.shard_id, "test", 60)
        self.ledger.items.move(lease, key, ItemState.RUNNING)
        self.ledger.items.move(lease, key, state, **columns)

    def settle_as_it_is(self, run_id: str) -> None:
        """Close a run that was cut short: what is open ends unpublished."""
        self.ledger.runs.close_items(run_id, stopped=True)
        self.finish(run_id)

    def finish(self, run_id: str) -> None:
        self.ledger.runs.finish(run_id, "success", report_address=None, summary={})

    def child_killed(self, event: str, pattern: str, what: str, argument: dict[str, Any]) -> None:
        """Run a step in a child process that SIGKILL ends at a system call."""
        done = subprocess.run(
            [sys.executable, "-c", KILLED_AT, event, pattern, what, json.dumps(argument)],
            env=worker_environment(self.settings),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == -9, done.stderr


def keys_of(site: Site, plan: Plan) -> list[str]:
    """The manifest's keys in order, read from the run's listing."""
    return [line["key"] for line in lines_of(plan)]


def lines_of(plan: Plan) -> list[dict[str, Any]]:
    """What the run's listing says of each picture."""
    if not plan.shards:
        return []
    (uri,) = {reference["uri"] for reference in plan.shards}
    with gzip.open(uri, "rt", encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    assert len(lines) == sum(reference["n"] for reference in plan.shards)
    return lines


def publish_all(site: Site, run_id: str = "r1", **params: Any) -> Plan:
    """A finished run in which every picture was published, without a worker."""
    plan = site.plan(run_id, **params)
    for number, key in enumerate(keys_of(site, plan)):
        site.stage(plan.run_id, key, b"result %d" % number)
    site.publish(plan)
    site.finish(plan.run_id)
    return plan


def child_pids(pid: int | None = None) -> list[int]:
    """Processes that this one started and that run still."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = re.search(r"^PPid:\s+(\d+)", (entry / "status").read_text(), re.MULTILINE)
            except OSError:
                continue
            if parent and int(parent[1]) == (pid or os.getpid()):
                found.append(int(entry.name))
    return found
