"""Browsing the items of a run: any filter, any order, page by page from where the last one ended (keyset pagination).

A page costs the same wherever it lies, and pictures that change meanwhile shift no other page.
"""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from sqlalchemy import ColumnElement, Engine, Select, Text, and_, case, cast, exists, func, literal_column, or_, select
from sqlalchemy.sql.selectable import FromClause

from enhancer.errors import RequestError
from enhancer.ledger.engine import reading
from enhancer.ledger.items import NO_SHARD
from enhancer.ledger.queries import KEY_COLUMN, with_scores
from enhancer.ledger.rows import ScoredItem
from enhancer.ledger.states import GOOD, ItemState
from enhancer.ledger.tables import db_now, item, run, score

Sort = Literal[
    "worst", "position", "key", "state", "attempts", "size", "changed",
    "psnr", "ssim", "lpips", "score", "artefacts", "shift",
]  # fmt: skip

SAMPLE: Final = 400
"""Items whose records are looked at for the names of stages and nets that a run used."""

BINS: Final = 20
"""Parts of 0..1 that scores are counted in."""

ENDLESS: Final = 1e300
"""Stands for a figure that there is none of, so that it comes last in either direction; no figure is so large."""

_RANKS: Final[dict[str, int]] = {
    ItemState.QUARANTINED: 0, ItemState.FAILED: 0, ItemState.REJECTED: 1, ItemState.HELD: 2, ItemState.NOT_ATTEMPTED: 3
}  # fmt: skip
"""Worst first: what failed, what was refused, what waits for a person, then the others, each by score."""

_STEP: Final = 1e6
"""Between ranks, greater than any score."""


@dataclass(frozen=True, slots=True)
class ItemFilter:
    """Which items of a run; None and empty: any.

    Attributes:
        states: in one of these.
        search: part of the key, whatever its case (beyond ASCII on PostgreSQL only).
        stage: that was applied, as the record's decisions name it.
        net: that was used.
        recipe: by name.
        error_class: of the error that it ended with.
        score_from: at least this score (against the truth where there is one, else against the input).
        score_to: at most.
        bytes_from: of the input, at least.
        bytes_to: at most.
        known: True: only repeated verdicts; False: none of these.
    """

    states: tuple[str, ...] = ()
    search: str = ""
    stage: str = ""
    net: str = ""
    recipe: str = ""
    error_class: str = ""
    score_from: float | None = None
    score_to: float | None = None
    bytes_from: int | None = None
    bytes_to: int | None = None
    known: bool | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """One page of items.

    Attributes:
        rows: with their scores.
        total: how many items match, on all pages.
        before: where the page before this one ends; None: this is the first.
        after: where the next page begins; None: this is the last.
    """

    rows: list[ScoredItem]
    total: int
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class Facets:
    """What there is to filter by."""

    recipes: list[str]
    errors: list[str]
    stages: list[str]
    nets: list[str]


