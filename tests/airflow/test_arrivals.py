"""What wakes a collection: a folder that is looked at, and a queue, served on loopback by moto.

That what was announced is taken, whatever becomes of the announcements, is tested here with runs without Airflow, and in
tests/dags/test_scheduler.py with a triggerer and a scheduler.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from pathlib import Path
from typing import Any

import boto3
import pytest
from airflow.sdk import AssetOrTimeSchedule
from airflow.serialization.serialized_objects import DagSerialization
from moto.server import ThreadedMotoServer

from enhancer.airflow import arrivals
from enhancer.airflow.arrivals import FolderTrigger, QueueTrigger
from enhancer.airflow.collections_dags import collection_dags
from enhancer.batch.plan.request import RunRequest
from enhancer.batch.run import run_batch
from enhancer.ledger.migrate import upgrade
from enhancer.settings import Settings
from tests.batch.site_builder import PLAIN, png

LIMIT_S = 60
SOON_S = 0.05

Act = Callable[[], object]


def events_of(trigger: FolderTrigger | QueueTrigger, *acts: Act, quiet_s: float = 1) -> list[Any]:
    """An event's payload after each act; None where none came."""

    async def collect() -> list[Any]:
        found = []
        events: AsyncIterator[Any] = trigger.run()
        async with aclosing(events):  # type: ignore[type-var]
            pending = None
            for act in acts:
                await asyncio.to_thread(act)
                pending = pending or asyncio.ensure_future(anext(events))
                done, _ = await asyncio.wait([pending], timeout=quiet_s if act is nothing else LIMIT_S)
                found.append(pending.result().payload if done else None)
                pending = None if done else pending
            if pending is not None:
                pending.cancel()
                await asyncio.wait([pending])
        return found

    return asyncio.run(collect())


def nothing() -> None:
    """An act after which no event is awaited."""


def test_a_folder_is_announced_at_first_and_when_something_came(tmp_path: Path) -> None:
    (tmp_path / "there.jpg").write_bytes(b"before the triggerer started")

    def fill() -> None:
        (tmp_path / "below").mkdir()
        (tmp_path / "below" / "new.jpg").write_bytes(b"new")

    def change() -> None:
        (tmp_path / "there.jpg").write_bytes(b"another picture")

    found = events_of(FolderTrigger(str(tmp_path), SOON_S), nothing, nothing, fill, change, nothing)
    assert [event and event["files"] for event in found] == [1, None, 2, 2, None]


def test_an_empty_a_hidden_or_a_missing_folder_wakes_no_one_and_is_looked_at_again(tmp_path: Path) -> None:
    folder = tmp_path / "drive"

    def mount() -> None:
        folder.mkdir()

    def half() -> None:
        (folder / ".part").write_bytes(b"not here yet")

    quiet = events_of(FolderTrigger(str(folder), SOON_S), nothing)
    assert quiet == [None]
    mount()
    half()
    assert events_of(FolderTrigger(str(folder), SOON_S), nothing) == [None]
    found = events_of(FolderTrigger(str(folder), SOON_S), lambda: (folder / ".part").rename(folder / "whole.jpg"))
    assert found == [{"folder": str(folder), "files": 1}]


def test_a_folder_that_fills_without_end_is_announced_all_the_same(tmp_path: Path) -> None:
    trigger = FolderTrigger(str(tmp_path), SOON_S)
    looks = trigger._look

    def ever_more() -> Any:
        (tmp_path / f"{len(list(tmp_path.iterdir()))}.jpg").touch()
        return looks()

    trigger._look = ever_more  # type: ignore[method-assign]
    [event] = events_of(trigger, lambda: None)
    assert event["files"] == arrivals.UNSETTLED_LOOKS


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


class Queue:
    """A queue on loopback, and the Connection with which Airflow reads it."""

    def __init__(self, endpoint: str, name: str, environment: pytest.MonkeyPatch) -> None:
        self.client = boto3.client(
            "sqs",
            endpoint_url=endpoint,
            region_name="eu-central-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        self.url = self.client.create_queue(QueueName=name)["QueueUrl"]
        self.conn_id = name
        connection = {"conn_type": "aws", "login": "test", "password": "test"}
        connection["extra"] = {"endpoint_url": endpoint, "region_name": "eu-central-1"}  # type: ignore[assignment]
        environment.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(connection))

    def send(self, *keys: str) -> None:
        for key in keys:
            body = {"Records": [{"eventName": "ObjectCreated:Put", "s3": {"object": {"key": key}}}]}
            self.client.send_message(QueueUrl=self.url, MessageBody=json.dumps(body))

    def left(self) -> int:
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        attributes = self.client.get_queue_attributes(QueueUrl=self.url, AttributeNames=names)["Attributes"]
        return sum(int(attributes[name]) for name in names)

    def trigger(self) -> QueueTrigger:
        return QueueTrigger(self.url, self.conn_id, SOON_S)


