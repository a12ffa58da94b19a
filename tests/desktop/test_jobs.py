"""The queue and its worker process, without a window."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from PIL import Image
from skimage import data
from typer.testing import CliRunner

from enhancer.cli.app import app
from enhancer.desktop.jobs import Job, JobQueue, State
from enhancer.desktop.order import Order, check_pattern, place_of
from enhancer.desktop.runner import Runner
from enhancer.errors import RequestError

RECIPE = {"name": "photo", "scale": 2.0}


def picture(path: Path, side: int = 48, offset: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(data.astronaut()[offset : offset + side, 100 : 100 + side]).save(path)
    return path


def until(condition: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


@pytest.fixture
def queue() -> JobQueue:
    return JobQueue()


@pytest.fixture
def runner(queue: JobQueue) -> Iterator[Runner]:
    made = Runner(queue, lambda job: None)
    yield made
    made.close()


def test_a_folder_is_added_with_all_below_it_and_without_side_files(tmp_path: Path, queue: JobQueue) -> None:
    for name in ("b.png", "deep/down/a.jpg", ".hidden/c.png"):
        picture(tmp_path / "in" / name)
    (tmp_path / "in" / "notes.txt").write_text("no picture")
    output = tmp_path / "in" / "results"
    picture(output / "old.png")
    queue.add([tmp_path / "in"], output=output)
    assert [job.key for job in queue.jobs] == ["in/b.png", "in/deep/down/a.jpg"]


def test_what_is_there_already_is_not_added_again_and_equal_names_stay_apart(tmp_path: Path, queue: JobQueue) -> None:
    one, two = picture(tmp_path / "x" / "a.png"), picture(tmp_path / "y" / "a.png")
    queue.add([one, two])
    assert queue.add([one]) == []
    assert [job.key for job in queue.jobs] == ["a.png", "a (2).png"]


@pytest.mark.parametrize("pattern", ["fixed", "{name}_{size}", "../{name}", "{name", "{name}\n"])
def test_a_pattern_that_names_no_file_is_refused(pattern: str) -> None:
    with pytest.raises(RequestError, match="may hold"):
        check_pattern(pattern)


def test_no_file_is_ever_overwritten(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    (tmp_path / "a (2).png").symlink_to("nowhere")
    assert place_of(tmp_path, "a.png", "{name}", recipe="photo", scale=4).name == "a (3).png"


def test_braces_in_a_picture_s_own_name_stay(tmp_path: Path) -> None:
    made = place_of(tmp_path, "{x}.png", "{name}-{recipe}-{scale}x", recipe="scan", scale=1.5)
    assert made.name == "{x}-scan-1.5x.png"


def test_the_bytes_are_those_of_the_command_line(tmp_path: Path, queue: JobQueue, runner: Runner) -> None:
    source = picture(tmp_path / "in" / "a.jpg")
    before = source.read_bytes()
    said = CliRunner().invoke(app, ["enhance", str(source), "-o", str(tmp_path / "cli"), "--scale", "2"])
    assert said.exit_code == 0, said.output
    queue.add([source])
    runner.start(Order(recipe=RECIPE, output=str(tmp_path / "in")))
    until(lambda: not runner.running)
    record = queue.jobs[0].record
    assert record is not None
    assert record.error is None
    assert record.output == str(tmp_path / "in" / "a (2).jpg")
    assert Path(record.output).read_bytes() == (tmp_path / "cli" / "a.jpg").read_bytes()
    assert source.read_bytes() == before


def test_a_bad_picture_stops_no_other_and_says_why(tmp_path: Path, queue: JobQueue, runner: Runner) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.png").write_bytes(b"no picture at all")
    picture(tmp_path / "in" / "b.png")
    queue.add([tmp_path / "in"])
    runner.start(Order(recipe=RECIPE, output=str(tmp_path / "out")))
    until(lambda: not runner.running)
    assert [job.state for job in queue.jobs] == [State.FAILED, State.DONE]
    error = queue.jobs[0].record.error  # type: ignore[union-attr]
    assert error is not None
    assert "a.png" in error.message


def test_a_killed_worker_costs_its_picture_and_no_other(tmp_path: Path, queue: JobQueue) -> None:
    for name in "abc":
        picture(tmp_path / "in" / f"{name}.png", offset=ord(name))
    queue.add([tmp_path / "in"])
    killed: list[int] = []

    def kill_first(job: Job | None) -> None:
        if job is not None and job.state is State.WORKING and not killed:
            killed.append(runner.child.pid or 0)
            threading.Timer(0.1, os.kill, (killed[0], 9)).start()

    runner = Runner(queue, kill_first)
    runner.start(Order(recipe=RECIPE, output=str(tmp_path / "out")))
    until(lambda: not runner.running)
    runner.close()
    assert [job.state for job in queue.jobs] == [State.FAILED, State.DONE, State.DONE]
    error = queue.jobs[0].record.error  # type: ignore[union-attr]
    assert error is not None
    assert error.error_class == "worker-died"
    assert "memory" in error.message


@pytest.mark.parametrize(("limits", "reason"), [({"memory_mb": 1}, "memory-limit"), ({"deadline_s": 0.01}, "hung")])
def test_memory_and_time_are_limited(
    tmp_path: Path, queue: JobQueue, limits: dict[str, float], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("enhancer.desktop.child.START_DEADLINE_S", 0.01)
    queue.add([picture(tmp_path / "a.png")])
    runner = Runner(queue, lambda job: None, **limits)
    runner.start(Order(recipe=RECIPE, output=str(tmp_path / "out")))
    until(lambda: not runner.running)
    runner.close()
    error = queue.jobs[0].record.error  # type: ignore[union-attr]
    assert error is not None
    assert error.error_class == reason


def test_stop_and_go_on_does_every_picture_once(tmp_path: Path, queue: JobQueue) -> None:
    for number in range(4):
        picture(tmp_path / "in" / f"{number}.png", offset=number * 20)
    queue.add([tmp_path / "in"])
    first = threading.Event()
    runner = Runner(queue, lambda job: first.set() if job is not None and job.state is State.DONE else None)
    order = Order(recipe=RECIPE, output=str(tmp_path / "out"))
    runner.start(order)
    assert first.wait(120)
    runner.stop()
    assert not runner.running
    assert queue.count(State.WORKING) == 0
    assert queue.count(State.WAITING) > 0
    runner.start(order)
    until(lambda: not runner.running)
    runner.close()
    assert queue.count(State.DONE) == 4
    assert sorted(path.name for path in (tmp_path / "out" / "in").iterdir()) == [f"{n}.png" for n in range(4)]


@pytest.mark.parametrize("seconds", [0.0, 0.05, 0.1, 0.2, 0.4])
def test_a_stop_at_any_moment_leaves_no_half_result_and_no_second_one(
    tmp_path: Path, queue: JobQueue, seconds: float
) -> None:
    for number in range(3):
        picture(tmp_path / "in" / f"{number}.png", offset=number * 20)
    queue.add([tmp_path / "in"])
    first = threading.Event()
    runner = Runner(queue, lambda job: first.set() if job is not None and job.state is State.DONE else None)
    order = Order(recipe=RECIPE, output=str(tmp_path / "out"))
    runner.start(order)
    assert first.wait(120)
    time.sleep(seconds)
    runner.stop()
    done = queue.count(State.DONE)
    assert len([path for path in (tmp_path / "out").rglob("*") if path.is_file()]) == done
    runner.start(order)
    until(lambda: not runner.running)
    runner.close()
    found = sorted(path.name for path in (tmp_path / "out").rglob("*") if path.is_file())
    assert found == ["0.png", "1.png", "2.png"]


def test_results_are_scored_where_the_truth_is_known(tmp_path: Path, queue: JobQueue, runner: Runner) -> None:
    truth = picture(tmp_path / "truth" / "a.png", side=96)
    small = tmp_path / "in" / "a.png"
    small.parent.mkdir()
    with Image.open(truth) as whole:
        whole.resize((48, 48), Image.Resampling.BICUBIC).save(small)
    queue.add([tmp_path / "in"])
    runner.start(Order(recipe=RECIPE, output=str(tmp_path / "out"), truth=str(truth.parent)))
    until(lambda: not runner.running)
    record = queue.jobs[0].record
    assert record is not None
    assert record.warnings == []
    assert record.scores["reference"]["psnr"] > 20
