"""What wakes a collection when pictures arrive: triggers for asset watchers, run by Airflow's triggerer.

An event only starts a run, which lists its input as every run does and takes whatever is there. Events may therefore
be lost, doubled or late without harm: a doubled one starts a run that finds nothing to do, and what a lost one
announced is taken with the next. Nothing of a message is read but that it came.

While a run works, Airflow keeps the events that come, and starts one more run when it has ended.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from typing import Any, Final

from airflow.triggers.base import BaseEventTrigger, TriggerEvent
from asgiref.sync import sync_to_async

UNSETTLED_LOOKS: Final = 10
"""Changed looks in a row at which a folder's pictures are announced although more keep coming."""

BATCH: Final = 10
"""Messages that SQS gives at a time, at most."""

BATCHES: Final = 100
"""Batches of messages that are one event, at most."""

HIDDEN_S: Final = 180
"""For so long, or three looks, SQS gives no one else the messages that were received."""

RETRY_S: Final = 60.0
"""After a queue could not be read."""


@dataclass(frozen=True)
class Look:
    """What a folder had in it: how many files, and a fingerprint of their names, sizes and times."""

    files: int
    fingerprint: int


class FolderTrigger(BaseEventTrigger):
    """An event when the files of a folder have changed, and once when the triggerer starts.

    The first look is always announced, so that nothing that arrived while no triggerer ran is forgotten. A folder that
    is being filled is announced once two looks agree, or after :data:`UNSETTLED_LOOKS` that did not. One that cannot be
    read, since a network drive is away, is looked at again.

    Args:
        folder: absolute path; folders below it are looked at too, hidden names are not.
        every_s: seconds between two looks.
    """

    def __init__(self, folder: str, every_s: float = 30) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.folder = folder
        self.every_s = every_s

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """As Airflow stores it."""
        return f"{__name__}.FolderTrigger", {"folder": self.folder, "every_s": self.every_s}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look, for ever."""
        announced = Look(0, 0)
        last, changes = announced, 0
        while True:
            now = await asyncio.to_thread(self._look)
            if now is not None:
                changes = changes + 1 if now != last else 0
                settled, last = now == last or changes >= UNSETTLED_LOOKS, now
                if settled and now != announced:
                    announced, changes = now, 0
                    if now.files:
                        yield _event(folder=self.folder, files=now.files)
            await asyncio.sleep(self.every_s)

    def _look(self) -> Look | None:
        files = fingerprint = 0
        try:
            for name, status in _walk(self.folder):
                files += 1
                fingerprint ^= hash((name, status.st_size, status.st_mtime_ns, status.st_ino))
        except OSError as error:
            self.log.warning("%s cannot be read, and is looked at again: %s", self.folder, error.strerror)
            return None
        return Look(files, fingerprint)


def _event(**payload: str | int) -> TriggerEvent:
    return TriggerEvent(payload)  # type: ignore[no-untyped-call]


def _walk(folder: str) -> Iterator[tuple[str, os.stat_result]]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith("."):
                continue
            try:
                if entry.is_dir():
                    yield from _walk(entry.path)
                else:
                    yield entry.path, entry.stat()
            except FileNotFoundError:
                continue  # taken away while we looked


class QueueTrigger(BaseEventTrigger):
    """An event when an SQS queue has messages, such as a bucket's notifications of new objects.

    The provider's own trigger for SQS needs aiobotocore, which holds botocore back below what the store uses; this one
    reads the queue through the provider's hook, in a thread. Messages are deleted one look after their event was handed
    to Airflow: where a triggerer dies in between, the queue delivers them again.

    Args:
        queue: URL.
        conn_id: Airflow Connection of type ``aws``; without such a Connection, boto3's default chain.
        every_s: seconds between two looks.
    """

    def __init__(self, queue: str, conn_id: str | None = None, every_s: float = 30) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.queue = queue
        self.conn_id = conn_id
        self.every_s = every_s

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """As Airflow stores it."""
        return f"{__name__}.QueueTrigger", {"queue": self.queue, "conn_id": self.conn_id, "every_s": self.every_s}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look, for ever."""
        taken: list[str] = []
        while True:
            try:
                # Airflow's Connections can be read from this thread alone.
                client = await sync_to_async(self._client)()
                await asyncio.to_thread(self._delete, client, taken)
                taken = await asyncio.to_thread(self._receive, client)
            except Exception as error:  # credentials, network, no such queue: a trigger that ends would wake no one
                self.log.warning(
                    "%s cannot be read, and is tried again in %g s: %s: %s",
                    self.queue,
                    max(RETRY_S, self.every_s),
                    type(error).__name__,
                    error,
                )
                await asyncio.sleep(max(RETRY_S, self.every_s))
                continue
            if taken:
                yield _event(queue=self.queue, messages=len(taken))
            await asyncio.sleep(self.every_s)

    def _client(self) -> Any:
        """Made anew at each look, for its keys may be temporary."""
        from airflow.providers.amazon.aws.hooks.sqs import SqsHook

        region = re.match(r"https://sqs\.([a-z0-9-]+)\.amazonaws\.com", self.queue)
        return SqsHook(aws_conn_id=self.conn_id, region_name=region[1] if region else None).get_conn()

    def _receive(self, client: Any) -> list[str]:
        """The handles of the messages that are there now."""
        handles: list[str] = []
        for _ in range(BATCHES):
            answer = client.receive_message(
                QueueUrl=self.queue,
                MaxNumberOfMessages=BATCH,
                VisibilityTimeout=int(max(HIDDEN_S, 3 * self.every_s)),  # they are deleted at the next look
                WaitTimeSeconds=0 if handles else 1,
            )
            if not (messages := answer.get("Messages", [])):
                break
            handles += [message["ReceiptHandle"] for message in messages]
        return handles

    def _delete(self, client: Any, handles: list[str]) -> None:
        for start in range(0, len(handles), BATCH):
            client.delete_message_batch(
                QueueUrl=self.queue,
                Entries=[
                    {"Id": str(number), "ReceiptHandle": handle}
                    for number, handle in enumerate(handles[start : start + BATCH])
                ],
            )
