"""The service as it runs: a server process, its worker processes, real pictures. What Python, command line and service
make of a picture is the same; whatever is killed, no job is lost.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from enhancer.cli.app import app as cli
from enhancer.client import Client, ServiceError
from enhancer.processing import ImageEnhancer
from enhancer.settings import Settings
from tests.model_cache import MODEL_CACHE
from tests.service.conftest import picture, upload
from tests.service.running import Server, wait_for

WISHES = {"recipe": "photo", "scale": "2"}
VARIES = {"timings", "output", "input", "scores", "cached", "pipeline", "attempts"}
"""Of a record: times and addresses, and what only a batch adds."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    running = Server(tmp_path_factory.mktemp("served"), service_workers=1).start()
    yield running
    assert running.stop() == 0, running.log


@pytest.fixture(scope="module")
def done(server: Server) -> dict:
    """A finished job of one picture."""
    answer = server.client.post("/v1/jobs", files=[upload()], data=WISHES, headers={"Idempotency-Key": "one"})
    assert answer.status_code == 202
    assert answer.headers["location"] == answer.json()["links"]["self"]
    job = server.finished(answer.json())
    assert (job["state"], job["counts"]) == ("finished", {"published": 1})
    return job


def result_of(server: Server, job: dict, key: str = "cat.png", **headers: str):
    items = server.client.get(job["links"]["items"]).json()
    return server.client.get(items["summary"]["results"][key], headers=headers)


def test_python_command_line_and_service_make_the_same(server: Server, done: dict, tmp_path) -> None:
    source = tmp_path / "cat.png"
    source.write_bytes(picture())
    settings = Settings(home=tmp_path / "home", model_dir=MODEL_CACHE, threads=1)
    enhancer = ImageEnhancer({"name": "photo", "scale": 2}, settings=settings)
    by_python = enhancer.enhance_file(source, tmp_path / "python", key="cat.png", taken=set())
    environment = {"ENHANCER_HOME": str(tmp_path / "other"), "ENHANCER_MODEL_DIR": str(MODEL_CACHE)}
    told = CliRunner().invoke(
        cli, ["enhance", str(source), "-o", str(tmp_path / "cli"), "--scale", "2", "--json"], env=environment
    )
    assert told.exit_code == 0, told.output
    [by_command] = json.loads(told.stdout)["items"]
    [by_job] = server.client.get(done["links"]["items"]).json()["items"]
    path, query = "/v1/enhance", {"recipe": "photo", "scale": "2"}
    at_once = server.client.post(path, params=query, files=[upload()])
    assert at_once.status_code == 200, at_once.text
    by_request = server.client.post(path, params={**query, "record": "true"}, files=[upload()]).json()

    wanted = (tmp_path / "python" / "cat.png").read_bytes()
    assert (tmp_path / "cli" / "cat.png").read_bytes() == wanted
    assert result_of(server, done).content == wanted
    assert at_once.content == wanted
    records = [json.loads(by_python.model_dump_json(by_alias=True)), by_command, by_job, by_request]
    first, *others = [{name: value for name, value in one.items() if name not in VARIES} for one in records]
    assert first["state"] == "published"
    for other in others:
        assert other == first


def test_inspect_answers_as_the_command_line_does(server: Server, tmp_path) -> None:
    source = tmp_path / "cat.png"
    source.write_bytes(picture())
    environment = {"ENHANCER_HOME": str(tmp_path / "home"), "ENHANCER_MODEL_DIR": str(MODEL_CACHE)}
    said = CliRunner().invoke(
        cli, ["inspect", str(source), "--recipe", "scan", "--scale", "2", "--json"], env=environment
    )
    assert said.exit_code == 0, said.output
    by_command = json.loads(said.stdout)
    by_service = Client(server.address).inspect(source, recipe="scan", scale=2)
    assert by_command["items"][0].pop("input") == str(source)
    assert by_service["items"][0].pop("input") == "cat.png"
    assert by_service == by_command


@pytest.mark.parametrize(
    ("content", "status", "error_class"),
    [(b"hello", 415, "not-a-picture"), (picture()[:200], 422, "truncated"), (b"", 415, "empty")],
)
def test_inspect_refuses_what_enhance_refuses(server: Server, content, status, error_class) -> None:
    for path in ("/v1/enhance", "/v1/inspect"):
        answer = server.client.post(path, files=[upload(content=content)])
        assert (answer.status_code, answer.json()["class"]) == (status, error_class), path


def test_a_result_is_served_whole_in_part_or_not_again(server: Server, done: dict) -> None:
    whole = result_of(server, done)
    assert whole.headers["content-type"] == "image/png"
    etag = whole.headers["etag"]
    part = result_of(server, done, Range="bytes=10-19")
    assert (part.status_code, part.content) == (206, whole.content[10:20])
    assert part.headers["content-range"] == f"bytes 10-19/{len(whole.content)}"
    assert result_of(server, done, Range="bytes=-5").content == whole.content[-5:]
    assert result_of(server, done, Range=f"bytes={len(whole.content)}-").status_code == 416
    assert result_of(server, done, **{"If-None-Match": etag}).status_code == 304
    assert result_of(server, done, Range="bytes=0-4", **{"If-Range": '"other"'}).content == whole.content


def test_the_same_key_does_nothing_twice(server: Server, done: dict) -> None:
    again = server.client.post("/v1/jobs", files=[upload()], data=WISHES, headers={"Idempotency-Key": "one"})
    assert (again.status_code, again.json()["id"]) == (202, done["id"])
    other = server.client.post("/v1/jobs", files=[upload("b.png")], data=WISHES, headers={"Idempotency-Key": "one"})
    assert (other.status_code, other.json()["class"]) == (409, "key-reused")


