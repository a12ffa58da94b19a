"""Figures for Prometheus, on a port of their own: whoever may scrape need not be able to call."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from threading import Thread
from typing import Any
from wsgiref.simple_server import WSGIServer

from prometheus_client import CollectorRegistry, Counter, Histogram, start_http_server
from prometheus_client.core import GaugeMetricFamily, Metric
from sqlalchemy.exc import SQLAlchemyError

from enhancer.ledger import Ledger
from enhancer.service.pool import Pool


class Metrics:
    """What is counted of requests, and what is looked up of jobs and workers when somebody asks.

    Args:
        ledger: has the jobs.
        pool: the warm workers; None: there are none.
    """

    def __init__(self, ledger: Ledger, pool: Pool | None) -> None:
        self.registry = CollectorRegistry()
        self._ledger = ledger
        self._pool = pool
        self._requests = Counter(
            "enhancer_service_requests", "Requests answered", ["method", "route", "status"], registry=self.registry
        )
        self._seconds = Histogram(
            "enhancer_service_request_seconds", "Seconds to the end of an answer", ["route"], registry=self.registry
        )
        self.registry.register(self)
        self._server: tuple[WSGIServer, Thread] | None = None

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(route).observe(seconds)

    def collect(self) -> Iterator[Metric]:
        """Jobs by state and waiting requests, as they are now."""
        jobs = GaugeMetricFamily("enhancer_service_jobs", "Jobs", labels=["state"])
        for state, count in self._counts():
            jobs.add_metric([state], count)
        yield jobs
        if self._pool is not None:
            yield GaugeMetricFamily("enhancer_service_waiting", "Requests without a worker", value=self._pool.waiting)
            yield GaugeMetricFamily("enhancer_service_workers", "Warm workers", value=len(self._pool.pids()))

    def describe(self) -> Iterable[Any]:
        """Nothing in advance: asking the ledger while the registry is made would be too early."""
        return ()

    def serve(self, host: str, port: int) -> None:
        """Answer scrapes until :meth:`stop`."""
        self._server = start_http_server(port, addr=host, registry=self.registry)

    def stop(self) -> None:
        """Answer no more."""
        if self._server is not None:
            self._server[0].shutdown()
            self._server[0].server_close()

    def _counts(self) -> Iterable[tuple[str, int]]:
        try:
            return self._ledger.jobs.count_by_state().items()
        except SQLAlchemyError:
            return ()
