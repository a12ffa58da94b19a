"""Who calls, what they may do and how often; what every answer carries; what is written down of a request.

The outermost layer is plain ASGI, so that it also covers what no route answers: unknown paths, static files, bodies
that are too long.
"""

from __future__ import annotations

import ipaddress
import re
import secrets
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import Final

import structlog
from fastapi import Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from enhancer.ledger import Ledger
from enhancer.reasons import Reason
from enhancer.service.problems import RefusedError, problem
from enhancer.settings import Settings

access = structlog.get_logger("enhancer.service.access")

ANONYMOUS: Final = "anonymous"

HEADERS: Final = {
    # The page has one script and one style sheet of its own; it shows pictures that it was given or has fetched.
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""On every answer, unless the route sets one of its own."""

_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: the owner of the jobs that they submit.

    Attributes:
        owner: the token's id, or ``anonymous``.
        scopes: what they may do.
    """

    owner: str
    scopes: frozenset[str]

    @property
    def sees(self) -> str | None:
        """Whose jobs they see: their own; None: everybody's."""
        return None if "admin" in self.scopes else self.owner

    def require(self, scope: str) -> None:
        """Refuse who may not; an admin may do everything.

        Raises:
            RefusedError: 403.
        """
        if scope not in self.scopes and "admin" not in self.scopes:
            raise RefusedError(f"this token has no scope {scope!r}: ask for one that does", reason=Reason.NOT_ALLOWED)


@dataclass(slots=True)
class Rates:
    """A bucket of requests for each token: it holds a minute's worth and fills evenly."""

    _buckets: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)
    _lock: Lock = field(default_factory=Lock)
    clock: Callable[[], float] = time.monotonic

    def take(self, token_id: str, rate: int) -> float:
        """Take one request; 0, or the seconds until there is one."""
        now = self.clock()
        with self._lock:
            left, since = self._buckets.pop(token_id, (float(rate), now))
            left = min(float(rate), left + (now - since) * rate / 60)
            allowed = left >= 1
            self._buckets[token_id] = (left - 1 if allowed else left, now)
            while len(self._buckets) > 10_000:
                self._buckets.popitem(last=False)
        return 0.0 if allowed else (1 - left) * 60 / rate


class Door:
    """Recognises callers.

    Args:
        settings: whether anonymous callers are let in.
        ledger: has the tokens.
    """

    def __init__(self, settings: Settings, ledger: Ledger) -> None:
        self._settings = settings
        self._ledger = ledger
        self._rates = Rates()

    def admit(self, request: Request) -> Caller:
        """The caller of a request. Asks the database: not for the event loop.

        Raises:
            RefusedError: 401 without a valid token, 429 where it came too often.
        """
        scheme, _, text = request.headers.get("authorization", "").partition(" ")
        if not scheme and self._settings.service_anonymous and is_local(request):
            return Caller(ANONYMOUS, frozenset({"read", "enhance"}))
        token = self._ledger.tokens.bearer(text.strip()) if scheme.lower() == "bearer" else None
        if token is None:
            raise RefusedError(
                "send a valid token, `Authorization: Bearer enh_...`: `enhancer token create NAME` on the server makes "
                "one",
                reason=Reason.UNAUTHORIZED,
                headers={"WWW-Authenticate": "Bearer"},
            )
        if token.rate is not None:
            wait_s = self._rates.take(token.token_id, token.rate)
            if wait_s:
                raise RefusedError(
                    f"this token is good for {token.rate} requests a minute",
                    reason=Reason.RATE_LIMITED,
                    retry_after_s=int(wait_s) + 1,
                )
        return Caller(token.token_id, token.scope_names)


def is_local(request: Request) -> bool:
    """Whether a request comes from this very machine, and through no proxy that says so."""
    if any(name in request.headers for name in ("forwarded", "x-forwarded-for", "x-real-ip")):
        return False
    try:
        return request.client is not None and ipaddress.ip_address(request.client.host).is_loopback
    except ValueError:
        return False


def caller_with(scope: str) -> Callable[[Request], Caller]:
    """A dependency: the caller, who has `scope`."""

    def admitted(request: Request) -> Caller:
        door: Door = request.app.state.door
        caller = door.admit(request)
        caller.require(scope)
        request.scope["enhancer.caller"] = caller.owner
        return caller

    return admitted


class OuterLayer:
    """Around the whole application: request ids, headers, the limit on bodies, the access log.

    Args:
        app: what it is around.
        max_bytes: of a request's body.
        observe: called with method, route, status and seconds of every request.
    """

    def __init__(self, app: ASGIApp, max_bytes: int, observe: Callable[[str, str, int, float], None]) -> None:
        self.app = app
        self._max_bytes = max_bytes
        self._observe = observe

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        scope["enhancer.request_id"] = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
        started, status = time.perf_counter(), 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                answer = MutableHeaders(scope=message)
                answer["X-Request-Id"] = scope["enhancer.request_id"]
                for name, value in HEADERS.items():
                    answer.setdefault(name, value)
            await send(message)

        try:
            if self._is_announced_too_long(headers):
                answer = problem(Request(scope), 413, Reason.TOO_MANY_BYTES, self._too_long())
                await answer(scope, receive, send_with_headers)
            else:
                await self.app(scope, self._counted(receive), send_with_headers)
        finally:
            seconds = time.perf_counter() - started
            route = getattr(scope.get("route"), "path", "other")
            self._observe(scope["method"], route, status, seconds)
            # The path alone: a query may hold what is nobody else's business, and headers hold tokens.
            access.info(
                "request",
                id=scope["enhancer.request_id"],
                method=scope["method"],
                path=scope["path"],
                status=status,
                ms=round(seconds * 1000),
                caller=scope.get("enhancer.caller"),
            )

    def _is_announced_too_long(self, headers: Headers) -> bool:
        length = headers.get("content-length", "0")
        return length.isdecimal() and int(length) > self._max_bytes

    def _too_long(self) -> str:
        return f"the body has more than ENHANCER_SERVICE_MAX_BYTES={self._max_bytes} bytes"

    def _counted(self, receive: Receive) -> Receive:
        """For a body whose length nobody announced."""
        seen = 0

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self._max_bytes:
                raise HTTPException(413, self._too_long())
            return message

        return counted
