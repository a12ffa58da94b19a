"""Enhance with real worker processes: one night with everything that can happen to a picture, and deaths of processes.

What kills, hangs or hogs is a hook in the worker's own interpreter (``sitecustomize`` on PYTHONPATH) that acts when the
worker opens a file of that name: everything else is the product as it runs.
"""

from __future__ import annotations

import base64
import io
import json
import os
import re
import signal
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import PIL.Image
import psutil
import pytest

from enhancer.batch.enhancing import enhance_shard
from enhancer.batch.events import Event
from enhancer.batch.planning import Plan
from enhancer.batch.reporting import RunReport, report_run
from enhancer.batch.supervisor import WorkerError, worker_environment
from enhancer.contract import Envelope
from enhancer.errors import ErrorKind, LeaseLostError
from enhancer.identity import digest
from enhancer.ledger import TERMINAL
from enhancer.settings import Settings
from tests.batch.site_builder import PLAIN, Site, child_pids, png

HOOK = """
import os, signal, sys, time

if any(part.endswith("enhancer.batch.worker") for part in sys.orig_argv):
    def act(event, arguments):
        if event != "open" or not isinstance(arguments[0], str):
            return
        name = os.path.basename(arguments[0])
        if name.startswith("poison"):
            time.sleep(0.5)  # the test looks at the process first
            os.kill(os.getpid(), signal.SIGKILL)
        if name.startswith("flaky"):
            marker = os.path.join(os.environ["HOME"], "was-here")
            if not os.path.exists(marker):
                os.close(os.open(marker, os.O_CREAT))
                time.sleep(0.5)
                os.kill(os.getpid(), signal.SIGKILL)
        if name.startswith("hang"):
            time.sleep(600)
        if name.startswith("hog"):
            hoard = bytearray(500_000_000)
            hoard[::4096] = b"x" * len(hoard[::4096])
            time.sleep(600)

    sys.addaudithook(act)
"""


@pytest.fixture(scope="module", autouse=True)
def _hooked_workers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Workers import the hook, and know neither the user's home nor what else is in our environment."""
    folder = tmp_path_factory.mktemp("hook")
    (folder / "sitecustomize.py").write_text(HOOK)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(folder))
        patch.setenv("HOME", str(folder))
        patch.setenv("OMP_NUM_THREADS", "1")
        patch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "postgresql://airflow:not-for-workers@db/airflow")
        patch.setenv("SOMEONE_ELSES_TOKEN", "not-for-workers")
        yield


def jpeg(data: bytes) -> bytes:
    buffer = io.BytesIO()
    PIL.Image.open(io.BytesIO(data)).save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


def grey_bmp() -> bytes:
    buffer = io.BytesIO()
    PIL.Image.open(io.BytesIO(png(4))).convert("L").save(buffer, "BMP")
    return buffer.getvalue()


@dataclass
class Night:
    """Two nights of one site: the first with all kinds of trouble, the second after some files changed."""

    site: Site
    plan: Plan
    report: RunReport
    events: list[Event] = field(default_factory=list)
    environments: list[dict[str, str]] = field(default_factory=list)
    command_lines: list[list[str]] = field(default_factory=list)
    second: RunReport | None = None
    second_events: list[Event] = field(default_factory=list)


NASTY = "good/&<script>alert(1)</script>.png"


@pytest.fixture(scope="module")
def night(new_site: Callable[..., Site], tmp_path_factory: pytest.TempPathFactory) -> Night:
    site = new_site(
        tmp_path_factory.mktemp("night"),
        item_deadline_s=3,
        s3_access_key_id="AKIDEXAMPLE",
        s3_secret_access_key="topsecret",
        failure_threshold=0.9,
    )
    site.put_key("bad/bomb.png", _bomb())
    site.put_key("bad/empty.png", b"")
    site.put_key("bad/text.jpg", b"this is no picture, whatever its name says\n" * 40)
    site.put_key("bad/truncated.png", png(3, 64, 64)[:-60])
    site.put_key("flaky.png", png(5))
    site.put_key("gone.png", png(6))
    site.put_key(NASTY, png(1))
    site.put_key("good/b.jpg", jpeg(png(2)))
    site.put_key("good/copy of b.jpg", jpeg(png(2)))
    site.put_key("good/grey.bmp", grey_bmp())
    site.put_key("hang.png", png(7))
    site.put_key("poison.png", png(8))
    plan = site.plan("night")
    (site.input / "gone.png").unlink()

    night = Night(site, plan, RunReport("", "", {}, "", 0, 0.0))

    def on_event(event: Event) -> None:
        night.events.append(event)
        if event.event == "ready":
            for worker in _workers_of(os.getpid()):
                night.command_lines.append(worker.cmdline())
                night.environments.append(worker.environ())

    (reference,) = plan.shards
    enhance_shard(reference, settings=site.settings, owner="test", on_event=on_event)
    site.pass_gate(plan)
    site.publish(plan)
    night.report = report_run("night", settings=site.settings)

    site.put_key("good/b.jpg", jpeg(png(2)))  # the same bytes with a new ETag
    again = site.plan("second")
    (reference,) = again.shards
    enhance_shard(reference, settings=site.settings, owner="test", on_event=night.second_events.append)
    site.pass_gate(again)
    site.publish(again)
    night.second = report_run("second", settings=site.settings)
    return night


