"""The ledger as the page reads it: one engine per process, database trouble put into words."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from sqlalchemy.exc import OperationalError, ProgrammingError, SQLAlchemyError

from enhancer.errors import EnhancerError, RequestError
from enhancer.ledger import Ledger
from enhancer.ledger.browsing import Facets, ItemFilter, Page, Sort
from enhancer.ledger.engine import parse_url, sqlite_file
from enhancer.ledger.rows import Action, CountedRun, FailureGroup, Note, Progress, Run, ScoredItem
from enhancer.reasons import Reason
from enhancer.settings import Settings
from enhancer_ui.security import Visitor

_SCAN = 100
_SCAN_ITEMS = 500
_MOST_SCANNED = 3000
"""Runs that one request passes over at most while it looks for some that match."""


class LedgerUnavailableError(EnhancerError):
    """The ledger cannot be read; the message says what to do about it."""

    default_reason = Reason.LEDGER


class NoLedgerError(LedgerUnavailableError):
    """There are no tables yet, or they are of another version: something is to be set up."""

    default_reason = Reason.LEDGER_SCHEMA


class NotFoundError(EnhancerError):
    """The ledger knows no such run or item."""

    default_reason = Reason.NOT_FOUND


class NotAllowedError(EnhancerError):
    """The visitor may not read the DAG that this belongs to."""

    default_reason = Reason.NOT_ALLOWED


@lru_cache(maxsize=4)
def _ledger(url: str) -> Ledger:
    return Ledger(url)


def _is_schema_error(error: SQLAlchemyError) -> bool:
    """Whether a table or column is missing.

    SQLite calls that an operational error; PostgreSQL has SQLSTATEs: 42P01 (undefined_table), 42703 (undefined_column),
    3F000 (invalid_schema_name).
    """
    cause = getattr(error, "orig", None)
    if isinstance(error, ProgrammingError):
        return getattr(cause, "sqlstate", None) in {"42P01", "42703", "3F000"}
    missing = ("no such table", "no such column")
    return isinstance(error, OperationalError) and any(words in str(cause) for words in missing)


class Reader:
    """Questions of one visitor to the ledger. Every method may raise :class:`LedgerUnavailableError`."""

    def __init__(self, settings: Settings, visitor: Visitor) -> None:
        self._url = settings.ledger_url()
        self._visitor = visitor

    @contextmanager
    def _reading(self) -> Iterator[Ledger]:
        file = sqlite_file(parse_url(self._url))
        if file is not None and not file.exists():  # connecting would create an empty one
            raise NoLedgerError(
                "There is no ledger yet: run `enhancer ledger upgrade`, since no run of Airflow's creates it. If there "
                "have been runs, ENHANCER_LEDGER_DSN of the api-server is not that of the workers."
            )
        try:
            yield _ledger(self._url)
        except SQLAlchemyError as error:
            if _is_schema_error(error):
                raise NoLedgerError(
                    "The ledger's tables are missing or not those of this version: run `enhancer ledger upgrade`."
                ) from error
            raise LedgerUnavailableError(
                "The ledger's database does not answer; the api-server's log has its message. "
                "Check ENHANCER_LEDGER_DSN and that the database is up."
            ) from error

    def runs(
        self, offset: int, limit: int, *, search: str = "", wanted: Callable[[CountedRun], bool] | None = None
    ) -> tuple[list[CountedRun], int | None]:
        """A page of the runs that the visitor may read, newest first, and the offset of the next page.

        Args:
            offset: of all runs.
            limit: the page's length; a page ends sooner where very many runs are passed over.
            search: only runs with this text in id or address.
            wanted: only runs that it holds for.
        """
        found: list[CountedRun] = []
        end = offset + _MOST_SCANNED
        with self._reading() as ledger:
            while rows := ledger.queries.runs(limit=_SCAN, offset=offset, search=search):
                for row in rows:
                    if len(found) == limit or offset == end:
                        return found, offset
                    offset += 1
                    if self._visitor.may_read(row.dag_id) and (wanted is None or wanted(row)):
                        found.append(row)
        return found, None

    def history(self, since: float, wanted: Callable[[CountedRun], bool]) -> list[CountedRun]:
        """The runs since a moment that the visitor may read and that `wanted` holds for, the oldest first."""
        found: list[CountedRun] = []
        offset = 0
        with self._reading() as ledger:
            while rows := ledger.queries.runs(limit=_SCAN, offset=offset, since=since):
                offset += len(rows)
                found += [row for row in rows if self._visitor.may_read(row.dag_id) and wanted(row)]
        return found[::-1]

    def run(self, run_id: str) -> CountedRun:
        """One run.

        Raises:
            NotFoundError, NotAllowedError: see there.
        """
        with self._reading() as ledger:
            row = ledger.queries.run(run_id)
        if row is None:
            raise NotFoundError(f"The ledger knows no run {run_id!r}.")
        self._check(row.dag_id)
        return row

    def plain_run(self, run_id: str) -> Run:
        """One run without its counts, which cost a look at every item of a run that works: for pictures and tiles.

        Raises:
            NotFoundError, NotAllowedError: see there.
        """
        with self._reading():
            try:
                row = _ledger(self._url).runs.get(run_id)
            except RequestError as error:
                raise NotFoundError(f"The ledger knows no run {run_id!r}.") from error
        self._check(row.dag_id)
        return row

    def plain_item(self, run_id: str, key: str) -> tuple[Run, ScoredItem]:
        """A run without its counts and one of its items.

        Raises:
            NotFoundError, NotAllowedError: see there.
        """
        run = self.plain_run(run_id)
        return run, self._item(run_id, key)

    def run_of_dag_run(self, dag_id: str, dag_run_id: str) -> str | None:
        """The id of the ledger's run that a DAG run made; None where it has not (yet) made one.

        Raises:
            NotAllowedError: see there.
        """
        self._check(dag_id)
        with self._reading() as ledger:
            row = ledger.queries.find_by_dag_run(dag_id, dag_run_id)
        return None if row is None else row.run_id

    def items(self, run_id: str, matching: ItemFilter, sort: Sort, **where: Any) -> Page:
        """A page of a run's items, with their scores; the run has been checked before."""
        with self._reading() as ledger:
            return ledger.browsing.page(run_id, matching, sort, **where)

    def every_item(self, run_id: str, matching: ItemFilter, sort: Sort, *, descending: bool) -> Iterator[ScoredItem]:
        """All items that match, page by page; the run has been checked before."""
        place: str | None = None
        while True:
            page = self.items(run_id, matching, sort, descending=descending, limit=_SCAN_ITEMS, after=place)
            yield from page.rows
            if page.after is None:
                return
            place = page.after

    def facets(self, run_id: str) -> Facets:
        """What a run's items may be filtered by; the run has been checked before."""
        with self._reading() as ledger:
            return ledger.browsing.facets(run_id)

    def score_bins(self, run_id: str, matching: ItemFilter) -> list[int]:
        """How the scores of the items that match are distributed; the run has been checked before."""
        with self._reading() as ledger:
            return ledger.browsing.score_bins(run_id, matching)

    def actions(self, run_id: str) -> list[Action]:
        """What people did on a run, the newest first; the run has been checked before."""
        with self._reading() as ledger:
            return ledger.actions.of_run(run_id)

    def notes(self, run: Run, key: str) -> list[Note]:
        """The notes on a picture of a run that has been checked before."""
        with self._reading() as ledger:
            return ledger.actions.notes_on(run.input_url, key)

    def now(self) -> float:
        """The database's clock."""
        with self._reading() as ledger:
            return ledger.browsing.now()

    def add_action(self, by: str, verb: str, *, run_id: str | None, details: dict[str, Any]) -> None:
        """A line in the trail about what changes no picture; rights have been checked before."""
        with self._reading() as ledger:
            ledger.actions.add(by, verb, run_id=run_id, count=0, details=details)

    @contextmanager
    def writing(self, run: Run) -> Iterator[Ledger]:
        """The ledger for what the visitor decides on a run.

        Raises:
            NotAllowedError: they may not edit the runs of its DAG.
        """
        if not self._visitor.may_edit(run.dag_id):
            whose = f"the runs of the DAG {run.dag_id!r}" if run.dag_id else "runs of the command line"
            raise NotAllowedError(f"Your role in Airflow may not edit {whose}, and so decides nothing here.")
        with self._reading() as ledger:
            yield ledger

    def item(self, run_id: str, key: str) -> tuple[CountedRun, ScoredItem]:
        """A run and one of its items.

        Raises:
            NotFoundError, NotAllowedError: see there.
        """
        return self.run(run_id), self._item(run_id, key)

    def failures(self, run_id: str) -> list[FailureGroup]:
        """The run's failures by class; the run has been checked before."""
        with self._reading() as ledger:
            return ledger.queries.failures_by_class(run_id)

    def progress(self, run_id: str) -> Progress:
        """How far the run is, its rate and what is left; the run has been checked before."""
        with self._reading() as ledger:
            return ledger.queries.progress(run_id)

    def _item(self, run_id: str, key: str) -> ScoredItem:
        with self._reading() as ledger:
            row = ledger.queries.item(run_id, key)
        if row is None:
            raise NotFoundError(f"Run {run_id!r} has no picture {key!r}.")
        return row

    def _check(self, dag_id: str | None) -> None:
        if not self._visitor.may_read(dag_id):
            raise NotAllowedError(f"Your role in Airflow may not read the DAG {dag_id!r}.")