class Browsing:
    """Pages of items, read only."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def page(
        self,
        run_id: str,
        matching: ItemFilter,
        sort: Sort = "worst",
        *,
        descending: bool = False,
        limit: int = 50,
        after: str | None = None,
        before: str | None = None,
        offset: int = 0,
    ) -> Page:
        """A page of a run's items.

        Args:
            run_id: the run.
            matching: which items.
            sort: by what; items that are alike in it come by key, those without a figure last.
            descending: the other way round.
            limit: the page's length.
            after: begin after this place, as a page named it.
            before: end before this place; not with `after`.
            offset: items to pass over, for callers that count.

        Raises:
            RequestError: a place that no page with this order has named.
        """
        statement, value = _sorted(run_id, matching, sort, descending)
        backwards = before is not None and after is None
        upwards = descending == backwards
        if (place := before if backwards else after) is not None:
            statement = statement.where(_beyond(value, _place(place, sort), upwards))
        first, second = (value.asc(), item.c.key.asc()) if upwards else (value.desc(), item.c.key.desc())
        statement = statement.order_by(first, second).limit(limit + 1).offset(offset)
        with reading(self._engine) as connection:
            found = connection.execute(statement).all()
            more, found = len(found) > limit, found[:limit]
            if backwards:
                found = found[::-1]
            keys = [row.key for row in found]
            # Only keys were sorted: records are long, and a run may have a hundred thousand.
            whole = connection.execute(select(item).where(item.c.run_id == run_id, item.c.key.in_(keys))).all()
            by_key = {row[KEY_COLUMN]: row for row in whole}
            rows = with_scores(connection, run_id, [by_key[key] for key in keys if key in by_key])
            total = connection.execute(_counted(run_id, matching)).scalar_one()
        if not found:
            return Page([], int(total), None, None)
        ends = [_token(sort, row.sorted_by, row.key) for row in (found[0], found[-1])]
        has_before, has_after = (more, True) if backwards else (place is not None or offset > 0, more)
        return Page(rows, int(total), ends[0] if has_before else None, ends[1] if has_after else None)

    def keys(self, run_id: str, matching: ItemFilter, batch: int = 5000) -> Iterator[str]:
        """The keys of all items that match, in their order."""
        after = ""
        while True:
            page = _joined(select(item.c.key), run_id, matching).where(item.c.key > after)
            with reading(self._engine) as connection:
                found = list(connection.execute(page.order_by(item.c.key).limit(batch)).scalars())
            yield from found
            if len(found) < batch:
                return
            after = found[-1]

    def facets(self, run_id: str) -> Facets:
        """What a run's items may be filtered by; stages and nets as a sample of its records names them."""
        here = item.c.run_id == run_id
        with reading(self._engine) as connection:
            asked = connection.execute(select(run.c.recipes).where(run.c.run_id == run_id)).scalar_one_or_none()
            went_wrong = (here, item.c.state.in_(set(ItemState) - GOOD), item.c.error_class.is_not(None))
            errors = connection.execute(select(item.c.error_class).where(*went_wrong).distinct()).scalars().all()
            sample = connection.execute(
                select(item.c.details).where(here, item.c.details.is_not(None)).order_by(item.c.position).limit(SAMPLE)
            ).scalars()
            stages: Counter[str] = Counter()
            nets: Counter[str] = Counter()
            for details in sample:
                stages.update(one["stage"] for one in (details or {}).get("decisions", ()) if one.get("applied"))
                nets.update((details or {}).get("models") or ())
        recipes = {str(recipe.get("name")) for recipe in (asked or {}).values()}
        return Facets(sorted(recipes), sorted(errors), sorted(stages), sorted(nets))

    def score_bins(self, run_id: str, matching: ItemFilter) -> list[int]:
        """How many of the items that match have a score in each of :data:`BINS` equal parts of 0..1; what lies beyond
        counts in the nearest.
        """
        reference, fidelity = _scores()
        counts = func.coalesce(reference.c.score, fidelity.c.score)
        part = func.floor(counts * literal_column(str(BINS)))
        counted = _joined(select(part, func.count()), run_id, matching, (reference, fidelity))
        bins = [0] * BINS
        with reading(self._engine) as connection:
            for number, count in connection.execute(counted.where(counts.is_not(None)).group_by(part)):
                bins[min(BINS - 1, max(0, int(number)))] += int(count)
        return bins

    def now(self) -> float:
        """The database's clock."""
        with reading(self._engine) as connection:
            return float(connection.execute(select(db_now())).scalar_one())


def _sorted(run_id: str, matching: ItemFilter, sort: Sort, descending: bool) -> tuple[Select[Any], ColumnElement[Any]]:
    """The keys of items that match with the value that they are sorted by, and that value's expression."""
    plain: dict[str, ColumnElement[Any]] = {
        "position": item.c.position,
        "key": item.c.key,
        "state": item.c.state,
        "attempts": item.c.attempts,
        "size": item.c.size,
        "changed": item.c.updated_at,
    }
    if sort in plain:
        value = plain[sort]
        return _joined(select(item.c.key, value.label("sorted_by")), run_id, matching), value
    reference, fidelity = _scores()
    last = -ENDLESS if descending else ENDLESS
    figures: dict[str, ColumnElement[Any]] = {
        "psnr": reference.c.psnr,
        "ssim": reference.c.ssim,
        "lpips": reference.c.lpips,
        "score": func.coalesce(reference.c.score, fidelity.c.score),
        "artefacts": fidelity.c.artifact_score,
        "shift": fidelity.c.low_frequency_shift,
    }
    if sort == "worst":
        rank = case(*((item.c.state == state, number) for state, number in _RANKS.items()), else_=len(_RANKS))
        value = rank * (2 * _STEP) + func.coalesce(reference.c.score, fidelity.c.score, _STEP)
    else:
        value = func.coalesce(figures[sort], last)
    both = (reference, fidelity)
    return _joined(select(item.c.key, value.label("sorted_by")), run_id, matching, both), value