@pytest.fixture
def queue(moto: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Queue:
    return Queue(moto, f"queue_{abs(hash(request.node.name)) % 10**8}", monkeypatch)


def test_however_many_messages_came_they_are_one_event_and_are_deleted(queue: Queue) -> None:
    found = events_of(queue.trigger(), lambda: queue.send(*(f"{n}.jpg" for n in range(25))), nothing, quiet_s=3)
    assert found == [{"queue": queue.url, "messages": 25}, None]
    assert queue.left() == 0


def test_messages_whose_event_may_not_have_reached_airflow_are_delivered_again(queue: Queue) -> None:
    [event] = events_of(queue.trigger(), lambda: queue.send("a.jpg"))
    assert event["messages"] == 1
    assert queue.left() == 1, "the triggerer ended right after the event: the queue keeps the message"


def test_a_queue_that_cannot_be_read_is_tried_again(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals, "RETRY_S", SOON_S)
    queue.client.delete_queue(QueueUrl=queue.url)

    def mend() -> None:
        queue.client.create_queue(QueueName=queue.conn_id)
        queue.send("a.jpg")

    assert events_of(queue.trigger(), nothing, mend) == [None, {"queue": queue.url, "messages": 1}]


def test_the_schedule_of_a_collection_says_what_is_watched(tmp_path: Path) -> None:
    (tmp_path / "collections.toml").write_text(
        """
        [defaults]
        timezone = "Europe/Berlin"
        [collection.phone]
        input_url = "/data/phone"
        output_url = "/data/phone-out"
        schedule = { arrivals = "/data/phone", every_s = 5 }
        [collection.shop]
        input_url = "s3://shop/in"
        output_url = "s3://shop/out"
        schedule = { arrivals = "https://sqs.eu-west-1.amazonaws.com/1/shop", connection = "queues", cron = "0 3 * * *" }
        [collection.books]
        input_url = "s3://books/in"
        output_url = "s3://books/out"
        schedule = { arrivals = "https://sqs.eu-west-1.amazonaws.com/1/books" }
        """
    )
    dags = collection_dags(Settings(home=tmp_path, collections=tmp_path / "collections.toml", s3_conn_id="the_store"))
    phone, shop, books = ([w for asset in _assets(dag.schedule) for w in asset.watchers] for dag in dags)
    assert [w.trigger.serialize() for w in phone] == [
        ("enhancer.airflow.arrivals.FolderTrigger", {"folder": "/data/phone", "every_s": 5})
    ]
    assert [w.trigger.serialize()[1]["conn_id"] for w in (*shop, *books)] == ["queues", "the_store"]
    assert isinstance(dags[1].schedule, AssetOrTimeSchedule), "and every night, whatever became of the messages"
    for dag in dags:
        serialized = json.dumps(DagSerialization.to_dict(dag))
        assert "enhancer.airflow.arrivals" in serialized
        assert DagSerialization.from_dict(json.loads(serialized)).dag_id == dag.dag_id


def _assets(schedule: Any) -> list[Any]:
    if isinstance(schedule, AssetOrTimeSchedule):
        condition: Any = schedule.asset_condition
        return list(condition.objects)
    return list(schedule)


def test_lost_doubled_and_late_events_do_no_harm(settings: Settings, tmp_path: Path) -> None:
    """An event starts a run, whatever it was about; a run lists what is there."""
    upgrade(settings.ledger_url())
    request = RunRequest.from_params(
        {"input_url": str(tmp_path / "in"), "output_url": str(tmp_path / "out"), "recipe": PLAIN}, settings
    )
    (tmp_path / "in").mkdir()

    def arrive(*names: str) -> None:
        for number, name in enumerate(names, len(list((tmp_path / "in").iterdir()))):
            (tmp_path / "in" / name).write_bytes(png(seed=number))

    def event(number: int) -> dict[str, int]:
        return run_batch(request, settings=settings, run_id=f"event-{number}", trigger="scheduled").counts

    arrive("announced.png", "lost.png")
    assert event(1) == {"published": 2}, "one announcement was lost"
    assert event(2) == {}, "a doubled event finds nothing to do"
    arrive("late.png")
    assert event(3) == {"published": 1}, "another picture's event, before its own"
    assert event(4) == {}, "its own, late"
    assert {path.name for path in (tmp_path / "out").glob("*.png")} == {"announced.png", "lost.png", "late.png"}
