"""An HTTP proxy before an S3 server that fails as networks and stores do, by chance: SlowDown, resets, half answers, late
ones. It passes bytes on as they are, so that signatures hold, and knows no more of S3 than its error document.
"""

from __future__ import annotations

import asyncio
import random
import threading
from collections import Counter
from contextlib import suppress
from types import TracebackType

FAULTS = ("slow-down", "reset", "truncated", "late")
_SLOW_DOWN = (
    b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
)
_LATE_S = 0.5


class FaultProxy:
    """Listens on a free loopback port and passes each request on over a connection of its own.

    Args:
        port: of the real server.
        share: of the requests that meet a fault.
        seed: of chance.

    Attributes:
        endpoint: the URL to use in place of the server's.
        met: faults by kind, and ``passed``.
    """

    def __init__(self, port: int, *, share: float, seed: int) -> None:
        self._port, self._share = port, share
        self._chance = random.Random(seed)
        self.met: Counter[str] = Counter()
        self.endpoint = ""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="fault-proxy", daemon=True)

    def __enter__(self) -> FaultProxy:
        self._thread.start()
        server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, "127.0.0.1", 0), self._loop
        ).result()
        self.endpoint = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await self._one(reader, writer)
        writer.close()

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One request a connection: the answer says ``Connection: close``."""
        head = await reader.readuntil(b"\r\n\r\n")
        body = b""
        headers = _headers(head)
        if headers.get("expect") == "100-continue":
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if length := int(headers.get("content-length", 0)):
            body = await reader.readexactly(length)
        fault = self._chance.choice(FAULTS) if self._chance.random() < self._share else None
        self.met[fault or "passed"] += 1
        if fault == "slow-down":
            writer.write(
                b"HTTP/1.1 503 Slow Down\r\nContent-Type: application/xml\r\nConnection: close\r\n"
                b"Content-Length: %d\r\n\r\n%s" % (len(_SLOW_DOWN), b"" if head.startswith(b"HEAD") else _SLOW_DOWN)
            )
            await writer.drain()
            return
        if fault == "reset" and self._chance.random() < 0.5:  # before the server saw anything
            writer.transport.abort()
            return
        answer = await self._asked(head, body)
        if fault == "late":
            await asyncio.sleep(_LATE_S)
        if fault == "reset":  # after the server did what it was asked
            writer.transport.abort()
            return
        writer.write(answer[: len(answer) // 2] if fault == "truncated" else answer)
        await writer.drain()

    async def _asked(self, head: bytes, body: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        first, _, rest = head.partition(b"\r\n")
        kept = [
            line for line in rest.split(b"\r\n") if line and not line.lower().startswith((b"connection:", b"expect:"))
        ]
        writer.write(b"\r\n".join([first, *kept, b"Connection: close", b"", b""]) + body)
        await writer.drain()
        answer = await reader.read()
        writer.close()
        while answer.startswith(b"HTTP/1.1 100"):
            answer = answer.partition(b"\r\n\r\n")[2]
        return answer


def _headers(head: bytes) -> dict[str, str]:
    lines = head.decode("latin-1").split("\r\n")[1:]
    return {
        name.strip().lower(): value.strip().lower()
        for name, _, value in (line.partition(":") for line in lines)
        if name
    }
