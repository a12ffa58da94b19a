"""Nights as a state machine for Hypothesis: workers that claim, compute, copy, record, stall, crash and come back late.

Each worker does what the product's do, one call to the ledger at a time, and may be overtaken between any two. Beside
the ledger runs a model of plain dicts; after each step both must agree. The object store is a dict: whatever a worker
writes there is written, whether its lease holds or not, since no store knows about leases.

What happens next is drawn by weight in one rule, and not left to Hypothesis, which switches rules off by chance. Where
"a run starts" or "a worker takes a shard" were among these, most steps changed objects that no one looked at: three
pictures were begun in 46 nights, and a ledger without fences passed.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
import sqlalchemy as sa
from hypothesis import assume
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from enhancer.errors import LeaseLostError
from enhancer.ledger import TERMINAL, ItemState, Ledger
from enhancer.ledger.states import OPEN
from enhancer.ledger.tables import item, result, shard, target
from tests.ledger.night_model import INPUT, KEYS, OUTPUT, SHARDS, Job, Model, S, Worker, digest, planned
from tests.ledger.night_steps import NightSteps

MOST_RUNS = 4
WORKERS = (0, 1, 2)
MOST_STEPS = 5
"""At a time; a picture takes eight from its start to its target, and is to be left alone between any two."""
TROUBLE = st.sampled_from((None, None, None, "transient", "permanent"))


class NightMachine(NightSteps, RuleBasedStateMachine):
    """The rules; a subclass has `new_ledger`, which gives an empty one."""

    new_ledger: Callable[[], Ledger]

    @initialize()
    def begin(self) -> None:
        self.ledger = type(self).new_ledger()
        self.model = Model()
        self.world: dict[str, bytes] = {}  # the object store: staged results and targets
        self.content = {"a": "x", "b": "y", "c": "x"}  # x is in both shards
        self.workers: dict[int, Worker] = {}
        self.ends: dict[tuple[str, str], ItemState] = {}
        self.computed: dict[str, int] = {}
        self.reopened: dict[str, int] = {}
        self.staged_too_late: set[str] = set()

    def teardown(self) -> None:
        if not hasattr(self, "ledger"):
            return
        try:
            self.workers.clear()  # everything dies, and what follows is the morning after
            for run_id in self.model.runs:
                self._report(run_id)
            self.rows_and_model_agree()
            self.no_run_ends_with_work_left_and_no_staged_object_is_orphaned()
        finally:
            self.ledger.close()

    @rule(data=st.data())
    def something_happens(self, data: st.DataObject) -> None:
        """What is possible now, by weight."""
        possible = {
            "a_run_starts": 2 * (len(self.model.runs) < MOST_RUNS),
            "a_worker_takes_a_shard": 4 * bool(self._open() and len(self.workers) < len(WORKERS)),
            "a_worker_goes_on": 6 * bool(self.workers),
            "a_straggler_goes_on": 2 * bool(self._late()),
            "a_worker_renews_its_lease": bool(self.workers),
            "a_worker_is_killed": 2 * bool(self.workers),
            "a_lease_runs_out": 2 * any(self.model.live.values()),
            "a_run_is_reported": bool(self._begun()),
            "a_shard_of_a_finished_run_is_refused": bool(self.model.finished),
            "an_object_changes": bool(self.model.runs),
        }
        drawn = data.draw(st.sampled_from([name for name, weight in possible.items() for _ in range(weight)]))
        getattr(self, drawn)(data)

    # ---------------------------------------------------------------- what happens around the workers

    def a_run_starts(self, data: st.DataObject) -> None:
        """The first, the next night's, or a re-drive: a new run of what is not done in its predecessors."""
        run_id = f"r{len(self.model.runs)}"
        done = {key for key in KEYS if self.model.targets.get(f"{OUTPUT}/{key}") == self.content[key]}
        keys = [key for key in KEYS if key not in done]
        runs = self.ledger.runs
        runs.open(
            run_id, trigger="cli", input_url=INPUT, output_url=OUTPUT, work_url="s3://work", params={}, recipes={}
        )
        runs.add_items([planned(run_id, key, position) for position, key in enumerate(keys)])
        runs.add_shards(run_id, [(number, 2 - number, 1.0) for number in (0, 1)])
        runs.start(run_id, items=len(keys), shards=2)
        self.model.runs.append(run_id)
        self.model.items.update({(run_id, key): S.PENDING for key in keys})
        for number in (0, 1):
            self.model.epochs[run_id, number], self.model.live[run_id, number] = 0, False

    def an_object_changes(self, data: st.DataObject) -> None:
        self.content[data.draw(st.sampled_from(KEYS))] = data.draw(st.sampled_from("xyz"))

    def a_lease_runs_out(self, data: st.DataObject) -> None:
        """What the database's clock does after the lease's lifetime."""
        run_id, number = data.draw(st.sampled_from(sorted(place for place, live in self.model.live.items() if live)))
        with self.ledger.engine.begin() as connection:
            ours = (shard.c.run_id == run_id, shard.c.shard_id == number)
            connection.execute(sa.update(shard).where(*ours).values(lease_expires_at=0.0))
        self.model.live[run_id, number] = False

    def a_run_is_reported(self, data: st.DataObject) -> None:
        self._report(data.draw(st.sampled_from(self._begun())))

    def _begun(self) -> list[str]:
        """Runs that someone worked on and that are not over."""
        return [run for run in self._open() if any(self.model.epochs[run, number] for number in (0, 1))]

    def _open(self) -> list[str]:
        return [run for run in self.model.runs if run not in self.model.finished]

    # ---------------------------------------------------------------- workers

    def a_worker_takes_a_shard(self, data: st.DataObject) -> None:
        """And works on it for a while. Whoever had it may come back late."""
        worker = data.draw(st.sampled_from([name for name in WORKERS if name not in self.workers]))
        run_id, number = data.draw(st.sampled_from(self._open())), data.draw(st.sampled_from((0, 1)))
        lease = self.ledger.leases.take(run_id, number, f"w{worker}", 600)
        self.workers[worker] = Worker(lease)
        self.model.epochs[run_id, number] += 1
        self.model.live[run_id, number] = True
        assert lease.epoch == self.model.epochs[run_id, number]
        for (run, key), state in self.model.items.items():
            if run == run_id and SHARDS[key] == number and state == S.RUNNING:
                self.model.items[run, key] = S.PENDING
        self._go_on(data, worker)

    def a_shard_of_a_finished_run_is_refused(self, data: st.DataObject) -> None:
        run_id, number = data.draw(st.sampled_from(sorted(self.model.finished))), data.draw(st.sampled_from((0, 1)))
        with pytest.raises(LeaseLostError):
            self.ledger.leases.take(run_id, number, "late", 600)

    def a_worker_renews_its_lease(self, data: st.DataObject) -> None:
        worker = self.workers[data.draw(st.sampled_from(sorted(self.workers)))]
        if self.model.holds(worker.lease):
            self.ledger.leases.renew(worker.lease, 600)
            self.model.live[worker.lease.run_id, worker.lease.shard_id] = True
        else:
            with pytest.raises(LeaseLostError):
                self.ledger.leases.renew(worker.lease, 600)

    def a_worker_is_killed(self, data: st.DataObject) -> None:
        """At any moment but one: a straggler between its late copy and its look at what it did cannot be told from
        outside, and the store has no fence. docs/reliability.md says so.
        """
        number = data.draw(st.sampled_from(sorted(self.workers)))
        worker = self.workers[number]
        assume(worker.job is None or worker.job.copied is None or self._is_owner(worker))
        del self.workers[number]

    def a_worker_goes_on(self, data: st.DataObject) -> None:
        self._go_on(data, data.draw(st.sampled_from(sorted(self.workers))))

    def a_straggler_goes_on(self, data: st.DataObject) -> None:
        """Who has lost its lease and does not know it: the next call to the ledger says so."""
        self._go_on(data, data.draw(st.sampled_from(self._late())))

    def _late(self) -> list[int]:
        return sorted(number for number, worker in self.workers.items() if not self.model.holds(worker.lease))

    def _go_on(self, data: st.DataObject, number: int) -> None:
        """Some steps, with the next item of its shard wherever it is done with one; any trouble comes last."""
        steps, trouble = data.draw(st.integers(1, MOST_STEPS)), data.draw(TROUBLE)
        worker = self.workers[number]
        for left in reversed(range(steps)):
            if worker.job is None:
                worker.job = self._next_item(data, worker)
            if worker.job is None:
                return
            job, holds = worker.job, self.model.holds(worker.lease)
            try:
                getattr(self, f"_{job.step}")(worker, job, None if left else trouble)
            except LeaseLostError:
                assert not holds, "the lease stands, and yet the ledger refused"
                if job.copied is not None:
                    self._look_at_what_lies_there(job)
                del self.workers[number]  # it stops at once
                return

    def _next_item(self, data: st.DataObject, worker: Worker) -> Job | None:
        steps = {S.PENDING: "start", S.ENHANCED: "score", S.SCORED: "commit", S.COMMITTING: "commit"}
        run_id, shard_id = worker.lease.run_id, worker.lease.shard_id
        states = {key: self.model.items.get((run_id, key)) for key in KEYS if SHARDS[key] == shard_id}
        open_keys = [key for key, state in states.items() if state in steps]
        if not open_keys:
            return None
        key = data.draw(st.sampled_from(open_keys))
        return Job(key, steps[self.model.items[run_id, key]])

    # ---------------------------------------------------------------- what always holds

    @invariant()
    def rows_and_model_agree(self) -> None:
        if not hasattr(self, "ledger"):
            return
        with self.ledger.engine.connect() as connection:
            rows = connection.execute(sa.select(item.c.run_id, item.c.key, item.c.state)).all()
            stored = connection.execute(sa.select(result).where(result.c.state == "stored")).mappings().all()
            targets = connection.execute(sa.select(target)).mappings().all()
            epochs = connection.execute(sa.select(shard.c.run_id, shard.c.shard_id, shard.c.lease_epoch)).all()
        assert {(run, key): state for run, key, state in rows} == self.model.items
        assert {row["identity"]: (row["address"], row["digest"]) for row in stored} == self.model.stored
        assert {row["address"]: row["identity"] for row in targets} == self.model.targets
        assert {(run, number): epoch for run, number, epoch in epochs} == self.model.epochs
        for place, state in self.model.items.items():
            if place in self.ends:
                assert state == self.ends[place], f"{place} ended as {self.ends[place]} and is {state} now"
            elif state in TERMINAL:
                self.ends[place] = state
        for identity, times in self.computed.items():
            assert times <= 1 + self.reopened.get(identity, 0), f"{identity} was computed again though it was stored"
        in_flight = {f"{OUTPUT}/{key}" for (_, key), state in self.model.items.items() if state == S.COMMITTING}
        in_flight |= {f"{OUTPUT}/{w.job.key}" for w in self.workers.values() if w.job is not None and w.job.copied}
        for row in targets:
            if row["digest"] is not None and row["address"] not in in_flight:
                assert digest(self.world[row["address"]]) == row["digest"], f"{row['address']} has other bytes"

    def no_run_ends_with_work_left_and_no_staged_object_is_orphaned(self) -> None:
        assert not {place: state for place, state in self.model.items.items() if state in OPEN}
        kept = {address for address, _ in self.model.stored.values()}
        staged = {address for address in self.world if address.startswith("s3://work/")}
        # What a straggler staged after its run's last sweep waits for maintenance, which asks the ledger the same.
        assert staged - self.staged_too_late <= kept
        assert self.ledger.results.pointed_to(staged) == staged & kept