def _bomb() -> bytes:
    """A PNG that declares 60000 x 60000 pixels."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


class TestTheNight:
    """Every picture ends in one terminal state, with its reason; a bad one stops no good one."""

    def test_states(self, night: Night) -> None:
        assert night.site.states("night") == {
            "bad/bomb.png": "quarantined",
            "bad/empty.png": "quarantined",
            "bad/text.jpg": "quarantined",
            "bad/truncated.png": "quarantined",
            "flaky.png": "published",
            "gone.png": "skipped",
            NASTY: "published",
            "good/b.jpg": "published",
            "good/copy of b.jpg": "reused",
            "good/grey.bmp": "published",
            "hang.png": "quarantined",
            "poison.png": "quarantined",
        }

    def test_reasons(self, night: Night) -> None:
        rows = night.site.items("night")
        found = {key: (row["stage"], row["error_class"]) for key, row in rows.items() if row["error_class"]}
        assert found == {
            "bad/bomb.png": ("decode", "too-many-pixels"),
            "bad/empty.png": ("decode", "empty"),
            "bad/text.jpg": ("decode", "not-a-picture"),
            "bad/truncated.png": ("decode", "truncated"),
            "gone.png": ("read", "gone"),
            "hang.png": ("worker", "hung"),
            "poison.png": ("worker", "worker-killed"),
        }
        assert "SIGKILL" in rows["poison.png"]["error_message"]
        assert "ENHANCER_ITEM_DEADLINE_S=3" in rows["hang.png"]["error_message"]

    def test_every_target_has_the_bytes_that_its_row_records(self, night: Night) -> None:
        site, good = night.site, {"published", "reused"}
        rows = {key: row for key, row in site.items("night").items() if row["state"] in good}
        assert len(rows) == 5
        for row in rows.values():
            path = site.output / row["target_key"]
            target = site.ledger.targets.get(str(path))
            assert target is not None
            assert digest(path.read_bytes()) == target["digest"]
            with PIL.Image.open(path) as picture:
                assert picture.size == (row["output_width"], row["output_height"]) == (24, 16)
        names = {path.relative_to(site.output).as_posix() for path in site.output.rglob("*") if path.is_file()}
        assert {name for name in names if not name.startswith("_enhancer/")} == {
            row["target_key"] for row in rows.values()
        }
        assert rows["good/grey.bmp"]["target_key"] == "good/grey.bmp.png"

    def test_a_duplicate_is_computed_once(self, night: Night) -> None:
        rows = night.site.items("night")
        first, copy = rows["good/b.jpg"], rows["good/copy of b.jpg"]
        assert first["identity"] == copy["identity"]
        assert (first["reused"], copy["reused"]) == (0, 1)
        output = night.site.output
        assert (output / "good/b.jpg").read_bytes() == (output / "good/copy of b.jpg").read_bytes()

    def test_nothing_staged_is_left(self, night: Night) -> None:
        assert [path for path in night.site.work.rglob("staged/**/*") if path.is_file()] == []

    def test_attempts_count_what_was_tried(self, night: Night) -> None:
        attempts = {key: row["attempts"] for key, row in night.site.items("night").items()}
        assert (attempts["poison.png"], attempts["hang.png"], attempts["flaky.png"]) == (2, 2, 2)
        assert attempts["good/b.jpg"] == attempts["bad/text.jpg"] == 1

    def test_who_dies_with_others_gets_a_worker_of_its_own(self, night: Night) -> None:
        alone = [line[-1] for line in night.command_lines if line[-1].startswith("--only=")]
        assert alone == ["--only=flaky.png", "--only=hang.png", "--only=poison.png"]
        ends = {event.key: event.state for event in night.events if event.event == "item"}
        assert ends == {
            key: {"published": "enhanced", "reused": "enhanced"}.get(state, state)
            for key, state in night.site.states("night").items()
        }

    def test_the_workers_environment_holds_the_settings_and_nothing_foreign(self, night: Night) -> None:
        assert night.environments
        for environment in night.environments:
            assert "not-for-workers" not in "".join(environment.values())
            assert not [name for name in environment if name.startswith("AIRFLOW")]
            assert environment["ENHANCER_S3_SECRET_ACCESS_KEY"] == "topsecret"

    def test_no_secret_is_in_an_argument(self, night: Night) -> None:
        assert len(night.command_lines) >= 4
        for line in night.command_lines:
            assert "topsecret" not in " ".join(line)
            assert "sqlite" not in " ".join(line)

    def test_timings_decisions_and_sizes_are_recorded(self, night: Night) -> None:
        row = night.site.items("night")["good/b.jpg"]
        assert {"read", "decode", "enhance", "encode"} <= set(row["details"]["timings"])
        assert {decision["stage"] for decision in row["details"]["decisions"]} >= {"denoising"}
        assert row["details"]["models"] == {}

    def test_the_shard_knows_what_it_cost(self, night: Night) -> None:
        (shard,) = night.site.ledger.runs.shards_of("night")
        assert shard["busy_s"] > 6  # two hangs of three seconds
        assert 50 < shard["peak_rss_mb"] < 4000


class TestTheSecondNight:
    """What is unchanged is skipped, what is condemned is repeated, what is the same under a new ETag is looked at."""

    def test_states(self, night: Night) -> None:
        states = night.site.states("second")
        assert states.pop("good/b.jpg") == "skipped"
        assert set(states.values()) == {"quarantined"}
        assert len(states) == 6
        run = night.site.ledger.runs.get("second")
        assert (run["listed"], run["quick_skipped"], run["items"]) == (11, 4, 7)

    def test_only_the_touched_picture_was_looked_at(self, night: Night) -> None:
        assert [event.key for event in night.second_events if event.event == "started"] == ["good/b.jpg"]

    def test_the_new_etag_counts_for_the_next_quick_skip(self, night: Night) -> None:
        assert night.site.plan("third", dry_run=True).summary["work_items"] == 0

    def test_repeated_verdicts_do_not_fail_the_run(self, night: Night) -> None:
        assert night.second is not None
        assert night.second.outcome == "success"
        assert night.second.failure_rate == 0.0
        assert night.second.counts == {"quarantined": 6, "skipped": 1}


class TestTheReport:
    """Two files under the output: the one JSON contract, and a page that needs nothing else."""

    def test_what_the_task_says(self, night: Night) -> None:
        assert night.report.outcome == "success"
        assert night.report.counts == {"published": 4, "reused": 1, "skipped": 1, "quarantined": 6}
        assert night.report.published == 5
        assert night.report.failure_rate == pytest.approx(6 / 12)
        assert Path(night.report.report_url) == night.site.output / "_enhancer/reports/night/report.html"

    def test_the_json_is_the_contract_and_has_every_item(self, night: Night) -> None:
        text = Path(night.report.report_url).with_suffix(".json").read_text(encoding="utf-8")
        envelope = Envelope.model_validate_json(text)
        assert (envelope.command, envelope.ok) == ("batch run", True)
        assert {item.input: item.state for item in envelope.items} == night.site.states("night")
        by_key = {item.input: item for item in envelope.items}
        assert by_key["good/grey.bmp"].output == "good/grey.bmp.png"
        assert by_key["hang.png"].output is None
        error = by_key["bad/text.jpg"].error
        assert error is not None
        assert (error.error_class, error.stage) == ("not-a-picture", "decode")
        raw = json.loads(text)
        assert raw["schema_version"] == 1
        assert raw["summary"]["counts"] == night.report.counts
        assert next(item["error"]["class"] for item in raw["items"] if item["input"] == "hang.png") == "hung"

    def test_the_page_needs_no_network_and_trusts_no_key(self, night: Night) -> None:
        page = Path(night.report.report_url).read_text(encoding="utf-8")
        for reference in ("http://", "https://", 'src="/', "<script", "@import", "url("):
            assert reference not in page
        assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
        for key, row in night.site.items("night").items():
            if row["error_class"] and row["state"] == "quarantined":
                assert key in page
                assert row["error_class"] in page

    def test_before_and_after_are_shown_for_what_was_published(self, night: Night) -> None:
        page = Path(night.report.report_url).read_text(encoding="utf-8")
        pictures = re.findall(r'alt="(before|after): ([^"]*)" src="data:image/jpeg;base64,([^"]*)"', page)
        sides = {(side, key) for side, key, _ in pictures}
        good = {"good/b.jpg", "good/copy of b.jpg", "good/grey.bmp", "flaky.png"}
        assert {(side, key) for key in good for side in ("before", "after")} <= sides
        assert not {key for _, key in sides} & {"poison.png", "hang.png", "bad/text.jpg"}
        assert len(pictures) == 10
        for _, _, data in pictures:
            with PIL.Image.open(io.BytesIO(base64.b64decode(data))) as picture:
                assert max(picture.size) == 320

    def test_a_second_call_only_answers(self, night: Night) -> None:
        page = Path(night.report.report_url)
        written = page.stat().st_mtime_ns
        assert report_run("night", settings=night.site.settings) == night.report
        strict = night.site.settings.model_copy(update={"failure_threshold": 0.01})
        assert report_run("night", settings=strict).outcome == "success"  # as it was decided then
        assert page.stat().st_mtime_ns == written

    def test_a_finished_run_takes_no_straggler(self, night: Night) -> None:
        with pytest.raises(LeaseLostError, match="finished"):
            enhance_shard(night.plan.shards[0], settings=night.site.settings, owner="straggler")


# -------------------------------------------------------------------- processes that die


def test_a_worker_that_takes_too_much_memory_is_stopped(new_site: Callable[..., Site], tmp_path: Path) -> None:
    site = new_site(tmp_path, worker_memory_mb=450)
    site.put(hog_png=png(1))
    plan = site.plan()
    enhance_shard(plan.shards[0], settings=site.settings, owner="test")
    row = site.items("r1")["hog.png"]
    assert (row["state"], row["error_class"]) == ("quarantined", "memory-limit")
    assert "ENHANCER_WORKER_MEMORY_MB=450" in row["error_message"]


def test_a_lease_that_someone_takes_stops_the_worker_and_nothing_more_is_written(site: Site) -> None:
    # So many that the worker cannot be done with them before this process has read its first event.
    site.put(**{f"p{number:03}_png": png(number) for number in range(100)})
    plan = site.plan()

    def take_over(event: Event) -> None:
        if event.event == "item" and event.key == "p000.png":
            site.ledger.leases.take("r1", 0, "next try", 60)

    with pytest.raises(LeaseLostError):
        enhance_shard(plan.shards[0], settings=site.settings, owner="first", on_event=take_over)
    states = site.states("r1")
    assert states["p000.png"] == "enhanced"
    assert "pending" in states.values()
    assert _workers_of(os.getpid()) == []
    (shard,) = site.ledger.runs.shards_of("r1")
    assert shard["lease_owner"] == "next try"


def _workers_of(pid: int) -> list[psutil.Process]:
    found = []
    for child in child_pids(pid):
        try:
            if "enhancer.batch.worker" in psutil.Process(child).cmdline():
                found.append(psutil.Process(child))
        except psutil.NoSuchProcess:
            continue
    return found


SUPERVISOR = """
import json, sys
from enhancer.batch.enhancing import enhance_shard
from enhancer.settings import get_settings

