"""The steps of a worker of :mod:`tests.ledger.night_machine`, one call to the ledger each, in the product's order."""

from __future__ import annotations

from typing import Any

import pytest

from enhancer.ledger import ClaimLostError, ItemState, Ledger
from enhancer.ledger.leases import fence
from enhancer.ledger.states import OPEN
from tests.ledger.night_model import INPUT, KEYS, OUTPUT, SHARDS, Job, Model, S, Worker, digest


class NightSteps:
    """What workers and the report do; the machine has the state."""

    ledger: Ledger
    model: Model
    world: dict[str, bytes]  # the object store: staged results and targets
    content: dict[str, str]
    computed: dict[str, int]
    reopened: dict[str, int]
    staged_too_late: set[str]

    # ---------------------------------------------------------------- the steps, as the product takes them

    def _start(self, worker: Worker, job: Job, trouble: str | None) -> None:
        place = (worker.lease.run_id, job.key)
        if self.model.holds(worker.lease) and self.model.items[place] != S.PENDING:
            with pytest.raises(ValueError, match="may become running"):
                self.ledger.items.move(worker.lease, job.key, S.RUNNING)
            worker.job = None
            return
        self._move(worker, job.key, S.RUNNING)
        job.step, job.identity = "claim", self.content[job.key]

    def _claim(self, worker: Worker, job: Job, trouble: str | None) -> None:
        place, address = (worker.lease.run_id, job.key), f"{OUTPUT}/{job.key}"
        if self.model.targets.get(address) == job.identity:
            self._move(worker, job.key, S.SKIPPED, identity=job.identity)
            worker.job = None
            return
        holds = self.model.holds(worker.lease)
        claim = self.ledger.results.claim(worker.lease, job.identity)
        assert holds, "a worker without lease claimed a result"
        assert claim.status == self.model.claim(worker.lease, job.identity)
        if claim.status == "stored":
            assert claim.row is not None
            overwritten = self.model.targets.get(claim.row.address, job.identity) != job.identity
            if not overwritten and claim.row.address in self.world:
                self._move(worker, job.key, S.ENHANCED, identity=job.identity, reused=1, staged_key=None)
                self.model.identity[place] = job.identity
                self.model.reused.add(place)
                self.model.staged.pop(place, None)
                worker.job = None
                return
            self.ledger.results.reopen(worker.lease, job.identity, address=claim.row.address)
            del self.model.stored[job.identity]
            self.reopened[job.identity] = self.reopened.get(job.identity, 0) + 1
            assert self.ledger.results.claim(worker.lease, job.identity).status == "mine"
            self.model.claim(worker.lease, job.identity)
        elif claim.status == "busy":
            self._give_back(worker, job.key)
            worker.job = None
            return
        job.step = "stage"

    def _stage(self, worker: Worker, job: Job, trouble: str | None) -> None:
        lease = worker.lease
        if trouble is not None:
            self.ledger.results.give_up_claims(lease)
            self.model.claims = {
                i: by for i, by in self.model.claims.items() if by[:2] != (lease.run_id, lease.shard_id)
            }
            if trouble == "transient":
                self._give_back(worker, job.key)
            else:
                self._move(worker, job.key, S.QUARANTINED)
            worker.job = None
            return
        job.staged = f"s3://work/{lease.run_id}/{lease.shard_id}-{lease.epoch}/{job.key}"
        if lease.run_id in self.model.finished:
            self.staged_too_late.add(job.staged)
        self.world[job.staged] = self._made(worker, job)
        job.step = "store"

    def _store(self, worker: Worker, job: Job, trouble: str | None) -> None:
        lease, place = worker.lease, (worker.lease.run_id, job.key)
        data = self._made(worker, job)  # a straggler's may have been swept: it knows what it wrote
        mine = self.model.claims.get(job.identity) == (lease.run_id, lease.shard_id, lease.epoch)
        try:
            with self.ledger.engine.begin() as connection:
                fence(connection, lease)
                self.ledger.results.store(connection, lease, job.identity, address=job.staged, digest=digest(data))
                self.ledger.items.move_in(connection, lease, job.key, S.ENHANCED, identity=job.identity,
                                          staged_key=job.staged, reused=0)  # fmt: skip
        except ClaimLostError:
            assert not mine
            self._give_back(worker, job.key)
        else:
            assert mine
            assert self.model.holds(lease)
            self.computed[job.identity] = self.computed.get(job.identity, 0) + 1
            del self.model.claims[job.identity]
            self.model.stored[job.identity] = (job.staged, digest(data))
            self.model.items[place], self.model.identity[place] = S.ENHANCED, job.identity
            self.model.staged[place] = job.staged
            self.model.reused.discard(place)
        worker.job = None

    def _score(self, worker: Worker, job: Job, trouble: str | None) -> None:
        self._move(worker, job.key, S.REJECTED if trouble == "permanent" else S.SCORED)
        worker.job = None

    def _commit(self, worker: Worker, job: Job, trouble: str | None) -> None:
        place, address = (worker.lease.run_id, job.key), f"{OUTPUT}/{job.key}"
        job.identity = self.model.identity[place]
        lease = worker.lease
        stored = self.ledger.results.get(job.identity)
        if stored is None or stored.state != "stored":
            self._fail_publication(worker, job)
            return
        job.source, job.wanted = stored.address, stored.digest
        with self.ledger.engine.begin() as connection:
            fence(connection, lease)
            claim = self.ledger.targets.claim(connection, lease, address, output_url=OUTPUT, input_url=INPUT,
                                              input_key=job.key)  # fmt: skip
            state = self.ledger.items.state_in(connection, lease.run_id, job.key)
            if claim == "mine" and state != S.COMMITTING:
                self.ledger.items.move_in(connection, lease, job.key, S.COMMITTING)
            if claim == "superseded":
                self.ledger.items.move_in(connection, lease, job.key, S.SKIPPED)
        assert claim == self.model.target_claim(lease.run_id, address, job.key)
        self.model.items[place] = {"mine": S.COMMITTING, "superseded": S.SKIPPED}.get(claim, self.model.items[place])
        job.step = "copy"
        if claim != "mine":
            worker.job = None

    def _copy(self, worker: Worker, job: Job, trouble: str | None) -> None:
        """No fence here: a worker that stalled copies whenever it wakes up."""
        address = f"{OUTPUT}/{job.key}"
        if job.source in self.world:
            self.world[address] = self.world[job.source]
            job.copied = digest(self.world[address])
        if job.copied != job.wanted:
            self._fail_publication(worker, job)
            return
        job.step = "record"

    def _record(self, worker: Worker, job: Job, trouble: str | None) -> None:
        lease, place, address = worker.lease, (worker.lease.run_id, job.key), f"{OUTPUT}/{job.key}"
        with self.ledger.engine.begin() as connection:
            fence(connection, lease)
            held = self.ledger.targets.held_by(connection, lease, address)
            end = S.REUSED if place in self.model.reused else S.PUBLISHED
            if held:
                self.ledger.targets.record(connection, lease, address, identity=job.identity, digest=job.wanted)
                self.ledger.results.moved(connection, job.identity, address)
            self.ledger.items.move_in(connection, lease, job.key, end if held else S.SKIPPED)
        assert held == (self.model.holder[address] == lease.run_id)
        self.model.items[place] = end if held else S.SKIPPED
        if held:
            self.model.targets[address] = job.identity
            if job.identity in self.model.stored:
                self.model.stored[job.identity] = (address, self.model.stored[job.identity][1])
            self.world.pop(self.model.staged.get(place, ""), None)
            if job.source.startswith("s3://work/"):
                self.world.pop(job.source, None)
        else:
            self._look_at_what_lies_there(job)
        worker.job = None

    # ---------------------------------------------------------------- parts of steps

    @staticmethod
    def _made(worker: Worker, job: Job) -> bytes:
        return f"{job.identity} by {worker.lease.run_id} in epoch {worker.lease.epoch}".encode()

    def _move(self, worker: Worker, key: str, to: ItemState, **values: Any) -> None:
        holds = self.model.holds(worker.lease)
        self.ledger.items.move(worker.lease, key, to, **values)
        assert holds, "a worker without lease moved an item"
        self.model.items[worker.lease.run_id, key] = to

    def _give_back(self, worker: Worker, key: str) -> None:
        self.ledger.items.give_back(worker.lease, key, delay_s=0.0)
        self.model.items[worker.lease.run_id, key] = S.PENDING

    def _fail_publication(self, worker: Worker, job: Job) -> None:
        if self.model.items[worker.lease.run_id, job.key] == S.COMMITTING:
            self.ledger.targets.forget(worker.lease, f"{OUTPUT}/{job.key}")
            self.model.targets[f"{OUTPUT}/{job.key}"] = None
        self._move(worker, job.key, S.FAILED)
        worker.job = None

    def _is_owner(self, worker: Worker) -> bool:
        assert worker.job is not None
        return self.model.holder.get(f"{OUTPUT}/{worker.job.key}") == worker.lease.run_id

    def _look_at_what_lies_there(self, job: Job) -> None:
        """A straggler's last duty: its late copy may lie over what a later run published."""
        address = f"{OUTPUT}/{job.key}"
        found = digest(self.world[address])
        self.ledger.targets.doubt(address, found)
        there = self.ledger.targets.get(address)
        if there is not None and there.identity is None:
            self.model.targets[address] = None

    def _report(self, run_id: str) -> None:
        """Raise every epoch, resolve what is committing, close what is open, finish, sweep."""
        if run_id in self.model.finished:
            return
        for lease in self.ledger.runs.take_all(run_id, "report"):
            self.model.epochs[run_id, lease.shard_id] = lease.epoch
            self.model.live[run_id, lease.shard_id] = True
            for key in KEYS:
                if SHARDS[key] == lease.shard_id and self.model.items.get((run_id, key)) == S.COMMITTING:
                    self._resolve(Worker(lease, Job(key, "commit")))
        self.ledger.runs.close_items(run_id, stopped=False)
        for place, state in self.model.items.items():
            if place[0] == run_id and state in OPEN:
                row = self.ledger.items.get(*place)
                assert row is not None
                assert row.state in (S.FAILED, S.NOT_ATTEMPTED)
                self.model.items[place] = ItemState(row.state)
        self.ledger.runs.finish(run_id, "success", report_address=None, summary={})
        self.model.finished.add(run_id)
        for address in [address for address in self.world if address.startswith(f"s3://work/{run_id}/")]:
            if not self.ledger.results.points_to(address):
                del self.world[address]

    def _resolve(self, worker: Worker) -> None:
        while worker.job is not None:
            job = worker.job
            getattr(self, f"_{job.step}")(worker, job, None)
            if worker.job is None and self.model.items[worker.lease.run_id, job.key] == S.COMMITTING:
                self._fail_publication(worker, job)  # the target stayed busy through every attempt
