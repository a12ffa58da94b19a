"""The ledger: what happened to every picture of every run, in a database of its own (never Airflow's).

:class:`Ledger` opens it; its parts each own one idea: runs and their halts, leases, items, results, targets,
what people did, the service's tokens and jobs, queries for reading, pages for browsing, and upkeep.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from types import TracebackType

from sqlalchemy import Connection

from enhancer.ledger.actions import Actions
from enhancer.ledger.browsing import Browsing
from enhancer.ledger.decisions import Decisions
from enhancer.ledger.engine import open_engine
from enhancer.ledger.halts import Halt, Halts
from enhancer.ledger.items import Items
from enhancer.ledger.jobs import Jobs
from enhancer.ledger.leases import Lease, Leases, fenced
from enhancer.ledger.notices import Notices
from enhancer.ledger.queries import Queries
from enhancer.ledger.results import Claim, ClaimLostError, Results
from enhancer.ledger.rows import (
    CountedRun,
    Item,
    Job,
    JobEvent,
    Progress,
    Result,
    Run,
    ScoredItem,
    Shard,
    Target,
    Token,
)
from enhancer.ledger.runs import Runs
from enhancer.ledger.states import GOOD, TERMINAL, ItemState
from enhancer.ledger.targets import TargetCollisionError, Targets
from enhancer.ledger.tokens import Tokens
from enhancer.ledger.upkeep import Upkeep

__all__ = [
    "GOOD",
    "TERMINAL",
    "Claim",
    "ClaimLostError",
    "CountedRun",
    "Halt",
    "Item",
    "ItemState",
    "Job",
    "JobEvent",
    "Lease",
    "Ledger",
    "Progress",
    "Result",
    "Run",
    "ScoredItem",
    "Shard",
    "Target",
    "TargetCollisionError",
    "Token",
]


class Ledger:
    """The ledger behind one database URL.

    Cheap to make; connections open on first use. Safe to share between threads, not across a fork.
    """

    def __init__(self, url: str) -> None:
        self.engine = open_engine(url)
        self.runs = Runs(self.engine)
        self.halts = Halts(self.engine)
        self.leases = Leases(self.engine)
        self.items = Items(self.engine)
        self.results = Results(self.engine)
        self.targets = Targets(self.engine)
        self.notices = Notices(self.engine)
        self.actions = Actions(self.engine)
        self.decisions = Decisions(self.engine, self.runs)
        self.tokens = Tokens(self.engine)
        self.jobs = Jobs(self.engine)
        self.queries = Queries(self.engine)
        self.browsing = Browsing(self.engine)
        self.upkeep = Upkeep(self.engine)

    def fenced(self, lease: Lease) -> AbstractContextManager[Connection]:
        """A transaction for writes to the lease's shard, and to what its pictures claim (results, targets).

        Raises:
            LeaseLostError: on entering: the shard is someone else's; nothing was written.
        """
        return fenced(self.engine, lease)

    def close(self) -> None:
        """Close every pooled connection."""
        self.engine.dispose()

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