def _scores() -> tuple[FromClause, FromClause]:
    return score.alias("reference"), score.alias("fidelity")


def _joined(
    statement: Select[Any], run_id: str, matching: ItemFilter, scores: Sequence[FromClause] = ()
) -> Select[Any]:
    """The statement over the run's items that match, with their scores where it sorts by them."""
    source: FromClause = item
    for one in scores:
        same = and_(one.c.run_id == item.c.run_id, one.c.key == item.c.key, one.c.kind == one.name)  # type: ignore[attr-defined]
        source = source.outerjoin(one, same)
    return statement.select_from(source).where(*_conditions(run_id, matching))


def _counted(run_id: str, matching: ItemFilter) -> Select[Any]:
    return _joined(select(func.count()), run_id, matching)


def _conditions(run_id: str, matching: ItemFilter) -> Iterator[ColumnElement[bool]]:
    yield item.c.run_id == run_id
    if matching.states:
        yield item.c.state.in_(matching.states)
    if matching.search:
        yield item.c.key.icontains(matching.search, autoescape=True)
    if matching.recipe:
        yield item.c.recipe_name == matching.recipe
    if matching.error_class:
        yield item.c.error_class == matching.error_class
    if matching.bytes_from is not None:
        yield item.c.size >= matching.bytes_from
    if matching.bytes_to is not None:
        yield item.c.size <= matching.bytes_to
    if matching.known is not None:
        yield item.c.shard_id == NO_SHARD if matching.known else item.c.shard_id != NO_SHARD
    yield from _recorded(matching)
    if matching.score_from is not None or matching.score_to is not None:
        yield _scored(matching)


def _recorded(matching: ItemFilter) -> Iterator[ColumnElement[bool]]:
    """What is looked for in the text of an item's record, which both databases keep as it was written."""
    text = cast(item.c.details, Text)
    if matching.stage:
        yield text.contains(f'"stage": {json.dumps(matching.stage)}, "applied": true', autoescape=True)
    if matching.net:
        yield text.contains(f'{json.dumps(matching.net)}: "', autoescape=True)


def _scored(matching: ItemFilter) -> ColumnElement[bool]:
    """Whether the score that counts lies within the bounds."""
    reference, other = score.alias("counted"), score.alias("better")

    def in_bounds(figure: ColumnElement[Any]) -> list[ColumnElement[bool]]:
        low, high = matching.score_from, matching.score_to
        return [*([figure >= low] if low is not None else []), *([figure <= high] if high is not None else [])]

    same = (other.c.run_id == reference.c.run_id, other.c.key == reference.c.key)
    has_truth = exists().where(*same, other.c.kind == "reference", other.c.score.is_not(None))
    return exists().where(
        reference.c.run_id == item.c.run_id,
        reference.c.key == item.c.key,
        or_(reference.c.kind == "reference", and_(reference.c.kind == "fidelity", ~has_truth)),
        *in_bounds(reference.c.score),
    )


def _beyond(value: ColumnElement[Any], place: tuple[Any, str], upwards: bool) -> ColumnElement[bool]:
    bound, key = place
    if upwards:
        return or_(value > bound, and_(value == bound, item.c.key > key))
    return or_(value < bound, and_(value == bound, item.c.key < key))


def _token(sort: Sort, value: Any, key: str) -> str:
    """A place in an order, for an address."""
    return base64.urlsafe_b64encode(json.dumps([sort, value, key]).encode()).decode().rstrip("=")


def _place(token: str, sort: Sort) -> tuple[Any, str]:
    """The place that :func:`_token` made.

    Raises:
        RequestError: it is none, or one of another order.
    """
    try:
        named, value, key = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
        value = value if isinstance(value, str) else float(value)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise RequestError("this place in the list is not one that a page named: begin at the first page") from error
    textual = sort in ("key", "state")
    if named != sort or isinstance(value, str) != textual or not isinstance(key, str) or "\0" in f"{value}{key}":
        raise RequestError("this place belongs to another order of the list: begin at the first page")
    return value, key
