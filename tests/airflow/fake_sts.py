"""A Security Token Service on loopback whose keys live for seconds, and an S3 server in front of SeaweedFS that takes them
only while they live. What is asked of them is kept.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import requests
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

ANSWER = """<{action}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><{action}Result>
<AssumedRoleUser><Arn>arn:aws:sts::1:assumed-role/x/y</Arn><AssumedRoleId>A:y</AssumedRoleId></AssumedRoleUser>
<Credentials><AccessKeyId>{access}</AccessKeyId><SecretAccessKey>{secret}</SecretAccessKey>
<SessionToken>{token}</SessionToken><Expiration>{ends}</Expiration></Credentials></{action}Result>
<ResponseMetadata><RequestId>1</RequestId></ResponseMetadata></{action}Response>"""

REFUSAL = (
    """<ErrorResponse><Error><Type>Sender</Type><Code>{code}</Code><Message>no</Message></Error></ErrorResponse>"""
)


class Sts:
    """What the two servers know: the keys that were given out, and who used which."""

    def __init__(self, life_s: float) -> None:
        self.life_s = life_s
        self.refuse: tuple[int, str] | None = None
        self.asked: list[dict[str, str]] = []
        self.ends: dict[str, float] = {}
        self.used: set[str] = set()
        self.expired = 0
        self.url = self.s3_url = ""

    def answer(self, query: dict[str, str]) -> tuple[int, str]:
        self.asked.append(query)
        if self.refuse is not None:
            return self.refuse[0], REFUSAL.format(code=self.refuse[1])
        access = f"ASIA{len(self.asked):016}"
        self.ends[access] = time.time() + self.life_s
        ends = datetime.fromtimestamp(self.ends[access], UTC).isoformat()
        secret, token = f"secret-of-{access}", f"token-of-{access}"
        return 200, ANSWER.format(action=query["Action"], access=access, secret=secret, token=token, ends=ends)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def reply(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def log_message(self, *args: Any) -> None:
        pass


@contextmanager
def _served(handler: type[_Handler]) -> Iterator[str]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@contextmanager
def short_lived_keys(endpoint: str, access_key: str, secret_key: str, life_s: float) -> Iterator[Sts]:
    """Both servers, in front of the S3 server at `endpoint` with its real keys."""
    sts = Sts(life_s)
    real = Credentials(access_key, secret_key)

    class StsHandler(_Handler):
        def do_POST(self) -> None:
            query = {name: values[0] for name, values in parse_qs(self.body().decode()).items()}
            status, text = sts.answer(query)
            self.reply(status, text.encode(), {"Content-Type": "text/xml", "Content-Length": str(len(text))})

    class S3Handler(_Handler):
        def handle_any(self) -> None:
            body = self.body()
            found = re.search(r"Credential=([^/]+)/", self.headers.get("Authorization", ""))
            access = found[1] if found else ""
            token = self.headers.get("x-amz-security-token")
            if sts.ends.get(access, 0) < time.time() or token != f"token-of-{access}":
                sts.expired += 1
                text = b"<Error><Code>ExpiredToken</Code><Message>The token has expired</Message></Error>"
                self.reply(400, text, {"Content-Type": "application/xml", "Content-Length": str(len(text))})
                return
            sts.used.add(access)
            self.forward(body)

        def forward(self, body: bytes) -> None:
            own = ("authorization", "host", "connection", "x-amz-security-token", "x-amz-date", "x-amz-content-sha256")
            kept = {name: value for name, value in self.headers.items() if name.lower() not in own}
            request = AWSRequest(self.command, endpoint + self.path, headers=kept, data=body)
            S3SigV4Auth(real, "s3", "us-east-1").add_auth(request)
            answer = requests.request(
                self.command, endpoint + self.path, headers=dict(request.headers), data=body, timeout=60
            )
            headers = {
                name: value
                for name, value in answer.headers.items()
                if name.lower() not in ("transfer-encoding", "connection", "content-encoding", "content-length")
            }
            length = answer.headers.get("Content-Length") if self.command == "HEAD" else str(len(answer.content))
            self.reply(answer.status_code, answer.content, {**headers, "Content-Length": length or "0"})

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_any

    with _served(StsHandler) as sts.url, _served(S3Handler) as sts.s3_url:
        yield sts