def events_of(server: Server, job: dict, **headers: str) -> list[dict[str, str]]:
    answer = server.client.get(job["links"]["events"], headers=headers)
    assert answer.headers["content-type"].startswith("text/event-stream")
    blocks = [block for block in answer.text.split("\n\n") if block.strip() and not block.startswith(":")]
    return [dict(line.split(": ", 1) for line in block.splitlines()) for block in blocks]


def test_events_tell_a_job_from_its_beginning_or_from_where_one_was(server: Server, done: dict) -> None:
    numbered = [event for event in events_of(server, done) if "id" in event]
    states = [json.loads(event["data"])["state"] for event in numbered]
    assert states == ["queued", "running", "running", "enhanced", "running", "scored", "finished"]
    rest = [event for event in events_of(server, done, **{"Last-Event-ID": numbered[3]["id"]}) if "id" in event]
    assert rest == numbered[4:]


def test_what_is_no_picture_is_refused_by_name_and_costs_no_worker(server: Server) -> None:
    before = [one.pid for one in server.workers("requests")]
    for content, status, error_class in (
        (b"hello", 415, "not-a-picture"),
        (picture()[:200], 422, "truncated"),
        (picture(width=2100 // 7, height=150), 200, None),
    ):
        answer = server.client.post("/v1/enhance", params={"scale": "1"}, files=[upload(content=content)])
        assert answer.status_code == status, answer.text
        if error_class is not None:
            assert answer.json()["class"] == error_class
    assert [one.pid for one in server.workers("requests")] == before


def test_a_warm_worker_that_is_killed_is_replaced(server: Server) -> None:
    [worker] = wait_for(lambda: server.workers("requests"))
    worker.kill()
    wait_for(lambda: worker.pid not in [one.pid for one in server.workers("requests")])

    def answered() -> bool:
        return server.client.post("/v1/enhance", params={"scale": "1"}, files=[upload()]).status_code == 200

    wait_for(answered)
    assert len(server.workers("requests")) == 1


def test_cancelling_keeps_what_is_done_and_begins_nothing_more(server: Server) -> None:
    many = [upload(f"{number}.png", picture(number)) for number in range(12)]
    running = server.client.post("/v1/jobs", files=many, data=WISHES).json()
    waiting = server.client.post("/v1/jobs", files=[upload("z.png", picture(99))], data=WISHES).json()
    assert server.client.delete(waiting["links"]["self"]).json()["state"] == "cancelled"
    server.client.delete(running["links"]["self"])
    job = server.finished(running)
    assert job["state"] == "cancelled"
    assert set(job["counts"]) <= {"published", "not_attempted", "rejected"}
    items = server.client.get(job["links"]["items"]).json()
    for key in items["summary"]["results"]:
        assert result_of(server, job, key).status_code == 200


def test_files_of_a_job_that_is_over_can_be_deleted(server: Server) -> None:
    job = server.finished(server.client.post("/v1/jobs", files=[upload("x.png", picture(50))], data=WISHES).json())
    address = server.client.get(job["links"]["items"]).json()["summary"]["results"]["x.png"]
    assert server.client.get(address).status_code == 200
    assert server.client.delete(job["links"]["self"]).json()["expired"]
    assert server.client.get(address).status_code == 410
    left = [path for path in (server.home / "service").rglob("*") if path.is_file() and job["id"] in str(path)]
    assert left == []


def test_the_python_client_goes_the_whole_way(server: Server, done: dict, tmp_path: Path) -> None:
    path = tmp_path / "cat.png"
    path.write_bytes(picture())
    client = Client(server.address)
    wanted = result_of(server, done).content
    assert client.enhance(path, recipe="photo", scale=2) == wanted
    job = client.wait(client.submit([path], recipe="photo", scale=2), poll_s=0.2)
    assert dict(client.results(job)) == {"cat.png": wanted}
    [(item, _)] = client.items(job)
    assert item["state"] == "reused", "known results are copied, not computed again"
    (tmp_path / "no.png").write_bytes(b"hello")
    with pytest.raises(ServiceError) as refused:
        client.enhance(tmp_path / "no.png")
    assert (refused.value.reason, refused.value.status) == ("not-a-picture", 415)


def test_the_servers_process_loads_no_net(server: Server, done: dict) -> None:
    maps = Path(f"/proc/{server.process.pid}/maps").read_text(encoding="utf-8")
    for library in ("libtorch", "libopenvino", "cv2", "onnxruntime"):
        assert library not in maps


def test_whatever_is_killed_no_job_is_lost(tmp_path) -> None:
    server = Server(tmp_path, service_workers=0).start()
    keys = [f"{number}.png" for number in range(6)]
    job = server.client.post(
        "/v1/jobs", files=[upload(key, picture(i)) for i, key in enumerate(keys)], data=WISHES
    ).json()
    [worker] = wait_for(lambda: server.workers("enhance"))
    wait_for(lambda: server.client.get(job["links"]["self"]).json()["counts"].get("running"))
    worker.send_signal(signal.SIGKILL)
    [second] = wait_for(lambda: [one for one in server.workers("enhance") if one.pid != worker.pid])
    server.kill()
    wait_for(lambda: not second.is_running())
    server.start()
    try:
        over = server.finished(job)
        assert (over["state"], over["counts"]) == ("finished", {"published": 6})
        items = server.client.get(job["links"]["items"]).json()
        assert sorted(items["summary"]["results"]) == keys
        bodies = {server.client.get(address).content for address in items["summary"]["results"].values()}
        assert len(bodies) == 6
    finally:
        assert server.stop() == 0
