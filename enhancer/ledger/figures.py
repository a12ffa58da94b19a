"""A finished run in a few figures, for the report to keep and the page to plot over the nights."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, and_, func, select

from enhancer.ledger.items import NO_SHARD
from enhancer.ledger.states import GOOD, TERMINAL, ItemState
from enhancer.ledger.tables import item, score, shard


def figures_of(connection: Connection, run_id: str) -> dict[str, Any]:
    """What a run's trend is plotted by: megapixels that it published, seconds that its workers were busy, new
    failures by class of error, and of the scores that count (against the truth where there is one, else against the
    input) how many there are, their mean and the least.
    """
    reference, fidelity = score.alias("reference"), score.alias("fidelity")
    source: Any = item
    for scores in (reference, fidelity):
        same = and_(scores.c.run_id == item.c.run_id, scores.c.key == item.c.key, scores.c.kind == scores.name)
        source = source.outerjoin(scores, same)
    counts = func.coalesce(reference.c.score, fidelity.c.score)
    published = item.c.state == ItemState.PUBLISHED
    pixels, scored, mean, least = connection.execute(
        select(
            func.sum(1e-6 * item.c.output_width * item.c.output_height).filter(published),
            func.count(counts),
            func.avg(counts),
            func.min(counts),
        )
        .select_from(source)
        .where(item.c.run_id == run_id, item.c.shard_id != NO_SHARD)
    ).one()
    busy_s = connection.execute(
        select(func.coalesce(func.sum(shard.c.busy_s), 0.0)).where(shard.c.run_id == run_id)
    ).scalar_one()
    failures = connection.execute(
        select(item.c.error_class, func.count())
        .where(
            item.c.run_id == run_id,
            item.c.shard_id != NO_SHARD,
            item.c.state.in_(sorted((TERMINAL | {ItemState.HELD}) - GOOD)),
            item.c.error_class.is_not(None),
        )
        .group_by(item.c.error_class)
    ).all()
    return {
        "failures": {error_class: int(count) for error_class, count in failures},
        "megapixels": round(float(pixels or 0), 3),
        "busy_s": round(float(busy_s), 1),
        "scored": int(scored),
        "score_mean": None if mean is None else round(float(mean), 4),
        "score_least": None if least is None else round(float(least), 4),
    }
