"""An OpenTelemetry collector as far as a client can tell: it takes metrics by OTLP over HTTP and keeps them."""

from __future__ import annotations

import contextlib
import gzip
import http.server
import threading
from collections.abc import Iterator
from typing import Any

from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.metrics.v1.metrics_pb2 import Metric


class Collector:
    """What came.

    Attributes:
        endpoint: for ``OTEL_EXPORTER_OTLP_ENDPOINT``.
        metrics: in order.
    """

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self.metrics: list[Metric] = []

    def kinds(self) -> dict[str, str]:
        """Each metric's kind by its name."""
        return {metric.name: str(metric.WhichOneof("data")) for metric in self.metrics}

    def total(self, name: str) -> float:
        """The counts of all processes together; each tells its own, at its end."""
        points = [point for metric in self.metrics if metric.name == name for point in metric.sum.data_points]
        return float(sum(point.as_int + point.as_double for point in points))


@contextlib.contextmanager
def otlp_collector() -> Iterator[Collector]:
    """A collector on a free loopback port."""

    class Taker(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            if self.path == "/v1/metrics":
                for resource in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                    for scope in resource.scope_metrics:
                        collector.metrics += scope.metrics
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Taker) as server:
        collector = Collector(f"http://127.0.0.1:{server.server_port}")
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield collector
        server.shutdown()