def tell(event):
    print(event.event, event.key, flush=True)

enhance_shard(json.loads(sys.argv[1]), settings=get_settings(), owner="first", on_event=tell)
"""


def test_the_worker_dies_with_its_supervisor_and_the_next_try_finishes(site: Site) -> None:
    site.put(a_png=png(1), hang_png=png(2))
    plan = site.plan()
    process = subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, json.dumps(plan.shards[0])],
        env=worker_environment(site.settings),
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip() == "started hang.png":
                break
        (worker,) = _workers_of(process.pid)
        until = time.monotonic() + 10
        while site.states("r1")["hang.png"] != "running" and time.monotonic() < until:
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    _, alive = psutil.wait_procs([worker], timeout=10)
    assert alive == []
    assert site.states("r1") == {"a.png": "enhanced", "hang.png": "running"}

    first = site.items("r1")["a.png"]["staged_key"]
    (site.input / "hang.png").rename(site.root / "kept.png")  # what hung does so no more: it is not there
    seen: list[Event] = []
    counts = enhance_shard(plan.shards[0], settings=site.settings, owner="second", on_event=seen.append)
    assert counts == {"enhanced": 1, "skipped": 1}
    assert [event.key for event in seen if event.event == "started"] == ["hang.png"]
    assert site.items("r1")["a.png"]["staged_key"] == first


def test_a_net_that_cannot_be_had_fails_the_task_and_condemns_no_picture(
    new_site: Callable[..., Site], tmp_path: Path
) -> None:
    site = new_site(tmp_path, offline=True)
    site = Site(site.root, site.settings.model_copy(update={"model_dir": tmp_path / "no-models"}), site.ledger)
    noisy = PIL.Image.effect_noise((64, 64), 60)
    buffer = io.BytesIO()
    noisy.save(buffer, "PNG")
    site.put(a_png=buffer.getvalue())
    plan = site.plan(recipe='{"scale": 2, "denoise_strength": 0.5}')
    with pytest.raises(WorkerError) as caught:
        enhance_shard(plan.shards[0], settings=site.settings, owner="test")
    assert caught.value.kind is ErrorKind.PERMANENT
    with pytest.raises(Exception, match="failed"):
        report_run("r1", settings=site.settings)
    state = site.states("r1")["a.png"]
    assert state == "failed"  # the next run tries again
    assert state in TERMINAL


def test_workers_that_never_start_are_no_pictures_fault(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    site.put(a_png=png(1))
    plan = site.plan()
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(WorkerError, match="status 1") as caught:
        enhance_shard(plan.shards[0], settings=site.settings, owner="test")
    assert caught.value.kind is ErrorKind.TRANSIENT
    assert site.states("r1") == {"a.png": "pending"}
    assert site.items("r1")["a.png"]["attempts"] == 0


class TestTheEnvironment:
    """The least a worker needs."""

    def test_settings_survive_the_way(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        settings = Settings(
            home=tmp_path,
            ledger_dsn="postgresql+psycopg://u:p@h/db",
            s3_secret_access_key="s",
            offline=True,
            shard_minutes=2.5,
            recipe=PLAIN,
            rules='[{"match": "*"}]',
        )
        environment = worker_environment(settings)
        for name in list(os.environ):
            monkeypatch.delenv(name)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        assert Settings() == settings

    def test_aws_variables_only_where_the_settings_hold_no_keys(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("AWS_PROFILE", "someone")
        assert worker_environment(Settings(home=tmp_path))["AWS_PROFILE"] == "someone"
        assert "AWS_PROFILE" not in worker_environment(Settings(home=tmp_path, s3_access_key_id="k"))


def test_a_worker_may_take_longer_to_start_than_a_picture_may_take(
    new_site: Callable[..., Site], tmp_path: Path
) -> None:
    site = new_site(tmp_path, item_deadline_s=1.5)
    site.put_key("bad/text.png", b"no picture")
    enhance_shard(site.plan().shards[0], settings=site.settings, owner="test")
    assert site.states("r1") == {"bad/text.png": "quarantined"}
    assert site.items("r1")["bad/text.png"]["error_class"] == "not-a-picture"


def test_a_known_result_that_another_was_published_over_is_made_again(site: Site) -> None:
    def tiff(seed: int) -> bytes:
        buffer = io.BytesIO()
        PIL.Image.open(io.BytesIO(png(seed))).save(buffer, "TIFF")  # uncompressed: as long for every picture
        return buffer.getvalue()

    sizes = []
    for number, (key, seed) in enumerate([("a.tif", 1), ("a.tif", 2), ("c.tif", 1)]):
        site.put_key(key, tiff(seed))
        plan = site.plan(f"r{number}")
        enhance_shard(plan.shards[0], settings=site.settings, owner="test")
        site.pass_gate(plan)
        site.publish(plan)
        site.finish(plan.run_id)
        sizes.append((site.output / key).stat().st_size)
    assert len(set(sizes)) == 1, "else the size alone would tell"
    assert site.states("r2") == {"c.tif": "published"}
    with PIL.Image.open(site.output / "c.tif") as made, PIL.Image.open(io.BytesIO(png(1))) as wanted:
        assert made.tobytes() == wanted.tobytes()
