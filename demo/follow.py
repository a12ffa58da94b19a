"""Following a run as a person would: Airflow's REST API for the DAG run, the ledger for its pictures."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Final

import httpx
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text
from sqlalchemy.exc import SQLAlchemyError

from demo.stack import DAG_ID, Stack
from enhancer.ledger import CountedRun, Ledger, Progress

COLOURS: Final = {
    "published": "green", "reused": "green", "skipped": "green", "rejected": "yellow", "failed": "red",
    "quarantined": "magenta", "not_attempted": "red", "pending": "dim", "running": "cyan", "enhanced": "blue",
    "scored": "blue", "committing": "blue", "held": "yellow",
}  # fmt: skip
LIMIT_S: Final = 1800
PATIENCE_S: Final = 60
"""How long ledger and API may fail to answer while their processes live."""
POLL_S: Final = 0.5


@dataclass(frozen=True, slots=True)
class Followed:
    """How a DAG run ended.

    Attributes:
        dag_state: Airflow's.
        seconds: from its trigger to its end.
        run: its run in the ledger; None where it was never planned.
    """

    dag_state: str
    seconds: float
    run: CountedRun | None


def follow(stack: Stack, dag_run_id: str, console: Console) -> Followed:
    """Show a DAG run live until it ends; how it ended.

    Raises:
        ServiceError: one of the services has ended.
        TimeoutError: the run did not end within half an hour.
    """
    started = time.monotonic()
    answered = started
    with (
        Ledger(stack.settings.ledger_url()) as ledger,
        Live(console=console, refresh_per_second=4, transient=True) as live,
    ):
        while time.monotonic() < started + LIMIT_S:
            try:
                dag_run = stack.airflow.api.dag_run(DAG_ID, dag_run_id)
                run = ledger.queries.find_by_dag_run(DAG_ID, dag_run_id)
                progress = ledger.queries.progress(run.run_id) if run else None
            except (httpx.HTTPError, SQLAlchemyError):
                stack.check()
                if time.monotonic() > answered + PATIENCE_S:
                    raise
            else:
                answered = time.monotonic()
                live.update(_view(dag_run["state"], progress, answered - started))
                if dag_run["state"] in ("success", "failed"):
                    return Followed(dag_run["state"], answered - started, run)
                stack.check()
            time.sleep(POLL_S)
    raise TimeoutError(f"DAG run {dag_run_id} did not end within {LIMIT_S} s; logs: {stack.airflow.logs}")


def _view(state: str, progress: Progress | None, seconds: float) -> Group:
    head = Text.assemble(("image_enhancement ", "bold"), f"{state}, {seconds:.0f} s")
    if not progress or not progress.total:
        return Group(head, Text("planning: listing the bucket", style="dim"))
    bar = ProgressBar(total=progress.total, completed=progress.done, width=48)
    eta = f", about {progress.eta_s:.0f} s left" if progress.eta_s else ""
    shards = f"{progress.shards_done} of {progress.shards} shards"
    line = Text(f"{progress.done} of {progress.total} pictures, {shards}{eta}")
    states = Table.grid(padding=(0, 2))
    by_state = [(name, count) for name, count in progress.by_state.items() if count]
    if by_state:
        states.add_row(*(Text(f"{name} {count}", style=COLOURS.get(name, "")) for name, count in by_state))
    return Group(head, bar, line, states)
