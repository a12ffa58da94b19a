"""A batch run in the background while its progress is shown from the ledger, and stopping it."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from enhancer.batch.layout import ledger_run_id
from enhancer.batch.run import run_batch
from enhancer.cli.output import duration, err, states

if TYPE_CHECKING:
    from enhancer.batch.plan.request import RunRequest
    from enhancer.batch.worker.events import Event
    from enhancer.ledger import Ledger, Progress
    from enhancer.settings import Settings

TICK_S: Final = 0.5
"""How often progress is looked up; a worker's start alone takes longer."""

WORKER_MODULE: Final = "enhancer.batch.worker"


class BackgroundRun:
    """:func:`~enhancer.batch.run.run_batch` in a thread of its own, so that Ctrl-C reaches this one at once.

    Attributes:
        error: what ended the run early or failed it, once :meth:`follow` is over.
    """

    def __init__(self, request: RunRequest, settings: Settings, run_id: str, jobs: int) -> None:
        self.error: BaseException | None = None
        self._run_id = run_id
        self._request, self._settings, self._jobs = request, settings, jobs
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._carry_out, name="batch-run", daemon=True)

    def follow(self, ledger: Ledger) -> None:
        """Run to the end, showing progress."""
        with watching() as show:
            self._thread.start()
            while self._thread.is_alive():
                if ledger.queries.run(self._run_id) is not None:
                    show(ledger.queries.progress(self._run_id))
                self._thread.join(TICK_S)

    def stop(self) -> None:
        """End the workers, start no others, and wait until the run's threads are gone; its state stays resumable."""
        self._stopping.set()
        self._end_workers()
        while self._thread.is_alive():
            self._thread.join(TICK_S)

    def _carry_out(self) -> None:
        try:
            run_batch(
                self._request,
                settings=self._settings,
                run_id=self._run_id,
                jobs=self._jobs,
                on_event=self._on_event,
            )
        except BaseException as error:
            self.error = error

    def _on_event(self, event: Event) -> None:
        """Called by the supervisors' threads: once stopping, the first word of any worker ends its supervisor.

        A KeyboardInterrupt is none of the exceptions that a shard survives.
        """
        if self._stopping.is_set():
            raise KeyboardInterrupt

    @staticmethod
    def _end_workers() -> None:
        """A worker in the middle of a picture says nothing for a while; its supervisor would wait for it."""
        import psutil

        for child in psutil.Process().children():
            with contextlib.suppress(psutil.Error):
                if WORKER_MODULE in child.cmdline():
                    child.terminate()


def next_run_id(ledger: Ledger, name: str) -> str:
    """The id that the ledger will give a run of this name: finished runs never reopen, the next is ``name~2``."""
    base = ledger_run_id(name)
    candidate, number = base, 1
    while (row := ledger.queries.run(candidate)) is not None and row.state == "finished":
        number += 1
        candidate = f"{base}~{number}"
    return candidate


@contextlib.contextmanager
def watching() -> Iterator[Callable[[Progress], None]]:
    """A live display on standard error, if that is a terminal; call what it gives with each new progress."""
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bars

    console = err()
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}", markup=False))
    with Bars(*columns, console=console, transient=True, disable=not console.is_terminal) as bars:
        task = bars.add_task("planning", total=None)

        def show(progress: Progress) -> None:
            total = progress.total or None
            bars.update(task, completed=progress.done, total=total, description=describe(progress))

        yield show


def describe(progress: Progress) -> str:
    """Progress of a run in one line."""
    parts = [states(progress.by_state), f"{progress.shards_done} of {progress.shards} shards"]
    if progress.done < progress.total:
        if progress.items_per_second:
            parts.append(f"{60 * progress.items_per_second:.1f} pictures a minute")
        if progress.eta_s is not None:
            parts.append(f"about {duration(progress.eta_s)} to go")
    return "; ".join(parts)
