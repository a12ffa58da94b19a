"""What is deleted from the service's store, and when: files of jobs that ended long ago, results of signed addresses
whose period is over, and uploads that never became a job.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import structlog
from sqlalchemy.exc import SQLAlchemyError

from enhancer.errors import EnhancerError, RequestError
from enhancer.ledger import Job, Ledger
from enhancer.reasons import Reason
from enhancer.service.places import SIGNED, UPLOADS, prefixes, signed_prefix, store_url
from enhancer.settings import Settings
from enhancer.storage import open_store

log = structlog.get_logger(__name__)

ORPHAN_S: Final = 3600.0
"""Uploads without a job are left alone so long: another server may be writing them, and submits the job at the end."""

_JOB_ID: Final = re.compile(r"api-[0-9a-f]{16}")


class Cleaner:
    """Cleans the service's store; called now and then by one thread.

    Args:
        settings: where the store is, and how long things are kept.
        ledger: knows the jobs.
        clock: seconds of this process, for the age of uploads without a job.
    """

    def __init__(self, settings: Settings, ledger: Ledger, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._ledger = ledger
        self._clock = clock
        self._orphans: dict[str, float] = {}  # since when they are known; stores do not say how old an object is

    def clean(self) -> None:
        """Delete what is due; trouble is logged, and what is left is tried again by the next call."""
        for part in (self._jobs, self._signed, self._uploads):
            try:
                with suppress(SQLAlchemyError):  # the threads that take jobs log that the ledger is away
                    part()
            except EnhancerError as error:
                log.warning("the service's store could not be cleaned", error=error.message)

    def _jobs(self) -> None:
        for job in self._ledger.jobs.over(self._settings.service_keep_hours * 3600):
            try:
                forget(job, self._settings, self._ledger)
            except EnhancerError as error:
                log.warning("a job's files could not be deleted", job=job.job_id, error=error.message)

    def _signed(self) -> None:
        forget_signed(self._settings, time.time())

    def _uploads(self) -> None:
        """Uploads whose server was killed before it could submit their job: nobody has an address of them."""
        store, now = open_store(store_url(self._settings), self._settings), self._clock()
        store.clear_interrupted(UPLOADS, below=True)
        found = {info.key.split("/")[1] for info in store.list(f"{UPLOADS}/")}
        named = {job_id for job_id in found if _JOB_ID.fullmatch(job_id)}
        lost = named - self._ledger.jobs.known_among(named)
        self._orphans = {job_id: self._orphans.get(job_id, now) for job_id in lost}
        for job_id, since in self._orphans.items():
            if now - since >= ORPHAN_S:
                for info in list(store.list(f"{UPLOADS}/{job_id}/")):
                    store.delete(info.key)
                log.info("deleted uploads that no job is of", job=job_id)


def forget_signed(settings: Settings, now: float) -> None:
    """Delete the results of signed addresses that an earlier period left.

    Raises:
        StorageError: the store refuses.
    """
    store = open_store(store_url(settings), settings)
    current = signed_prefix(settings, now)
    for info in list(store.list(SIGNED)):
        if info.key < current:  # another server's clock may be ahead
            store.delete(info.key)


def forget(job: Job, settings: Settings, ledger: Ledger) -> None:
    """Delete what a job that has ended left in the service's own store: uploads, results, manifests and reports.

    Raises:
        RequestError: it has not ended.
        StorageError: the store refuses; what is left is deleted by the next try.
    """
    if job.is_open:
        raise RequestError(f"job {job.job_id} is not over yet: cancel it first", reason=Reason.NOT_READY)
    store = open_store(store_url(settings), settings)
    for prefix in prefixes(job.job_id):
        for info in list(store.list(prefix)):
            store.delete(info.key)
    ledger.jobs.expired(job.job_id)
