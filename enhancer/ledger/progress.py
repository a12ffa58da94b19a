"""How far a run is: pictures by state, and the share of its work that is done."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Final

from sqlalchemy import Connection, and_, func, select

from enhancer.ledger.rows import Progress
from enhancer.ledger.runs import no_such_run
from enhancer.ledger.states import TERMINAL, ItemState
from enhancer.ledger.tables import db_now, item, run, shard

RATE_WINDOW_S: Final = 900.0
"""The rate of a running run is that of its last quarter of an hour: a run may have stood still for a night before."""

WORK_DONE: Final[dict[str, float]] = {
    ItemState.PENDING: 0.0,
    ItemState.RUNNING: 0.0,
    ItemState.ENHANCED: 0.6,
    ItemState.SCORED: 0.95,
    ItemState.COMMITTING: 0.95,
}
"""The share of a picture's work that is done, by state; all of it in every other state. Scoring takes about half of a
run of small pictures, and less of large ones (docs/performance.md)."""

_SETTLED: Final = TERMINAL | {ItemState.HELD}


def progress_of(connection: Connection, run_id: str) -> Progress:
    """A run's progress.

    A shard weighs as many seconds as planning estimated for it, and its pictures weigh the same. What only repeats an
    earlier verdict is no work.

    Raises:
        RequestError: there is no such run.
    """
    row = connection.execute(
        select(run.c.created_at, run.c.finished_at, db_now().label("now")).where(run.c.run_id == run_id)
    ).one_or_none()
    if row is None:
        raise no_such_run(run_id)
    end = row.finished_at or row.now
    since = row.created_at if row.finished_at else max(row.created_at, end - RATE_WINDOW_S)
    recent = and_(item.c.attempts > 0, item.c.updated_at >= since)
    groups = connection.execute(
        select(item.c.shard_id, item.c.state, func.count(), func.count().filter(recent))
        .where(item.c.run_id == run_id)
        .group_by(item.c.shard_id, item.c.state)
    ).all()
    shards = connection.execute(
        select(shard.c.shard_id, shard.c["items"], shard.c.cost_s).where(shard.c.run_id == run_id)
    ).all()
    picture_s = {number: cost_s / items for number, items, cost_s in shards if items}
    by_state: Counter[str] = Counter()
    states_of: defaultdict[int, set[str]] = defaultdict(set)
    handled, work, done_s, recent_s = 0, 0.0, 0.0, 0.0
    for number, state, count, lately in groups:
        by_state[state] += count
        states_of[number].add(state)
        handled += 0 if state in (ItemState.PENDING, ItemState.RUNNING) else lately
        share, weight = WORK_DONE.get(state, 1.0), picture_s.get(number, 0.0)
        work += weight * count
        done_s += weight * count * share
        recent_s += weight * lately * share
    seconds = max(end - since, 1e-3)
    open_shards = sum(not states <= _SETTLED for number, states in states_of.items() if number in picture_s)
    is_over = all(state in _SETTLED for state in by_state)
    return Progress(
        total=by_state.total(),
        done=sum(count for state, count in by_state.items() if state in TERMINAL),
        by_state=dict(by_state),
        shards=len(shards),
        shards_done=len(shards) - open_shards,
        items_per_second=handled / seconds,
        eta_s=0.0 if is_over else (work - done_s) / (recent_s / seconds) if recent_s else None,
        work_done=done_s / work if work else float(is_over and bool(by_state)),
    )
