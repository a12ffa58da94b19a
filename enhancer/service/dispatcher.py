"""Works on jobs, in threads of the server's process: each job is a run, done by the functions that the DAGs' tasks and
``enhancer batch run`` call, and its pictures by their supervised worker processes.

Whatever ends a server, no job is lost. It holds its jobs by leases; the next one (or another that shares the ledger)
goes on with the same run, whose own rows say what is left to do.
"""

from __future__ import annotations

import os
import socket
import threading
from contextlib import suppress
from typing import Any, Final

import psutil
import structlog
from sqlalchemy.exc import SQLAlchemyError

from enhancer.batch import layout
from enhancer.batch.failures import classify
from enhancer.batch.plan.request import RunRequest
from enhancer.batch.reporting import RunFailedError
from enhancer.batch.run import run_batch
from enhancer.batch.worker.events import Event
from enhancer.errors import EnhancerError, ErrorKind
from enhancer.ledger import Job, Ledger
from enhancer.ledger.engine import is_transient
from enhancer.reasons import Reason
from enhancer.service.cleaning import Cleaner
from enhancer.settings import Settings

log = structlog.get_logger(__name__)

LOOK_S: Final = 0.5
"""Between looks for a job of another server's callers; this server's own wake it."""

RETRY_S: Final = 30.0
ATTEMPTS: Final = 5
"""Tries of a job whose run could not even be planned, for trouble that may pass."""

CLEAN_S: Final = 600.0
CANCELLED: Final = "cancelled by its caller"


