"""Reading the ledger: for the UI page, the report, the CLI and the demo.

Everything is aggregated in SQL and paged, takes no lock that a writer waits for, and needs memory for one page. Rows
come as objects (:mod:`enhancer.ledger.rows`): runs counted, items with their scores.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import Any, Final, Literal, get_args

from sqlalchemy import Connection, Engine, Select, and_, exists, func, or_, select
from sqlalchemy.sql.elements import KeyedColumnElement

from enhancer.errors import RequestError
from enhancer.ledger.engine import reading
from enhancer.ledger.figures import figures_of
from enhancer.ledger.items import NO_SHARD
from enhancer.ledger.progress import progress_of
from enhancer.ledger.rows import CountedRun, FailureGroup, Item, Progress, Run, ScoredItem, ScoresByKind
from enhancer.ledger.states import AWAIT_A_PERSON, GOOD, TERMINAL, ItemState
from enhancer.ledger.tables import db_now, item, run, score, shard
from enhancer.paging import batched

Order = Literal["position", "worst", "key"]

METRICS: Final = (
    "psnr",
    "ssim",
    "lpips",
    "composite",
    "score",
    "artifact_score",
    "low_frequency_shift",
    "residual_ratio",
)

HISTORY_RUNS: Final = 20

KEY_COLUMN: Final = list(item.c.keys()).index("key")


class Queries:
    """Read-only views of the ledger."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    # ---------------------------------------------------------------- runs

    def runs(
        self, limit: int = 50, offset: int = 0, dag_id: str | None = None, *, search: str = "", since: float = 0.0
    ) -> list[CountedRun]:
        """Runs, newest first, each with ``counts``: its items by state, if finished as reported.

        Args:
            limit: the page's length.
            offset: runs to pass over.
            dag_id: only of this DAG.
            search: only with this text in their id or one of their addresses, whatever its case.
            since: only what began at this moment or later.
        """
        page = select(run).order_by(run.c.created_at.desc(), run.c.run_id.desc()).limit(limit).offset(offset)
        if dag_id is not None:
            page = page.where(run.c.dag_id == dag_id)
        if search:
            named = (run.c.run_id, run.c.input_url, run.c.output_url)
            page = page.where(or_(*(column.icontains(search, autoescape=True) for column in named)))
        if since:
            page = page.where(run.c.created_at >= since)
        return self._runs(page)

    def run(self, run_id: str) -> CountedRun | None:
        """One run with ``counts``, or None."""
        return next(iter(self._runs(select(run).where(run.c.run_id == run_id))), None)

    def find_by_dag_run(self, dag_id: str, dag_run_id: str) -> CountedRun | None:
        """The newest run of an Airflow DAG run (a cleared one has several, and each group that enhances one called
        ``DAG_RUN#GROUP``), with ``counts``, or None.
        """
        newest = (
            select(run)
            .where(
                run.c.dag_id == dag_id,
                or_(run.c.dag_run_id == dag_run_id, run.c.dag_run_id.startswith(f"{dag_run_id}#", autoescape=True)),
            )
            .order_by(run.c.created_at.desc(), run.c.run_id.desc())
            .limit(1)
        )
        return next(iter(self._runs(newest)), None)

    def _runs(self, page: Select[Any]) -> list[CountedRun]:
        with reading(self._engine) as connection:
            rows = [Run(*row) for row in connection.execute(page)]
            reported = {row.run_id: _reported_counts(row) for row in rows}
            counts = {run_id: known or {} for run_id, known in reported.items()}
            for run_id, state, count in connection.execute(
                select(item.c.run_id, item.c.state, func.count())
                .where(item.c.run_id.in_([run_id for run_id, known in reported.items() if known is None]))
                .group_by(item.c.run_id, item.c.state)
            ):
                counts[run_id][state] = int(count)
            known = self._known(connection, rows)
        return [CountedRun(**row.as_dict(), counts=counts[row.run_id], known=known[row.run_id]) for row in rows]

    @staticmethod
    def _known(connection: Connection, rows: Sequence[Run]) -> dict[str, dict[str, int]]:
        """Of each run's items those that only repeat a verdict, by state: as planning counted them, which versions up
        to 0.1.0 did not do.
        """
        summaries = {row.run_id: row.summary or {} for row in rows}
        known = {run_id: dict(summary.get("repeated_by_state") or {}) for run_id, summary in summaries.items()}
        uncounted = [
            run_id
            for run_id, summary in summaries.items()
            if summary.get("repeated_verdicts") and "repeated_by_state" not in summary
        ]
        if uncounted:
            for run_id, state, count in connection.execute(
                select(item.c.run_id, item.c.state, func.count())
                .where(item.c.run_id.in_(uncounted), item.c.shard_id == NO_SHARD)
                .group_by(item.c.run_id, item.c.state)
            ):
                known[run_id][state] = int(count)
        return known

    def annotations(self, name: str, *, dag_id: str) -> Iterator[tuple[str, Any]]:
        """What :meth:`enhancer.ledger.runs.Runs.annotate` noted under `name` in a DAG's finished runs, newest first."""
        statement = (
            select(run.c.run_id, run.c.summary)
            .where(run.c.dag_id == dag_id, run.c.state == "finished")
            .order_by(run.c.created_at.desc(), run.c.run_id.desc())
        )
        with reading(self._engine) as connection:
            rows = connection.execute(statement).all()
        return ((run_id, summary[name]) for run_id, summary in rows if name in (summary or {}))

    # ---------------------------------------------------------------- items

    def items(
        self,
        run_id: str,
        *,
        state: str | Collection[str] | None = None,
        search: str | None = None,
        order: Order = "position",
        limit: int = 100,
        offset: int = 0,
    ) -> tuple[list[ScoredItem], int]:
        """A page of the run's items with scores, and how many there are in all.

        Args:
            run_id: the run.
            state: only items in this state or in one of these.
            search: only keys that contain this text, whatever its case (beyond ASCII on PostgreSQL only); wildcards
                stand for themselves.
            order: ``position`` as in the manifest; ``key``; ``worst`` the lowest score first (against the truth where
                there is one), what has no score last.
            limit: the page's length.
            offset: items to pass over.

        Raises:
            RequestError: an order that is none of these.
        """
        if order not in get_args(Order):
            raise RequestError(f"items are ordered by {', '.join(get_args(Order))}, not {order!r}")
        matching = [item.c.run_id == run_id]
        if state is not None:
            matching.append(item.c.state.in_([state] if isinstance(state, str) else list(state)))
        if search:
            matching.append(item.c.key.icontains(search, autoescape=True))
        page = self._ordered(select(item).where(*matching), order).limit(limit).offset(offset)
        with reading(self._engine) as connection:
            total = connection.execute(select(func.count()).select_from(item).where(*matching)).scalar_one()
            rows = connection.execute(page).all()
            return with_scores(connection, run_id, rows), int(total)

    @staticmethod
    def _ordered(page: Select[Any], order: Order) -> Select[Any]:
        if order == "key":
            return page.order_by(item.c.key)
        if order == "position":
            return page.order_by(item.c.position, item.c.key)
        reference, fidelity = score.alias("reference"), score.alias("fidelity")
        for scores in (reference, fidelity):
            same = and_(scores.c.run_id == item.c.run_id, scores.c.key == item.c.key, scores.c.kind == scores.name)
            page = page.outerjoin(scores, same)
        judged = func.coalesce(reference.c.score, fidelity.c.score)
        return page.order_by(judged.asc().nulls_last(), item.c.position, item.c.key)

    def item(self, run_id: str, key: str) -> ScoredItem | None:
        """One item with scores, or None."""
        with reading(self._engine) as connection:
            rows = connection.execute(select(item).where(item.c.run_id == run_id, item.c.key == key)).all()
            return next(iter(with_scores(connection, run_id, rows)), None)

    def iter_items(self, run_id: str, batch: int = 500) -> Iterator[ScoredItem]:
        """Every item of the run with scores, in manifest order, `batch` in memory at a time.

        Each batch is a transaction of its own, so that a slow reader holds nothing up; an item that changes meanwhile
        comes once, as it was or as it is.
        """
        after: tuple[int, str] | None = None
        while True:
            page = select(item).where(item.c.run_id == run_id).order_by(item.c.position, item.c.key).limit(batch)
            if after is not None:
                position, key = after
                page = page.where(item.c.position >= position, or_(item.c.position > position, item.c.key > key))
            with reading(self._engine) as connection:
                rows = with_scores(connection, run_id, connection.execute(page).all())
            yield from rows
            if len(rows) < batch:
                return
            after = (rows[-1].position, rows[-1].key)

    def undone(
        self,
        input_url: str,
        output_url: str,
        states: Collection[str],
        *,
        run_id: str | None = None,
        error_class: str | None = None,
        prefix: str = "",
        batch: int = 500,
    ) -> Iterator[Item]:
        """Item rows in one of `states`, and those that a person released, that are a finished run's last word on their
        key, in key order.

        Args:
            input_url: of the runs.
            output_url: of the runs.
            states: that count as undone.
            run_id: only rows of this run.
            error_class: only rows with this error.
            prefix: only keys that start so.
            batch: rows in memory at a time; each batch is a transaction of its own.
        """
        newer_run, newer = run.alias("newer_run"), item.alias("newer")
        is_last_word = ~exists().where(
            newer.c.key == item.c.key,
            newer_run.c.run_id == newer.c.run_id,
            newer_run.c.input_url == input_url,
            newer_run.c.output_url == output_url,
            newer_run.c.state == "finished",
            newer_run.c.created_at > run.c.created_at,
        )
        matching = [
            run.c.input_url == input_url,
            run.c.output_url == output_url,
            run.c.state == "finished",
            or_(item.c.state.in_(states), and_(item.c.state.in_(AWAIT_A_PERSON), item.c.released == 1)),
            is_last_word,
        ]
        if run_id is not None:
            matching.append(item.c.run_id == run_id)
        if error_class is not None:
            matching.append(item.c.error_class == error_class)
        if prefix:
            matching.append(item.c.key.startswith(prefix, autoescape=True))
        after: str | None = None
        while True:
            page = select(item).join(run, run.c.run_id == item.c.run_id).where(*matching)
            if after is not None:
                page = page.where(item.c.key > after)
            with reading(self._engine) as connection:
                rows = connection.execute(page.order_by(item.c.key, item.c.run_id).limit(batch)).all()
            for row in rows:
                if row.key != after:  # two runs that began at the same moment both have the last word
                    yield Item(*row)
                after = row.key
            if len(rows) < batch:
                return

    # ---------------------------------------------------------------- figures

    def failures_by_class(self, run_id: str) -> list[FailureGroup]:
        """The run's items that ended badly or are held, by state, stage and class of error, the most frequent first."""
        bad = sorted((TERMINAL | {ItemState.HELD}) - GOOD)
        groups: Sequence[KeyedColumnElement[Any]] = (item.c.state, item.c.stage, item.c.error_class)
        counted = (
            select(
                *groups,
                func.count().label("count"),
                func.min(item.c.key).label("example_key"),
                func.count().filter(item.c.shard_id == NO_SHARD).label("known"),
            )
            .where(item.c.run_id == run_id, item.c.state.in_(bad))
            .group_by(*groups)
            .subquery()
        )
        statement = (
            select(
                *(counted.c[name] for name in ("state", "stage", "error_class", "count", "example_key")),
                item.c.error_message.label("example_message"),
                counted.c.known,
            )
            .join(item, and_(item.c.run_id == run_id, item.c.key == counted.c.example_key))
            .order_by(counted.c.count.desc(), counted.c.example_key)
        )
        with reading(self._engine) as connection:
            return [FailureGroup(*tuple(row)) for row in connection.execute(statement)]

    def progress(self, run_id: str) -> Progress:
        """How far the run is.

        Raises:
            RequestError: there is no such run.
        """
        with reading(self._engine) as connection:
            return progress_of(connection, run_id)

    def shard_waited(self, run_id: str, shard_id: int) -> tuple[float, float | None]:
        """The database's clock now, and for how many seconds a shard that no one took yet has waited since its run was
        opened; None where someone took it before.
        """
        with reading(self._engine) as connection:
            now, created_at, epoch = connection.execute(
                select(db_now(), run.c.created_at, shard.c.lease_epoch)
                .join(run, run.c.run_id == shard.c.run_id)
                .where(shard.c.run_id == run_id, shard.c.shard_id == shard_id)
            ).one()
        return float(now), None if epoch else float(now - created_at)

    def run_figures(self, run_id: str) -> dict[str, Any]:
        """What a run's trend is plotted by (:func:`enhancer.ledger.figures.figures_of`)."""
        with reading(self._engine) as connection:
            return figures_of(connection, run_id)

    def cost_history(self, without_dag: str | None = None) -> tuple[float, float]:
        """Estimated and measured seconds of the shards of the newest finished runs, of those that worked at all.

        Args:
            without_dag: runs of this DAG do not count.
        """
        counted = [run.c.state == "finished"]
        if without_dag is not None:
            counted.append(run.c.dag_id.is_distinct_from(without_dag))
        newest = select(run.c.run_id).where(*counted).order_by(run.c.created_at.desc()).limit(HISTORY_RUNS)
        with reading(self._engine) as connection:
            estimated, measured = connection.execute(
                select(
                    func.coalesce(func.sum(shard.c.cost_s), 0.0), func.coalesce(func.sum(shard.c.busy_s), 0.0)
                ).where(shard.c.run_id.in_(newest), shard.c.busy_s > 0)
            ).one()
        return float(estimated), float(measured)


def with_scores(connection: Connection, run_id: str, rows: Sequence[Sequence[Any]]) -> list[ScoredItem]:
    """Rows of the item table with their scores."""
    scores: dict[str, ScoresByKind] = {row[KEY_COLUMN]: {} for row in rows}
    for some in batched(scores):
        for one in connection.execute(select(score).where(score.c.run_id == run_id, score.c.key.in_(some))).mappings():
            scores[one[score.c.key]][one[score.c.kind]] = {name: one[name] for name in (*METRICS, "protocol")}
    values: Iterator[list[Any]] = ([*row, scores[row[KEY_COLUMN]]] for row in rows)
    return [ScoredItem(*one) for one in values]


def _reported_counts(row: Run) -> dict[str, int] | None:
    """Items by state of a finished run as its report counted them: its rows change no more, but for what a person drops
    (which is counted again then) and what retention takes away. None: to be counted.
    """
    counts = (row.summary or {}).get("counts")
    return dict(counts) if row.state == "finished" and counts is not None else None