class Dispatcher:
    """Takes jobs from the ledger and sees them to their end.

    Args:
        settings: where ledger and stores are, and how many jobs at once.
        ledger: shared with the server's routes.
    """

    def __init__(self, settings: Settings, ledger: Ledger) -> None:
        self._settings = settings
        self._ledger = ledger
        self._server = f"{socket.gethostname()}:{os.getpid()}:{psutil.Process().create_time():.2f}"
        self._cleaner = Cleaner(settings, ledger)
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._held: set[str] = set()
        self._threads = [
            *(
                threading.Thread(target=self._take_jobs, name=f"job-{number}", daemon=True)
                for number in range(settings.service_jobs)
            ),
            threading.Thread(target=self._keep_leases, name="job-leases", daemon=True),
            threading.Thread(target=self._keep_clean, name="job-files", daemon=True),
        ]

    def start(self) -> None:
        """Begin to work; what an earlier server left open comes first."""
        for thread in self._threads:
            thread.start()

    def stop(self, timeout_s: float = 0.0) -> None:
        """Begin nothing more, and wait so long for what is being done. What is left, the next server goes on with."""
        self._stopping.set()
        self._wake.set()
        for thread in self._threads:
            thread.join(timeout_s)

    def wake(self) -> None:
        """There is a new job."""
        self._wake.set()

    @property
    def is_well(self) -> bool:
        """Whether all its threads are alive."""
        return all(thread.is_alive() for thread in self._threads)

    @property
    def is_busy(self) -> bool:
        """Whether a job is being worked on."""
        return bool(self._held)

    # ---------------------------------------------------------------- threads

    def _take_jobs(self) -> None:
        while not self._stopping.is_set():
            try:
                job = self._ledger.jobs.claim(self._server, self._settings.lease_ttl_s, self._is_gone)
            except SQLAlchemyError as error:
                log.warning("the ledger does not answer", error=str(error.__cause__ or error))
                job = None
            if job is None:
                self._wake.wait(LOOK_S)
                self._wake.clear()
            else:
                self._work(job)

    def _keep_leases(self) -> None:
        while not self._stopping.wait(min(2.0, self._settings.lease_ttl_s / 4)):
            for job_id in list(self._held):
                try:
                    job = self._ledger.jobs.renew(job_id, self._server, self._settings.lease_ttl_s)
                    if job is not None and job.cancelled_at is not None and job.run_id is not None:
                        self._ledger.halts.halt(job.run_id, "stopped", CANCELLED)
                except SQLAlchemyError as error:
                    log.warning("a job's lease could not be renewed", job=job_id, error=str(error.__cause__ or error))

    def _keep_clean(self) -> None:
        while True:
            self._cleaner.clean()
            if self._stopping.wait(CLEAN_S):
                return

    def _is_gone(self, server: str) -> bool:
        """Whether a server of this very machine has ended; of another machine's, only the lease's end tells."""
        host, pid, started = server.rsplit(":", 2)
        if host != socket.gethostname() or server == self._server:
            return False
        try:
            return bool(abs(psutil.Process(int(pid)).create_time() - float(started)) > 1)
        except psutil.NoSuchProcess:
            return True

    # ---------------------------------------------------------------- one job

    def _work(self, job: Job) -> None:
        with structlog.contextvars.bound_contextvars(job=job.job_id):
            self._held.add(job.job_id)
            try:
                state, error = self._run(job)
            except Exception as failure:  # whatever it is, it is this job's end and not the thread's
                if self._try_again(job, failure):
                    return
                log.exception("job failed", exc_info=failure)
                known = classify(failure, "list")
                state, error = "failed", (known.error_class, known.message)
            finally:
                self._held.discard(job.job_id)
            with suppress(SQLAlchemyError):  # else the job stays open, and whoever takes it finds its run finished
                self._ledger.jobs.finish(job.job_id, self._server, state, error)

    def _run(self, job: Job) -> tuple[str, tuple[str, str] | None]:
        """The job's run from plan to report; the job's state, and what went wrong."""
        run_id = layout.ledger_run_id(job.job_id)
        done = self._ledger.queries.run(run_id)
        if done is None and job.cancelled_at is not None:
            return "cancelled", None
        if done is None or not done.is_finished:
            self._ledger.jobs.planned(job.job_id, run_id)
            try:
                run_batch(
                    RunRequest.model_validate(job.request),
                    settings=self._settings,
                    run_id=run_id,
                    trigger="api",
                    on_event=lambda event: self._note(job.job_id, event),
                )
            except RunFailedError as error:
                if self._ledger.jobs.get(job.job_id).cancelled_at is None:
                    return "finished", (error.reason, error.message)
            except ExceptionGroup as group:  # its run is reported all the same
                first = classify(group.exceptions[0], "worker")
                return "finished", (first.error_class, first.message)
            done = self._ledger.queries.run(run_id)
        if done is not None and done.halted is not None and done.halt_reason == CANCELLED:
            return "cancelled", None
        if done is not None and done.outcome == "failed":
            return "finished", (Reason.RUN_FAILED, done.halt_reason or "too many of its pictures failed")
        return "finished", None

    def _try_again(self, job: Job, failure: Exception) -> bool:
        """Whether the trouble may pass; then the job waits for its next try."""
        passing = isinstance(failure, EnhancerError) and failure.kind is ErrorKind.TRANSIENT
        if not (passing or is_transient(failure)) or job.attempts >= ATTEMPTS:
            return False
        log.warning("job put back", attempt=job.attempts, error=str(failure))
        with suppress(SQLAlchemyError):  # else its lease runs out
            self._ledger.jobs.put_back(job.job_id, self._server, RETRY_S)
        return True

    def _note(self, job_id: str, event: Event) -> None:
        """What callers may follow of a worker's events: a picture that begins, and one that a step is done with."""
        data: dict[str, Any] = {"key": event.key}
        if event.event == "item":
            data["state"] = event.state
        elif event.event == "started":
            data["state"] = "running"
        else:
            return
        try:
            self._ledger.jobs.add_event(job_id, "item", data)
        except SQLAlchemyError as error:  # who follows misses a line; the picture's row is what counts
            log.warning("an event is lost", error=str(error.__cause__ or error))
